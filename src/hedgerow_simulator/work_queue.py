"""Workers and one FIFO queue before them: an upstream that can be overloaded, played.

A request's latency is how long it occupies a worker. Work whose client has left is done all the same, unless the server
notices: that is what keeps an overloaded server overloaded. It has no clock; its timer is handed in.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from math import prod

from hedgerow_simulator.capacity import Capacity, Disturbance
from hedgerow_simulator.limits import MAX_CAPACITY, MAX_QUEUE
from hedgerow_simulator.stats import StatsCounter

CallLater = Callable[[float, Callable[[], None]], object]
"""Calls back after so many seconds."""


class Job:
    """One request's work."""

    __slots__ = ("is_abandoned", "is_dropped", "is_running", "on_done", "service_s")

    def __init__(self, service_s: float, on_done: Callable[[], None]) -> None:
        self.service_s = service_s
        self.on_done = on_done
        self.is_running = False
        self.is_abandoned = False
        """Its client has left."""
        self.is_dropped = False
        """Its client has left, and the server has noticed."""


class WorkQueue:
    """The workers and the queue. Disturbances count from when it is made."""

    def __init__(self, capacity: Capacity, counts: StatsCounter, call_later: CallLater) -> None:
        self._workers = MAX_CAPACITY if capacity.workers is None else capacity.workers
        self._places = MAX_QUEUE if capacity.queue is None else capacity.queue
        self._notices_leaving = capacity.notices_leaving
        self._counts = counts
        self._call_later = call_later
        self._busy = self._queued = 0
        self._queue: deque[Job] = deque()
        """Also jobs that were dropped; `_queued` counts the others."""
        self._dips: list[float] = []
        self._slow: list[float] = []
        for span in capacity.dips:
            self._plan(span, self._dips)
        for span in capacity.slow:
            self._plan(span, self._slow)

    @property
    def is_full(self) -> bool:
        """Return whether a request would find neither a worker nor a place in the queue."""
        return self._busy >= self._available and self._queued >= self._places

    def submit(self, service_s: float, on_done: Callable[[], None]) -> Job:
        """Queue work that occupies a worker for `service_s`. `on_done` is called at its end if its client is there."""
        job = Job(service_s, on_done)
        self._queue.append(job)
        self._queued += 1
        self._start_queued()
        return job

    def leave(self, job: Job) -> None:
        """Take note that the client of a job has left before it was done."""
        job.is_abandoned = True
        if self._notices_leaving:
            job.is_dropped = True
            if job.is_running:
                self._busy -= 1
            else:
                self._queued -= 1
            self._start_queued()

    @property
    def _available(self) -> int:
        return int(self._workers * prod(self._dips) + 0.5)

    def _start_queued(self) -> None:
        available = self._available
        while self._queue and self._busy < available:
            job = self._queue.popleft()
            if not job.is_dropped:
                self._queued -= 1
                self._busy += 1
                job.is_running = True
                self._call_later(job.service_s * prod(self._slow), partial(self._done, job))
        self._counts.occupied(self._busy, self._queued)

    def _done(self, job: Job) -> None:
        if job.is_dropped:
            return
        self._busy -= 1
        if job.is_abandoned:
            self._counts.wasted()
        self._start_queued()
        if not job.is_abandoned:
            job.on_done()

    def _plan(self, span: Disturbance, active: list[float]) -> None:
        self._call_later(span.at_s, partial(active.append, span.factor))
        self._call_later(span.at_s + span.for_s, partial(self._over, span, active))

    def _over(self, span: Disturbance, active: list[float]) -> None:
        active.remove(span.factor)
        self._start_queued()
