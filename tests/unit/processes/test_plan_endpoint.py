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
from hedgerow.processes.plan_endpoint import FRESH_S, MAX_KEPT, PlanEndpoint
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


async def real(route: str) -> tuple[Snapshot, Real]:
    """The counts of a route whose requests are as many as its name is long."""
    return Snapshot(hedge_delay_s=0.3, workers=2), Real(len(route), None, [], [])


def route(name: str, **hedge: Any) -> RouteRule:
    return RouteRule(name=name, path=f"/{name}", upstream="u", hedge=HedgeRule(**hedge))


def several(*names: str) -> Settings:
    return Settings(routes=tuple(map(route, names)))


DEFAULT = Settings(hedge_after_ms=250)


def played(
    workers: Workers,
    play: Callable[[PlanEndpoint, list[float]], Awaitable[None]],
    settings: Settings = DEFAULT,
) -> None:
    async def run() -> None:
        now = [100.0]
        endpoint = PlanEndpoint(settings, workers.ask, real, clock=lambda: now[0])
        await play(endpoint, now)
        await endpoint.stop()

    asyncio.run(run())


async def got(endpoint: PlanEndpoint, window: str, route: str | None = None) -> PlanStatus:
    response = await endpoint.respond(window, route, REQUEST)
    assert response.status == 200
    return msgspec.json.decode(response.body, type=PlanStatus)


async def problem(endpoint: PlanEndpoint, window: str, route: str | None) -> str:
    response = await endpoint.respond(window, route, REQUEST)
    said: dict[str, Any] = msgspec.json.decode(response.body)
    assert (response.status, said["code"]) == (404, "not_found")
    return str(said["detail"])


def test_what_all_workers_have_observed_is_added_up() -> None:
    workers = Workers(seen(300), seen(200))

    async def play(endpoint: PlanEndpoint, _: list[float]) -> None:
        status = await got(endpoint, "day")
        assert status.observations == seen(300) + seen(200)
        assert status.report.observed == 520
        hedging = status.hedging
        assert (hedging.route, hedging.configured_by, hedging.mode) == ("/api/smart", "flags", "on")
        assert (status.window, hedging.hedge_after_ms, hedging.hedges) == ("day", 250, 2)
        assert workers.asked == [GetObservations("day", "/api/smart")]
        assert await got(endpoint, "day", "/api/smart") == status, "one route needs no name"

    played(workers, play)


def test_each_route_has_plans_of_its_own() -> None:
    workers = Workers(seen(300))

    async def play(endpoint: PlanEndpoint, _: list[float]) -> None:
        for name in ("one", "three"):
            status = await got(endpoint, "hour", name)
            assert (status.hedging.route, status.hedging.configured_by) == (name, "file")
            assert status.real.requests == len(name)
        assert workers.asked == [GetObservations("hour", "one"), GetObservations("hour", "three")]

    played(workers, play, several("one", "three"))


def test_without_a_name_several_routes_are_named() -> None:
    async def play(endpoint: PlanEndpoint, _: list[float]) -> None:
        assert await problem(endpoint, "hour", None) == "there are several routes, give one: 'a', 'b'"
        assert await problem(endpoint, "hour", "c") == "the route 'c' is not known; there are: 'a', 'b'"

    played(Workers(), play, several("a", "b"))


def test_an_error_names_some_routes_and_says_how_many_more_there_are() -> None:
    async def play(endpoint: PlanEndpoint, _: list[float]) -> None:
        said = await problem(endpoint, "hour", "x" * 1_000)
        assert said.endswith("'0', '1', '2', '3', '4', '5', '6', '7' and 56 more")
        assert len(said) < 250

    played(Workers(), play, several(*map(str, range(64))))


def test_it_is_kept_for_a_while_by_window_and_route() -> None:
    workers = Workers(seen(300))

    async def play(endpoint: PlanEndpoint, now: list[float]) -> None:
        await asyncio.gather(*(endpoint.respond("hour", "a", REQUEST) for _ in range(50)))
        now[0] += FRESH_S * 0.99
        await got(endpoint, "hour", "a")
        assert len(workers.asked) == 1
        await got(endpoint, "minute", "a")
        await got(endpoint, "hour", "b")
        assert len(workers.asked) == 3
        now[0] += FRESH_S
        await got(endpoint, "hour", "a")
        assert len(workers.asked) == 4

    played(workers, play, several("a", "b"))


def test_what_is_kept_of_many_routes_is_bounded_and_calculated_one_by_one() -> None:
    workers = Workers(seen(300))
    names = [str(number) for number in range(2 * MAX_KEPT)]

    async def play(endpoint: PlanEndpoint, _: list[float]) -> None:
        threads = asyncio.to_thread
        running, most = 0, 0

        async def counting(*arguments: Any) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            done = await threads(*arguments)
            running -= 1
            return done

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "to_thread", counting)
            await asyncio.gather(*(endpoint.respond("hour", name, REQUEST) for name in names))
        assert most == 1
        assert (len(endpoint._kept), endpoint._shared) == (MAX_KEPT, {})
        await got(endpoint, "hour", names[-1])
        assert len(workers.asked) == len(names), "the newest are kept"

    played(workers, play, several(*names))


def test_a_configuration_that_was_read_again_is_shown_at_once() -> None:
    workers = Workers(seen(300))
    follows = QuantileDelay(quantile=0.9, min_s=0.1, max_s=0.4)
    rule = route("a", mode="observe", after=follows, max_hedges=1, sample=0.05)

    async def play(endpoint: PlanEndpoint, _: list[float]) -> None:
        assert (await got(endpoint, "hour")).hedging.hedge_after_ms == 250
        endpoint.configured(Settings(routes=(rule,)))
        hedging = (await got(endpoint, "hour")).hedging
        assert (hedging.mode, hedging.sample, hedging.hedges) == ("observe", 0.05, 1)
        assert (hedging.hedge_after_ms, hedging.hedge_quantile) == (150, 0.9), "as its workers report it"
        assert "'/api/smart' is not known" in await problem(endpoint, "hour", "/api/smart")

    played(workers, play)


def test_a_plan_of_an_earlier_configuration_is_not_kept() -> None:
    workers = Workers(seen(300))

    async def play(endpoint: PlanEndpoint, _: list[float]) -> None:
        earlier = asyncio.ensure_future(got(endpoint, "hour"))
        await asyncio.sleep(0)
        endpoint.configured(Settings(hedge_after_ms=200))
        assert (await earlier).hedging.hedge_after_ms == 250
        assert (await got(endpoint, "hour")).hedging.hedge_after_ms == 200

    played(workers, play)


def test_no_worker_that_answers_is_no_error() -> None:
    async def play(endpoint: PlanEndpoint, _: list[float]) -> None:
        assert (await got(endpoint, "hour")).report.verdict == "unknown"

    played(Workers(), play)


@pytest.mark.parametrize("window", ["", "week", "x" * 1_000])
def test_another_window_is_not_found(window: str) -> None:
    async def play(endpoint: PlanEndpoint, _: list[float]) -> None:
        assert len(await problem(endpoint, window, None)) < 120

    played(Workers(), play)
