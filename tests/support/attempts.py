"""Requests and attempts for tests of what handles them."""

from math import inf

from hedgerow.core.hedging import HedgePlan
from hedgerow.core.outcomes import Attempt, AttemptSender, Outcome
from hedgerow.core.request import Request
from hedgerow.core.route import Route
from hedgerow.core.traces import RequestTrace


class Race:
    """The owner of attempts; counts what they report."""

    def __init__(self) -> None:
        self.reports = 0

    def on_attempt_finished(self) -> None:
        self.reports += 1


def a_route(name: str = "/api/smart", upstream_name: str = "default") -> Route:
    """Return a route of two hedges whose upstream is asked nothing."""
    plan = HedgePlan(0.3, 2)
    return Route(
        name, AttemptSender(), plan, default_timeout_ms=900, max_timeout_ms=900, upstream_name=upstream_name
    )


def make_request(
    request_id: bytes = b"a",
    arrived_at: float = 10.0,
    *,
    timeout_ms: int = 900,
    deadline_at: float = inf,
    trace: RequestTrace | None = None,
    route: Route | None = None,
) -> Request:
    """Return a request that was admitted as it arrived."""
    request = Request(b"GET", b"/api/smart", b"", request_id=request_id, arrived_at=arrived_at, trace=trace)
    request.route = route or a_route()
    request.timeout_ms = timeout_ms
    request.started_at = arrived_at
    request.deadline_at = deadline_at
    return request


def make_attempt(
    number: int = 1,
    launched_at: float = 10.0,
    request: Request | None = None,
    *,
    outcome: Outcome | None = None,
    ended_at: float = 0.0,
    is_loser: bool = False,
) -> Attempt:
    """Return an attempt, finished if it is given an outcome."""
    attempt = Attempt(number, launched_at, request or make_request(), Race())
    attempt.is_loser = is_loser
    if outcome is not None:
        attempt.finish(outcome, ended_at)
    return attempt
