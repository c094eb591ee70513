"""One connection to the upstream: HTTP/1.1, one attempt at a time.

Unrequested bytes close a pooled connection (aio-libs/aiohttp#12953: they poisoned the next request).
"""

import ssl
from typing import TYPE_CHECKING, Final

from hedgerow.core.outcomes import Attempt, Failure, FailureReason, Outcome
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.poller import READABLE, WRITABLE
from hedgerow.net.stream import Stream
from hedgerow.net.tls import read_failure
from hedgerow.upstream.connecting import Connecting
from hedgerow.upstream.endpoint import Endpoint
from hedgerow.upstream.request_writer import RequestWriter
from hedgerow.upstream.response_reader import ResponseReader

if TYPE_CHECKING:
    from hedgerow.upstream.pool import ConnectionPool

CONNECTING: Final = 0
ACTIVE: Final = 1
IDLE: Final = 2
CLOSED: Final = 3
STATE_NAMES: Final = ("connecting", "active", "idle")

READS_PER_EVENT: Final = 4
"""Of one connection before the others have their turn. All that has come of an answer is read before hedges are sent
for it, also where its end is the end of the connection."""


class UpstreamConnection(EventHandler):
    """Sends attempts, one after the other; it is the `AttemptHandle` of the one that it has now.

    It exists from the moment a connection is wanted: while it is connecting it already has its first attempt. (A
    connection of HTTP/2 would have several, each with a handle of its own: one for each stream.)
    """

    __slots__ = (
        "_pool", "_response", "_writer", "attempt", "connecting", "endpoint", "fd", "idle_since",
        "opened_at", "retried", "reused", "sent_at", "state", "stream",
    )  # fmt: skip

    def __init__(self, pool: "ConnectionPool", attempt: Attempt, endpoint: Endpoint | None) -> None:
        self._pool = pool
        self._response = ResponseReader(pool.limits, pool.known_heads)
        self.stream: Stream | None = None
        self._writer: RequestWriter | None = None
        self.fd = -1
        self.state = CONNECTING
        self.attempt: Attempt | None = None
        self.endpoint: Endpoint | None = None
        """Where it leads, or shall lead; None while the name is looked up, and after a connect that failed."""
        self.connecting: Connecting | None = None
        self.opened_at = 0.0
        self.idle_since = 0.0
        self.sent_at = 0.0  # the attempt, which may have waited for a handshake before
        self.reused = False
        """The attempt was sent on a pooled connection."""
        self.retried = False
        """The attempt was sent before, on a pooled connection that the upstream had just closed."""
        self.assign(attempt, endpoint)

    # -- called by the pool and the race

    def assign(self, attempt: Attempt | None, endpoint: Endpoint | None) -> None:
        """Set its attempt and where it leads: nothing else does, so each attempt counts for one endpoint."""
        if self.attempt is not None and self.endpoint is not None:
            self.endpoint.in_flight -= 1
        if attempt is not None and endpoint is not None:
            endpoint.in_flight += 1
        self.attempt = attempt
        self.endpoint = endpoint

    def open(self, stream: Stream, endpoint: Endpoint) -> None:
        """Take over a connected stream, which is registered with the event loop, and send the attempt."""
        self.stream = stream
        stream.owner = self
        self.fd = stream.sock.fileno()
        self.assign(self.attempt, endpoint)
        self._writer = self._pool.writer_for(endpoint)
        self.opened_at = self._pool.loop.clock()
        self._pool.loop.replace_source(self.fd, self)
        if self.attempt is None:
            self.state = IDLE
            self._pool.add_idle(self, endpoint, self.opened_at)
        else:
            self.send(self.attempt, self.opened_at)

    def send(self, attempt: Attempt, now: float) -> None:
        """Send the attempt's request; this connection is idle, or has just been opened."""
        self.assign(attempt, self.endpoint)
        self.sent_at = now
        self.state = ACTIVE
        self._response.begin_for(attempt.request)
        if attempt.span is not None and self.endpoint is not None:
            attempt.span.sent_to(self.endpoint)
        if self.stream is not None and self._writer is not None:
            self.stream.write(self._writer.serialize(attempt))

    def abandon(self) -> None:
        """Make a loser of our attempt: the race is over and it is still running."""
        if self.attempt is not None:
            self.attempt.is_loser = True
            self._pool.attempt_abandoned(self)

    @property
    def handshaking_with(self) -> Endpoint | None:
        """Return the endpoint that it is connected to but for the TLS handshake, if it is."""
        connecting = self.connecting
        return connecting.endpoint if connecting is not None and connecting.is_handshaking else None

    def pass_attempt_on(self, idle: "UpstreamConnection") -> None:
        """Send the attempt that waits for this connection on one that is idle."""
        attempt = self.attempt
        if attempt is not None:
            self.assign(None, self.endpoint)
            attempt.handle = idle
            idle.send(attempt, self._pool.loop.clock())

    def finish_attempt(self, outcome: Outcome) -> None:
        """Finish the attempt, if there is one."""
        attempt = self.attempt
        if attempt is not None:
            self.assign(None, self.endpoint)
            at = self._pool.loop.clock()
            attempt.finish(outcome, at)
            self._pool.attempt_finished(self, attempt, at)

    def fail(self, failure: Failure) -> None:
        """Finish the attempt as a failure, and close."""
        self.close()
        self.finish_attempt(failure)

    def close(self) -> None:
        """Close at once, dropping what is unsent."""
        if self.state == CLOSED:
            return
        self.state = CLOSED
        if self.connecting is not None:
            self.connecting.cancel()
            self.connecting = None
        self._drop_stream()
        self._response.close()
        self._pool.on_closed(self)

    def _drop_stream(self) -> None:
        if self.stream is not None:
            self._pool.loop.unregister(self.fd)
            self.stream.close()
            self.stream = None

    # -- called by the event loop and the stream

    def abort(self) -> None:
        """Close after an internal error."""
        self.fail(Failure(FailureReason.RESET, "an internal error"))

    def on_write_blocked(self) -> None:
        """Watch for when the upstream takes the rest of the request."""
        self._pool.loop.modify(self.fd, READABLE | WRITABLE)

    def on_flushed(self) -> None:
        """Note that the rest of the request was sent."""
        self._pool.loop.modify(self.fd, READABLE)

    def on_ready(self, mask: int) -> None:
        """Read what the upstream has sent, until a response is whole or nothing is left."""
        stream = self.stream
        if stream is None:
            return
        if mask & WRITABLE and stream.blocked:
            stream.flush()
        for _ in range(READS_PER_EVENT):
            try:
                data = stream.read()
            except OSError as error:
                self._on_broken(read_failure(error))
                return
            if data is None:
                return
            if not data:
                self._on_eof()
                return
            self._receive(data)
            if self.state != ACTIVE:
                return
        self._pool.loop.read_again(self)

    def _receive(self, data: bytes) -> None:
        if self.state != ACTIVE:  # unrequested bytes
            self.close()
            return
        failure = self._response.feed(data)
        if failure is not None:
            self.fail(failure)
        elif self._response.is_complete:
            self._finish(reusable=self._response.keeps_connection)

    def _on_eof(self) -> None:
        response = self._response
        if self.state == ACTIVE and response.status and response.is_close_delimited():
            self._finish(reusable=False)
        else:
            where = "in the middle of" if response.wire_bytes else "before"
            self._on_broken(Failure(FailureReason.RESET, f"connection lost {where} the answer"))

    def _on_broken(self, failure: Failure) -> None:
        attempt = self.attempt
        if attempt is not None and self._was_stale(attempt):
            self.state = CONNECTING
            self.reused = False
            self.retried = True
            self._drop_stream()
            self._response.restart()
            self._pool.retry(self, attempt)
        else:
            self.fail(failure)

    # -- how a response ends

    def _finish(self, *, reusable: bool) -> None:
        outcome = self._response.take_outcome(self._pool.classify)
        stream = self.stream
        if reusable and stream is not None and not stream.unsent_bytes:
            self.state = IDLE
            if not self.reused:
                self._keep_tls_session()
        else:
            self.close()
        self.finish_attempt(outcome)

    def _keep_tls_session(self) -> None:
        """Keep the session for new connections. The server has sent its ticket by the first response."""
        sock = self.stream.sock if self.stream is not None else None
        if isinstance(sock, ssl.SSLSocket) and self.endpoint is not None:
            self.endpoint.tls_session.keep(sock, self.opened_at)

    def _was_stale(self, attempt: Attempt) -> bool:
        """Return whether a pooled connection met the upstream's idle close; see `UpstreamLimits`."""
        return (
            self.state == ACTIVE
            and self.reused
            and not self._response.wire_bytes
            and not self.retried
            and not attempt.is_loser
            and attempt.request.may_be_repeated
            and self._pool.loop.clock() - self.sent_at <= self._pool.limits.stale_retry_window_s
        )
