"""One connection to the upstream: HTTP/1.1 by llhttp, one request at a time, each answer read whole.

Nothing that the upstream sends raises past this module; it becomes an outcome. What is ours to keep out of the
answers: bytes that nobody asked for close a pooled connection (aio-libs/aiohttp#12953: they poisoned the next
request).
"""

import asyncio
import socket
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, cast

import httptools

from hedgerow.core.outcomes import Attempt, Failure, FailureReason, Outcome
from hedgerow.settings import UpstreamLimits
from hedgerow.sockets import Outbox


class Pool(Protocol):
    """What a connection needs of the pool that owns it."""

    limits: UpstreamLimits
    clock: Callable[[], float]
    classify_response: Callable[[int, bytes], Outcome]
    outbox: Outbox

    def wake_due(self, now: float) -> None: ...
    def request_bytes(self, attempt: Attempt) -> bytes: ...
    def attempt_ended(self, connection: "Connection", attempt: Attempt) -> None: ...
    def abandoned(self, connection: "Connection") -> None: ...
    def resend(self, connection: "Connection") -> None: ...
    def lost(self, connection: "Connection") -> None: ...


class Dial(Protocol):
    """A connection that is coming about; it tells the pool when it is over, cancelled or not."""

    def cancel(self) -> object: ...


class State(Enum):
    """Where a connection stands."""

    DIALING = auto()
    IDLE = auto()
    BUSY = auto()
    CLOSED = auto()


