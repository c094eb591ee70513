import asyncio

import pytest

from hedgerow_simulator.stats import SharedCounters, Stats, StatsCounter


def test_rows_of_all_workers_are_added_up() -> None:
    rows = SharedCounters(workers=3)
    first, third = StatsCounter(rows, 0), StatsCounter(rows, 2)
    first.connected()
    third.connected()
    third.disconnected()
    first.begun("ok")
    third.begun("ok")
    third.begun("hang")
    first.ended()
    third.client_left()
    assert first.stats() == third.stats()
    assert third.stats() == Stats(
        total=3,
        in_flight=1,
        by_fault={"ok": 2, "hang": 1},
        connections_accepted=2,
        connections_open=1,
        clients_left=1,
    )


async def test_until_returns_at_once_if_the_condition_holds() -> None:
    counts = StatsCounter(SharedCounters(workers=1), 0)
    assert (await counts.until(lambda stats: stats.total == 0)).total == 0


async def test_until_wakes_all_who_wait_at_the_event() -> None:
    counts = StatsCounter(SharedCounters(workers=1), 0)
    waiters = [asyncio.ensure_future(counts.until(lambda stats: stats.total == 2)) for _ in range(3)]
    await asyncio.sleep(0)
    counts.begun("ok")
    await asyncio.sleep(0)
    assert not any(waiter.done() for waiter in waiters)
    counts.begun("ok")
    assert [stats.total for stats in await asyncio.gather(*waiters)] == [2, 2, 2]


async def test_until_leaves_nothing_behind_when_cancelled() -> None:
    counts = StatsCounter(SharedCounters(workers=1), 0)
    waiter = asyncio.ensure_future(counts.until(lambda stats: stats.total == 1))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert counts._waiting == []
