import signal
import socket
import subprocess
import sys

import pytest

from hedgerow_simulator.cli import simulate
from simulator.commands import AT_ONCE, run_to_end
from support.processes import FAULTLESS, READ_TIMEOUT_S, simulator


def test_the_command_is_named_simulate() -> None:
    assert simulate.name == "simulate"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_announces_answers_and_stops_on_a_signal(number: signal.Signals, workers: str) -> None:
    with simulator(*AT_ONCE, "--seed=5", f"--workers={workers}") as server:
        assert server.seed == 5
        assert server.get("/api/work") == (200, b'{"time":0}')
        with socket.create_connection(("127.0.0.1", server.port)) as hanging:
            hanging.sendall(b"GET /api/work HTTP/1.1\r\nHost: x\r\nX-Fault: hang\r\n\r\n")
            while server.stats()["in_flight"] == 0:
                pass
            server.process.send_signal(number)
            assert server.process.wait(READ_TIMEOUT_S) == 0
        assert server.rest_of_stdout() == ""
        assert server.process.stderr
        assert server.process.stderr.read() == ""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_ends_when_stdin_does(workers: str) -> None:
    with simulator(*AT_ONCE, f"--workers={workers}", "--until-stdin-closes") as server:
        assert server.process.stdin
        server.process.stdin.write("what is written does not matter\n")
        server.process.stdin.flush()
        assert server.get("/api/work") == (200, b'{"time":0}')
        server.process.stdin.close()
        assert server.process.wait(READ_TIMEOUT_S) == 0
        assert server.rest_of_stdout() == ""


def test_without_the_flag_the_end_of_stdin_does_not_matter() -> None:
    with simulator(*AT_ONCE) as server:
        assert server.process.stdin
        server.process.stdin.close()
        for _ in range(20):
            assert server.get("/api/work")[0] == 200
        assert server.process.poll() is None


def test_a_stdin_that_is_no_pipe_is_at_its_end() -> None:
    ended = run_to_end(*AT_ONCE, "--until-stdin-closes")
    assert ended.returncode == 0
    assert ended.stdout.startswith("hedgerow simulate: answering on ")


def test_a_drawn_seed_is_printed_and_differs() -> None:
    lines = {run_to_end("--port=0", "--until-stdin-closes").stdout.partition("(seed ")[2] for _ in range(2)}
    assert len(lines) == 2


def test_every_flag_is_an_environment_variable_and_the_flag_wins() -> None:
    environment = {
        "HEDGEROW_SIMULATE_PORT": "0",
        "HEDGEROW_SIMULATE_LATENCY_MS": "7",
        "HEDGEROW_SIMULATE_SEED": "123",
        "HEDGEROW_SIMULATE_ERROR_RATE": "1",
        "HEDGEROW_SIMULATE_LOG": "1",
    }
    with simulator(*FAULTLESS, **environment) as server:
        assert server.seed == 123
        assert server.get("/api/work") == (200, b'{"time":7}')
        assert server.get("/log")[0] == 200


def test_unique_bodies() -> None:
    with simulator(*AT_ONCE, "--unique") as server:
        assert server.get("/api/work")[1] != server.get("/api/work")[1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_taken_port_is_one_line_and_exit_3(workers: str) -> None:
    with simulator(*AT_ONCE) as server:
        ended = run_to_end(f"--port={server.port}", f"--workers={workers}")
    assert ended.returncode == 3
    assert ended.stdout == ""
    assert ended.stderr == f"Error: cannot listen on 127.0.0.1 port {server.port}: Address already in use\n"


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--port=x"], ["--port", "'x'", "0 to 65535"]),
        (["--port=65536"], ["--port", "'65536'", "0 to 65535"]),
        (["--workers=0"], ["--workers", "'0'", "1 to 64"]),
        (["--seed=-1"], ["--seed", "'-1'", "0 to "]),
        (["--latency-ms=fast"], ["--latency-ms", "'fast'", "LOW-HIGH"]),
        (["--latency-ms=600-100"], ["latency-ms", "600-100", "LOW <= HIGH"]),
        (["--error-rate=2"], ["--error-rate", "'2'", "0 to 1"]),
        (["--hang-rate=nan"], ["--hang-rate", "'nan'", "0 to 1"]),
        (["--drip-rate=0.9"], ["add up to 1.06", "drip-rate 0.9", "at most 1"]),
        (["--nonsense"], ["--nonsense"]),
        (["--host=a..b"], ["--host", "'a..b'"]),
        (["--log", "--workers=2"], ["--log", "--workers 2"]),
        (["--capacity=0"], ["--capacity", "'0'", "1 to 1000000"]),
        (["--capacity=2", "--workers=2"], ["--capacity", "--workers 2", "one process"]),
        (["--slow=1:1:2", "--workers=2"], ["--slow", "--workers 2", "one process"]),
        (["--queue=3"], ["--queue", "give --capacity"]),
        (["--notices-leaving"], ["--notices-leaving", "give --capacity"]),
        (["--dip=1:2:0.5"], ["--dip", "give --capacity"]),
        (["--capacity=2", "--dip=1:2"], ["--dip", "'1:2'", "AT:FOR:SHARE", "0 to 1"]),
        (["--slow=1:2:1001"], ["--slow", "'1:2:1001'", "AT:FOR:FACTOR", "0 to 1000"]),
    ],
)
def test_a_usage_error_is_one_line_and_exit_2(flags: list[str], named: list[str]) -> None:
    ended = run_to_end(*flags)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    for part in named:
        assert part in ended.stderr


def test_a_bad_environment_variable_is_a_usage_error() -> None:
    ended = run_to_end(HEDGEROW_SIMULATE_TOO_MANY_RATE="lots")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "--too-many-rate" in ended.stderr
    assert "'lots'" in ended.stderr


def test_it_imports_nothing_of_the_gateway() -> None:
    code = (
        "import sys, hedgerow_simulator.cli; "
        "print([name for name in sys.modules if name == 'hedgerow' or name.startswith('hedgerow.')])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=READ_TIMEOUT_S, check=True
    )
    assert ended.stdout == "[]\n"


def test_a_capacity_can_be_chosen_by_variables_too() -> None:
    disturbances = {"HEDGEROW_SIMULATE_DIP": "100:1:0.5 200:1:0.25", "HEDGEROW_SIMULATE_SLOW": "0:100:2"}
    with simulator(
        *AT_ONCE, HEDGEROW_SIMULATE_CAPACITY="1", HEDGEROW_SIMULATE_QUEUE="0", **disturbances
    ) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(b"GET /api/work HTTP/1.1\r\nHost: x\r\nX-Fault: ok@5000\r\n\r\n")
            while server.stats()["busy"] == 0:
                pass
            assert server.get("/api/work") == (503, b"The queue is full.\n")
        while server.stats()["clients_left"] == 0:
            pass
        assert server.stats()["busy"] == 1, "the work of a client who has left occupies its worker"
