"""A whole worker in this process, before an upstream of the test's choice; nothing may be left of it."""

import asyncio
import gc
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from time import monotonic
from typing import TypeVar

import pytest

from hedgerow.core.request import Handler, Request
from hedgerow.eventloop.loop import EventLoop
from hedgerow.gateway import RequestTask
from hedgerow.processes.worker import Worker
from hedgerow.server.server import HttpServer
from hedgerow.settings import AccessLog, ClientLimits, Settings, parse_target
from hedgerow.telemetry.snapshot import Snapshot
from support.loop_thread import LoopThread
from support.process_resources import open_sockets
from support.raw_http import Client, HttpResponse

ITERATIONS_TO_CLOSE = 20
"""A transport of asyncio that was closed is gone after this many iterations of asyncio's loop."""

SETTINGS = Settings(access_log=AccessLog.OFF, drain_ms=2_000, shedding="off")
"""No test is to depend on how much CPU there happens to be."""

LOG_THREAD = "log"
"""It ends with the process."""

T = TypeVar("T")


class Served:
    """A server that answers on `port`, and its event loop in a thread of its own."""

    def __init__(
        self, server: HttpServer, loop: EventLoop, internal_errors: list[BaseException | None]
    ) -> None:
        self.internal_errors = internal_errors
        """What the event loop has caught; a test that expects some clears it."""
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        self.port: int = sock.getsockname()[1]
        self.server = server
        server.start(sock)
        self.thread = LoopThread(loop)

    def call(self, function: Callable[[], T]) -> T:
        """Run a function on the server's thread."""
        return self.thread.call(function)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds after an iteration of the server's event loop; pytest-timeout bounds it."""
        await self.thread.until(holds)

    @property
    def connections(self) -> int:
        return self.call(lambda: self.server.connections)

    async def client(self) -> Client:
        return await Client.connect(self.port)

    async def get(self, target: str = "/api/smart", **headers: str) -> HttpResponse:
        """Send one request on a connection of its own."""
        client = await self.client()
        response = await client.get(target, **headers)
        client.close()
        return response

    async def drain(self) -> None:
        """Drain the server, and wait until its last connection is closed."""
        drained = threading.Event()
        self.call(lambda: self.server.drain(drained.set))
        await self.until(drained.is_set)

    def close(self) -> None:
        """Stop the thread, close the server, and assert that nothing of it is left."""
        self.thread.stop()
        loop = self.thread.loop
        self.close_parts()
        assert not self.internal_errors
        assert self.server.connections == 0
        assert not loop._client_sources
        assert not loop._listeners
        assert not loop._sources
        loop.close()

    def close_parts(self) -> None:
        self.server.close()


class ServedWorker(Served):
    """A whole worker."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        errors: list[BaseException | None] = []
        internal_error = worker.recorder.internal_error

        def on_internal_error(request: Request | None) -> None:
            errors.append(sys.exception())
            internal_error(request)

        worker.recorder.internal_error = on_internal_error  # type: ignore[method-assign]
        super().__init__(worker.server, worker.loop, errors)

    @property
    def counts(self) -> Snapshot:
        """The worker's counts; from the test's own thread."""
        return self.call(self.worker.snapshot)

    def close_parts(self) -> None:
        loop_close = self.worker.loop.close
        self.worker.loop.close = _nothing  # type: ignore[method-assign] # it is looked at before
        self.worker.close()
        self.worker.loop.close = loop_close  # type: ignore[method-assign]
        assert not self.worker.pool.connections
        assert self.worker.admission.in_flight == 0
        buckets = self.worker.loop.deadlines._buckets.values()
        assert not [waiter for bucket in buckets for waiter in bucket if isinstance(waiter, RequestTask)]


def _nothing() -> None:
    return


Serve = Callable[..., Awaitable[ServedWorker]]
ServeHandler = Callable[..., Served]


@pytest.fixture
async def _nothing_left() -> AsyncIterator[list[Served]]:
    gc.collect()
    sockets_before, threads_before = open_sockets(), set(threading.enumerate())
    started: list[Served] = []
    yield started
    for served in started:
        served.close()
    for _ in range(ITERATIONS_TO_CLOSE):
        await asyncio.sleep(0)
    gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    left = open_sockets() - sockets_before
    assert not left, f"{len(left)} sockets left in process {os.getpid()}"
    new_threads = [thread for thread in threading.enumerate() if thread not in threads_before]
    assert [thread for thread in new_threads if thread.name != LOG_THREAD] == []


@pytest.fixture
async def serve(_nothing_left: list[Served]) -> Serve:
    """Start a worker: `await serve(url, hedges=1, …)`. Afterwards nothing of it may be left."""

    async def start(url: str, **settings: object) -> ServedWorker:
        chosen = replace(SETTINGS, **settings)  # type: ignore[arg-type]
        served = ServedWorker(Worker(chosen, parse_target(url)))
        _nothing_left.append(served)
        return served

    return start


@pytest.fixture
async def serve_handler(_nothing_left: list[Served]) -> ServeHandler:
    """Start a server without a gateway: `serve_handler(handler, max_clients=1, …)`."""

    def start(
        handler: Handler, *, limits: ClientLimits | None = None, max_clients: int = 1_000, **more: object
    ) -> Served:
        errors: list[BaseException | None] = []
        loop = EventLoop(monotonic, on_internal_error=lambda: errors.append(sys.exception()))
        server = HttpServer(
            handler,
            limits or ClientLimits(),
            loop,
            max_clients=max_clients,
            on_rejected=lambda _code, _reason: None,
            **more,  # type: ignore[arg-type]
        )
        served = Served(server, loop, errors)
        _nothing_left.append(served)
        return served

    return start
