"""A server whose event loop runs within asyncio, as the admin port's does."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from hedgerow.core.request import Handler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.processes.loop_bridge import LoopBridge
from hedgerow.server.server import HttpServer
from hedgerow.settings import ClientLimits
from support.raw_http import Client, HttpResponse


class Bridged:
    """A server that answers on `port`, in the test's own thread."""

    def __init__(
        self, handler: Handler, limits: ClientLimits, *, max_clients: int, evicts_idle: bool
    ) -> None:
        self.internal_errors: list[BaseException | None] = []
        self.loop = EventLoop(
            monotonic, on_internal_error=lambda: self.internal_errors.append(sys.exception())
        )
        self.bridge = LoopBridge(self.loop)
        self.server = HttpServer(
            handler,
            limits,
            self.loop,
            max_clients=max_clients,
            on_rejected=lambda _code, _reason: None,
            evicts_idle=evicts_idle,
        )
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        self.port: int = sock.getsockname()[1]
        self.server.start(sock)
        self.bridge.run_once()

    async def client(self) -> Client:
        return await Client.connect(self.port)

    async def get(self, target: str) -> HttpResponse:
        client = await self.client()
        response = await client.get(target)
        client.close()
        return response

    async def until_connections(self, number: int) -> None:
        while self.server.connections != number:  # noqa: ASYNC110 (it is a plain number)
            await asyncio.sleep(0)

    def close(self) -> None:
        self.server.close()
        self.bridge.run_once()
        self.bridge.close()
        assert self.server.connections == 0
        assert not self.loop.clients._sources
        assert not self.loop._listeners
        assert not self.internal_errors
        self.loop.close()


@contextmanager
def bridged(
    handler: Handler,
    limits: ClientLimits | None = None,
    *,
    max_clients: int = 64,
    evicts_idle: bool = False,
) -> Iterator[Bridged]:
    """Run a server within the running loop of asyncio."""
    served = Bridged(handler, limits or ClientLimits(), max_clients=max_clients, evicts_idle=evicts_idle)
    try:
        yield served
    finally:
        served.close()
