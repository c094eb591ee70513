"""Several processes behind one port, and their end."""

import json
import os
import signal
import socket
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from hedgerow_simulator import Behaviour
from hedgerow_simulator.fault_sampler import FaultSampler
from simulator.commands import AT_ONCE
from support.ended import still_running
from support.processes import READ_TIMEOUT_S, simulator

WORKERS = "--workers=3"


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children()


def test_stats_add_up_over_the_workers() -> None:
    with simulator(*AT_ONCE, WORKERS) as server:
        assert len(children(server.process.pid)) == 2
        for _ in range(60):
            assert server.get("/api/work")[0] == 200
        stats = server.stats()
        assert (stats["total"], stats["by_fault"], stats["connections_accepted"]) == (60, {"ok": 60}, 61)


def test_each_worker_draws_from_its_own_seed() -> None:
    """The token of a body names its worker and its number there, so each latency can be looked up."""
    behaviour = Behaviour(latency_ms=(0, 40), seed=9)
    wanted: dict[str, list[int]] = {}
    for index in range(3):
        draws = FaultSampler(behaviour, index)
        token = sha256(f"9/{index}".encode()).hexdigest()[:16]
        wanted[token] = [draws.next().latency_ms for _ in range(60)]
    with simulator("--latency-ms=0-40", "--seed=9", "--unique", WORKERS) as server:
        for _ in range(60):
            body = json.loads(server.get("/api/work?fault=ok")[1])
            number, _, token = body["token"].partition("-")
            assert wanted[token][int(number) - 1] == body["time"]


def test_kill_9_of_the_first_worker_ends_the_others() -> None:
    with simulator(*AT_ONCE, WORKERS) as server:
        others = children(server.process.pid)
        os.kill(server.process.pid, signal.SIGKILL)
        assert server.rest_of_stdout() == ""  # each of them holds it until it ends
        assert len(others) == 2
        assert not still_running(others, READ_TIMEOUT_S)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_is_a_clean_stop(number: signal.Signals) -> None:
    """A terminal sends Ctrl-C, and systemd SIGTERM, to every process of the group."""
    with simulator(*AT_ONCE, WORKERS) as server:
        others = children(server.process.pid)
        for other in others:
            other.send_signal(number)
        assert server.get("/api/work")[0] == 200
        os.killpg(server.process.pid, number)
        assert server.process.wait(READ_TIMEOUT_S) == 0
        assert server.rest_of_stdout() == ""
        assert server.process.stderr
        assert server.process.stderr.read() == ""
        assert not any(other.is_running() for other in others)


def test_a_worker_that_dies_ends_the_server_and_says_so() -> None:
    with simulator(*AT_ONCE, WORKERS) as server:
        children(server.process.pid)[0].kill()
        assert server.process.wait(READ_TIMEOUT_S) == 1
        assert server.rest_of_stdout() == ""
        assert server.process.stderr
        assert (
            server.process.stderr.read()
            == "Error: a worker has ended unexpectedly, so the others were stopped\n"
        )


def test_each_process_listens_with_its_own_socket_only() -> None:
    """Held by two, a socket would go on being given connections after its own worker died."""
    with simulator(*AT_ONCE, WORKERS) as server:
        for pid in (server.process.pid, *(child.pid for child in children(server.process.pid))):
            listening = [
                each for each in psutil.Process(pid).net_connections("tcp") if each.status == "LISTEN"
            ]
            assert len(listening) == 1


def test_the_limit_of_open_files_is_raised() -> None:
    with simulator(*AT_ONCE) as server:
        limits = Path(f"/proc/{server.process.pid}/limits").read_text().splitlines()
        soft, hard = next(line.split()[3:5] for line in limits if line.startswith("Max open files"))
        assert soft == hard
