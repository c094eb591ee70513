"""SIGHUP with a settings file: read again, used if it is good, reported if it is not, and nothing lost."""

import http.client
import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
import pytest

from support.before import Answer, answer_of
from support.before import Client as Connection
from support.process_fixtures import Serve
from support.processes import READ_TIMEOUT_S, GatewayProcess, listening_ports

NOWHERE = "upstream = 'http://127.0.0.1:1/'\naccess-log = 'off'\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "hedgerow.toml"
    file.write_text(f"{NOWHERE}hedges = 0\n")
    return file


def attempts(command: GatewayProcess) -> int:
    """Return how many attempts a request has now: its upstream refuses each."""
    return len(command.get("?timeout=2000")[1]["attempts"])


def configuration(command: GatewayProcess) -> Any:
    return command.status()["configuration"]


def hang_up(command: GatewayProcess) -> None:
    """Send SIGHUP and wait until each worker has been replaced."""
    before = command.children()
    command.process.send_signal(signal.SIGHUP)
    assert not psutil.wait_procs(before, timeout=READ_TIMEOUT_S)[1]
    command.until_all_ready()


def logged(command: GatewayProcess, event: str) -> list[dict[str, Any]]:
    """Stop the gateway, and return its log lines of an event."""
    command.process.send_signal(signal.SIGTERM)
    _, errors = command.process.communicate(timeout=READ_TIMEOUT_S)
    assert command.process.returncode == 0
    return [line for line in map(json.loads, errors.splitlines()) if line["event"] == event]


def test_a_good_file_is_used_by_the_new_workers(serve: Serve, file: Path) -> None:
    command = serve("--config", str(file), "--hedge-after-ms=0")
    loaded_at = configuration(command)["loaded_at"]
    assert attempts(command) == 1
    file.write_text(f"{NOWHERE}hedges = 1\nlog-level = 'debug'\n")
    hang_up(command)
    assert attempts(command) == 2
    found = configuration(command)
    assert found["loaded_at"] > loaded_at
    assert found["error"] is None
    assert found["needs_restart"] == [f"'{file}', line 4: log-level"]
    (line,) = logged(command, "settings need a restart")
    assert line["settings"] == found["needs_restart"]


def test_a_bad_file_changes_nothing_and_is_reported(serve: Serve, file: Path) -> None:
    command = serve("--config", str(file))
    before = command.children()
    file.write_text(f"{NOWHERE}hedges = 17\n")
    command.process.send_signal(signal.SIGHUP)
    while (error := configuration(command)["error"]) is None:
        pass
    assert error == f"'{file}', line 3: hedges: 17 is not accepted; give a whole number from 0 to 16"
    assert command.children() == before, "no worker was replaced"
    assert attempts(command) == 1
    (line,) = logged(command, "configuration rejected")
    assert line["reason"] == error


def test_a_file_that_is_gone_changes_nothing(serve: Serve, file: Path) -> None:
    command = serve("--config", str(file))
    file.unlink()
    command.process.send_signal(signal.SIGHUP)
    while (error := configuration(command)["error"]) is None:
        pass
    assert error.startswith(f"--config: '{file}' is not accepted")
    assert attempts(command) == 1


class Client:
    """Sends requests without a pause on one connection after the other, until it is stopped."""

    def __init__(self, authority: str) -> None:
        self.answered, self.lost = 0, list[str]()
        self._authority = authority
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            connection = http.client.HTTPConnection(self._authority, timeout=READ_TIMEOUT_S)
            try:
                connection.request("GET", "/api/smart")
                self.answered += connection.getresponse().status == 502
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
            finally:
                connection.close()

    def stop(self) -> None:
        self._is_stopping.set()
        self._thread.join()


@pytest.fixture
def clients() -> Iterator[list[Client]]:
    clients: list[Client] = []
    yield clients
    for client in clients:
        client.stop()


def test_reloads_lose_no_request(serve: Serve, file: Path, clients: list[Client]) -> None:
    command = serve("--config", str(file), "--workers=2", "--hedge-after-ms=0")
    command.until_all_ready()
    clients.extend(Client(command.authority) for _ in range(4))
    for hedges in (1, 0, 1):
        file.write_text(f"{NOWHERE}hedges = {hedges}\n")
        hang_up(command)
        file.write_text("hedges =")
        command.process.send_signal(signal.SIGHUP)
    assert attempts(command) == 2
    for client in clients:
        client.stop()
    assert [client.lost for client in clients] == [[]] * 4
    assert all(client.answered for client in clients)


