"""What happens each second, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from hedgerow.processes.count_sampler import PAUSE_S, CountSampler
from hedgerow.processes.worker_manager import WorkerManager
from hedgerow.status.health import Window
from hedgerow.status.history import SAMPLE_S, History
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.snapshot import Snapshot
from support.virtual_asyncio import run_in_virtual_time

FAILING = Snapshot(attempts={"1": {"status_5xx": 100}})
HEALTHY = Snapshot(attempts={"1": {"success": 100}})


class Channel:
    """When a worker was heard last."""

    def __init__(self, at: float) -> None:
        self.last_heard_at = at


class Around:
    """What a sampler uses: workers, a history, the log."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.channels = [Channel(self.loop.time())]
        self.counts = HEALTHY
        self.collect_fails = False
        self.sampled_at: list[float] = []
        self.logged: list[str] = []
        self.summaries = 0
        self.log = self
        self.sampler = CountSampler(
            self.collect,
            cast(History, self),
            cast(WorkerManager, self),
            cast(Logs, self),
            clock=self.loop.time,
        )

    async def collect(self) -> Snapshot:
        if self.collect_fails:
            raise ZeroDivisionError
        return self.counts

    def sample(self, counts: Snapshot, now: float) -> None:
        assert counts is self.counts
        self.sampled_at.append(now)

    def window(self, counts: Snapshot, now: float) -> Window:
        return Window(counts, 30.0, is_first=False)

    def summarise(self) -> None:
        self.summaries += 1

    def warning(self, event: str, **_: object) -> None:
        self.logged.append(event)

    exception = warning


def played(play: Callable[[Around], Awaitable[None]]) -> None:
    async def run() -> None:
        around = Around()
        around.sampler.start()
        await play(around)
        await around.sampler.stop()
        await asyncio.sleep(10 * SAMPLE_S)
        assert len(around.sampled_at) == around.summaries, "none after the end"

    run_in_virtual_time(run())


def test_a_sample_is_taken_each_second() -> None:
    async def play(around: Around) -> None:
        began_at = around.loop.time()
        await asyncio.sleep(3.5 * SAMPLE_S)
        assert around.sampled_at == pytest.approx([began_at + nth * SAMPLE_S for nth in range(4)])
        assert around.logged == []

    played(play)


def test_it_goes_on_after_an_internal_error() -> None:
    async def play(around: Around) -> None:
        around.collect_fails = True
        await asyncio.sleep(2.5 * SAMPLE_S)
        assert around.logged == ["unhandled exception while the counts were sampled"] * 3
        around.collect_fails = False
        await asyncio.sleep(2 * SAMPLE_S)
        assert len(around.sampled_at) == 2

    played(play)


@pytest.mark.parametrize(("paused_s", "excused"), [(PAUSE_S / 2, False), (3 * PAUSE_S, True)])
def test_after_a_pause_no_worker_has_been_silent_for_as_long(paused_s: float, excused: bool) -> None:
    async def play(around: Around) -> None:
        await asyncio.sleep(SAMPLE_S / 2)
        before = around.channels[0].last_heard_at
        cast(Any, around.loop).now += paused_s
        await asyncio.sleep(SAMPLE_S)
        assert (around.channels[0].last_heard_at > before) is excused
        assert around.channels[0].last_heard_at <= around.loop.time()

    played(play)


def test_transitions_of_the_upstream_are_logged_once() -> None:
    async def play(around: Around) -> None:
        for counts in (HEALTHY, FAILING, FAILING, HEALTHY, HEALTHY):
            around.counts = counts
            await asyncio.sleep(SAMPLE_S)
        assert around.logged == ["upstream unhealthy", "upstream recovered"]

    played(play)
