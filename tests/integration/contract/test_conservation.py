"""Nothing that is counted is lost or counted twice: laws that hold whatever the timing was."""

import asyncio

from hedgerow.settings import LoserPolicy
from hedgerow.telemetry.snapshot import Histogram, Snapshot
from hedgerow_simulator import Behaviour, running_simulator
from integration.conftest import Serve, ServedWorker

FAULTY = Behaviour(
    latency_ms=(1, 30), error_rate=0.1, too_many_rate=0.05, malformed_rate=0.05, reset_rate=0.05, hang_rate=0.05, seed=3
)  # fmt: skip
SHORT = {"default_timeout_ms": 200}
"""A request whose three attempts all hang is over soon."""
TARGETS = ("/api/smart", "/api/smart?timeout=12", "/api/smart?timeout=40", "/api/smart?timeout=x", "/nowhere")
ADMITTED = {"success", "all_failed", "out_of_time", "abandoned"}


async def ask_and_perhaps_leave(served: ServedWorker, number: int) -> int | None:
    """Ask; every fifth client leaves without waiting. Return the status received."""
    client = await served.client()
    if number % 5:
        status = (await client.get(TARGETS[number // 5 % len(TARGETS)]))[0]
        client.close()
        return status
    client.send(b"GET /api/smart HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0)
    client.reset() if number % 2 else client.close()
    return None


def total(durations: dict[str, Histogram]) -> int:
    return sum(histogram.count for histogram in durations.values())


def attempts(counts: Snapshot, *numbers: str) -> int:
    return sum(sum(counts.attempts.get(number, {}).values()) for number in numbers)


async def conserve(serve: Serve, **settings: object) -> None:
    async with running_simulator(FAULTY, log=True) as upstream:
        served = await serve(upstream.url, hedge_after_ms=15, loser_grace_ms=1_000, **SHORT, **settings)
        statuses = await asyncio.gather(*(ask_and_perhaps_leave(served, number) for number in range(300)))
        counts = served.counts
        assert sum(counts.requests.values()) + counts.in_flight <= 300
        await served.until(lambda: not served.server.connections)
        await served.until(lambda: not served.worker.pool.connection_counts()["active"])
        await served.until(lambda: not served.worker.pool.connection_counts()["connecting"])
        counts = served.counts
        assert counts.in_flight == 0

        status_by_code = {
            "success": 200,
            "all_failed": 502,
            "out_of_time": 504,
            "bad_timeout": 400,
            "not_found": 404,
        }
        status_by_code["overloaded"] = 503
        answered = {code: counts.requests.get(code, 0) for code in status_by_code}
        for code, status in status_by_code.items():
            assert statuses.count(status) <= answered[code], "one who left may have been answered as well"
        assert sum(map(statuses.count, status_by_code.values())) == 240
        abandoned = counts.requests.get("abandoned", 0)
        assert 240 <= sum(answered.values()) + abandoned <= 300, "one may leave before the request is read"
        assert counts.client_disconnects == abandoned

        admitted = sum(times for code, times in counts.requests.items() if code in ADMITTED)
        assert total(counts.request_duration) == admitted
        assert attempts(counts, "1") <= admitted, "none where the deadline was over as it began"
        if settings.get("losers") is LoserPolicy.CANCEL:  # some are cut off before they are sent
            assert upstream.stats.total <= attempts(counts, "1", "2", "3")
        else:
            assert attempts(counts, "1", "2", "3") == upstream.stats.total == len(upstream.log(after=0))
        assert total(counts.attempt_duration) == attempts(counts, "1", "2", "3")
        assert total(counts.first_attempt_duration) == attempts(counts, "1")
        assert counts.hedges["fired"] == attempts(counts, "2", "3")
        assert counts.hedges["rescued"] <= counts.hedges["won"] <= counts.hedges["fired"]
        first = {fate: durations.count for fate, durations in counts.first_attempt_duration.items()}
        in_time = first.get("success", 0)
        assert in_time <= counts.attempts["1"].get("success", 0) <= in_time + first.get("out_of_time", 0)


async def test_counts_conserve_with_faults_and_clients_that_leave(serve: Serve) -> None:
    await conserve(serve)


async def test_counts_conserve_with_losers_cut_off(serve: Serve) -> None:
    """Connections leaked here that were cut off before, or just as, they came about."""
    await conserve(serve, losers=LoserPolicy.CANCEL)
