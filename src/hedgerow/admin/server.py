"""The server of the admin port, on asyncio. A new connection is always accepted: the longest idle one is closed for it.

Probes decide whether a gateway is kept running. So connections that send nothing, send without end or do not read can
displace each other, but never a probe: none is closed before its first request had time to arrive.
Requests are parsed by the main port's parser. docs/decisions/0020-admin-port.md
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Final

from hedgerow.admin.connection import READ_BYTES, AdminConnection
from hedgerow.core.request import Request, RequestIdGenerator
from hedgerow.core.response import Response
from hedgerow.server.request_parser import RequestParser
from hedgerow.server.response_writer import ResponseWriter
from hedgerow.server.whole_head import WholeHeads
from hedgerow.settings import ClientLimits

MAX_CONNECTIONS: Final = 256
"""Open at the same time; one more closes the longest idle one. Some 10 KiB each."""
GRACE_S: Final = 0.05
"""A connection without a request is not closed for another one before this: a probe's request may be on its way. A
flood of connections that send nothing is accepted at 5 000/s, as fast as asyncio can."""
ACCEPT_BATCH: Final = 64
"""Connections accepted in one iteration, some 6 ms; then the open ones are served."""
ACCEPT_PAUSE_S: Final = 0.01
"""How long nothing is accepted when no connection may be closed; new ones wait in the kernel."""
RECEIVE_BUFFER_BYTES: Final = 16 * 1024
"""What the kernel holds of a client that sends without end: asyncio reads up to 256 KiB of that at once."""
_RST_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""`struct linger` of socket(7): otherwise the kernel keeps what the client does not read for minutes."""


class AdminServer:
    """Serves one listening socket. All methods are called on the running event loop."""

    def __init__(
        self,
        answer: Callable[[Request], Awaitable[Response]],
        limits: ClientLimits,
        *,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        """`answer` raises nothing."""
        self._answer = answer
        self._limits = limits
        self._max_connections = max_connections
        self._loop = asyncio.get_running_loop()
        self._sock: socket.socket | None = None
        self._idle: dict[asyncio.Task[None], bool] = {}
        """The connections without a request under way, the longest idle first, and whether they may be closed."""
        self._answering: dict[asyncio.Task[None], bool] = {}
        """The other connections, the oldest request first; a request that came at once, as a probe's, is answered."""
        self._whole_heads = WholeHeads(self._limits, RequestIdGenerator().next, passed_on=False)
        self._writer = ResponseWriter()

    @property
    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._idle) + len(self._answering)

    def start(self, sock: socket.socket) -> None:
        """Listen on a bound socket, which is not closed here; raises OSError."""
        # What is accepted inherits these.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._limits.send_buffer_bytes)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.listen(self._limits.listen_backlog)
        sock.setblocking(False)
        self._sock = sock
        self._loop.add_reader(sock, self._accept, sock)

    async def close(self) -> None:
        """Stop listening, and close every connection at once."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self._loop.remove_reader(sock)
        open_connections = {*self._idle, *self._answering}
        for connection in open_connections:
            connection.cancel()
        if open_connections:
            await asyncio.wait(open_connections)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPT_BATCH):
            if self.connections > self._max_connections and not self._close_longest_idle():
                self._pause(listener)
                return
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # EMFILE and its like: the listening socket stays readable
                if not self._close_longest_idle():
                    self._pause(listener)
                return
            sock.setblocking(False)
            task = self._loop.create_task(self._serve(sock))
            self._idle[task] = False
            task.add_done_callback(partial(self._on_closed, sock))
            if self.connections > self._max_connections:
                self._close_longest_idle()

    def _pause(self, listener: socket.socket) -> None:
        self._loop.remove_reader(listener)
        self._loop.call_later(ACCEPT_PAUSE_S, self._accept_again)

    def _accept_again(self) -> None:
        if self._sock is not None:
            self._loop.add_reader(self._sock, self._accept, self._sock)

    def _close_longest_idle(self) -> bool:
        """Close the connection that has been idle for longest; return whether one may be closed."""
        longest = self._longest_idle()
        if longest is None:
            return False
        longest.cancel()
        self._forget(longest)
        return True

    def _longest_idle(self) -> "asyncio.Task[None] | None":
        for connections in (self._idle, self._answering):
            for connection, may_be_closed in connections.items():
                if may_be_closed:
                    return connection
        return None if self._idle else next(iter(self._answering), None)

    def _end_grace(self, connection: asyncio.Task[None] | None) -> None:
        if connection in self._idle:
            self._idle[connection] = True

    def _forget(self, connection: asyncio.Task[None]) -> None:
        self._idle.pop(connection, None)
        self._answering.pop(connection, None)

    def _on_closed(self, sock: socket.socket, connection: asyncio.Task[None]) -> None:
        self._forget(connection)
        sock.close()  # also if the task was cancelled before it began

    async def _serve(self, sock: socket.socket) -> None:
        """Serve one connection to its end; cancelling closes it at once."""
        try:
            reader, writer = await asyncio.open_connection(sock=sock, limit=READ_BYTES)
        except OSError:  # the client has gone, or the socket cannot be watched
            return
        writer.transport.set_write_buffer_limits(high=0)  # `drain` waits until all is sent
        # The socket is watched only now, and the grace ends one iteration later: what has come by then is
        # read first, also if the loop was stopped meanwhile.
        end_grace = partial(self._end_grace, asyncio.current_task())
        self._loop.call_later(GRACE_S, self._loop.call_soon, end_grace)
        try:
            await AdminConnection(self, reader, writer).serve(self._limits)
        except OSError:  # the client has gone; or TimeoutError: it sends nothing or does not read
            if writer.transport.get_write_buffer_size():
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        finally:
            writer.transport.abort()

    async def respond(self, request: Request) -> bytes:
        """Return the response to a request as it goes over the wire."""
        task = asyncio.current_task()
        if task in self._idle:
            self._answering[task] = self._idle.pop(task)
        response = await self._answer(request)
        if task in self._answering:
            del self._answering[task]
            self._idle[task] = True
        connection = b"Connection: keep-alive\r\n" if request.announce_keep_alive else b""
        if not request.keep_alive:
            connection = b"Connection: close\r\n"
        return self.serialize(response, request, connection, is_head=request.method == b"HEAD")

    def serialize(self, response: Response, request: Request, connection: bytes, *, is_head: bool) -> bytes:
        """Return a response as it goes over the wire, with its Connection header line."""
        return self._writer.serialize(
            response,
            request.request_id,
            arrived_at=request.arrived_at,
            now=monotonic(),
            connection=connection,
            is_head=is_head,
        )

    def new_parser(self, on_request: Callable[[Request], None]) -> RequestParser:
        """Return a parser for one connection."""
        return RequestParser(self._limits, on_request, self._whole_heads)
