"""Each route observes its own first attempts, in memory that is bounded by the routes that have requests."""

import gc
import tracemalloc

from hedgerow.core.outcomes import Failure, FailureReason, Success, Won
from hedgerow.core.route import Route
from hedgerow.planning.latency_sketch import SLOT_S, WINDOWS
from hedgerow.settings.routes import MAX_ROUTES
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


def test_what_is_observed_of_a_route_is_its_own() -> None:
    recorder, one, other = make_recorder(), a_route("one"), a_route("other")
    recorder.add_routes([one, other])
    succeed(recorder, one)
    observed = recorder.observed("one")
    assert observed is not None
    assert [sum(counts) for counts in observed.sketch.counts("hour", 11.0)[:3]] == [0, 1, 0]
    observed.collect(11.0)
    assert len(observed.samples.within(60, 11.0)) == 1
    assert recorder.observed("other") is None
    assert recorder.observed("unknown") is None


def test_a_hedged_request_whose_first_attempt_still_runs_is_a_sample_once_it_has_ended() -> None:
    recorder, route = make_recorder(), a_route("one")
    request = make_request(route=route)
    first, hedge = make_attempt(1, 10.0, request), make_attempt(2, 10.3, request)
    hedge.finish(Success(b""), 10.4)
    recorder.attempt_finished(hedge)
    recorder.request_finished(request, "success", 10.4, Won(hedge, b"", (first, hedge)))
    first.is_loser = True
    first.finish(Success(b""), 10.9)
    recorder.attempt_finished(first)
    observed = recorder.observed("one")
    assert observed is not None
    observed.collect(11.0)
    assert len(observed.samples.within(60, 11.0)) == 1


def taken(recorder: Recorder, routes: list[Route], *, rounds: int) -> int:
    """Return the bytes that observing these routes takes, beyond what their first request takes otherwise."""
    for route in routes:  # what is counted of any request
        succeed(recorder, route)
        recorder._counters(route)._observed = None
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    longest_s = max(WINDOWS.values()) * SLOT_S
    for number in range(rounds):
        for route in routes:
            succeed(recorder, route, 10.0 + number * longest_s / 3)
    recorder.recent._records.clear()
    for route in routes:
        observed = recorder._counters(route).observed
        assert observed is not None
        observed.collect(1e9)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before


def test_as_many_routes_as_a_file_may_have_take_64_kib_each_at_most() -> None:
    recorder, routes = make_recorder(), [a_route(str(number)) for number in range(MAX_ROUTES)]
    recorder.add_routes(routes)
    assert taken(recorder, routes, rounds=12) <= MAX_ROUTES * ROUTE_BYTES


def test_a_thousand_routes_take_what_those_with_requests_do() -> None:
    recorder, routes = make_recorder(), [a_route(str(number)) for number in range(1_000)]
    recorder.add_routes(routes)
    assert taken(recorder, routes[:10], rounds=12) <= 10 * ROUTE_BYTES
    assert sum(recorder.observed(route.name) is not None for route in routes) == 10
