"""Counts of the server: one row of counters for each worker, in shared memory.

Each worker writes its own row only, so no lock is needed. The worker that answers `/stats` adds up all rows.
"""

import asyncio
import mmap
from collections.abc import Callable
from dataclasses import asdict, dataclass

from hedgerow_simulator.faults import KINDS

_CELL_BYTES = 8

_COLUMN = {kind: column for column, kind in enumerate(KINDS)}
_IN_FLIGHT = len(KINDS)
_ACCEPTED = len(KINDS) + 1
_OPEN = len(KINDS) + 2
_CLIENTS_LEFT = len(KINDS) + 3
_BUSY = len(KINDS) + 4
_QUEUED = len(KINDS) + 5
_WASTED = len(KINDS) + 6
_COLUMNS = len(KINDS) + 7


@dataclass(frozen=True, slots=True)
class Stats:
    """The counts at one moment.

    `total` counts requests for work from their arrival, and is the sum of `by_fault`.

    `clients_left` counts the clients whose connection ended (a FIN counts as leaving) before their answer
    was done, unless it was the server that ended it.

    `busy` and `queued` are requests on a worker and before one, those included whose client has left; `wasted` counts
    requests that a worker has finished for a client who had left. All are 0 where no capacity was asked for.
    """

    total: int
    in_flight: int
    by_fault: dict[str, int]
    connections_accepted: int
    connections_open: int
    clients_left: int
    busy: int = 0
    queued: int = 0
    wasted: int = 0

    def as_json(self) -> dict[str, object]:
        """Return the counts for `json.dumps`."""
        return asdict(self)


class SharedCounters:
    """The counters of all workers. Made before the workers are forked."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._cells = memoryview(mmap.mmap(-1, workers * _COLUMNS * _CELL_BYTES)).cast("Q")

    def row(self, index: int) -> "memoryview[int]":
        """Return the counters of one worker, for that worker to write."""
        return self._cells[index * _COLUMNS : (index + 1) * _COLUMNS]

    def sums(self) -> list[int]:
        """Return each column, summed over the workers."""
        cells = self._cells.tolist()
        return [sum(cells[column::_COLUMNS]) for column in range(_COLUMNS)]


class StatsCounter:
    """Counts the events of one worker, and waits for counts."""

    def __init__(self, rows: SharedCounters, index: int) -> None:
        self._rows = rows
        self._row = rows.row(index)
        self._waiting: list[tuple[Callable[[Stats], bool], asyncio.Future[None]]] = []

    def connected(self) -> None:
        """Count an accepted connection."""
        self._row[_ACCEPTED] += 1
        self._row[_OPEN] += 1
        self._changed()

    def disconnected(self) -> None:
        """Count a closed connection."""
        self._row[_OPEN] -= 1
        self._changed()

    def begun(self, kind: str) -> None:
        """Count a request for work, by its fault."""
        self._row[_COLUMN[kind]] += 1
        self._row[_IN_FLIGHT] += 1
        self._changed()

    def ended(self) -> None:
        """Count the end of a request for work."""
        self._row[_IN_FLIGHT] -= 1
        self._changed()

    def client_left(self) -> None:
        """Count a client that disconnected before that."""
        self._row[_IN_FLIGHT] -= 1
        self._row[_CLIENTS_LEFT] += 1
        self._changed()

    def occupied(self, busy: int, queued: int) -> None:
        """Note how many requests are on a worker, and before one."""
        self._row[_BUSY] = busy
        self._row[_QUEUED] = queued
        self._changed()

    def wasted(self) -> None:
        """Note that a worker has finished a request whose client had left."""
        self._row[_WASTED] += 1
        self._changed()

    def stats(self) -> Stats:
        """Return the current counts of all workers."""
        sums = self._rows.sums()
        by_fault = {kind: count for kind, count in zip(KINDS, sums, strict=False) if count}
        return Stats(
            total=sum(by_fault.values()),
            in_flight=sums[_IN_FLIGHT],
            by_fault=by_fault,
            connections_accepted=sums[_ACCEPTED],
            connections_open=sums[_OPEN],
            clients_left=sums[_CLIENTS_LEFT],
            busy=sums[_BUSY],
            queued=sums[_QUEUED],
            wasted=sums[_WASTED],
        )

    async def until(self, condition: Callable[[Stats], bool]) -> Stats:
        """Wait, without a timeout, for the first event of this worker after which the condition holds.

        Cancelling leaves nothing behind. An exception of the condition is raised here.
        """
        while not condition(stats := self.stats()):
            event: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting = (condition, event)
            self._waiting.append(waiting)
            try:
                await event
            finally:
                self._waiting.remove(waiting)
        return stats

    def _changed(self) -> None:
        if self._waiting:
            for _, event in self._waiting:
                if not event.done():
                    event.set_result(None)
