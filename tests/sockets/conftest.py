"""A whole worker in this process, before an upstream of the test's choice; nothing may be left of it."""

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import uvloop

from hedgerow.settings import AccessLog, Settings, parse_target
from hedgerow.telemetry.snapshot import Snapshot
from hedgerow.worker import Worker
from sockets.raw_http import Caller

TURNS_TO_CLOSE = 20
"""A transport that was told to close does so within so many turns of the loop."""

CLOSES_WITHIN_S = 20
"""A worker that has not closed by then never will. After a failure pytest-timeout does not look any more."""

SETTINGS = Settings(access_log=AccessLog.OFF, drain_ms=2_000, shedding="off")
"""No test is to depend on how much CPU there happens to be."""


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that production has."""
    return {"uvloop": uvloop.new_event_loop}


@dataclass
class Served:
    """A worker that answers on `port`."""

    worker: Worker
    port: int

    @property
    def counts(self) -> Snapshot:
        return self.worker.snapshot()

    async def caller(self) -> Caller:
        return await Caller.connect(self.port)

    async def get(self, target: str = "/api/smart", **headers: str) -> "tuple[int, dict[str, str], bytes]":
        caller = await self.caller()
        answer = await caller.get(target, **headers)
        caller.close()
        return answer

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let the loop turn until something holds; pytest-timeout bounds it."""
        while not holds():  # noqa: ASYNC110 (what we wait for are plain numbers)
            await asyncio.sleep(0)


Serve = Callable[..., Awaitable[Served]]


def open_sockets() -> dict[int, int]:
    """Tell this process' TCP sockets by descriptor, each with its state; the event loop's own pair is none.

    By asking the descriptors: the kernel's list of connections is that of the whole machine, and may be long.
    """
    found: dict[int, int] = {}
    for link in Path("/proc/self/fd").iterdir():
        if link.is_socket():
            with socket.socket(fileno=os.dup(int(link.name))) as sock:
                if sock.family in (socket.AF_INET, socket.AF_INET6):
                    found[int(link.name)] = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return found


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a worker: `serve(url, hedges=1, …)`. Afterwards no task, socket, alarm or timer of it may be left."""
    gc.collect()
    sockets_before = open_sockets()
    started: list[Worker] = []

    async def start(url: str, **settings: object) -> Served:
        chosen = replace(SETTINGS, **settings)  # type: ignore[arg-type]
        worker = Worker(chosen, parse_target(url), asyncio.get_running_loop())
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        worker.start(sock)
        started.append(worker)
        return Served(worker, port)

    yield start
    for worker in started:
        async with asyncio.timeout(CLOSES_WITHIN_S):
            await worker.close()
        assert not worker.front.clients
        assert not worker.upstream.connections
        assert not len(worker.trampoline.alarms)
        assert not worker.snapshot().in_flight
        assert worker.gateway.in_flight == 0
    for _ in range(TURNS_TO_CLOSE):
        await asyncio.sleep(0)
    gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    left = open_sockets().keys() - sockets_before.keys()
    assert not left, f"{len(left)} sockets left in process {os.getpid()}"
