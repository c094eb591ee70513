"""Several workers: evenly loaded, replaced one by one, and nothing lost."""

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

import hedgerow
from hedgerow.processes.supervision import START_ATTEMPTS
from support.ended import still_running
from support.process_fixtures import Serve
from support.processes import READ_TIMEOUT_S, get_json

NOWHERE = ("--upstream", "http://127.0.0.1:1/", "--hedges", "0", "--access-log", "off")
"""An upstream that refuses: 502 at once."""


def connections_of(worker: psutil.Process, port: int) -> int:
    return sum(
        connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == port
        for connection in worker.net_connections(kind="tcp")
    )


@pytest.mark.parametrize("workers", [2, 3])
def test_64_keep_alive_connections_are_spread_evenly(serve: Serve, workers: int) -> None:
    command = serve(f"--workers={workers}", *NOWHERE)
    address = urlsplit(command.url)
    command.until_all_ready()
    with ExitStack() as stack:
        for _ in range(64):
            sock = stack.enter_context(socket.create_connection((address.hostname, address.port)))
            sock.sendall(b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n")
            sock.settimeout(READ_TIMEOUT_S)
            assert sock.recv(12) == b"HTTP/1.1 404"
        assert address.port is not None
        shares = [connections_of(worker, address.port) for worker in command.children()]
    assert sum(shares) == 64
    assert max(shares) <= 1.5 * min(shares)


def test_connections_are_accepted_though_a_worker_is_stopped(serve: Serve) -> None:
    command = serve("--workers=2", *NOWHERE)
    command.until_all_ready()
    stopped = command.children()[0]
    stopped.suspend()
    try:
        with ExitStack() as stack:
            for _ in range(20):
                connection = http.client.HTTPConnection(command.authority, timeout=READ_TIMEOUT_S)
                stack.callback(connection.close)
                connection.request("GET", "/nope")
                assert connection.getresponse().status == 404
    finally:
        stopped.resume()


class Asking:
    """A client that asks without a pause on one connection at a time, as pools do, until `stop`."""

    def __init__(self, authority: str) -> None:
        self.answered = 0
        self.lost: list[str] = []
        self._authority = authority
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._authority, timeout=READ_TIMEOUT_S)
        while not self._stop.is_set():
            try:
                connection.request("GET", "/api/smart?timeout=5000")
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                connection.close()
            else:
                self.answered += answer.status == 502
        connection.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def asking() -> Iterator[list[Asking]]:
    clients: list[Asking] = []
    yield clients
    for client in clients:
        client.stop()


def test_sighup_replaces_each_worker_and_loses_nothing(serve: Serve, asking: list[Asking]) -> None:
    command = serve("--workers=2", *NOWHERE)
    command.until_all_ready()
    before = command.children()
    asking.extend(Asking(command.authority) for _ in range(4))
    command.process.send_signal(signal.SIGHUP)
    assert not psutil.wait_procs(before, timeout=READ_TIMEOUT_S)[1]
    for client in asking:
        client.stop()
    assert [client.lost for client in asking] == [[]] * 4
    assert len(command.children()) == 2
    assert get_json(command.admin + "/readyz")[0] == 200
    answered = sum(client.answered for client in asking)
    assert answered > 0
    metrics = command.metrics()
    assert metrics['hedgerow_requests_total{outcome="all_failed"}'] == answered
    assert metrics["hedgerow_worker_restarts_total"] == 0, "nothing that alarms"


def test_a_killed_worker_costs_only_its_own_requests(serve: Serve, asking: list[Asking]) -> None:
    command = serve("--workers=2", *NOWHERE)
    command.until_all_ready()
    victim = command.children()[0]
    asking.extend(Asking(command.authority) for _ in range(4))
    victim.kill()
    psutil.wait_procs([victim], timeout=READ_TIMEOUT_S)
    command.until_all_ready()
    for client in asking:
        client.stop()
    assert sum(len(client.lost) for client in asking) <= 4, "each client had one request in flight at most"


