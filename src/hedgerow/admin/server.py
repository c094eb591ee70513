"""The server of the admin port, on asyncio. A new connection always gets in: the longest idle makes room for it.

Probes decide whether a gateway lives. So a connection that sends nothing, sends without end or does not read can cost
other such connections their place, but never a probe: none is closed before its first request had time to come.
Requests are parsed by the main port's parser. docs/decisions/0018-admin-port.md
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from math import inf
from time import monotonic
from typing import Final

from hedgerow.core.request import Request, RequestIdGenerator
from hedgerow.core.response import Response
from hedgerow.server.request_cache import ParsedRequestCache
from hedgerow.server.request_parser import RequestParser
from hedgerow.server.request_rejected import RequestRejected
from hedgerow.server.response_writer import DateHeader, serialize_response
from hedgerow.settings import ClientLimits

MAX_CONNECTIONS: Final = 256
"""Open at the same time; the next one closes the one that has been idle for longest. Some 10 KiB each."""
GRACE_S: Final = 0.05
"""A connection without a request is not closed for another one before this: a probe's request may be on its way. So a
flood of connections that say nothing is taken in at 5 000 a second, as fast as asyncio accepts them."""
ACCEPT_BATCH: Final = 16
"""Connections accepted in one iteration, some 2 ms; then those that are open have their turn."""
ACCEPT_PAUSE_S: Final = 0.01
"""How long nothing is accepted when there is no room and no connection that may be closed; the kernel keeps them."""
READ_BYTES: Final = 4 * 1024
"""Read at a time: about 100 pipelined requests, which are answered before more is read."""
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
        self._idle: dict[asyncio.Task[None], float] = {}
        """The connections without a request under way, the longest idle first, and from when they may be closed."""
        self._answering: dict[asyncio.Task[None], None] = {}
        """The other connections, the oldest request first."""
        self._next_id = RequestIdGenerator().next
        self._date = DateHeader()

    @property
    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._idle) + len(self._answering)

    def start(self, sock: socket.socket) -> None:
        """Listen on a bound socket, which stays the caller's; raises OSError."""
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
            self._idle[task] = self._loop.time() + GRACE_S
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
        """Close the connection that has been idle for longest; return whether there was one that may be closed."""
        now = self._loop.time()
        if self._idle:
            longest = next((one for one, closable_at in self._idle.items() if closable_at <= now), None)
        else:
            longest = next(iter(self._answering), None)
        if longest is None:
            return False
        longest.cancel()
        self._forget(longest)
        return True

    def _forget(self, connection: asyncio.Task[None]) -> None:
        self._idle.pop(connection, None)
        self._answering.pop(connection, None)

    def _on_closed(self, sock: socket.socket, connection: asyncio.Task[None]) -> None:
        self._forget(connection)
        sock.close()  # also of one that was cancelled before it began

    async def _serve(self, sock: socket.socket) -> None:
        """Serve one connection to its end; cancelling closes it at once."""
        try:
            reader, writer = await asyncio.open_connection(sock=sock, limit=READ_BYTES)
        except OSError:  # it has gone, or cannot be watched
            return
        writer.transport.set_write_buffer_limits(high=0)  # what `drain` waits for is that all is sent
        try:
            await _Connection(self, reader, writer).serve(self._limits)
        except OSError:  # it has gone; or TimeoutError, which is one: it is silent, or does not read
            if writer.transport.get_write_buffer_size():
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        finally:
            writer.transport.abort()

    async def respond(self, request: Request) -> bytes:
        """Return the response to a request as it goes over the wire."""
        task = asyncio.current_task()
        if task in self._idle:
            del self._idle[task]
            self._answering[task] = None
        response = await self._answer(request)
        if task in self._answering:
            del self._answering[task]
            self._idle[task] = -inf
        connection = b"Connection: keep-alive\r\n" if request.announce_keep_alive else b""
        if not request.keep_alive:
            connection = b"Connection: close\r\n"
        return self.serialize(response, request, connection, is_head=request.method == b"HEAD")

    def serialize(self, response: Response, request: Request, connection: bytes, *, is_head: bool) -> bytes:
        """Return a response as it goes over the wire, with its Connection header line."""
        now = monotonic()
        return serialize_response(
            response,
            request.request_id,
            arrived_at=request.arrived_at,
            now=now,
            date=self._date.at(now),
            connection=connection,
            is_head=is_head,
        )

    def new_parser(self, on_request: Callable[[Request], None]) -> RequestParser:
        """Return a parser for one connection."""
        return RequestParser(self._limits, on_request, self._next_id, ParsedRequestCache())


class _Connection:
    """One connection: reads requests, and answers one after the other."""

    def __init__(
        self, server: AdminServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._requests: list[Request] = []
        self._parser = server.new_parser(self._requests.append)

    async def serve(self, limits: ClientLimits) -> None:
        """Answer until the client ends it, or has to be answered for the last time.

        Raises OSError, and TimeoutError for a client that is silent or does not read.
        """
        rejected: RequestRejected | None = None
        closes_at = self._now() + limits.idle_timeout_s
        while rejected is None:
            try:
                async with asyncio.timeout_at(closes_at):
                    data = await self._reader.read(READ_BYTES)
            except TimeoutError:
                if not self._parser.partial:
                    raise
                detail = f"no whole request head within {limits.head_timeout_s:g} s"
                rejected = RequestRejected("bad_request", detail, HTTPStatus.REQUEST_TIMEOUT)
                break
            if not data:
                return
            was_partial = self._parser.partial
            try:
                self._parser.feed(data, monotonic())
            except RequestRejected as error:
                rejected = error
            answered = bool(self._requests)
            if not await self._answer_all(limits):
                return
            if answered:
                closes_at = self._now() + limits.idle_timeout_s
            if self._parser.partial and (answered or not was_partial):
                closes_at = self._now() + limits.head_timeout_s
        await self._reject(rejected, limits)

    async def _answer_all(self, limits: ClientLimits) -> bool:
        """Answer the requests that were read; return whether the connection stays open."""
        while self._requests:
            request = self._requests.pop(0)
            await self._send(await self._server.respond(request), limits)
            if not request.keep_alive:
                await self._linger(limits)
                return False
            await asyncio.sleep(0)  # the other connections have their turn
        return True

    async def _reject(self, rejected: RequestRejected, limits: ClientLimits) -> None:
        parser = self._parser
        request = Request(b"", b"", b"", request_id=parser.request_id, arrived_at=monotonic())
        response, is_head = parser.error_response(rejected), parser.is_head
        await self._send(
            self._server.serialize(response, request, b"Connection: close\r\n", is_head=is_head), limits
        )
        await self._linger(limits)

    async def _send(self, data: bytes, limits: ClientLimits) -> None:
        self._writer.write(data)
        async with asyncio.timeout(limits.write_timeout_s):
            await self._writer.drain()

    async def _linger(self, limits: ClientLimits) -> None:
        """Send FIN and read on for a while: RST could take the answer from the client (RFC 9112 section 9.6)."""
        self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(limits.linger_s):
                while await self._reader.read(READ_BYTES):
                    pass

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
