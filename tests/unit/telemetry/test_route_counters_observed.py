"""Each route observes its own first attempts, in memory that is bounded by the routes that have requests."""

import gc
import tracemalloc

from hedgerow.core.outcomes import Failure, FailureReason, Success, Won
from hedgerow.core.route import Route
from hedgerow.planning.latency_sketch import SLOT_S, SUCCESS, WINDOWS
from hedgerow.settings.routes import MAX_ROUTES
from hedgerow.telemetry.first_attempts import FirstAttempts
from hedgerow.telemetry.recorder import Recorder
from support.attempts import a_route, make_attempt, make_request
from support.recorders import make_recorder

ROUTE_BYTES = 64 * 1024
"""At most, for each route in each worker."""


def succeed(recorder: Recorder, route: Route, at: float = 10.0) -> None:
    """Have a hedged request of a route end, whose first attempt fails and whose hedge succeeds."""
    request = make_request(arrived_at=at, route=route)
    first = make_attempt(1, at, request, outcome=Failure(FailureReason.RESET), ended_at=at + 0.1)
    hedge = make_attempt(2, at + 0.3, request, outcome=Success(b""), ended_at=at + 0.4)
    for attempt in (first, hedge):
        recorder.attempt_finished(attempt)
    recorder.request_finished(request, "success", at + 0.4, Won(hedge, b"", (first, hedge)))


def observed(recorder: Recorder, route: str) -> tuple[int, int]:
    """Return the first attempts and the samples of a route in the last hour."""
    found = recorder.observations(route, "hour", 12.0)
    return found.count, len(found.samples)


def test_what_is_observed_of_a_route_is_its_own() -> None:
    recorder, one, other = make_recorder(), a_route("one"), a_route("other")
    recorder.add_routes([one, other])
    succeed(recorder, one)
    assert observed(recorder, "one") == (1, 1)
    assert observed(recorder, "other") == observed(recorder, "unknown") == (0, 0)


def test_a_hedged_request_whose_first_attempt_still_runs_is_a_sample_once_it_has_ended() -> None:
    recorder, route = make_recorder(), a_route("one")
    request = make_request(route=route)
    first, hedge = make_attempt(1, 10.0, request), make_attempt(2, 10.3, request)
    hedge.finish(Success(b""), 10.4)
    recorder.attempt_finished(hedge)
    recorder.request_finished(request, "success", 10.4, Won(hedge, b"", (first, hedge)))
    assert observed(recorder, "one") == (0, 0)
    first.is_loser = True
    first.finish(Success(b""), 10.9)
    recorder.attempt_finished(first)
    assert observed(recorder, "one") == (1, 1)


def taken(routes: list[Route], used: int, *, rounds: int) -> int:
    """Return the bytes that observing routes takes of which some have requests, over the time of all windows."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    kept = [FirstAttempts() for _ in routes]
    longest_s = max(WINDOWS.values()) * SLOT_S
    for number in range(rounds):
        at = 10.0 + number * longest_s / 3
        for first_attempts, route in zip(kept[:used], routes, strict=False):
            request = make_request(arrived_at=at, route=route)
            ended = tuple(
                make_attempt(each, at, request, outcome=Success(b""), ended_at=at + 0.4) for each in (1, 2)
            )
            first_attempts.sketch.observe(0.4, SUCCESS, at)
            first_attempts.request_finished(ended, at)
            first_attempts.collect(at)
            del ended
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(first_attempts.sketch.counts("day", at)[0] != [] for first_attempts in kept) == len(routes)
    return after - before


def test_as_many_routes_as_a_file_may_have_take_64_kib_each_at_most() -> None:
    routes = [a_route(str(number)) for number in range(MAX_ROUTES)]
    assert MAX_ROUTES * 32 * 1024 < taken(routes, MAX_ROUTES, rounds=12) <= MAX_ROUTES * ROUTE_BYTES


def test_of_a_thousand_routes_those_without_requests_take_a_kib_each() -> None:
    routes = [a_route(str(number)) for number in range(1_000)]
    assert taken(routes, 10, rounds=12) <= 10 * ROUTE_BYTES + 1_000 * 1024
