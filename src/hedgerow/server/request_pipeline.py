"""The requests of one connection: each is answered in its turn, one at a time."""

from math import inf
from typing import TYPE_CHECKING, Final

from hedgerow.core.request import Cancellable, Request
from hedgerow.core.response import Response
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.net.stream import Stream
from hedgerow.server.context import ServerContext
from hedgerow.server.request_reader import RequestReader
from hedgerow.server.request_rejected import RequestRejected
from hedgerow.server.response_writer import CLOSE
from hedgerow.server.unfinished_request import UnfinishedRequest

if TYPE_CHECKING:
    from hedgerow.server.connection import ClientConnection

REQUESTS_PER_STEP: Final = 16
"""Pipelined requests of one connection that are answered before the other connections have their turn: some 0.5 ms."""
_KEEP_ALIVE: Final = b"Connection: keep-alive\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestPipeline(EventHandler):
    """Has what a client sent parsed, each request handled, and writes each response in one piece.

    Bytes that come while a request is being answered are held unparsed, up to a bound; then the socket is not read. So
    pipelining costs a client its own timeout and none of our memory (aio-libs/aiohttp CVE-2026-54273).
    """

    __slots__ = (
        "_answering", "_connection", "_context", "_ended", "_held_until", "_overloaded_at", "_processing", "_reader",
        "_request", "_stream", "_unfinished", "_yielding",
    )  # fmt: skip

    def __init__(self, context: ServerContext, connection: "ClientConnection", stream: Stream) -> None:
        self._context = context
        self._connection = connection
        self._stream = stream
        self._reader = RequestReader(context)
        self._request: Request | None = None
        """The request that is being answered."""
        self._answering: Cancellable | None = None
        self._unfinished: UnfinishedRequest | None = None
        """The request of which only a part has come, if there is one."""
        self._processing = False
        self._yielding = False
        """`REQUESTS_PER_STEP` were answered: no further one is, whatever comes, before the others had their turn."""
        self._overloaded_at = 0.0
        """When a request was rejected for overload: the next one may be held; 0 once that is over."""
        self._held_until = 0.0
        """The instant of the deadline of a request that is held; 0: there is no deadline."""
        self._ended = False

    # -- what comes

    def receive(self, data: bytes) -> None:
        """Take what was just read; answer it, if nothing before it is being answered."""
        self._reader.add(data, self._stream, is_answering=self._is_answering)
        if self._request is None:
            self.process()
        self._update_reading()

    def process(self) -> None:
        """Answer what was read, until a request has to wait or nothing is left."""
        if self._processing or self._yielding:
            return
        self._processing = True
        try:
            self._answer_pending()
        except Exception:  # noqa: BLE001 (a border: this connection pays for an internal error, whatever led here)
            self._context.loop.internal_error()
            self._connection.abort()
        self._processing = False
        if self._connection.paused:
            self._update_reading()

    @property
    def holds_requests(self) -> bool:
        """Return whether something was read and not answered yet."""
        return self._reader.holds_requests

    def on_deadline(self) -> None:
        """Continue after backpressure, or after the other connections were served."""
        if not self._ended:
            self._yielding = False
            if self._context.loop.clock() >= self._held_until:
                self._held_until = 0.0
            self.process()

    def on_late_body(self, unfinished: UnfinishedRequest) -> None:
        """Have a request answered whose body has not come whole, now that its answer is due."""
        connection = self._connection
        while self._unfinished is unfinished and not connection.paused and connection.read():
            pass  # the rest may have come while we were stopped
        if self._unfinished is unfinished:
            self._reader.give_up_body()
            self.process()

    def end(self) -> None:
        """Answer nothing further: cancel the request that is being answered, and keep nothing of the others."""
        self._ended = True
        self._reader.close()
        self._end_unfinished()
        self._request = None
        answering, self._answering = self._answering, None
        if answering is not None:
            answering.cancel()

    def _answer_pending(self) -> None:
        context, reader, stream, answered = self._context, self._reader, self._stream, 0
        while self._request is None and not (self._ended or stream.blocked):
            if reader.requests:
                if self._overloaded_at > 0.0 and self._is_held(reader.requests[0]):
                    break
                if answered == REQUESTS_PER_STEP or (
                    answered and stream.unsent_bytes > context.limits.write_buffer_bytes
                ):
                    self._yield()
                    break
                answered += 1
                self._answer(reader.requests.pop(0))
            elif reader.rejected is not None:
                self.reject(reader.rejected)
            elif reader.has_unparsed:
                reader.parse()
            else:
                self._wait_for_rest()
                break

    def _yield(self) -> None:
        """Let the other connections have their turn, and what was written be sent, before the next request."""
        self._yielding = True
        self._context.loop.call_at(self._context.loop.clock(), self)

    def _update_reading(self) -> None:
        """Have the socket read, unless too much is held already."""
        paused = self._reader.held_bytes > self._context.max_pipelined_bytes
        if paused != self._connection.paused:
            if not paused:
                self._reader.resumed()
            self._connection.pause(paused=paused)

    # -- one request

    def _answer(self, request: Request) -> None:
        self._connection.idle_since = inf
        if self._unfinished is not None:
            self._end_unfinished()
        if request.message is not None:
            request.message.address = self._connection.client_address()
        self._request = request
        answering = self._context.handler.handle(request, self)
        # Not `self._request is not None`: mypy takes it for what it was set to above, and compiled it raises TypeError.
        if self._is_answering:
            self._answering = answering

    @property
    def _is_answering(self) -> bool:
        return self._request is not None

    def respond(self, response: Response) -> None:
        """Send the response to the request that is being answered (`core.request.Responder`)."""
        request = self._request
        if request is None:
            return
        self._request = self._answering = None
        try:
            self._send(request, response)
        except Exception:  # noqa: BLE001 (a border: what ended the race has no other answer to give)
            self._context.loop.internal_error()
            self._connection.abort()
        if not (self._processing or self._ended):
            self.process()

    def _send(self, request: Request, response: Response) -> None:
        if request.message is not None and request.message.body_bytes:
            self._reader.release_body(request.message.body_bytes)
        context = self._context
        keep_alive = request.keep_alive and not context.draining
        connection = b"" if keep_alive else CLOSE
        if keep_alive and request.announce_keep_alive:
            connection = _KEEP_ALIVE
        now = context.loop.clock()
        self._connection.idle_since = now
        self._stream.write(
            context.writer.serialize(
                response,
                request.request_id,
                arrived_at=request.arrived_at,
                now=now,
                connection=connection,
                is_head=request.method == b"HEAD",
            )
        )
        if not keep_alive:
            self._connection.close_gracefully()
        elif response.code == "overloaded":
            self._overloaded_at = now

    def reject(self, rejected: RequestRejected) -> None:
        """Answer it, unless a request is being answered; then close the connection."""
        if self._request is not None:
            return
        context, reader = self._context, self._reader
        context.on_rejected(rejected.code, rejected.reason, reader.request_in_body)
        self._stream.write(reader.serialize_rejection(rejected))
        self._connection.close_gracefully()

    def _wait_for_rest(self) -> None:
        """Ask for the rest of the request that has come in part, if there is one, and bound its time."""
        if self._reader.has_partial_request:
            if self._reader.take_continue():
                self._stream.write(_CONTINUE)
            unfinished = self._unfinished
            if unfinished is None:
                self._unfinished = unfinished = UnfinishedRequest(self, self._connection, self._context)
            request = self._reader.request_in_body
            if request is not None:
                unfinished.expect_body(request)

    def _end_unfinished(self) -> None:
        unfinished, self._unfinished = self._unfinished, None
        if unfinished is not None:
            unfinished.end()

    # -- backpressure

    def _is_held(self, request: Request) -> bool:
        """Return whether a request has to wait, as the one before it was rejected. Its own timeout bounds that."""
        context = self._context
        limits = context.limits
        timeout_s = context.handler.timeout_ms(request) / 1000
        until = min(
            self._overloaded_at + limits.backpressure_s,
            request.arrived_at + timeout_s * limits.backpressure_share,
        )
        if context.loop.clock() >= until:
            self._overloaded_at = 0.0
            return False
        if self._held_until == 0.0:
            self._held_until = until
            context.loop.call_at(until, self)
        return True
