"""One worker in this process: it drains, it answers its supervisor."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hedgerow.processes.accept_balancer import AcceptBalancer, ConnectionCounts
from hedgerow.processes.control_channel import (
    GetObservations,
    GetRecent,
    GetSnapshot,
    ObservationsReply,
    RecentReply,
    SnapshotReply,
)
from hedgerow.processes.worker import Worker
from hedgerow.settings import AccessLog, Settings, parse_target

REQUEST = b"GET /api/smart%b HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n\r\n"
POLL_S = 0.01


class Running:
    """A worker whose loop the test iterates, and the socket of its upstream, which accepts and never answers."""

    def __init__(self, **given: Any) -> None:
        self.upstream = socket.create_server(("127.0.0.1", 0))
        port = self.upstream.getsockname()[1]
        self.counts = ConnectionCounts.create(2)
        self.counts.set_count(1, 0)
        settings = Settings(access_log=AccessLog.OFF, shedding="off", **given)
        balancer = AcceptBalancer(self.counts, 0)
        self.worker = Worker(settings, parse_target(f"http://127.0.0.1:{port}/work"), balancer)
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        self.port: int = sock.getsockname()[1]
        self.worker.start(sock)
        self.clients: list[socket.socket] = []

    def until(self, holds: Callable[[], bool]) -> None:
        """Iterate until something holds; pytest-timeout bounds it."""
        while not holds():
            self.worker.loop.run_once(POLL_S)

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port))
        client.settimeout(0)
        self.clients.append(client)
        expected = len(self.clients)
        self.until(lambda: self.worker.server.connections >= expected)
        return client

    def received(self, client: socket.socket, *, to_the_end: bool = False) -> bytes:
        """Wait for a response, or all that comes until the connection is closed."""
        data = b""
        ended = False

        def came() -> bool:
            nonlocal data, ended
            try:
                piece = client.recv(65_536)
            except BlockingIOError:
                return False
            ended = ended or not piece
            data += piece
            return ended if to_the_end else b"\r\n\r\n" in data

        self.until(came)
        return data

    def close(self) -> None:
        self.worker.close()
        self.counts.close()
        for sock in (self.upstream, *self.clients):
            sock.close()


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(**given: Any) -> Running:
        started.append(Running(**{"drain_ms": 60_000, **given}))
        return started[-1]

    yield start
    for running in started:
        running.close()


Run = Callable[..., Running]


def test_b13_a_worker_without_connections_has_drained_at_once(run: Run) -> None:
    running, done = run(), []
    running.worker.drain(lambda: done.append(True))
    assert done == [], "never before it returns"
    running.until(lambda: bool(done))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port))


def test_b13_what_is_in_flight_is_answered_and_its_connection_closed(run: Run) -> None:
    running, done = run(), []
    client = running.connect()
    client.send(REQUEST % b"?timeout=400")
    running.until(lambda: running.worker.admission.in_flight == 1)
    running.worker.drain(lambda: done.append(True))
    response = running.received(client, to_the_end=True)
    assert response.startswith(b"HTTP/1.1 504")
    assert b"\r\nConnection: close\r\n" in response
    client.close()
    running.until(lambda: bool(done))


def test_b13_the_drain_is_bounded(run: Run) -> None:
    running, done = run(drain_ms=20), []
    client = running.connect()
    client.send(REQUEST % b"?timeout=60000")
    running.until(lambda: running.worker.admission.in_flight == 1)
    running.worker.drain(lambda: done.append(True))
    running.until(lambda: bool(done))
    assert running.worker.admission.in_flight == 1


def test_a_worker_that_drains_leaves_new_connections_to_the_others(run: Run) -> None:
    running = run()
    running.counts.set_count(1, 5)
    assert not running.counts.may_accept(1), "this one has no connection, so it is its turn"
    running.worker.drain(lambda: None)
    assert running.counts.may_accept(1)


def test_the_supervisor_gets_counts_and_requests(run: Run) -> None:
    running = run()
    client = running.connect()
    client.send(REQUEST % b"?timeout=100")
    assert running.received(client).startswith(b"HTTP/1.1 504")
    counts = running.worker.answer(GetSnapshot())
    assert isinstance(counts, SnapshotReply)
    assert counts.snapshot.requests == {"out_of_time": 1}
    assert (counts.snapshot.client_connections, counts.snapshot.in_flight) == (1, 0)
    assert counts.snapshot.max_in_flight == running.worker.admission.max_in_flight
    for request, number in (
        (GetRecent(0.0, 5), 1),
        (GetRecent(0.0, 0, "mine"), 1),
        (GetRecent(0.0, 0, "other"), 0),
        (GetRecent(0.0, 0), 0),
    ):
        recent = running.worker.answer(request)
        assert isinstance(recent, RecentReply)
        assert len(recent.requests) == number, request


@pytest.mark.parametrize(("mode", "hedged"), [("on", 1), ("observe", 0)])
def test_the_supervisor_gets_what_was_observed(run: Run, mode: Any, hedged: int) -> None:
    """A first attempt is observed whether its request was hedged or not."""
    running = run(hedge_mode=mode, hedge_sample=0.0, hedge_after_ms=10, loser_grace_ms=10)
    client = running.connect()
    client.send(REQUEST % b"?timeout=50")
    assert running.received(client).startswith(b"HTTP/1.1 504")
    reply: Any = None
    while reply is None or not reply.observations.count:
        running.worker.loop.run_once(0.01)
        reply = running.worker.answer(GetObservations("minute", "/api/smart"))
        assert isinstance(reply, ObservationsReply)
    assert sum(reply.observations.cuts) == reply.observations.count == 1

    def samples() -> int:
        reply = running.worker.answer(GetObservations("minute", "/api/smart"))
        assert isinstance(reply, ObservationsReply)
        return len(reply.observations.samples)

    running.until(lambda: samples() == hedged)
