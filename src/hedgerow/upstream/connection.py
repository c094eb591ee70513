"""One connection to the upstream: HTTP/1.1 by llhttp, one attempt at a time, each response read whole.

Nothing that the upstream sends raises past this module; it becomes an outcome. Unrequested bytes close a
pooled connection (aio-libs/aiohttp#12953: they poisoned the next request).
"""

import ssl
from typing import TYPE_CHECKING, Final

import httptools

from hedgerow.core.outcomes import Attempt, Failure, FailureReason, Outcome
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import READABLE, WRITABLE
from hedgerow.net.stream import Stream
from hedgerow.net.tcp import Address
from hedgerow.net.tls import read_failure
from hedgerow.upstream.connecting import Connecting

if TYPE_CHECKING:
    from hedgerow.upstream.pool import ConnectionPool

CONNECTING: Final = 0
ACTIVE: Final = 1
IDLE: Final = 2
CLOSED: Final = 3
STATE_NAMES: Final = ("connecting", "active", "idle")


class UpstreamConnection(EventHandler):
    """Sends attempts, one after the other; it is the `AttemptHandle` of the one that it has now.

    It exists from the moment a connection is wanted: while it is connecting it already has its first attempt. (A
    connection of HTTP/2 would have several, each with a handle of its own: one for each stream.)
    """

    __slots__ = (
        "_body", "_complete", "_fd", "_head", "_keep_alive", "_parser", "_pool", "_status", "_stream", "_wire_bytes",
        "address", "attempt", "connecting", "generation",  "idle_since", "opened_at", "retried", "reused", "state",
    )  # fmt: skip

    def __init__(self, pool: "ConnectionPool", attempt: Attempt) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._stream: Stream | None = None
        self._fd = -1
        self.state = CONNECTING
        self.attempt: Attempt | None = attempt
        self.address: Address | None = None
        """Where it leads, once it is open."""
        self.generation = -1
        """Of the upstream's addresses, when this one was known to be among them."""
        self.connecting: Connecting | None = None
        self.opened_at = 0.0
        self.idle_since = 0.0
        self.reused = False
        """The attempt was sent on a pooled connection."""
        self.retried = False
        """The attempt was sent before, on a pooled connection that the upstream had just closed."""
        self._status = 0
        self._head = b""
        self._body: bytes | bytearray = b""
        self._wire_bytes = 0
        self._complete = False
        self._keep_alive = False

    # -- called by the pool and the race

    def open(self, stream: Stream, address: Address) -> None:
        """Take over a connected stream, which is registered with the event loop, and send the attempt."""
        self._stream = stream
        stream.owner = self
        self._fd = stream.sock.fileno()
        self.address = address
        self.opened_at = self._pool.loop.clock()
        self._pool.loop.replace_source(self._fd, self)
        if self.attempt is None:
            self.close()
        else:
            self.send(self.attempt)

    def send(self, attempt: Attempt) -> None:
        """Send the attempt's request; this connection is idle, or has just been opened."""
        self.attempt = attempt
        self.state = ACTIVE
        self._status = 0
        self._head = b""
        self._body = b""
        self._wire_bytes = 0
        self._complete = False
        self._keep_alive = False
        if self._stream is not None:
            self._stream.write(self._pool.request_bytes(attempt))

    def abandon(self) -> None:
        """Called when the race is over and our attempt is still running: it is a loser."""
        if self.attempt is not None:
            self.attempt.is_loser = True
            self._pool.attempt_abandoned(self)

    def fail(self, failure: Failure) -> None:
        """Finish the attempt as a failure, and close."""
        self.close()
        self._finish_attempt(failure)

    def close(self) -> None:
        """Close at once, dropping what is unsent."""
        if self.state == CLOSED:
            return
        self.state = CLOSED
        if self.connecting is not None:
            self.connecting.cancel()
            self.connecting = None
        self._drop_stream()
        # Parser and connection hold each other: only a collection would free them, and it is rare.
        self._parser = None  # type: ignore[assignment]
        self._pool.on_closed(self)

    def _drop_stream(self) -> None:
        if self._stream is not None:
            self._pool.loop.unregister(self._fd)
            self._stream.close()
            self._stream = None

    def _finish_attempt(self, outcome: Outcome) -> None:
        attempt = self.attempt
        if attempt is not None:
            self.attempt = None
            at = self._pool.loop.clock()
            attempt.finish(outcome, at)
            self._pool.attempt_finished(self, attempt, at)

    # -- called by the event loop and the stream

    def abort(self) -> None:
        """Close after an internal error."""
        self.fail(Failure(FailureReason.RESET, "an internal error"))

    def on_write_blocked(self) -> None:
        """Watch for when the upstream takes the rest of the request."""
        self._pool.loop.modify(self._fd, READABLE | WRITABLE)

    def on_flushed(self) -> None:
        """Called when the rest of the request was sent."""
        self._pool.loop.modify(self._fd, READABLE)

    def on_ready(self, mask: int) -> None:
        """Read what the upstream has sent."""
        stream = self._stream
        if stream is None:
            return
        if mask & WRITABLE and stream.blocked:
            stream.flush()
        try:
            data = stream.read()
        except OSError as error:
            self._on_broken(read_failure(error))
            return
        if data:
            self._receive(data)
        elif data is not None:
            self._on_eof()

    def _receive(self, data: bytes) -> None:
        if self.state != ACTIVE:  # unrequested bytes
            self.close()
            return
        self._wire_bytes += len(data)
        if not self._status:
            self._head = self._head + data if self._head else data
        valid = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            valid = False
            if not self._complete:
                self.fail(self._parse_failure(error))
                return
        if len(self._body) > self._pool.limits.max_body_bytes or not self._complete:
            self._check_size()
        if self._complete and self.state == ACTIVE:
            self._finish(reusable=valid and self._keep_alive)

    def _on_eof(self) -> None:
        if self.state == ACTIVE and self._status and self._is_close_delimited():
            self._finish(reusable=False)
        else:
            where = "in the middle of" if self._wire_bytes else "before"
            self._on_broken(Failure(FailureReason.RESET, f"connection lost {where} the answer"))

    def _on_broken(self, failure: Failure) -> None:
        if self._was_stale():
            self.state = CONNECTING
            self.reused = False
            self.retried = True
            self._drop_stream()
            self._parser = httptools.HttpResponseParser(self)
            self._pool.retry(self)
        else:
            self.fail(failure)

    # -- called by the parser

    def on_message_begin(self) -> None:
        if self._complete:  # more than one response to one request
            self._keep_alive = False

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._complete:
            return
        if not self._head.startswith(b"HTTP/1.") and not self._head.lstrip(b"\r\n").startswith(b"HTTP/1."):
            raise httptools.HttpParserError("not HTTP/1.x")  # llhttp takes RTSP for it, too
        if status < 100:
            raise httptools.HttpParserError(f"status {status:03} does not exist")
        if status >= 200 or status == 101:  # other 1xx come before the final response (RFC 9110 section 15.2)
            self._status = status
        if status == 101:  # what follows is not HTTP any more
            raise httptools.HttpParserError("a switch of protocols")

    def on_body(self, data: bytes) -> None:
        if self._complete:
            return
        if not self._body:
            self._body = data  # the usual body has one piece, which need not be copied
        elif isinstance(self._body, bytearray):
            self._body += data
        else:  # many small pieces: adding each to bytes would copy all the others every time
            self._body = bytearray(self._body) + data

    def on_message_complete(self) -> None:
        if self._status and not self._complete:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()

    # -- how a response ends

    def _finish(self, *, reusable: bool) -> None:
        body = self._body
        outcome = self._pool.classify(self._status, bytes(body) if isinstance(body, bytearray) else body)
        self._body = self._head = b""
        if reusable:
            self.state = IDLE
            if not self.reused:
                self._keep_tls_session()
        else:
            self.close()
        self._finish_attempt(outcome)

    def _keep_tls_session(self) -> None:
        """Keep the session for new connections. The server has sent its ticket by the first response."""
        if self._stream is not None and self.address is not None:
            sock = self._stream.sock
            if isinstance(sock, ssl.SSLSocket):
                self._pool.tls_sessions.keep(self.address, sock, self.opened_at)

    def _parse_failure(self, error: Exception) -> Failure:
        if self._status == 101:  # not asked for: we offer no upgrade (RFC 9110 section 7.8)
            return Failure(FailureReason.STATUS_OTHER, "status 101")
        return Failure(FailureReason.PROTOCOL, str(error.__context__ or error))

    def _check_size(self) -> None:
        limits = self._pool.limits
        if self._wire_bytes > limits.max_wire_bytes:
            self.fail(
                Failure(FailureReason.TOO_LARGE, f"more than {limits.max_wire_bytes} bytes on the wire")
            )
        elif not self._status and self._wire_bytes > limits.max_head_bytes:
            self.fail(
                Failure(FailureReason.TOO_LARGE, f"more than {limits.max_head_bytes} bytes of header section")
            )
        elif len(self._body) > limits.max_body_bytes:
            self.fail(Failure(FailureReason.TOO_LARGE, f"more than {limits.max_body_bytes} bytes of body"))

    def _is_close_delimited(self) -> bool:
        """Return whether the body ends with the connection (RFC 9112 section 6.3, rules 4 and 8); else it was cut."""
        head, _, rest = self._head.lstrip(b"\r\n").partition(b"\r\n\r\n")
        while head.startswith((b"HTTP/1.1 1", b"HTTP/1.0 1")):  # the heads of 1xx responses frame nothing
            head, _, rest = rest.partition(b"\r\n\r\n")
        fields = head.lower().replace(b" ", b"").replace(b"\t", b"")
        codings = [line for line in fields.split(b"\r\n") if line.startswith(b"transfer-encoding:")]
        if codings:
            return codings[-1].replace(b":", b",", 1).rpartition(b",")[2] != b"chunked"
        return b"\ncontent-length:" not in fields

    def _was_stale(self) -> bool:
        """Return whether a pooled connection met the upstream's idle close; see `UpstreamLimits`."""
        attempt = self.attempt
        return (
            attempt is not None
            and self.state == ACTIVE
            and self.reused
            and not self._wire_bytes
            and not self.retried
            and not attempt.is_loser
            and self._pool.loop.clock() - attempt.launched_at <= self._pool.limits.stale_retry_window_s
        )