class Connection(asyncio.Protocol):
    """Carries attempts, one after the other; it is the `AttemptHandle` of the one it has now.

    It exists from the moment a connection is wanted: while it is dialing it already carries its first attempt.
    """

    __slots__ = (
        "_body", "_complete", "_head", "_keep_alive", "_parser", "_pool", "_status", "_transport",
        "_wire_bytes", "alarm_tick", "attempt", "dial", "lost_race", "resent", "reused", "sock", "state",
    )  # fmt: skip

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self.sock: socket.socket | None = None
        """What carries the plain bytes; None where TLS does. Before there is a transport it is ours to close."""
        self.state = State.DIALING
        self.attempt: Attempt | None = None
        self.dial: Dial | None = None
        self.lost_race = False
        """The attempt's race is over: it runs on as a loser."""
        self.alarm_tick = 0
        self.reused = False
        self.resent = False
        """The attempt was sent before, on a reused connection that had just died."""
        self._begin_answer()

    def _begin_answer(self) -> None:
        self._status = 0
        self._head = b""
        self._body: bytes | bytearray = b""
        self._wire_bytes = 0
        self._complete = False
        self._keep_alive = False

    @property
    def connected(self) -> bool:
        """Tell whether there is a transport; its end will be reported by the event loop."""
        return self._transport is not None

    # -- what the pool and the race ask of it

    def send(self, attempt: Attempt) -> None:
        """Ask the upstream; this connection is idle, or has just been made."""
        self.attempt = attempt
        self.state = State.BUSY
        self._begin_answer()
        assert self._transport is not None  # noqa: S101 (for mypy)
        if self.sock is not None:
            self._pool.outbox.put(self.sock, self._transport, self._pool.request_bytes(attempt))
        else:
            self._transport.write(self._pool.request_bytes(attempt))

    def abandon(self) -> None:
        """The race is over and our attempt has not ended: it is a loser."""
        self.lost_race = True
        self._pool.abandoned(self)

    def on_deadline(self) -> None:
        """The loser's grace is over."""
        self.fail(Failure(FailureReason.TIMEOUT, "no answer within the loser's grace"))

    def fail(self, failure: Failure) -> None:
        """End the attempt as a failure, and this connection with it."""
        self.close()
        self._end(failure, self._pool.clock())

    def close(self) -> None:
        """Close at once, dropping what is unsent."""
        self.state = State.CLOSED
        if self.dial is not None:
            self.dial.cancel()
        if self._transport is not None:
            self._transport.abort()

    def release(self) -> None:
        """Let go of parser and transport, which hold us: only a collection would free such a cycle, and it is rare."""
        self._parser = None  # type: ignore[assignment]
        self._transport = None

    def _end(self, outcome: Outcome, at: float) -> None:
        attempt = self.attempt
        if attempt is not None:
            self.attempt = None
            attempt.end(outcome, at)
            self._pool.attempt_ended(self, attempt)

    # -- what the event loop tells it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's, not the base class.
        self._transport = transport = cast("asyncio.Transport", transport)
        self._pool.wake_due(self._pool.clock())  # a burst of hedges makes hundreds in a row
        if self.attempt is None or self.state is State.CLOSED:
            transport.abort()
        else:
            self.send(self.attempt)

    def data_received(self, data: bytes) -> None:
        now = self._pool.clock()
        self._pool.wake_due(now)
        if self.state is not State.BUSY:
            if self.state is State.IDLE:
                self.close()  # bytes that nobody asked for: not a connection to send the next request on
            return
        self._wire_bytes += len(data)
        if not self._status:
            self._head = self._head + data if self._head else data
        sound = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            sound = False
            if not self._complete:
                self.fail(Failure(FailureReason.PROTOCOL, str(error.__context__ or error)))
                return
        if len(self._body) > self._pool.limits.max_body_bytes or not self._complete:
            self._check_size()
        if self._complete and self.state is State.BUSY:
            self._finish(now, reusable=sound and self._keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.state is State.BUSY:
            if exc is None and self._status and self._ends_at_close():
                self._finish(self._pool.clock(), reusable=False)
            elif self._died_idle():
                self.state = State.DIALING
                self.reused = False
                self.resent = True
                self._parser = httptools.HttpResponseParser(self)
                self._pool.resend(self)
                return
            else:
                self.state = State.CLOSED
                where = "in the middle of" if self._wire_bytes else "before"
                self._end(
                    Failure(FailureReason.RESET, f"connection lost {where} the answer"), self._pool.clock()
                )
        self.state = State.CLOSED
        self._pool.lost(self)

    # -- what the parser tells it

    def on_message_begin(self) -> None:
        if self._complete:  # more than one answer to one request
            self._keep_alive = False

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and not self._complete:  # 1xx answers come before the answer (RFC 9110 section 15.2)
            if not self._head.lstrip(b"\r\n").startswith(b"HTTP/1."):
                raise httptools.HttpParserError("not HTTP/1.x")  # llhttp takes RTSP for it, too
            self._status = status

    def on_body(self, data: bytes) -> None:
        if self._complete:
            return
        if not self._body:
            self._body = data  # the usual answer has one piece, which need not be copied
        elif isinstance(self._body, bytearray):
            self._body += data
        else:  # many small pieces: adding each to bytes would copy all the others every time
            self._body = bytearray(self._body) + data

    def on_message_complete(self) -> None:
        if self._status and not self._complete:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()

    # -- how an answer ends

    def _finish(self, now: float, *, reusable: bool) -> None:
        body = self._body
        outcome = self._pool.classify_response(
            self._status, bytes(body) if isinstance(body, bytearray) else body
        )
        if reusable:
            self.state = State.IDLE
        else:
            self.close()
        self._end(outcome, now)

    def _check_size(self) -> None:
        limits = self._pool.limits
        if self._wire_bytes > limits.max_wire_bytes:
            self.fail(
                Failure(FailureReason.TOO_LARGE, f"more than {limits.max_wire_bytes} bytes on the wire")
            )
        elif not self._status and self._wire_bytes > limits.max_head_bytes:
            self.fail(Failure(FailureReason.TOO_LARGE, f"more than {limits.max_head_bytes} bytes of head"))
        elif len(self._body) > limits.max_body_bytes:
            self.fail(Failure(FailureReason.TOO_LARGE, f"more than {limits.max_body_bytes} bytes of body"))

    def _ends_at_close(self) -> bool:
        """Tell whether the body ends with the connection (RFC 9112 section 6.3, rule 8); else it was cut off."""
        head, _, rest = self._head.lstrip(b"\r\n").partition(b"\r\n\r\n")
        while head.startswith((b"HTTP/1.1 1", b"HTTP/1.0 1")):  # the heads of 1xx answers frame nothing
            head, _, rest = rest.partition(b"\r\n\r\n")
        head = head.lower()
        return b"\ncontent-length:" not in head and b"\ntransfer-encoding:" not in head

    def _died_idle(self) -> bool:
        """Tell whether a pooled connection lost the race with the upstream's idle close; see `UpstreamLimits`."""
        return (
            self.attempt is not None
            and self.reused
            and not self._wire_bytes
            and not self.resent
            and not self.lost_race
            and self._pool.clock() - self.attempt.launched_at <= self._pool.limits.stale_after_send_s
        )
