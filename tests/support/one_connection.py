"""One connection to the upstream, in its pool: the test is its race, its connector and its socket."""

from collections.abc import Callable
from dataclasses import dataclass
from errno import EINPROGRESS
from typing import Any

from hedgerow.core.observer import Observer
from hedgerow.core.outcomes import Attempt, Failure, Outcome, Success
from hedgerow.core.traces import AttemptSpan
from hedgerow.eventloop.loop import EventLoop
from hedgerow.eventloop.poller import READABLE, WRITABLE
from hedgerow.net.resolver import Lookup, OnResult
from hedgerow.net.tcp import Address
from hedgerow.settings import Target, UpstreamLimits
from hedgerow.settings.routes import UpstreamRule
from hedgerow.upstream.connection import CLOSED, IDLE
from hedgerow.upstream.connection_budget import ConnectionBudget
from hedgerow.upstream.opening import open_upstream
from support.attempts import make_attempt, make_request
from support.virtual_loop import VirtualLoop

ADDRESS: Address = (2, 1, 6, "", ("192.0.2.1", 80))
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: upstream.example\r\nUser-Agent: test\r\nAccept: application/json\r\n"
    b"Accept-Encoding: identity\r\nX-Request-Id: a\r\nHedgerow-Attempt: 1\r\n\r\n"
)
GRACE_S = 1.0


class FakeSocket:
    """Receives what the test puts into `incoming`, b"" being the end; takes what is sent, or blocks."""

    def __init__(self, fd: int = 40) -> None:
        self.fd = fd
        self.incoming: bytes | OSError | None = None
        self.sent = b""
        self.takes = 1_000_000
        """How many bytes the kernel's buffer takes still."""
        self.closed = False
        self.has_ended = False
        """The other end has sent FIN, behind `incoming`."""

    def fileno(self) -> int:
        return self.fd

    def connect_ex(self, address: object) -> int:
        return EINPROGRESS

    def getsockopt(self, level: int, option: int) -> int:
        return 0

    def recv(self, size: int) -> bytes:
        if self.incoming is None:
            if self.has_ended:
                return b""
            raise BlockingIOError
        if isinstance(self.incoming, OSError):
            raise self.incoming
        data, rest = self.incoming[:size], self.incoming[size:]
        self.incoming = rest or None
        return data

    def send(self, data: bytes) -> int:
        taken = min(self.takes, len(data))
        if not taken:
            raise BlockingIOError
        self.takes -= taken
        self.sent += data[:taken]
        return taken

    def close(self) -> None:
        self.closed = True


class Unanswered:
    """A resolver that never answers."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop

    def look_up(self, host: str, port: int, on_result: OnResult) -> Lookup:
        return Lookup(self._loop, host, port, on_result)


class OneConnection(Observer):
    """A pool with one connection, which the test establishes."""

    def __init__(
        self,
        classify: Callable[[int, bytes], Outcome] | None = None,
        *,
        limits: UpstreamLimits | None = None,
    ) -> None:
        self.virtual = VirtualLoop()
        self.loop = self.virtual.loop
        self.limits = limits or UpstreamLimits()
        self.status = 0
        self.facts: list[str] = []
        self._classify = classify or (lambda _status, body: Success(body))
        self.sock = FakeSocket(39)
        target = Target("http", "upstream.example", 80, "/")
        rule = UpstreamRule(name="test", endpoints=(target,), loser_grace_s=GRACE_S)
        self.pool = open_upstream(
            rule,
            self.limits,
            ConnectionBudget(1),
            classify=self._note,
            loop=self.loop,
            resolver=Unanswered(self.loop),
            observer=self,
            user_agent="test",
            open_socket=self._open_socket,
        )
        self.pool.endpoints.replace(target, [ADDRESS])
        self.attempt = self.send()
        (self.connection,) = self.pool.connections

    def _open_socket(self, address: Address) -> Any:
        self.sock = FakeSocket(self.sock.fd + 1)
        return self.sock

    def send(self, span: AttemptSpan | None = None) -> Attempt:
        """Send an attempt on the connection; the first time it is connecting."""
        self.attempt = make_attempt(1, self.virtual.now, make_request(arrived_at=self.virtual.now))
        self.attempt.span = span
        self.attempt.handle = self.pool.send(self.attempt)
        return self.attempt

    def open(self) -> None:
        """Have the connection established; again, after a retry."""
        self.loop._sources.polled()
        source = self.loop._sources.get(self.sock.fd)
        assert source is not None
        source.on_ready(WRITABLE)

    def receive(self, data: bytes | OSError) -> None:
        """Have the upstream send something, once it was sent the request; b"" is the end of the stream."""
        self.loop._flush()
        self.sock.incoming = data
        self.connection.on_ready(READABLE)
        while isinstance(self.sock.incoming, bytes) and self.connection.state != CLOSED:
            self.connection.on_ready(READABLE)

    def _note(self, status: int, body: bytes) -> Outcome:
        self.status = status
        return self._classify(status, body)

    # -- the facts

    def attempt_finished(self, attempt: Attempt) -> None:
        self.facts.append("finished")

    def stale_connection_retried(self) -> None:
        self.facts.append("retried")


@dataclass
class Answer:
    """An answer, whole; and whether the connection may be used for another request."""

    status: int
    body: bytes
    reusable: bool


def read_answer(data: bytes, piece_bytes: int, *, then_close: bool) -> Answer | Failure | None:
    """Return what a connection makes of `data`, which comes in pieces; None while the answer is not whole."""
    one = OneConnection()
    one.open()
    for at in range(0, len(data), piece_bytes):
        one.receive(data[at : at + piece_bytes])
    reusable = one.connection.state == IDLE
    if then_close:
        one.receive(b"")
    outcome = one.attempt.outcome
    if isinstance(outcome, Success):
        return Answer(one.status, outcome.body, reusable)
    return outcome
