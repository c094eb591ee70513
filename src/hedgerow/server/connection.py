"""One client's connection: requests in, responses out, in order and one at a time."""

import select
import socket
from collections.abc import Callable
from http import HTTPStatus
from math import inf
from typing import Final

from hedgerow.core.request import Cancellable, Handler, Request
from hedgerow.core.response import Response
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import READABLE, WRITABLE, EventLoop
from hedgerow.net.stream import Stream
from hedgerow.net.tcp import receive_queue_age_s
from hedgerow.server.request_cache import ParsedRequestCache
from hedgerow.server.request_parser import RequestParser
from hedgerow.server.request_rejected import RequestRejected
from hedgerow.server.response_writer import DateHeader, serialize_response
from hedgerow.server.timeouts import ConnectionTimeouts
from hedgerow.settings import ClientLimits

REQUESTS_PER_STEP: Final = 16
"""Pipelined requests of one connection that are answered before the other connections have their turn: some 0.5 ms."""
_CLOSE: Final = b"Connection: close\r\n"
_KEEP_ALIVE: Final = b"Connection: keep-alive\r\n"
_LEFT: Final = select.EPOLLRDHUP
"""The client has closed its side."""
_BROKEN: Final = select.EPOLLERR | select.EPOLLHUP
"""The connection was reset, or both sides have closed it."""


