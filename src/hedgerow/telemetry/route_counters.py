"""What a recorder counts of one route: plain numbers on the hot path.

A module of its own, for each request counts some here: this can be compiled, classes of msgspec's cannot.
"""

from collections import defaultdict
from typing import Final

from hedgerow.core.outcomes import (
    Aborted,
    Attempt,
    Failure,
    FailureReason,
    RaceEnd,
    Won,
    outcome_name,
)
from hedgerow.core.request import Request
from hedgerow.core.route import Route
from hedgerow.telemetry.first_attempts import FirstAttempts
from hedgerow.telemetry.histogram import HistogramCounter
from hedgerow.telemetry.snapshot import (
    BUCKET_STEP_S,
    BUCKETS_S,
    LAG_BUCKETS_S,
    LAG_STEP_S,
    MAX_STATUSES,
    UNKNOWN,
    Histogram,
    LagHistogram,
    RouteCounts,
    add,
)

_IN_RACE: Final = ""
"""The fate of an attempt that ended during its race: its outcome says all."""
_ANSWERED: Final = ("success", "final")


class RouteCounters:
    """The counts of one route in one worker.

    A request costs two observations of a histogram, one for itself and one for its attempt. All counts by outcome are
    sums of those histograms.
    """

    __slots__ = (
        "_attempts", "_client_disconnects", "_durations", "_held", "_observed", "_overshoot", "_rejected", "_rescued",
        "_shed", "_statuses", "_suppressed", "_wasted_s", "_won", "name", "upstream",
    )  # fmt: skip

    def __init__(self, name: str, upstream: str) -> None:
        """`name` and `upstream` are the route's; both are empty for requests that no route has."""
        self.name = name
        self.upstream = upstream
        self._durations: defaultdict[str, HistogramCounter] = defaultdict(_counter)
        self._attempts: defaultdict[tuple[int, str, str], HistogramCounter] = defaultdict(_counter)
        """By number, outcome and, for a first attempt that lost its race, its fate."""
        self._statuses: dict[str, int] = {}
        """Attempts with the outcome `status_other`, by status."""
        self._rejected: defaultdict[str, int] = defaultdict(int)
        self._shed: defaultdict[str, int] = defaultdict(int)
        self._won = self._rescued = self._suppressed = self._held = 0
        self._wasted_s = 0.0
        self._client_disconnects = 0
        self._overshoot = HistogramCounter(LAG_BUCKETS_S, LAG_STEP_S)
        self._observed: FirstAttempts | None = None
        """Made with the first attempt, for it takes 60 KiB: so a route without requests takes nothing."""

    @property
    def observed(self) -> FirstAttempts | None:
        """Return what was observed for planning; None before the first attempt has ended."""
        return self._observed

    def _first_attempts(self) -> FirstAttempts:
        observed = self._observed
        if observed is None:
            self._observed = observed = FirstAttempts()
        return observed

    def request_finished(self, request: Request, code: str, ended_at: float, end: RaceEnd) -> None:
        """Count a request that was admitted, at its end."""
        took_s = ended_at - request.arrived_at
        self._durations[code].observe(took_s)
        if len(end.attempts) > 1:
            self._first_attempts().request_finished(end.attempts, ended_at)
        if code == "abandoned":
            self._client_disconnects += 1
        else:
            self._overshoot.observe(took_s - request.timeout_ms / 1000)
            if isinstance(end, Won):
                if end.winner.number != 1:
                    self._won += 1
                    if isinstance(end.attempts[0].outcome, Failure):
                        self._rescued += 1
            elif len(end.attempts) <= 1 and not isinstance(end, Aborted) and request.late is None:
                self._suppressed += _hedges_of(request.route)
        if request.late is not None:
            self._held += request.late.held

    def request_rejected(self, code: str, reason: str) -> None:
        """Count a request that was answered without an attempt."""
        self._rejected[code] += 1
        if code == "overloaded":
            self._shed[reason] += 1

    def attempt_finished(self, attempt: Attempt) -> None:
        """Count an attempt that has its outcome."""
        outcome = outcome_name(attempt.outcome)
        took_s = attempt.ended_at - attempt.launched_at
        fate = _IN_RACE
        if attempt.number == 1:
            self._first_attempts().attempt_finished(attempt, took_s)
        if attempt.is_loser:
            self._wasted_s += took_s
            if attempt.number == 1:
                fate = _outcome_without_hedging(attempt)
        self._attempts[attempt.number, outcome, fate].observe(took_s)
        if outcome == FailureReason.STATUS_OTHER:
            self._count_status(attempt)

    def _count_status(self, attempt: Attempt) -> None:
        assert isinstance(attempt.outcome, Failure)  # noqa: S101 (for mypy)
        status, counted = attempt.outcome.detail.removeprefix("status "), self._statuses
        if status in counted or len(counted) < MAX_STATUSES:
            counted[status] = counted.get(status, 0) + 1

    def counts(self) -> RouteCounts:
        """Return all counts as they are now."""
        request_duration = {code: histogram_of(counted) for code, counted in self._durations.items()}
        requests = {code: durations.count for code, durations in request_duration.items()}
        attempts: defaultdict[str, dict[str, int]] = defaultdict(dict)
        attempt_duration: dict[str, Histogram] = {}
        first_attempt_duration: dict[str, Histogram] = {}
        fired = 0
        for (number, outcome, fate), counted in self._attempts.items():
            durations = histogram_of(counted)
            times = durations.count
            by_outcome = attempts[str(number)]
            by_outcome[outcome] = by_outcome.get(outcome, 0) + times
            _add_to(attempt_duration, outcome, durations)
            if number == 1:
                got = fate or (outcome if outcome in _ANSWERED else "all_failed")
                _add_to(first_attempt_duration, got, durations)
            else:
                fired += times
        return RouteCounts(
            requests=add(requests, dict(self._rejected)),
            request_duration=request_duration,
            attempts=dict(attempts),
            statuses=dict(self._statuses),
            attempt_duration=attempt_duration,
            first_attempt_duration=first_attempt_duration,
            hedges={
                "fired": fired,
                "won": self._won,
                "rescued": self._rescued,
                "suppressed": self._suppressed,
                "held": self._held,
            },
            wasted_s=self._wasted_s,
            shed=dict(self._shed),
            client_disconnects=self._client_disconnects,
            overshoot=lag_histogram_of(self._overshoot),
        )


def histogram_of(counted: HistogramCounter) -> Histogram:
    """Return what was counted, as it is sent to the supervisor."""
    return Histogram(list(counted.counts), counted.sum_s)


def lag_histogram_of(counted: HistogramCounter) -> LagHistogram:
    """Return what was counted, as it is sent to the supervisor."""
    return LagHistogram(list(counted.counts), counted.sum_s)


def _counter() -> HistogramCounter:
    return HistogramCounter(BUCKETS_S, BUCKET_STEP_S)


def _hedges_of(route: Route) -> int:
    """Return the hedges of each request; of a sample, where hedging is only observed, none is counted."""
    return route.plan.hedges if route.sample >= 1.0 else 0


def _add_to(by_outcome: dict[str, Histogram], outcome: str, more: Histogram) -> None:
    known = by_outcome.get(outcome)
    by_outcome[outcome] = more if known is None else add(known, more)


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
