"""The listening server of one process, as an object with a beginning and an end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from hedgerow_simulator.behaviour import Behaviour
from hedgerow_simulator.capacity import Capacity
from hedgerow_simulator.connection import Connection
from hedgerow_simulator.connection_registry import ConnectionRegistry
from hedgerow_simulator.limits import LISTEN_BACKLOG
from hedgerow_simulator.listen import listen, work_url
from hedgerow_simulator.request_log import LogEntry
from hedgerow_simulator.stats import SharedCounters, Stats, StatsCounter
from hedgerow_simulator.upstream import Upstream
from hedgerow_simulator.work_queue import WorkQueue


class Simulator:
    """A running simulator: its URL, its counts and its log."""

    def __init__(self, upstream: Upstream, url: str, connections: ConnectionRegistry) -> None:
        self.url = url
        self._upstream = upstream
        self._connections = connections

    @property
    def stats(self) -> Stats:
        """Return the current counts, as `/stats` does."""
        return self._upstream.counts.stats()

    def log(self, *, after: int = 0) -> list[LogEntry]:
        """Return the requests numbered above `after`, as `/log` does; none unless started with `log`."""
        return self._upstream.log.after(after)

    async def until(self, condition: Callable[[Stats], bool]) -> Stats:
        """Wait for the moment at which the condition holds, e.g. `lambda stats: stats.clients_left == 1`.

        It has no limit of its own: bound it with `asyncio.timeout`.
        """
        return await self._upstream.counts.until(condition)

    def abort_connections(self) -> None:
        """Cut off every open connection, idle ones too, as a server that dies would."""
        self._connections.abort_all()


@asynccontextmanager
async def running_simulator(
    behaviour: Behaviour | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    log: bool = False,
    capacity: Capacity | None = None,
) -> AsyncIterator[Simulator]:
    """Run a simulator in this event loop for the duration of the block.

    By default it makes no faults and answers at once. At the end, also when cancelled, it stops listening and
    cuts off every connection. Raises OSError if it cannot listen, e.g. on a port that is taken.
    """
    upstream = Upstream(
        behaviour or Behaviour.faultless(), StatsCounter(SharedCounters(workers=1), 0), log=log
    )
    (listener,) = listen(host, port, count=1)
    async with serving(upstream, listener, capacity or Capacity()) as simulator:
        yield simulator


@asynccontextmanager
async def serving(
    upstream: Upstream, listener: socket.socket, capacity: Capacity
) -> AsyncIterator[Simulator]:
    """Serve on a listening socket, which is closed at the end. Disturbances of the capacity count from now."""
    connections = ConnectionRegistry()
    loop = asyncio.get_running_loop()
    if not capacity.is_unlimited:
        upstream.queue = WorkQueue(capacity, upstream.counts, loop.call_later)
    server = await loop.create_server(
        lambda: Connection(upstream, connections), sock=listener, backlog=LISTEN_BACKLOG
    )
    connections.start_reaping()
    try:
        yield Simulator(upstream, work_url(listener), connections)
    finally:
        server.close()
        connections.close()
        await upstream.counts.until(lambda _: connections.all_gone)
        await server.wait_closed()
