"""R09: a hedge delay follows what was observed of its own route, within its bounds."""

import pytest

from hedgerow.core.outcomes import Success
from hedgerow.core.route import Route
from hedgerow.planning.latency_sketch import WARM
from hedgerow.telemetry.following_delay import FollowingDelay
from hedgerow.telemetry.recorder import Recorder
from support.attempts import a_route, make_attempt, make_request
from support.recorders import make_recorder

DELAY = FollowingDelay(0.9, 0.05, 0.4)


def observe(recorder: Recorder, route: Route, took_s: float, times: int) -> None:
    """Have first attempts of a route succeed at 10.0 + `took_s`."""
    for _ in range(times):
        attempt = make_attempt(
            1, 10.0, make_request(route=route), outcome=Success(b""), ended_at=10.0 + took_s
        )
        recorder.attempt_finished(attempt)


def test_it_is_the_longest_until_enough_was_seen() -> None:
    recorder, route = make_recorder(), a_route()
    assert DELAY.delay_s(route, 10.0) == 0.4, "nothing counts it yet"
    recorder.add_routes([route])
    assert DELAY.delay_s(route, 10.0) == 0.4, "it has had no request"
    observe(recorder, route, 0.1, WARM - 1)
    assert DELAY.delay_s(route, 10.2) == 0.4
    observe(recorder, route, 0.1, 1)
    assert DELAY.delay_s(route, 11.3) == pytest.approx(0.1, rel=0.0125)
    assert DELAY.delay_s(route, 200.0) == 0.4, "that was more than a minute ago"


@pytest.mark.parametrize(("took_s", "delay_s"), [(0.01, 0.05), (0.2, 0.2), (5.0, 0.4)])
def test_it_keeps_its_bounds(took_s: float, delay_s: float) -> None:
    recorder, route = make_recorder(), a_route()
    observe(recorder, route, took_s, WARM)
    assert DELAY.delay_s(route, 16.0) == pytest.approx(delay_s, rel=0.0125)


def test_it_follows_its_own_route_alone() -> None:
    recorder, quick, slow = make_recorder(), a_route("quick"), a_route("slow")
    observe(recorder, quick, 0.1, WARM)
    observe(recorder, slow, 0.3, WARM)
    delays_s = [DELAY.delay_s(route, 11.0) for route in (quick, slow)]
    assert delays_s == pytest.approx([0.1, 0.3], rel=0.0125)
