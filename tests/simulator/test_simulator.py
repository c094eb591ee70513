import asyncio
import gc
import weakref
from urllib.parse import urlsplit

import pytest

from hedgerow_simulator import Behaviour, running_simulator
from hedgerow_simulator.capacity import Capacity
from simulator.raw_client import Ending, connected


async def test_by_default_it_is_faultless_and_answers_at_once() -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.ask()
        assert (await client.read_answer())[1] == b'{"time":0}'
        assert simulator.log() == []


async def test_the_end_cuts_off_every_connection_and_frees_the_port() -> None:
    async with (
        running_simulator() as simulator,
        connected(simulator.url) as idle,
        connected(simulator.url) as busy,
    ):
        await busy.ask("/api/work", "X-Fault: hang")
        await simulator.until(lambda stats: stats.in_flight == 1 and stats.connections_open == 2)
        url = simulator.url
    address = urlsplit(url)
    assert (simulator.stats.connections_open, simulator.stats.in_flight, simulator.stats.clients_left) == (
        0,
        0,
        0,
    )
    async with running_simulator(port=address.port or 0) as again:
        assert again.url == url
    del idle


async def test_an_error_in_the_block_ends_it_too() -> None:
    block = running_simulator()
    simulator = await block.__aenter__()
    async with connected(simulator.url) as client:
        await client.ask("/api/work", "X-Fault: hang")
        await simulator.until(lambda stats: stats.in_flight == 1)
        error = ZeroDivisionError()
        assert not await block.__aexit__(ZeroDivisionError, error, None)
    assert simulator.stats.connections_open == 0


async def test_a_taken_port_is_an_error() -> None:
    async with running_simulator() as simulator:
        with pytest.raises(OSError, match="in use"):
            async with running_simulator(port=urlsplit(simulator.url).port or 0):
                pass


async def test_connections_can_be_cut_off_while_it_goes_on() -> None:
    async with running_simulator() as simulator:
        async with connected(simulator.url) as client:
            await client.ask()
            await client.read_answer()
            simulator.abort_connections()
            assert (await client.read_to_end())[1] is Ending.FIN
        await simulator.until(lambda stats: stats.connections_open == 0)
        async with connected(simulator.url) as client:
            await client.ask()
            assert (await client.read_answer())[1] == b'{"time":0}'


async def test_many_clients_that_leave_at_any_moment_leave_nothing_behind() -> None:
    async with running_simulator(Behaviour(latency_ms=(0, 20), seed=2)) as simulator:
        loop = asyncio.get_running_loop()

        async def come_and_go(n: int) -> None:
            async with connected(simulator.url) as client:
                await client.ask()
                gone = loop.create_future()
                loop.call_later(n % 21 / 1_000, gone.set_result, None)
                await gone

        await asyncio.gather(*(come_and_go(n) for n in range(300)))
        stats = await simulator.until(lambda stats: stats.connections_open == 0 and stats.total == 300)
        assert stats.in_flight == 0
        assert stats.connections_accepted == 300


async def test_a_connection_that_is_gone_is_forgotten() -> None:
    async with running_simulator() as simulator:
        async with connected(simulator.url) as client:
            await client.ask("/api/work?fault=ok@100000")
            await simulator.until(lambda stats: stats.in_flight == 1)
            (connection,) = simulator._connections._members
            watched = weakref.ref(connection)
            del connection
        await simulator.until(lambda stats: stats.connections_open == 0)
        await asyncio.sleep(0)
        gc.collect()
        assert watched() is None


async def test_with_a_capacity_requests_wait_for_a_worker_and_abandoned_work_holds_it() -> None:
    """On real sockets; what the queue does in time is in test_work_queue."""
    async with (
        running_simulator(
            Behaviour.faultless(latency_ms=20), capacity=Capacity(workers=1, queue=1)
        ) as simulator,
        connected(simulator.url) as leaving,
        connected(simulator.url) as waiter,
        connected(simulator.url) as rejected,
    ):
        await leaving.ask("/api/work?fault=ok@200")
        await simulator.until(lambda stats: stats.busy == 1)
        await waiter.ask("/api/work")
        await simulator.until(lambda stats: stats.queued == 1)
        await rejected.ask("/api/work")
        assert (await rejected.read_answer())[0][9:12] == b"503"
        leaving.leave()
        stats = await simulator.until(lambda stats: stats.clients_left == 1)
        assert (stats.busy, stats.queued, stats.wasted) == (1, 1, 0)
        assert (await waiter.read_answer())[1] == b'{"time":20}'
        assert (simulator.stats.busy, simulator.stats.queued, simulator.stats.wasted) == (0, 0, 1)
        assert simulator.stats.by_fault == {"ok": 2, "overloaded": 1}
