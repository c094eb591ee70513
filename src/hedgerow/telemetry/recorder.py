"""The observer of a worker: counts facts and writes log lines."""

from collections.abc import Callable, Iterable
from typing import Final

from structlog.typing import FilteringBoundLogger

from hedgerow.core.observer import Observer
from hedgerow.core.outcomes import Aborted, Attempt, Failure, FailureReason, RaceEnd, Won, outcome_name
from hedgerow.core.request import Request
from hedgerow.core.request_path import shown_path
from hedgerow.core.route import Route
from hedgerow.planning.latency_sketch import CUT, FAILURE, SUCCESS
from hedgerow.planning.observations import Observations
from hedgerow.settings import AccessLog
from hedgerow.telemetry.histogram import HistogramCounter
from hedgerow.telemetry.logs import unlimited
from hedgerow.telemetry.recent_requests import RecentRequests
from hedgerow.telemetry.route_counters import RouteCounters, lag_histogram_of
from hedgerow.telemetry.snapshot import LAG_BUCKETS_S, LAG_STEP_S, UNKNOWN, RouteCounts, Snapshot, add

_SERVER_ERRORS: Final = frozenset({"all_failed", "out_of_time", "internal"})
"""Outcomes that are errors of the upstream or of the gateway, not of the client."""


