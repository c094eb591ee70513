"""What the admin port answers about plans: asked of all workers, and kept for a while."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from hedgerow.core.request import Request
from hedgerow.planning.latency_sketch import FAILURE, SUCCESS
from hedgerow.planning.observations import Observations
from hedgerow.processes.control_channel import (
    ControlReply,
    ControlRequest,
    GetObservations,
    ObservationsReply,
)
from hedgerow.processes.plan_endpoint import FRESH_S, PlanEndpoint
from hedgerow.settings import Settings
from hedgerow.settings.routes import HedgeRule, QuantileDelay, RouteRule
from hedgerow.status.plan_status import PlanStatus, Real
from hedgerow.telemetry.snapshot import Snapshot

REQUEST = Request(b"GET", b"/status.json", b"", request_id=b"r", arrived_at=0.0)


def seen(times: int) -> Observations:
    observations = Observations()
    observations.observe(0.1, SUCCESS, times)
    observations.observe(0.1, FAILURE, 10)
    return observations


class Workers:
    """Workers that have observed some first attempts."""

    def __init__(self, *observed: Observations) -> None:
        self.observed = observed
        self.asked: list[ControlRequest] = []

    async def ask(self, request: ControlRequest) -> tuple[list[ControlReply], bool]:
        self.asked.append(request)
        await asyncio.sleep(0)
        return [ObservationsReply(observations) for observations in self.observed], True


async def real() -> tuple[Snapshot, Real]:
    return Snapshot(), Real(0, None, [], [])


def played(workers: Workers, play: Callable[[PlanEndpoint, list[float]], Awaitable[None]]) -> None:
    async def run() -> None:
        now = [100.0]
        endpoint = PlanEndpoint(Settings(hedge_after_ms=250), workers.ask, real, clock=lambda: now[0])
        await play(endpoint, now)
        await endpoint.stop()

    asyncio.run(run())


async def got(endpoint: PlanEndpoint, window: str) -> PlanStatus:
    response = await endpoint.respond(window, REQUEST)
    assert response.status == 200
    return msgspec.json.decode(response.body, type=PlanStatus)


def test_what_all_workers_have_observed_is_added_up() -> None:
    workers = Workers(seen(300), seen(200))

    async def play(endpoint: PlanEndpoint, _: list[float]) -> None:
        status = await got(endpoint, "day")
        assert status.observations == seen(300) + seen(200)
        assert status.report.observed == 520
        assert (status.window, status.hedge_after_ms, status.hedges, status.mode) == ("day", 250, 2, "on")
        assert workers.asked == [GetObservations("day")]

    played(workers, play)


def test_it_is_kept_for_a_while_by_window() -> None:
    workers = Workers(seen(300))

    async def play(endpoint: PlanEndpoint, now: list[float]) -> None:
        await asyncio.gather(*(endpoint.respond("hour", REQUEST) for _ in range(50)))
        now[0] += FRESH_S * 0.99
        await got(endpoint, "hour")
        assert len(workers.asked) == 1
        await got(endpoint, "minute")
        assert len(workers.asked) == 2
        now[0] += FRESH_S
        await got(endpoint, "hour")
        assert len(workers.asked) == 3

    played(workers, play)


def test_a_configuration_that_was_read_again_is_shown_at_once() -> None:
    workers = Workers(seen(300))
    hedge = HedgeRule(
        mode="observe", after=QuantileDelay(quantile=0.9, min_s=0.1, max_s=0.4), max_hedges=1, sample=0.05
    )
    route = RouteRule(name="a", path="/a", upstream="u", hedge=hedge)

    async def play(endpoint: PlanEndpoint, _: list[float]) -> None:
        assert (await got(endpoint, "hour")).hedge_after_ms == 250
        endpoint.configured(Settings(routes=(route,)))
        status = await got(endpoint, "hour")
        assert (status.mode, status.sample, status.hedge_after_ms, status.hedges) == ("observe", 0.05, 400, 1)

    played(workers, play)


def test_no_worker_that_answers_is_no_error() -> None:
    async def play(endpoint: PlanEndpoint, _: list[float]) -> None:
        assert (await got(endpoint, "hour")).report.verdict == "unknown"

    played(Workers(), play)


@pytest.mark.parametrize("window", ["", "week", "x" * 1_000])
def test_another_window_is_not_found(window: str) -> None:
    async def play(endpoint: PlanEndpoint, _: list[float]) -> None:
        response = await endpoint.respond(window, REQUEST)
        problem: dict[str, Any] = msgspec.json.decode(response.body)
        assert (response.status, problem["code"]) == (404, "not_found")
        assert len(problem["detail"]) < 120

    played(Workers(), play)
