"""An admin port that is served on a real socket, and its clients."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from hedgerow.admin.server import AdminServer
from hedgerow.core.request import Request
from hedgerow.core.response import Response
from hedgerow.settings import ClientLimits
from support.raw_http import Client, HttpResponse

FEW = 8
"""Connections that the port has room for, unless the test says otherwise."""
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
Answer = Callable[[Request], Awaitable[Response]]


async def live(_: Request) -> Response:
    """Answer as a probe expects."""
    return Response(200, b"live")


class Port:
    """A served admin port."""

    def __init__(self, server: AdminServer, port: int) -> None:
        self.server = server
        self.port = port
        self._clients: list[Client] = []

    async def client(self, sends: bytes = b"") -> Client:
        client = await Client.connect(self.port)
        client.send(sends)
        self._clients.append(client)
        return client

    async def probe(self, path: str = "/livez") -> HttpResponse:
        """Ask on a new connection, as a probe does."""
        client = await Client.connect(self.port)
        response = await client.get(path)
        client.close()
        return response

    async def until_connections(self, number: int) -> None:
        while self.server.connections != number:  # noqa: ASYNC110 (it is a plain number)
            await asyncio.sleep(0)

    async def close(self) -> None:
        await self.server.close()
        assert self.server.connections == 0
        for client in self._clients:
            client.writer.transport.abort()


@asynccontextmanager
async def served(
    answer: Answer = live, *, limits: ClientLimits | None = None, max_connections: int = FEW
) -> AsyncIterator[Port]:
    """Serve an admin port, and assert that no connection is left."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        server = AdminServer(answer, limits or ClientLimits(), max_connections=max_connections)
        server.start(sock)
        port = Port(server, sock.getsockname()[1])
        try:
            yield port
        finally:
            await port.close()
            await asyncio.sleep(0)  # transports that were aborted close in the next iteration