class Recorder(Observer):
    """The observer of one worker: plain numbers on the hot path, summed when the supervisor requests a snapshot.

    Each route has counters of its own, which it holds itself: nothing is looked up.
    """

    def __init__(self, log: FilteringBoundLogger, access_log: AccessLog) -> None:
        self._log = log
        self._log_all = access_log is AccessLog.ALL
        self._access_log = unlimited(log) if self._log_all else log
        self._log_errors = access_log is not AccessLog.OFF
        self.recent = RecentRequests()
        self._unrouted = RouteCounters("", "")
        """Of requests that no route has."""
        self._routes: list[RouteCounters] = []
        self._reused_connection_retries = 0
        self._internal_errors = 0
        self._lag = HistogramCounter(LAG_BUCKETS_S, LAG_STEP_S)

    def add_routes(self, routes: Iterable[Route]) -> None:
        """Count these from now on: they are in each snapshot, whether they have requests or not."""
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> RouteCounters:
        counters = RouteCounters(route.name, route.upstream_name)
        route.counters = counters
        self._routes.append(counters)
        return counters

    # -- the facts (see `core.observer.Observer`)

    def request_finished(self, request: Request, code: str, ended_at: float, end: RaceEnd) -> None:
        counters = request.route.counters
        if not isinstance(counters, RouteCounters):
            counters = self._add(request.route)
        took_s, attempts = ended_at - request.arrived_at, end.attempts
        counters.durations[code].observe(took_s)
        if len(attempts) > 1:
            counters.first_attempts.request_finished(attempts, ended_at)
        winner = end.winner.number if isinstance(end, Won) else None
        trace = request.trace
        trace_id = None if trace is None else trace.trace_id
        self.recent.request_finished(request, code, ended_at, winner, attempts, trace_id)
        if code == "abandoned":
            counters.client_disconnects += 1
        else:
            counters.overshoot.observe(took_s - request.timeout_ms / 1000)
            if isinstance(end, Won):
                if winner != 1:
                    counters.won += 1
                    if isinstance(attempts[0].outcome, Failure):
                        counters.rescued += 1
            elif len(attempts) <= 1 and not isinstance(end, Aborted) and request.late is None:
                counters.suppressed += _hedges_of(request.route)
        if request.late is not None:
            counters.held += request.late.held
        if trace is not None:  # after the counts, so that an error in it does not affect them
            trace.request_finished(code, ended_at, end)
        if self._log_all or (self._log_errors and code in _SERVER_ERRORS):
            self._log_request(request, code, took_s, attempts)

    def request_rejected(self, code: str, reason: str, request: Request | None = None) -> None:
        route: Route | None
        # Not in one expression, and no `getattr` (3 % of a rejection) for most rejections, which are of overload.
        if request is not None and code == "overloaded":  # noqa: SIM108
            route = request.route
        else:
            route = getattr(request, "route", None)
        counters = self._unrouted if route is None else route.counters
        if not isinstance(counters, RouteCounters):
            assert route is not None  # noqa: S101 (for mypy)
            counters = self._add(route)
        counters.rejected[code] = counters.rejected.get(code, 0) + 1
        if code == "overloaded":
            counters.shed[reason] = counters.shed.get(reason, 0) + 1
        if self._log_all:
            described = {} if request is None else _described(request, route)
            self._access_log.info("request rejected", **described, code=code, reason=reason)

    def internal_error(self, request: Request | None) -> None:
        self._internal_errors += 1
        described: dict[str, str] = {}
        if request is not None:
            described = _described(request, getattr(request, "route", None))
        self._log.exception("unhandled exception", **described)

    def attempt_finished(self, attempt: Attempt) -> None:
        outcome, took_s = attempt.outcome, attempt.ended_at - attempt.launched_at
        counters = attempt.request.route.counters
        if not isinstance(counters, RouteCounters):
            counters = self._add(attempt.request.route)
        name, fate = "success", SUCCESS
        if isinstance(outcome, Failure):
            name, fate = outcome.reason, CUT if outcome.reason is FailureReason.TIMEOUT else FAILURE
            if outcome.reason is FailureReason.STATUS_OTHER:
                counters.count_status(outcome.detail.removeprefix("status "))
        elif outcome is not None and outcome.answer is not None and outcome.answer.is_final:
            name = "final"
        if attempt.is_loser:
            counters.wasted_s += took_s
        if attempt.number != 1:
            counters.hedges[attempt.number, name].observe(took_s)
        else:
            counters.first_attempts.sketch.observe(took_s, fate, attempt.ended_at)
            if attempt.is_loser:
                counters.first_lost[name, _outcome_without_hedging(attempt)].observe(took_s)
            else:
                counters.first[name].observe(took_s)
        if attempt.span is not None:
            attempt.span.attempt_finished(attempt)

    def iteration_took(self, took_s: float) -> None:
        """Count an iteration of the event loop by its length, in seconds."""
        self._lag.observe(took_s)

    def stale_connection_retried(self) -> None:
        self._reused_connection_retries += 1

    # -- what is asked of it

    def observations(self, route: str, window: str, now: float) -> Observations:
        """Return what was observed of a route's first attempts in a window of `planning.latency_sketch.WINDOWS`.

        Routes are known by their names; takes some 0.3 ms.
        """
        for counters in self._routes:
            if counters.name == route:
                return counters.first_attempts.observations(window, now)
        return Observations()

    def snapshot(
        self, upstream_connections: dict[str, int], client_connections: int, in_flight: int
    ) -> Snapshot:
        """Return all counts as they are now."""
        routes: dict[str, dict[str, RouteCounts]] = {}
        total = RouteCounts()
        for counters in (self._unrouted, *self._routes):
            counts = counters.counts()
            by_upstream = routes.setdefault(counters.name, {})
            known = by_upstream.get(counters.upstream)
            by_upstream[counters.upstream] = counts if known is None else add(known, counts)
            total = add(total, counts)
        total.in_flight = in_flight
        return Snapshot.of(
            total,
            routes=routes,
            reused_connection_retries=self._reused_connection_retries,
            internal_errors=self._internal_errors,
            upstream_connections=upstream_connections,
            client_connections=client_connections,
            lag=lag_histogram_of(self._lag),
        )

    def _log_request(
        self,
        request: Request,
        code: str,
        took_s: float,
        attempts: tuple[Attempt, ...],
    ) -> None:
        # As plain texts, for the console would show the repr of an enum.
        outcomes = [str(outcome_name(attempt.outcome)) for attempt in attempts]
        outcomes += ["held"] * request.hedges_held
        write: Callable[..., object] = (
            self._access_log.warning if code in _SERVER_ERRORS else self._access_log.info
        )
        write(
            "request",
            **_described(request, request.route),
            code=code,
            took_ms=round(took_s * 1000, 1),
            attempts=outcomes,
        )


def _hedges_of(route: Route) -> int:
    """Return the hedges of each request; of a sample, where hedging is only observed, none is counted."""
    return route.plan.hedges if route.sample >= 1.0 else 0


def _outcome_without_hedging(first: Attempt) -> str:
    """Return what the client would have got from a first attempt alone, which ended after its race.

    If it was cancelled before its request's deadline, that is unknown: it might still have succeeded.
    """
    in_time = first.ended_at <= first.request.deadline_at
    if not isinstance(first.outcome, Failure):
        return outcome_name(first.outcome) if in_time else "out_of_time"
    if not in_time:
        return "out_of_time"
    return UNKNOWN if first.outcome.reason is FailureReason.TIMEOUT else "all_failed"


def _described(request: Request, route: Route | None) -> dict[str, str]:
    """Return what a log line says of a request: its ids, its route, and its target where the route does not name it."""
    said = {"request_id": request.request_id.decode("ascii")}
    if request.trace is not None:
        said["trace_id"] = request.trace.trace_id
    if route is not None:
        said["route"] = route.name
    if route is None or route.forwarding is not None:
        said["method"] = request.method.decode("ascii")
        said["path"] = shown_path(request.path)
    return said