class ServerContext:
    """What the connections of one server share."""

    __slots__ = (
        "cache", "connections", "date", "draining", "handler", "limits", "loop", "next_id", "on_closed", "on_rejected",
        "timeouts",
    )  # fmt: skip

    def __init__(
        self,
        handler: Handler,
        limits: ClientLimits,
        loop: EventLoop,
        *,
        next_id: Callable[[], bytes],
        on_rejected: Callable[[str, str], None],
        on_closed: Callable[[], None],
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.loop = loop
        self.next_id = next_id
        self.on_rejected = on_rejected
        """Called with code and reason of each response that the handler was not asked for."""
        self.on_closed = on_closed
        """Called when a connection is closed."""
        self.connections: set[ClientConnection] = set()
        self.timeouts = ConnectionTimeouts(limits)
        self.cache = ParsedRequestCache()
        self.date = DateHeader()
        self.draining = False
        """Each connection is closed after its next response."""


class ClientConnection(EventHandler):
    """Reads requests, has each answered, sends each response in one piece.

    Bytes that come while a request is being answered are held unparsed, up to a bound; then the socket is not read. So
    pipelining costs a client its own timeout and none of our memory (aio-libs/aiohttp CVE-2026-54273).
    """

    __slots__ = (
        "_answering", "_backing_off", "_closing", "_context", "_eof", "_fd", "_first_read", "_held_bytes", "_parser",
        "_paused", "_pipeline", "_processing", "_reading_head", "_rejected", "_request", "_stream", "_unparsed",
        "_yielding", "idle_since",
    )  # fmt: skip

    def __init__(self, context: ServerContext, sock: socket.socket) -> None:
        """Raises OSError if the socket, which is the caller's then, cannot be watched."""
        self._context = context
        self._stream = Stream(context.loop, sock)
        self._stream.owner = self
        self._fd = sock.fileno()
        self._pipeline: list[Request] = []  # a deque, empty, takes 760 bytes of each connection
        self._parser = RequestParser(context.limits, self._pipeline.append, context.next_id, context.cache)
        self._request: Request | None = None
        """The request that is being answered."""
        self._answering: Cancellable | None = None
        self._unparsed: list[tuple[bytes, float]] = []
        """What was read and not parsed yet, each piece with the instant at which it came."""
        self._held_bytes = 0
        """The length of all that."""
        self._rejected: RequestRejected | None = None
        """What the parser said of the bytes behind the pipeline."""
        self._first_read = True
        """What is read next may have come a while ago: the socket was not watched until now."""
        self._paused = False
        """The socket is not read."""
        self._backing_off = False
        """A request was rejected: nothing is read or answered for `ClientLimits.backpressure_s`."""
        self._yielding = False
        """`REQUESTS_PER_STEP` were answered: no further one is, whatever comes, before the others had their turn."""
        self._processing = False
        self._reading_head = False
        """A part of a request head has come."""
        self._closing = False
        """Nothing further is answered; what comes is dropped."""
        self._eof = False
        """The client will send no more, and gets what is left to send."""
        self.idle_since = context.loop.clock()
        """No request has been under way since this instant; infinite while there is one."""
        context.loop.register_client(self._fd, self, READABLE)
        context.connections.add(self)

    # -- called by the event loop

    def on_ready(self, mask: int) -> None:
        """Read what has come; or send the rest of what the client did not take before."""
        stream = self._stream
        if stream.closed:
            return
        if mask & WRITABLE and stream.blocked:
            stream.flush()  # may close it
        if mask & READABLE and not self._paused:
            self._read()
        elif mask & _BROKEN:
            self.abort()
        elif mask & _LEFT:  # while it is not read
            self._on_eof()

    def on_deadline(self) -> None:
        """Go on after backpressure, or after the other connections had their turn."""
        if not self._stream.closed:
            self._backing_off = self._yielding = False
            self._update_reading()
            self._process()

    def abort(self) -> None:
        """Close at once, dropping what is unsent."""
        self._drop_requests()
        stream, context = self._stream, self._context
        if not stream.closed:
            self._closing = True
            context.loop.unregister_client(self._fd)
            stream.close()
            self._parser.close()
            context.connections.discard(self)
            context.timeouts.forget(self)
            context.on_closed()

    # -- called by the stream

    def on_write_blocked(self) -> None:
        """Begin no further pipelined request until the client has read what it was sent."""
        loop = self._context.loop
        loop.modify_client(self._fd, self._read_mask() | WRITABLE)
        self._context.timeouts.write_blocked(self, loop.clock())

    def on_flushed(self) -> None:
        """Go on: the client has read what it was sent."""
        if self._eof:
            self.abort()
            return
        self._context.loop.modify_client(self._fd, self._read_mask())
        self._context.timeouts.write_unblocked(self)
        if self._closing:
            self._linger()
        else:
            self._process()

    # -- called by the server and its timeouts

    @property
    def is_answering(self) -> bool:
        """Return whether a request waits for its response."""
        return self._request is not None

    def close_idle(self) -> None:
        """Close, unless a request is under way."""
        if self._request is None and not self._closing:
            self._close_gracefully()

    def reset(self) -> None:
        """Close by RST: otherwise the kernel keeps what the client does not read for minutes."""
        self._stream.send_rst_on_close()
        self.abort()

    def reject_slow_head(self, timeout_s: float) -> None:
        """Answer 408: the rest of a request head has not come in time."""
        detail = f"no whole request head within {timeout_s:g} s"
        self.reject(RequestRejected("bad_request", detail, HTTPStatus.REQUEST_TIMEOUT))

    def reject(self, rejected: RequestRejected) -> None:
        """Answer out of turn, unless a request is under way; then close."""
        if self._request is None and not self._closing:
            self._reject(rejected, self._context.loop.clock())

    # -- requests in

    def _read(self) -> None:
        if self._stream.closed:
            return
        try:
            data = self._stream.read()
        except OSError:
            self.abort()
            return
        if data is None:
            return
        if not data:
            self._on_eof()
        elif not self._closing:
            self._unparsed.append((data, self._arrived_at()))
            self._held_bytes += len(data)
            if self._request is None:
                self._process()
            self._update_reading()

    def _on_eof(self) -> None:
        """Called when the client has left, or will send no more.

        A half-closed client cannot be distinguished from one that is gone before we write to it; nginx and Go's
        net/http take it as gone, too (decision 0005).
        """
        self._drop_requests()
        self._closing = self._eof = True
        self._stream.flush()
        if self._stream.unsent_bytes:  # the rest goes within the write timeout
            self._context.loop.modify_client(self._fd, WRITABLE)
        else:
            self.abort()

    def _drop_requests(self) -> None:
        self._unparsed.clear()
        self._held_bytes = 0
        self._pipeline.clear()
        self._rejected = None
        self._request = None
        answering, self._answering = self._answering, None
        if answering is not None:
            answering.cancel()

    def _arrived_at(self) -> float:
        """Return when the kernel had what was just read: our own lag is charged to us, not to the client."""
        loop = self._context.loop
        now = loop.clock()
        if self._first_read or loop.clients_lag or now > loop.clients_are_fresh_until:
            self._first_read = False
            age_s = receive_queue_age_s(self._stream.sock)
            loop.client_was_queued(age_s)
            return now - age_s
        return now

    def _process(self) -> None:
        """Answer what was read, until a request has to wait or nothing is left."""
        if self._processing or self._yielding:
            return
        self._processing = True
        try:
            self._answer_pending()
        except Exception:  # noqa: BLE001 (a border: this connection pays for an internal error, whatever led here)
            self._context.loop.internal_error()
            self.abort()
        self._processing = False
        if self._paused:
            self._update_reading()

    def _answer_pending(self) -> None:
        answered = 0
        while self._request is None and not (self._closing or self._backing_off or self._stream.blocked):
            if self._pipeline:
                if answered == REQUESTS_PER_STEP or (answered and self._has_much_unsent()):
                    self._yield()
                    break
                answered += 1
                self._answer(self._pipeline.pop(0))
            elif self._rejected is not None:
                self._reject(self._rejected, self._unparsed[0][1])
            elif self._unparsed:
                self._parse()
            else:
                self._become_idle()
                break

    def _has_much_unsent(self) -> bool:
        return self._stream.unsent_bytes > self._context.limits.write_buffer_bytes

    def _yield(self) -> None:
        """Let the other connections have their turn, and what was written be sent, before the next request."""
        loop = self._context.loop
        self._yielding = True
        loop.call_at(loop.clock(), self)

    def _parse(self) -> None:
        """Parse a bounded piece of what was read."""
        data, arrived_at = self._unparsed[0]
        size = self._context.limits.parse_chunk_bytes
        if len(data) > size:
            self._unparsed[0] = data[size:], arrived_at
            data = data[:size]
        else:
            self._unparsed.pop(0)
        self._held_bytes -= len(data)
        try:
            self._parser.feed(data, arrived_at)
        except RequestRejected as rejected:
            self._unparsed = [(b"", arrived_at)]
            self._rejected = rejected

    def _answer(self, request: Request) -> None:
        self.idle_since = inf
        if self._reading_head:  # this head is whole; the next one has a timeout of its own
            self._reading_head = False
            self._context.timeouts.head_finished(self)
        self._request = request
        answering = self._context.handler.handle(request, self)
        # Not `self._request is not None`: mypy takes it for what it was set to above, and compiled it raises TypeError.
        if self.is_answering:
            self._answering = answering

    def _become_idle(self) -> None:
        """Called when no request is under way; a part of a head may be."""
        now = self._context.loop.clock()
        if self._parser.partial and not self._reading_head:
            self._reading_head = True
            self._context.timeouts.head_started(self, now)
        if self.idle_since == inf:
            self.idle_since = now

    def _update_reading(self) -> None:
        self._pause(paused=self._backing_off or self._held_bytes > self._context.limits.max_pipelined_bytes)

    def _pause(self, *, paused: bool) -> None:
        if paused != self._paused and not self._stream.closed:
            self._paused = paused
            self._first_read = self._first_read or not paused
            mask = self._read_mask()
            self._context.loop.modify_client(self._fd, mask | WRITABLE if self._stream.blocked else mask)

    def _read_mask(self) -> int:
        # A client that leaves while it is not read is noticed all the same.
        return _LEFT if self._paused else READABLE

    # -- responses out

    def respond(self, response: Response) -> None:
        """Send the response to the request that is under way (`core.request.Responder`)."""
        request = self._request
        if request is None or self._stream.closed:
            return
        self._request = self._answering = None
        keep_alive = request.keep_alive and not self._context.draining
        connection = b"" if keep_alive else _CLOSE
        if keep_alive and request.announce_keep_alive:
            connection = _KEEP_ALIVE
        is_head = request.method == b"HEAD"
        self._send(response, request.request_id, request.arrived_at, connection, is_head=is_head)
        if not keep_alive:
            self._close_gracefully()
            return
        if response.code == "overloaded":
            self._back_off()
        if not self._processing:
            self._process()

    def _back_off(self) -> None:
        loop = self._context.loop
        self._backing_off = True
        self._update_reading()
        loop.call_at(loop.clock() + self._context.limits.backpressure_s, self)
        self._become_idle()

    def _reject(self, rejected: RequestRejected, arrived_at: float) -> None:
        parser = self._parser
        response = parser.error_response(rejected)
        self._context.on_rejected(response.code, rejected.reason)
        self._send(response, parser.request_id, arrived_at, _CLOSE, is_head=parser.is_head)
        self._close_gracefully()

    def _send(
        self, response: Response, request_id: bytes, arrived_at: float, connection: bytes, *, is_head: bool
    ) -> None:
        context = self._context
        now = context.loop.clock()
        self._stream.write(
            serialize_response(
                response,
                request_id,
                arrived_at=arrived_at,
                now=now,
                date=context.date.at(now),
                connection=connection,
                is_head=is_head,
            )
        )

    def _close_gracefully(self) -> None:
        """Send what is written and FIN; then read on for a while, so that closing does not take the response back.

        Closing with unread bytes sends RST, which may take the response from the client (RFC 9112 section 9.6).
        """
        self._closing = True
        self._drop_requests()
        self._stream.flush()
        if not self._stream.unsent_bytes:
            self._linger()

    def _linger(self) -> None:
        self._pause(paused=False)
        self._stream.end_writing()
        self._context.timeouts.lingering(self, self._context.loop.clock())
