"""A connection pool on an event loop with real sockets and a clock that the test sets, and the upstream beside it."""

import select
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Sequence
from random import Random
from typing import Literal, TypeAlias

import trustme

from hedgerow.core.hedging import HedgePlan
from hedgerow.core.observer import Observer
from hedgerow.core.outcomes import Attempt, Failure, RaceEnd, Success
from hedgerow.core.request import Request
from hedgerow.core.response_validation import classify_response
from hedgerow.core.traces import AttemptPlace, AttemptSpan
from hedgerow.eventloop.loop import EventLoop
from hedgerow.eventloop.poller import WRITABLE
from hedgerow.net.resolver import Lookup, OnResult
from hedgerow.net.tcp import Address
from hedgerow.settings import LoserPolicy, Target, UpstreamLimits
from hedgerow.settings.routes import OutlierDetection, UpstreamRule
from hedgerow.upstream.connecting import Connecting
from hedgerow.upstream.connection_budget import ConnectionBudget
from hedgerow.upstream.endpoint import Endpoint
from hedgerow.upstream.opening import open_upstream
from support.attempts import make_attempt, make_request
from support.routes import smart_route

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"time":1}'
GRACE_S = 1.0
POLL_S = 0.01
"""The kernel's own work between two sockets of this machine is done after some of these."""


class Facts(Observer):
    """An observer that keeps what attempts came to."""

    def __init__(self) -> None:
        self.finished: list[Attempt] = []
        self.retries = 0
        self.fails = False
        """The next fact meets an internal error."""

    def attempt_finished(self, attempt: Attempt) -> None:
        self.finished.append(attempt)
        if self.fails:
            self.fails = False
            raise ZeroDivisionError

    def stale_connection_retried(self) -> None:
        self.retries += 1

    def request_finished(self, request: Request, code: str, ended_at: float, end: RaceEnd) -> None:
        raise AssertionError("the gateway reports it")

    def request_rejected(self, code: str, reason: str, request: Request | None = None) -> None:
        raise AssertionError("the gateway reports it")

    def internal_error(self, request: Request | None) -> None:
        raise AssertionError("the gateway reports it")


class BrokenSpan:
    """A span that meets an internal error as its attempt is sent."""

    headers = b""

    def sent_to(self, _place: AttemptPlace) -> None:
        raise ZeroDivisionError

    def attempt_finished(self, attempt: Attempt) -> None:
        """Called by the observer."""


