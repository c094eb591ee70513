"""A connection to the upstream on its own: the test is its pool, its race and its socket."""

from collections.abc import Callable
from dataclasses import dataclass

from hedgerow.core.outcomes import Attempt, Failure, Outcome, Success
from hedgerow.eventloop.loop import READABLE, EventLoop
from hedgerow.net.stream import Stream
from hedgerow.settings import UpstreamLimits
from hedgerow.upstream.connection import CLOSED, IDLE, UpstreamConnection
from support.attempts import make_attempt
from support.virtual_loop import VirtualLoop

ADDRESS = (2, 1, 6, "", ("192.0.2.1", 80))
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class FakeSocket:
    """Receives what the test puts into `incoming`, b"" being the end; takes what is sent, or blocks."""

    def __init__(self, fd: int = 40) -> None:
        self.fd = fd
        self.incoming: bytes | OSError | None = None
        self.sent = b""
        self.takes = 1_000_000
        """How many bytes the kernel's buffer takes still."""
        self.closed = False

    def fileno(self) -> int:
        return self.fd

    def recv(self, size: int) -> bytes:
        if self.incoming is None:
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


class OneConnection:
    """A pool of one connection, which notes what it is called for."""

    def __init__(self, classify: Callable[[int, bytes], Outcome] | None = None) -> None:
        self.limits = UpstreamLimits()
        self.virtual = VirtualLoop()
        self.loop: EventLoop = self.virtual.loop
        self.status = 0
        self.calls: list[str] = []
        self._classify = classify or (lambda _status, body: Success(body))
        self.classify: Callable[[int, bytes], Outcome] = self._note
        self.attempt = make_attempt(1, 0.0)
        self.connection = UpstreamConnection(self, self.attempt)
        self.sock = FakeSocket()

    def open(self) -> None:
        """Have the connection established."""
        self.loop.register(self.sock.fd, self.virtual, READABLE)
        self.connection.open(Stream(self.loop, self.sock), ADDRESS)  # type: ignore[arg-type]

    def reopen(self) -> None:
        """Have the connection established again, after a retry."""
        self.sock = FakeSocket(self.sock.fd + 1)
        self.open()

    def send(self, number: int = 1) -> Attempt:
        """Send another attempt on the connection, which is idle, as the pool does."""
        self.attempt = make_attempt(number, self.virtual.now)
        self.connection.reused = True
        self.connection.send(self.attempt)
        return self.attempt

    def receive(self, data: bytes | OSError) -> None:
        """Have the upstream send something; b"" is the end of the stream."""
        self.sock.incoming = data
        self.connection.on_ready(READABLE)
        while isinstance(self.sock.incoming, bytes) and self.connection.state != CLOSED:
            self.connection.on_ready(READABLE)

    # -- what a connection needs of its pool

    def _note(self, status: int, body: bytes) -> Outcome:
        self.status = status
        return self._classify(status, body)

    def request_bytes(self, attempt: Attempt) -> bytes:
        return REQUEST

    def attempt_finished(self, connection: UpstreamConnection, attempt: Attempt, at: float) -> None:
        self.calls.append("finished")
        connection.retried = False

    def attempt_abandoned(self, connection: UpstreamConnection) -> None:
        self.calls.append("abandoned")

    def retry(self, connection: UpstreamConnection) -> None:
        self.calls.append("retry")

    def on_closed(self, connection: UpstreamConnection) -> None:
        self.calls.append("closed")


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
