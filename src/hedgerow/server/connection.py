"""One client's connection: requests in, responses out, in order and one at a time."""

import select
import socket
from http import HTTPStatus
from math import inf
from typing import Final

from hedgerow.core.forwarding import ClientMessage
from hedgerow.core.request import Cancellable, Request
from hedgerow.core.response import Response
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.poller import READABLE, WRITABLE
from hedgerow.net.stream import Stream
from hedgerow.net.tcp import peer_address
from hedgerow.server.context import ServerContext
from hedgerow.server.request_reader import RequestReader
from hedgerow.server.request_rejected import RequestRejected
from hedgerow.server.response_writer import serialize_response
from hedgerow.server.unfinished_request import UnfinishedRequest

REQUESTS_PER_STEP: Final = 16
"""Pipelined requests of one connection that are answered before the other connections have their turn: some 0.5 ms."""
_CLOSE: Final = b"Connection: close\r\n"
_KEEP_ALIVE: Final = b"Connection: keep-alive\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LEFT: Final = select.EPOLLRDHUP
"""The client has closed its side."""
_BROKEN: Final = select.EPOLLERR | select.EPOLLHUP
"""The connection was reset, or both sides have closed it."""


class ClientConnection(EventHandler):
    """Reads requests, has each answered, sends each response in one piece.

    Bytes that come while a request is being answered are held unparsed, up to a bound; then the socket is not read. So
    pipelining costs a client its own timeout and none of our memory (aio-libs/aiohttp CVE-2026-54273).
    """

    __slots__ = (
        "_address", "_answering", "_backing_off", "_backs_off_until", "_closing", "_context", "_eof", "_fd",
        "_passes_headers", "_paused", "_processing", "_reader", "_request", "_stream", "_unfinished", "_yielding",
        "idle_since",
    )  # fmt: skip

    def __init__(self, context: ServerContext, sock: socket.socket) -> None:
        """Watch the socket. Raises OSError if it cannot be watched; the listener closes it then."""
        self._context = context
        self._passes_headers = context.passes_headers
        self._stream = Stream(context.loop, sock)
        self._stream.owner = self
        self._fd = sock.fileno()
        self._reader = RequestReader(context)
        self._request: Request | None = None
        """The request that is being answered."""
        self._answering: Cancellable | None = None
        self._paused = False
        """The socket is not read."""
        self._backs_off_until = 0.0
        """A request was rejected: the next one is not begun until this instant; 0 once that is over."""
        self._backing_off = False
        """The client has sent another request before that: it is held, and there is a deadline."""
        self._yielding = False
        """`REQUESTS_PER_STEP` were answered: no further one is, whatever comes, before the others had their turn."""
        self._processing = False
        self._unfinished: UnfinishedRequest | None = None
        """The request of which only a part has come, if there is one."""
        self._address = b""
        """The client's, once it was asked for."""
        self._closing = False
        """Nothing further is answered; what comes is dropped."""
        self._eof = False
        """The client will send no more, and gets what is left to send."""
        self.idle_since = context.loop.clock()
        """No request has been under way since this instant; infinite while there is one, or its body is read."""
        context.loop.clients.register(self._fd, self, READABLE)
        context.connections.add(self)

    # -- called by the event loop

    def on_ready(self, mask: int) -> None:
        """Read what has come; or send the rest of what the client did not take before."""
        stream = self._stream
        if stream.closed:
            return
        if mask & WRITABLE and stream.blocked:
            stream.flush()  # may close it
            if stream.blocked:  # the client is slow, but it reads
                self._context.timeouts.write_blocked(self, self._context.loop.clock())
        if mask & READABLE and not self._paused:
            self._read()
        elif mask & _BROKEN:
            self.abort()
        elif mask & _LEFT:  # while it is not read
            self._on_eof()

    def on_deadline(self) -> None:
        """Continue after backpressure, or after the other connections were served."""
        if not self._stream.closed:
            self._yielding = False
            if self._context.loop.clock() >= self._backs_off_until:
                self._backs_off_until = 0.0
                self._backing_off = False
            self._process()

    def abort(self) -> None:
        """Close at once, dropping what is unsent."""
        self._drop_requests()
        stream, context = self._stream, self._context
        if not stream.closed:
            self._closing = True
            context.loop.clients.unregister(self._fd)
            stream.close()
            self._reader.close()
            context.connections.discard(self)
            context.timeouts.forget(self)
            context.on_closed()

    # -- called by the stream

    def on_write_blocked(self) -> None:
        """Begin no further pipelined request until the client has read what it was sent."""
        loop = self._context.loop
        loop.clients.modify(self._fd, self._read_mask() | WRITABLE)
        self._context.timeouts.write_blocked(self, loop.clock())

    def on_flushed(self) -> None:
        """Go on: all that was written has been sent."""
        if self._eof:
            self.abort()
            return
        self._context.loop.clients.modify(self._fd, self._read_mask())
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
        """Close, unless a request is under way, or its body is read."""
        if self.idle_since < inf and not self._closing:
            self._close_gracefully()

    def reset(self) -> None:
        """Close by RST: otherwise the kernel keeps what the client does not read for minutes."""
        self._stream.send_rst_on_close()
        self.abort()

    def reject_slow_head(self, timeout_s: float) -> None:
        """Answer 408: the rest of a request head has not come in time."""
        detail = f"no whole request head within {timeout_s:g} s"
        self.reject(RequestRejected("bad_request", detail, HTTPStatus.REQUEST_TIMEOUT, reason="slow_head"))

    def reject(self, rejected: RequestRejected) -> None:
        """Answer out of turn, unless a request is under way; then close."""
        if self._request is None and not self._closing:
            self._reject(rejected, self._context.loop.clock())

    def on_late_body(self, unfinished: UnfinishedRequest) -> None:
        """Have a request answered whose body has not come whole, now that its answer is due."""
        if not self._paused:
            self._read()  # the rest may have come while we were stopped
        if self._unfinished is unfinished:
            self._reader.give_up_body()
            if self._backs_off_until == 0.0 or self._may_ask_again():
                self._process()

    # -- requests in

    def _read(self) -> None:
        stream = self._stream
        if stream.closed:
            return
        try:
            data = stream.read()
        except OSError:
            self.abort()
            return
        if data is None:
            return
        if not data:
            self._on_eof()
        elif not self._closing:
            self._reader.add(data, stream)
            if self._request is None and (self._backs_off_until == 0.0 or self._may_ask_again()):
                self._process()
            self._update_reading()

    def _on_eof(self) -> None:
        """Abandon the requests of a client that has left, or will send no more.

        A half-closed client cannot be distinguished from one that is gone before we write to it; nginx and Go's
        net/http take it as gone, too (decision 0005).
        """
        self._drop_requests()
        self._closing = self._eof = True
        self._stream.flush()
        if self._stream.unsent_bytes:  # the rest goes within the write timeout
            self._context.loop.clients.modify(self._fd, WRITABLE)
        else:
            self.abort()

    def _drop_requests(self) -> None:
        self._reader.drop()
        self._end_unfinished()
        self._request = None
        answering, self._answering = self._answering, None
        if answering is not None:
            answering.cancel()

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
        reader = self._reader
        while self._request is None and not (
            self._closing or self._backs_off_until > 0.0 or self._stream.blocked
        ):
            if reader.pipeline:
                if answered == REQUESTS_PER_STEP or (answered and self._has_much_unsent()):
                    self._yield()
                    break
                answered += 1
                self._answer(reader.pipeline.pop(0))
            elif reader.rejected is not None:
                self._reject(reader.rejected, reader.rejected_bytes_arrived_at)
            elif reader.has_unparsed:
                reader.parse()
                if self._passes_headers and reader.take_continue():
                    self._stream.write(_CONTINUE)
            else:
                self._wait_for_rest()
                break

    def _has_much_unsent(self) -> bool:
        return self._stream.unsent_bytes > self._context.limits.write_buffer_bytes

    def _yield(self) -> None:
        """Let the other connections have their turn, and what was written be sent, before the next request."""
        loop = self._context.loop
        self._yielding = True
        loop.call_at(loop.clock(), self)

    def _answer(self, request: Request) -> None:
        self.idle_since = inf
        if self._unfinished is not None:
            self._end_unfinished()
        if request.message is not None:
            self._prepare(request.message)
        self._request = request
        answering = self._context.handler.handle(request, self)
        # Not `self._request is not None`: mypy takes it for what it was set to above, and compiled it raises TypeError.
        if self.is_answering:
            self._answering = answering

    def _prepare(self, message: ClientMessage) -> None:
        """Add what is passed on of the connection to the request."""
        if not self._address:
            self._address = peer_address(self._stream.sock)
        message.address = self._address

    def _wait_for_rest(self) -> None:
        """Bound the time of the request that has come in part, if there is one."""
        if self._reader.has_partial_request:
            unfinished = self._unfinished
            if unfinished is None:
                self._unfinished = unfinished = UnfinishedRequest(self, self._context)
            request = self._reader.request_in_body
            if request is not None:
                self.idle_since = inf
                unfinished.expect_body(request)

    def _end_unfinished(self) -> None:
        unfinished, self._unfinished = self._unfinished, None
        if unfinished is not None:
            unfinished.end()

    def _update_reading(self) -> None:
        self._pause(paused=self._reader.held_bytes > self._context.max_pipelined_bytes)

    def _pause(self, *, paused: bool) -> None:
        if paused != self._paused and not self._stream.closed:
            self._paused = paused
            if not paused:
                self._reader.resumed()
            mask = self._read_mask()
            self._context.loop.clients.modify(self._fd, mask | WRITABLE if self._stream.blocked else mask)

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
        if request.message is not None and request.message.body_bytes:
            self._reader.release_body(request.message.body_bytes)
        keep_alive = request.keep_alive and not self._context.draining
        connection = b"" if keep_alive else _CLOSE
        if keep_alive and request.announce_keep_alive:
            connection = _KEEP_ALIVE
        is_head = request.method == b"HEAD"
        now = self._context.loop.clock()
        self.idle_since = now
        self._send(response, request.request_id, request.arrived_at, connection, now, is_head=is_head)
        if not keep_alive:
            self._close_gracefully()
            return
        if response.code == "overloaded":
            self._back_off(now, request.timeout_ms / 1000)
        if not self._processing:
            self._process()

    def _back_off(self, now: float, timeout_s: float) -> None:
        """Delay the client's next request. A client that sends none meanwhile costs nothing: no call, no deadline.

        It is dated as it arrives, so it is delayed for less than it may wait, if its timeout is the same.
        """
        limits = self._context.limits
        self._backs_off_until = now + min(limits.backpressure_s, timeout_s * limits.backpressure_share)
        self._wait_for_rest()
        if self._reader.holds_requests:
            self._wait_for_backpressure()

    def _may_ask_again(self) -> bool:
        """Return whether what was read may be answered; else it is held until the client's time has come."""
        if self._context.loop.clock() < self._backs_off_until:
            self._wait_for_backpressure()
            return False
        self._backs_off_until = 0.0
        return True

    def _wait_for_backpressure(self) -> None:
        if not self._backing_off:
            self._backing_off = True
            self._context.loop.call_at(self._backs_off_until, self)

    def _reject(self, rejected: RequestRejected, arrived_at: float) -> None:
        reader = self._reader
        response = reader.error_response(rejected)
        self._context.on_rejected(response.code, rejected.reason)
        now = self._context.loop.clock()
        self._send(response, reader.rejected_id, arrived_at, _CLOSE, now, is_head=reader.rejected_is_head)
        self._close_gracefully()

    def _send(
        self,
        response: Response,
        request_id: bytes,
        arrived_at: float,
        connection: bytes,
        now: float,
        *,
        is_head: bool,
    ) -> None:
        context = self._context
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
