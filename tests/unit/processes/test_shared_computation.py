"""One computation serves all that ask for it while it runs."""

import asyncio

from hedgerow.processes.shared_computation import Shared
from support.virtual_asyncio import run_in_virtual_time


def test_those_that_come_together_share_it_and_later_ones_have_their_own() -> None:
    async def run() -> None:
        begun = 0

        async def compute() -> int:
            nonlocal begun
            begun += 1
            await asyncio.sleep(1.0)
            return begun

        shared = Shared(compute)
        assert await asyncio.gather(*(shared.get() for _ in range(5))) == [1] * 5
        assert await shared.get() == 2
        await shared.stop()

    run_in_virtual_time(run())


def test_one_that_leaves_does_not_take_it_from_others() -> None:
    async def run() -> None:
        shared = Shared(lambda: asyncio.sleep(1.0, "done"))
        leaving, staying = (asyncio.ensure_future(shared.get()) for _ in range(2))
        await asyncio.sleep(0.5)
        leaving.cancel()
        assert await staying == "done"

    run_in_virtual_time(run())


def test_stopping_ends_it() -> None:
    async def run() -> None:
        shared = Shared(lambda: asyncio.sleep(1e6))
        waiting = asyncio.ensure_future(shared.get())
        await asyncio.sleep(0.5)
        await shared.stop()
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    run_in_virtual_time(run())
