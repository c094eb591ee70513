"""What happens each second beside the admin port's answers: a sample of all counts, and what is logged of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from hedgerow.processes.worker_manager import WorkerManager
from hedgerow.status.error_rates import ErrorRates
from hedgerow.status.health import HealthTransitions, assess_upstream, describe_success
from hedgerow.status.history import SAMPLE_S, History
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.snapshot import Snapshot

PAUSE_S: Final = 2 * SAMPLE_S
"""A longer time between two samples means that this process was stopped; no worker could report meanwhile."""


class CountSampler:
    """Puts a sample of the counts into the history each second."""

    def __init__(
        self,
        collect: Callable[[], Awaitable[Snapshot]],
        history: History,
        workers: WorkerManager,
        logs: Logs,
        *,
        clock: Callable[[], float],
    ) -> None:
        """`collect` returns the counts of all workers as they are now; `clock` is the event loop's."""
        self._collect = collect
        self._history = history
        self._workers = workers
        self._logs = logs
        self._log = logs.log
        self._clock = clock
        self._sampled_at: float | None = None
        self._upstream_health = HealthTransitions()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to sample."""
        self._task = asyncio.get_running_loop().create_task(self._sample_each_second())

    async def stop(self) -> None:
        """Sample no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _sample_each_second(self) -> None:
        due_at = self._clock()
        while True:
            try:
                await self._sample()
            except Exception:  # noqa: BLE001 (a boundary: an internal error costs one sample)
                self._log.exception("unhandled exception while the counts were sampled")
            due_at = max(due_at + SAMPLE_S, self._clock())
            await asyncio.sleep(due_at - self._clock())

    async def _sample(self) -> None:
        """Take one sample, which takes some 0.3 ms; log health transitions and log summaries."""
        now = self._clock()
        if self._sampled_at is not None and now - self._sampled_at > PAUSE_S:
            for channel in self._workers.channels:  # no worker could report during the pause
                channel.last_heard_at = min(channel.last_heard_at + now - self._sampled_at - SAMPLE_S, now)
        self._sampled_at = now
        counts = await self._collect()
        self._history.sample(counts, self._clock())
        self._log_health_transitions(counts)
        self._logs.summarise()

    def _log_health_transitions(self, counts: Snapshot) -> None:
        """Log when the upstream becomes unhealthy, and when it recovers."""
        now, unhealthy_since = self._clock(), self._upstream_health.unhealthy_since
        window = self._history.window(counts, now)
        rates = ErrorRates.of(window.counts)
        transition = self._upstream_health.update(rates, now)
        if transition == "unhealthy":
            self._log.warning("upstream unhealthy", reason=assess_upstream(window).reason)
        elif transition == "recovered" and unhealthy_since is not None:
            reason = describe_success(rates, window.span_s)
            self._log.warning(
                "upstream recovered", reason=reason, unhealthy_for_s=round(now - unhealthy_since)
            )
