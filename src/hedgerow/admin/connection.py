"""One connection to the admin port: requests in, responses out, one after the other."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final, Protocol

from hedgerow.core.request import Request
from hedgerow.core.response import Response
from hedgerow.server.request_parser import RequestParser
from hedgerow.server.request_rejected import RequestRejected, slow_head
from hedgerow.settings import ClientLimits

READ_BYTES: Final = 4 * 1024
"""Read at a time: about 100 pipelined requests, which are answered before more is read."""


class Server(Protocol):
    """What a connection uses of its server."""

    async def respond(self, request: Request) -> bytes: ...
    def serialize(
        self, response: Response, request: Request, connection: bytes, *, is_head: bool
    ) -> bytes: ...
    def new_parser(self, on_request: Callable[[Request], None]) -> RequestParser: ...


class AdminConnection:
    """One connection: reads requests, and answers one after the other."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._requests: list[Request] = []
        self._parser = server.new_parser(self._requests.append)

    async def serve(self, limits: ClientLimits) -> None:
        """Serve until the client closes the connection, or a response closes it.

        Raises OSError, and TimeoutError for a client that sends nothing or does not read.
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
                rejected = slow_head(limits.head_timeout_s)
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
            await asyncio.sleep(0)  # other connections are served in between
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
        """Send FIN and read on for a while: RST could take the response from the client (RFC 9112 section 9.6)."""
        self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(limits.linger_s):
                while await self._reader.read(READ_BYTES):
                    pass

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