def test_sigterm_answers_what_comes_on_connections_that_stand(serve: Serve) -> None:
    """A drain does not close idle connections at once: a request may be on its way."""
    command = serve("--workers=2", *NOWHERE)
    command.until_all_ready()
    connections = [http.client.HTTPConnection(command.authority, timeout=READ_TIMEOUT_S) for _ in range(8)]
    for connection in connections:
        connection.request("GET", "/api/smart")
        assert connection.getresponse().read()
    command.process.send_signal(signal.SIGTERM)
    command.until_draining()
    for connection in connections:
        connection.auto_open = 0
        connection.request("GET", "/api/smart")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Connection")) == (502, "close")
        assert json.loads(answer.read())["code"] == "all_failed"
    command.process.communicate(timeout=READ_TIMEOUT_S)
    assert command.process.returncode == 0


def test_a_gateway_whose_only_worker_stands_still_is_not_ready_and_gets_a_new_one(serve: Serve) -> None:
    command = serve(*NOWHERE)
    command.until_all_ready()
    (hung,) = command.children()
    hung.suspend()
    command.until_readiness(lambda reason: reason == "no worker responds")
    assert get_json(command.admin + "/readyz")[0] == 503
    assert not psutil.wait_procs([hung], timeout=READ_TIMEOUT_S)[1]
    command.until_all_ready()
    assert command.get()[0] == 502


def test_a_simulator_that_was_stopped_does_not_keep_the_gateway_from_ending(serve: Serve) -> None:
    command = serve()
    simulator = next(process for process in command.children() if "hedgerow_simulator" in process.cmdline())
    simulator.suspend()
    assert command.stop() == 0
    assert not still_running([simulator], READ_TIMEOUT_S)


def test_e1_a_worker_is_replaced_though_no_descriptor_was_to_be_had_for_a_while(serve: Serve) -> None:
    """It was never replaced then, nothing was logged, and clients hung."""
    command = serve(*NOWHERE)
    (worker,) = command.children()
    limits = resource.prlimit(command.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(command.process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    worker.kill()
    assert command.process.stderr is not None
    lines: list[dict[str, object]] = []
    while len(lines) < 3:
        lines.append(json.loads(command.process.stderr.readline()))
    resource.prlimit(command.process.pid, resource.RLIMIT_NOFILE, limits)
    assert [line["event"] for line in lines] == ["worker died", *["worker cannot be started"] * 2]
    assert "Too many open files" in str(lines[1]["error"])
    command.until_all_ready()
    assert command.get()[0] == 502


def test_e5_a_gateway_runs_nothing_that_lies_in_the_folder_in_which_it_was_started(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder into which all may write, say. The workers ran it, and died for ever."""
    for name in ("random", "json", "socket", "hedgerow_simulator", "click"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('it was run')\n")
    source = str(Path(hedgerow.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.chdir(tmp_path)
    command = serve()
    assert len(command.children()) == 2
    assert command.get("?timeout=60000")[0] in (200, 502)


def test_a_start_that_cannot_succeed_is_exit_code_3_and_the_workers_last_words(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'hedgerow.processes.worker_main' in sys.orig_argv: raise SystemExit('a library is missing')\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, "-m", "hedgerow", "serve", "--port=0", "--admin-port=0", "--workers=1", *NOWHERE],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=READ_TIMEOUT_S,
    )  # fmt: skip
    *logged, last = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (3, "")
    assert last == "hedgerow: no worker can be started: SystemExit: a library is missing"
    assert len(logged) == START_ATTEMPTS
    assert all(
        json.loads(line)["last_words"].endswith("\nSystemExit: a library is missing\n") for line in logged
    )


def test_a_sighup_that_all_processes_are_sent_ends_no_worker(serve: Serve) -> None:
    """`pkill -HUP hedgerow`, say."""
    command = serve(*NOWHERE)
    (worker,) = command.children()
    worker.send_signal(signal.SIGHUP)
    assert command.get()[0] == 502
    assert command.metrics()["hedgerow_worker_restarts_total"] == 0
    assert command.children() == [worker]
