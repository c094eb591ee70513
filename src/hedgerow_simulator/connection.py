"""One client connection: requests are read and answered in order, by the steps of faults."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Iterator
from typing import cast

import httptools

from hedgerow_simulator.connection_registry import ConnectionRegistry
from hedgerow_simulator.limits import MAX_REQUEST_BYTES, PIPELINE_LIMIT
from hedgerow_simulator.upstream import NOT_HTTP, Answer, Request, Upstream
from hedgerow_simulator.wire_script import End, Pause, Step, with_connection_close
from hedgerow_simulator.work_queue import Job

_LINGER_ZERO = struct.pack("ii", 1, 0)
"""`SO_LINGER`, on, 0 seconds: `close` sends a RST in place of a FIN (socket(7))."""


class Connection(asyncio.Protocol):
    """Callbacks of the transport and of the parser, no task.

    At most one request is being answered (`_answer`), by at most one timer; the others wait in `_waiting`.
    When the client disconnects, the timer is cancelled and the rest is dropped.
    """

    def __init__(self, upstream: Upstream, connections: ConnectionRegistry) -> None:
        self.since = 0.0
        self._upstream = upstream
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._request = Request(b"", b"")
        self._unfinished_bytes = 0
        self._waiting: deque[Request] = deque()
        self._answer: Answer | None = None
        self._steps: Iterator[Step] = iter(())
        self._timer: asyncio.TimerHandle | None = None
        self._job: Job | None = None
        self._keep_alive = True
        self._broken = False
        self._closing = False
        self._reading = True
        self._writable = True
        self._transport: asyncio.Transport

    @property
    def is_busy(self) -> bool:
        """A request is being answered."""
        return self._answer is not None

    def abort(self) -> None:
        """Abort the connection; the client is not counted as having left."""
        self._closing = True
        self._transport.abort()

    # The transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count and keep the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self.since = self._loop.time()
        self._upstream.counts.connected()
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Parse requests; serve the first if no other is being answered."""
        if self._broken or self._closing:
            return
        self._unfinished_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._broken = True
        if self._unfinished_bytes > MAX_REQUEST_BYTES:
            self._broken = True
        if self._reading and (self._broken or len(self._waiting) > PIPELINE_LIMIT):
            self._reading = False
            self._transport.pause_reading()
        self._serve_waiting()

    def pause_writing(self) -> None:
        """Stop steps and requests while the client does not read."""
        self._writable = False

    def resume_writing(self) -> None:
        """Continue after `pause_writing`."""
        self._writable = True
        if self._answer is not None and self._timer is None:
            self._step()
        self._serve_waiting()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the transport's signature
        """Stop everything, and count a client that left while its request was being answered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        job, queue, self._job = self._job, self._upstream.queue, None
        if job is not None and queue is not None:
            queue.leave(job)
        if self._answer is not None and self._answer.is_work:
            if self._closing:
                self._upstream.counts.ended()
            else:
                self._upstream.counts.client_left()
        self._answer = None
        self._steps = iter(())
        self._closing = True
        self._waiting.clear()
        self._connections.discard(self)
        self._upstream.counts.disconnected()

    # The parser's callbacks

    def on_url(self, url: bytes) -> None:
        """Append to the target, which may arrive in pieces."""
        self._request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Record the header fields that matter."""
        match name.lower():
            case b"x-fault":
                self._request.fault = value
            case b"x-request-id":
                self._request.request_id = value
            case b"hedgerow-attempt":
                self._request.attempt = value

    def on_message_complete(self) -> None:
        """Queue the complete request."""
        request = self._request
        request.method = self._parser.get_method()
        request.keep_alive = self._parser.should_keep_alive()
        self._waiting.append(request)
        self._request = Request(b"", b"")
        self._unfinished_bytes = 0

    # Answering

    def _serve_waiting(self) -> None:
        while self._waiting and self._answer is None and self._writable and not self._closing:
            self._serve(self._waiting.popleft())
        if self._closing or self._answer is not None:
            return
        if self._broken and not self._waiting:
            self._transport.write(NOT_HTTP)
            self._close()
        elif not self._reading and len(self._waiting) <= PIPELINE_LIMIT:
            self._reading = True
            self._transport.resume_reading()

    def _serve(self, request: Request) -> None:
        self.since = self._loop.time()
        self._keep_alive = request.keep_alive
        answer = self._answer = self._upstream.answer(request)
        queue = self._upstream.queue
        if queue is not None and answer.needs_worker:
            self._job = queue.submit(answer.after_ms / 1000, self._due)
        elif answer.after_ms:
            self._timer = self._loop.call_later(answer.after_ms / 1000, self._due)
        else:
            self._begin(answer)

    def _due(self) -> None:
        self._timer = self._job = None
        if self._answer is not None:
            self._begin(self._answer)
            self._serve_waiting()

    def _begin(self, answer: Answer) -> None:
        if isinstance(answer.wire, bytes):
            self._transport.write(answer.wire if self._keep_alive else with_connection_close(answer.wire))
            self._end()
        else:
            self._steps = answer.wire
            self._step()

    def _step_later(self) -> None:
        self._timer = None
        self._step()
        self._serve_waiting()

    def _step(self) -> None:
        while self._writable:
            match next(self._steps, None):
                case bytes(data):
                    self._transport.write(data)
                case Pause(seconds):
                    self._timer = self._loop.call_later(seconds, self._step_later)
                    return
                case End.RESET:
                    self._end()
                    self._reset()
                    return
                case End.CLOSE:
                    self._keep_alive = False
                    self._end()
                    return
                case None:
                    self._end()
                    return

    def _end(self) -> None:
        """Note that the answer is done: everything of it is written, or it was never to be."""
        if self._answer is not None and self._answer.is_work:
            self._upstream.counts.ended()
        self._answer = None
        self.since = self._loop.time()
        if not self._keep_alive:
            self._close()

    def _close(self) -> None:
        self._closing = True
        self._transport.close()

    def _reset(self) -> None:
        peer: socket.socket = self._transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.abort()