# -- with routes: on connections that are kept, with bodies, and while an answer is waited for


class Upstream(BaseHTTPRequestHandler):
    """Answers with the header `X-Generation`, which the route sets, and the body; to `/held` when it may.

    Answers hedges of the default route, and their first attempts when it may.
    """

    protocol_version = "HTTP/1.1"
    is_held: Event
    may_answer: Event
    port: int

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/held":
            self.is_held.set()
            self.may_answer.wait()
        answer = self.headers["X-Generation"].encode() + b" " + body
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        if self.headers["Hedgerow-Attempt"] == "1":
            self.may_answer.wait()
        answer = b'{"time": 1}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[type[Upstream]]:
    class Own(Upstream):
        is_held, may_answer = Event(), Event()

    with ThreadingHTTPServer(("127.0.0.1", 0), Own) as server:
        server.daemon_threads = True
        Own.port = server.server_port
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield Own
        Own.may_answer.set()
        server.shutdown()
        thread.join()


def routed(upstream: type[Upstream], generation: int) -> str:
    """Return a file that passes its generation on."""
    return (
        f"[upstreams.u]\nendpoints = ['http://127.0.0.1:{upstream.port}']\n"
        "[[routes]]\npath_prefix = '/'\nupstream = 'u'\nmethods = ['POST']\nidempotent = true\nhedge.mode = 'off'\n"
        f"headers.set = {{ X-Generation = '{generation}' }}\n"
    )


BODY = b"0123456789abcdef" * 2_000


def generation_of(answer: Answer) -> int:
    """Return the generation of the file whose route has passed `BODY` on, whole."""
    generation, _, body = answer.body.partition(b" ")
    assert (answer.status, body) == (200, BODY)
    return int(generation)


def post(command: GatewayProcess, path: str) -> int:
    return generation_of(answer_of(command.authority, "POST", path, BODY))


def listens(worker: psutil.Process) -> bool:
    """Return whether a worker takes connections: one that drains does not."""
    try:
        return bool(listening_ports(worker.pid))
    except psutil.NoSuchProcess:
        return False


def test_losers_that_run_still_when_their_worker_ends_are_counted(
    serve: Serve, upstream: type[Upstream]
) -> None:
    """They were in no metric."""
    command = serve(
        "--upstream",
        f"http://127.0.0.1:{upstream.port}/",
        "--hedges=1",
        "--hedge-after-ms=0",
        "--loser-grace-ms=86400000",
    )
    assert command.status_of("?timeout=10000") == 200
    hang_up(command)
    metrics = command.metrics()
    assert metrics['hedgerow_attempts_total{attempt="1",outcome="timeout"}'] == 1
    assert metrics['hedgerow_attempts_total{attempt="2",outcome="success"}'] == 1
    assert metrics['hedgerow_first_attempt_total{outcome="unknown"}'] == 1


def test_a_reload_waits_for_what_is_in_flight(serve: Serve, file: Path, upstream: type[Upstream]) -> None:
    file.write_text(routed(upstream, 1))
    command = serve("--config", str(file))
    old = command.worker
    with ThreadPoolExecutor() as pool:
        try:
            held = pool.submit(post, command, "/held")
            upstream.is_held.wait()
            file.write_text(routed(upstream, 2))
            command.process.send_signal(signal.SIGHUP)
            while listens(old):
                pass
            assert post(command, "/") == 2
        finally:
            upstream.may_answer.set()
        assert held.result() == 1


def test_reloads_lose_nothing_on_connections_that_are_kept(
    serve: Serve, file: Path, upstream: type[Upstream]
) -> None:
    file.write_text(routed(upstream, 0))
    command = serve("--config", str(file), "--workers=2")
    command.until_all_ready()
    is_over = Event()

    def client() -> list[int]:
        generations = []
        with closing(Connection(command.authority)) as connection:
            while not is_over.is_set():
                generations.append(generation_of(connection.ask("POST", "/", BODY)))
        return generations

    with ThreadPoolExecutor() as pool:
        clients = [pool.submit(client) for _ in range(4)]
        try:
            for generation in range(1, 4):
                file.write_text(routed(upstream, generation))
                hang_up(command)
        finally:
            is_over.set()
        assert post(command, "/") == 3
        for each in clients:
            assert set(each.result()) >= {0, 3}
