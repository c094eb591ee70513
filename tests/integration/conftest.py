"""A whole worker in this process, before an upstream of the test's choice; nothing may be left of it."""

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest
from msgspec.structs import replace

from hedgerow.eventloop.loop import EventLoop
from hedgerow.processes.worker import Worker
from hedgerow.request_task import RequestTask
from hedgerow.server.server import HttpServer
from hedgerow.settings import AccessLog, Settings, parse_target
from hedgerow.telemetry.snapshot import Snapshot
from support.faulty_sockets import Faults, ListeningSocket
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

    def __init__(self, server: HttpServer, loop: EventLoop) -> None:
        self.expected_internal_errors = 0
        """Of a test that brings some about."""
        self.faults = Faults()
        sock = ListeningSocket(self.faults)
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
        self.close_parts()
        assert self.server.connections == 0
        loop = self.thread.loop
        assert not loop.clients._sources
        assert not loop._listeners
        assert not loop._sources

    def close_parts(self) -> None:
        self.server.close()
        self.thread.loop.close()


class ServedWorker(Served):
    """A whole worker."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        super().__init__(worker.server, worker.loop)

    @property
    def counts(self) -> Snapshot:
        """The worker's counts; from the test's own thread."""
        return self.call(self.worker.snapshot)

    def close_parts(self) -> None:
        bugs = self.worker.snapshot().internal_errors
        self.worker.close()
        assert bugs == self.expected_internal_errors
        assert not self.worker.pool.connections
        assert self.worker.admission.in_flight == 0
        assert {(route.in_flight, route.attempts_in_flight) for route in self.worker.routes} == {(0, 0)}
        buckets = self.worker.loop.deadlines._buckets.values()
        assert not [waiter for bucket in buckets for waiter in bucket if isinstance(waiter, RequestTask)]


Serve = Callable[..., Awaitable[ServedWorker]]


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
    await asyncio.get_running_loop().shutdown_default_executor()  # as `asyncio.run` does for the supervisor
    left = open_sockets() - sockets_before
    assert not left, f"{len(left)} sockets left in process {os.getpid()}"
    new_threads = [thread for thread in threading.enumerate() if thread not in threads_before]
    assert [thread for thread in new_threads if thread.name != LOG_THREAD] == []


@pytest.fixture
async def serve(_nothing_left: list[Served]) -> Serve:
    """Start a worker: `await serve(url, hedges=1, …)`. Afterwards nothing of it may be left."""

    async def start(url: str, **settings: object) -> ServedWorker:
        chosen = replace(SETTINGS, **settings)
        served = ServedWorker(Worker(chosen, parse_target(url)))
        _nothing_left.append(served)
        return served

    return start