class Names:
    """A resolver that finds the addresses that the test gives it, at the end of the iteration."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self.found: Sequence[Address] | Failure = ()
        self.lookups = 0

    def look_up(self, host: str, port: int, on_result: OnResult) -> Lookup:
        self.lookups += 1
        lookup = Lookup(self._loop, host, port, on_result)
        lookup.result = self.found
        self._loop.wake(lookup)
        return lookup


class Peer:
    """The upstream's end of one connection."""

    def __init__(self, bench: "UpstreamBench", sock: socket.socket) -> None:
        self.bench = bench
        self.sock = sock
        self.sock.setblocking(False)
        self.received = b""
        self.eof = False

    def shake(self) -> bool:
        """Go on with the TLS handshake, if there is one; return whether it is done. Raises OSError."""
        if isinstance(self.sock, ssl.SSLSocket):
            try:
                self.sock.do_handshake()
            except ssl.SSLWantReadError:
                return False
        return True

    def request(self) -> int:
        """Wait for the next request; return the number of its attempt."""
        self.bench.until(lambda: self._receive() or b"\r\n\r\n" in self.received)
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        return int(head.partition(b"Hedgerow-Attempt: ")[2].partition(b"\r\n")[0])

    def _receive(self) -> bool:
        try:
            data = self.sock.recv(65_536)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        self.eof = self.eof or not data
        self.received += data
        return False

    def answer(self, data: bytes = OK) -> None:
        """Send something. The gateway has not read it when this returns."""
        self.sock.send(data)

    @property
    def is_left(self) -> bool:
        """Return whether the gateway has closed the connection."""
        self._receive()
        return self.eof

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class UpstreamBench:
    """One pool, and an upstream with one address or several, of which each listens."""

    def __init__(
        self,
        *,
        addresses: int = 1,
        max_connections: int = 100,
        hedges: int = 2,
        losers: LoserPolicy = LoserPolicy.DRAIN,
        limits: UpstreamLimits | None = None,
        lb_policy: Literal["least_request", "round_robin"] = "round_robin",
        outlier_detection: OutlierDetection | None = None,
        budget: ConnectionBudget | None = None,
        tls: bool = False,
        is_looked_up: bool = True,
    ) -> None:
        """`budget` may be one that several share. The name is looked up here, or in the first iteration."""
        self.now = 1_000.0
        self.internal_errors: list[BaseException | None] = []
        self.loop = EventLoop(
            lambda: self.now, on_internal_error=lambda: self.internal_errors.append(sys.exception())
        )
        self.names = Names(self.loop)
        self.listeners: list[socket.socket] = []
        self.peers: list[Peer] = []
        for number in range(addresses):
            self.add_address(f"127.0.0.{number + 1}")
        self.facts = Facts()
        target = Target("https" if tls else "http", "upstream.example", 80, "/work")
        self.limits = limits or UpstreamLimits()
        self.target = target
        rule = UpstreamRule(
            name="test",
            endpoints=(target,),
            lb_policy=lb_policy,
            outlier_detection=outlier_detection,
            losers="drain" if losers is LoserPolicy.DRAIN else "cancel",
            loser_grace_s=GRACE_S,
        )
        self.hedges = hedges
        self.budget = budget or ConnectionBudget(max_connections)
        self.pool = open_upstream(
            rule,
            self.limits,
            self.budget,
            classify=classify_response,
            loop=self.loop,
            resolver=self.names,
            observer=self.facts,
            user_agent="hedgerow/test",
            random=Random(1),
        )
        self.server_tls: ssl.SSLContext | None = None
        if tls:
            self._trust(trustme.CA())
        if is_looked_up:
            self.iterate()

    def _trust(self, ca: trustme.CA) -> None:
        self.server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(self.target.host).configure_cert(self.server_tls)
        client_tls = self.pool._connector.tls
        assert client_tls is not None
        ca.configure_trust(client_tls)

    def add_address(self, host: str) -> None:
        sock = socket.socket()
        sock.bind((host, 0))
        sock.listen()
        sock.setblocking(False)
        self.listeners.append(sock)
        self.names.found = [self.address(number) for number in range(len(self.listeners))]

    def address(self, number: int) -> Address:
        sock = self.listeners[number]
        return int(sock.family), int(sock.type), 6, "", sock.getsockname()

    def endpoint(self, number: int) -> Endpoint:
        """Return the endpoint of an address, once it was looked up."""
        address = self.address(number)
        return next(endpoint for endpoint in self.pool.endpoints.all if endpoint.address == address)

    # -- the gateway's side

    def send(
        self, number: int = 1, request: Request | None = None, span: AttemptSpan | None = None
    ) -> Attempt:
        """Send an attempt, as the gateway does."""
        attempt = make_attempt(number, self.now, request or self.request())
        attempt.span = span
        handle = self.pool.send(attempt)
        if attempt.outcome is None:
            attempt.handle = handle
        return attempt

    def send_in_handshake(self, number: int = 1, request: Request | None = None) -> Attempt:
        """Send an attempt whose connection is in its TLS handshake, as far as the pool knows."""
        attempt = self.send(number, request)
        self.connecting(attempt).is_handshaking = True
        return attempt

    def connecting(self, attempt: Attempt) -> Connecting:
        """Return the connect that an attempt waits for."""
        found = next(each.connecting for each in self.pool.connections if each.attempt is attempt)
        assert found is not None
        return found

    def hold(self, connecting: Connecting) -> None:
        """Have a connect come to nothing, until `let_go`."""
        for tcp in connecting._sockets:
            self.loop.modify(tcp.sock.fileno(), 0)

    def let_go(self, connecting: Connecting) -> None:
        """Have a connect that was held come to its end."""
        for tcp in connecting._sockets:
            self.loop.modify(tcp.sock.fileno(), WRITABLE)

    def request(self) -> Request:
        """Return a request that starts now."""
        request = make_request(b"r", self.now)
        request.route = smart_route(self.pool, HedgePlan(0.3, self.hedges))
        return request

    def send_to(self, address: int) -> Attempt:
        """Send an attempt to one of several addresses: its request has tried the others."""
        request = self.request()
        request.tried = [self.endpoint(number) for number in range(len(self.listeners)) if number != address]
        return self.send(1, request)

    def abandon(self, attempt: Attempt) -> None:
        assert attempt.handle is not None
        attempt.handle.abandon()

    @property
    def counts(self) -> dict[str, int]:
        """Return the connections by state, without those of which there are none."""
        return {state: number for state, number in self.pool.connection_counts().items() if number}

    # -- the upstream's side

    def accept(self, address: int = 0) -> Peer:
        """Wait for a connection to one of the addresses."""
        found: list[Peer] = []

        def accepted() -> bool:
            try:
                sock, _ = self.listeners[address].accept()
            except BlockingIOError:
                return False
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.server_tls is not None:
                sock = self.server_tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            found.append(Peer(self, sock))
            return True

        self.until(accepted)
        self.peers += found
        return found[0]

    def waiting_connections(self) -> list[int]:
        """Return the addresses that have connections which were not accepted yet."""
        ready, _, _ = select.select(self.listeners, [], [], 0)
        return [self.listeners.index(sock) for sock in ready]

    # -- time

    def iterate(self) -> None:
        self.loop.run_once(0.0)

    def until(self, holds: Callable[[], bool]) -> None:
        """Iterate until something holds, at the same instant of the clock; pytest-timeout bounds it."""
        while not holds():
            self.loop.run_once(POLL_S)

    def settled(self, attempt: Attempt) -> Success | Failure:
        """Wait for the outcome of an attempt."""
        self.until(lambda: attempt.outcome is not None)
        assert attempt.outcome is not None
        return attempt.outcome

    def pass_time(self, seconds: float) -> None:
        """Let the clock run on, and what is due then happen."""
        self.now += seconds
        self.iterate()

    # -- shorthand

    def exchange(self, peer: Peer | None = None, attempt: Attempt | None = None) -> Peer:
        """Send an attempt, or take the one that was sent, and have it answered; return its connection."""
        attempt = attempt or self.send()
        peer = peer or self.accept()
        peer.request()
        peer.answer()
        assert isinstance(self.settled(attempt), Success)
        return peer

    def idle_connections(self, number: int, address: int = 0) -> list[Peer]:
        """Have this many idle connections, in the order in which they became idle."""
        attempts = [self.send() for _ in range(number)]
        peers = [self.accept(address) for _ in attempts]
        for peer in peers:
            peer.request()
        for peer in peers:
            peer.answer()
            finished = len(self.facts.finished)
            self.until(lambda finished=finished: len(self.facts.finished) > finished)  # type: ignore[misc]
        return peers

    def close(self) -> None:
        """Close, and assert that nothing is left."""
        self.pool.close()
        self.iterate()
        assert not self.pool.connections
        assert not self.internal_errors
        assert not self.loop._sources
        self.now += 1_000.0
        self.iterate()
        assert len(self.loop.deadlines) == 0
        assert sum(attempt.outcome is None for attempt in self.facts.finished) == 0
        self.loop.close()
        for sock in [*self.listeners, *(peer.sock for peer in self.peers)]:
            sock.close()


MakeBench: TypeAlias = Callable[..., UpstreamBench]
"""Makes one with other options, and closes it after the test."""
