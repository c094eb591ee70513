"""The observer of a worker: counts facts and writes log lines."""

from collections import defaultdict
from collections.abc import Callable
from typing import Final

from structlog.typing import FilteringBoundLogger

from hedgerow.core.observer import Observer
from hedgerow.core.outcomes import Aborted, Attempt, Failure, FailureReason, RaceEnd, Won
from hedgerow.core.request import Request
from hedgerow.settings import AccessLog
from hedgerow.telemetry.first_attempts import FirstAttempts
from hedgerow.telemetry.histogram import HistogramCounter
from hedgerow.telemetry.logs import unlimited
from hedgerow.telemetry.recent_requests import RecentRequests
from hedgerow.telemetry.snapshot import (
    BUCKET_STEP_S,
    BUCKETS_S,
    LAG_BUCKETS_S,
    LAG_STEP_S,
    MAX_STATUSES,
    UNKNOWN,
    Histogram,
    LagHistogram,
    Snapshot,
    add,
)

_SERVER_ERRORS: Final = frozenset({"all_failed", "out_of_time", "internal"})
"""Outcomes that are errors of the upstream or of the gateway, not of the client."""

_IN_RACE: Final = ""
"""The fate of an attempt that ended during its race: its outcome says all."""


class Recorder(Observer):
    """The observer of one worker: plain numbers on the hot path, summed when the supervisor requests a snapshot.

    A request costs two observations of a histogram, one for itself and one for its attempt. All counts by outcome are
    sums of those histograms.
    """

    def __init__(self, log: FilteringBoundLogger, access_log: AccessLog, hedges: int = 2) -> None:
        self._log = log
        self._log_all = access_log is AccessLog.ALL
        self._access_log = unlimited(log) if self._log_all else log
        self._log_errors = access_log is not AccessLog.OFF
        self._hedges = hedges
        self.recent = RecentRequests()
        self.first_attempts = FirstAttempts()
        self._durations: defaultdict[str, HistogramCounter] = defaultdict(_durations)
        self._attempts: defaultdict[tuple[int, str, str], HistogramCounter] = defaultdict(_durations)
        """By number, outcome and, for a first attempt that lost its race, its fate."""
        self._statuses: dict[str, int] = {}
        """Attempts with the outcome `status_other`, by status."""
        self._rejected: defaultdict[str, int] = defaultdict(int)
        self._shed: defaultdict[str, int] = defaultdict(int)
        self._hedges_won = self._hedges_rescued = self._hedges_suppressed = self._hedges_held = 0
        self._wasted_s = 0.0
        self._client_disconnects = 0
        self._reused_connection_retries = 0
        self._internal_errors = 0
        self._overshoot = HistogramCounter(LAG_BUCKETS_S, LAG_STEP_S)
        self._lag = HistogramCounter(LAG_BUCKETS_S, LAG_STEP_S)

    # -- the facts (see `core.observer.Observer`)

    def request_finished(self, request: Request, code: str, ended_at: float, end: RaceEnd) -> None:
        took_s = ended_at - request.arrived_at
        self._durations[code].observe(took_s)
        attempts = end.attempts
        winner = end.winner.number if isinstance(end, Won) else None
        if len(attempts) > 1:
            self.first_attempts.request_finished(attempts, ended_at)
        trace = request.trace
        trace_id = None if trace is None else trace.trace_id
        self.recent.request_finished(request, code, ended_at, winner, attempts, trace_id)
        if code == "abandoned":
            self._client_disconnects += 1
        else:
            self._overshoot.observe(took_s - request.timeout_ms / 1000)
            if isinstance(end, Won):
                if winner != 1:
                    self._hedges_won += 1
                    if isinstance(attempts[0].outcome, Failure):
                        self._hedges_rescued += 1
            elif len(attempts) <= 1 and not isinstance(end, Aborted) and request.late is None:
                self._hedges_suppressed += self._hedges
        if request.late is not None:
            self._hedges_held += request.late.held
        if trace is not None:  # after the counts, so that an error in it does not affect them
            trace.request_finished(code, ended_at, end)
        if (self._log_all and code != "abandoned") or (self._log_errors and code in _SERVER_ERRORS):
            self._log_request(request, code, took_s, attempts, trace_id)

    def request_rejected(self, code: str, reason: str) -> None:
        self._rejected[code] += 1
        if code == "overloaded":
            self._shed[reason] += 1
        if self._log_all:
            self._access_log.info("request rejected", code=code, reason=reason)

    def internal_error(self, request: Request | None) -> None:
        self._internal_errors += 1
        ids = {}
        if request is not None:
            ids = _ids(request.request_id, request.trace.trace_id if request.trace is not None else None)
        self._log.exception("unhandled exception", **ids)

    def attempt_finished(self, attempt: Attempt) -> None:
        outcome = attempt.outcome.reason if isinstance(attempt.outcome, Failure) else "success"
        took_s = attempt.ended_at - attempt.launched_at
        fate = _IN_RACE
        if attempt.number == 1:
            self.first_attempts.attempt_finished(attempt, took_s)
        if attempt.is_loser:
            self._wasted_s += took_s
            if attempt.number == 1:
                fate = _outcome_without_hedging(attempt)
        self._attempts[attempt.number, outcome, fate].observe(took_s)
        if outcome == FailureReason.STATUS_OTHER:
            self._count_status(attempt)
        if attempt.span is not None:
            attempt.span.attempt_finished(attempt)

    def _count_status(self, attempt: Attempt) -> None:
        assert isinstance(attempt.outcome, Failure)  # noqa: S101 (for mypy)
        status, counted = attempt.outcome.detail.removeprefix("status "), self._statuses
        if status in counted or len(counted) < MAX_STATUSES:
            counted[status] = counted.get(status, 0) + 1

    def iteration_took(self, took_s: float) -> None:
        """Count an iteration of the event loop by its length, in seconds."""
        self._lag.observe(took_s)

    def stale_connection_retried(self) -> None:
        self._reused_connection_retries += 1

    # -- the snapshot

    def snapshot(
        self, upstream_connections: dict[str, int], client_connections: int, in_flight: int
    ) -> Snapshot:
        """Return all counts as they are now."""
        request_duration = {code: _histogram(counted) for code, counted in self._durations.items()}
        requests = {code: durations.count for code, durations in request_duration.items()}
        attempts: defaultdict[str, dict[str, int]] = defaultdict(dict)
        attempt_duration: dict[str, Histogram] = {}
        first_attempt_duration: dict[str, Histogram] = {}
        fired = 0
        for (number, outcome, fate), counted in self._attempts.items():
            durations = _histogram(counted)
            by_outcome = attempts[str(number)]
            by_outcome[outcome] = by_outcome.get(outcome, 0) + durations.count
            attempt_duration[outcome] = add(attempt_duration.get(outcome, Histogram()), durations)
            if number == 1:
                got = fate or ("success" if outcome == "success" else "all_failed")
                first_attempt_duration[got] = add(first_attempt_duration.get(got, Histogram()), durations)
            else:
                fired += durations.count
        return Snapshot(
            requests=add(requests, dict(self._rejected)),
            request_duration=request_duration,
            in_flight=in_flight,
            attempts=dict(attempts),
            statuses=dict(self._statuses),
            attempt_duration=attempt_duration,
            first_attempt_duration=first_attempt_duration,
            hedges={
                "fired": fired,
                "won": self._hedges_won,
                "rescued": self._hedges_rescued,
                "suppressed": self._hedges_suppressed,
                "held": self._hedges_held,
            },
            wasted_s=self._wasted_s,
            shed=dict(self._shed),
            client_disconnects=self._client_disconnects,
            reused_connection_retries=self._reused_connection_retries,
            internal_errors=self._internal_errors,
            upstream_connections=upstream_connections,
            client_connections=client_connections,
            overshoot=_lag(self._overshoot),
            lag=_lag(self._lag),
        )

    def _log_request(
        self,
        request: Request,
        code: str,
        took_s: float,
        attempts: tuple[Attempt, ...],
        trace_id: str | None,
    ) -> None:
        outcomes = [
            "pending" if attempt.outcome is None
            else attempt.outcome.reason if isinstance(attempt.outcome, Failure)
            else "success"
            for attempt in attempts
        ]  # fmt: skip
        outcomes += ["held"] * request.hedges_held
        write: Callable[..., object] = (
            self._access_log.warning if code in _SERVER_ERRORS else self._access_log.info
        )
        write(
            "request",
            **_ids(request.request_id, trace_id),
            code=code,
            took_ms=round(took_s * 1000, 1),
            attempts=outcomes,
        )


def _durations() -> HistogramCounter:
    return HistogramCounter(BUCKETS_S, BUCKET_STEP_S)


def _histogram(counted: HistogramCounter) -> Histogram:
    return Histogram(list(counted.counts), counted.sum_s)


def _lag(counted: HistogramCounter) -> LagHistogram:
    return LagHistogram(list(counted.counts), counted.sum_s)


def _ids(request_id: bytes, trace_id: str | None) -> dict[str, str]:
    """Return the ids of a request in a log line."""
    ids = {"request_id": request_id.decode("ascii")}
    return ids if trace_id is None else {**ids, "trace_id": trace_id}


def _outcome_without_hedging(first: Attempt) -> str:
    """Return what the client would have got from a first attempt alone, which ended after its race.

    If it was cancelled before its request's deadline, that is unknown: it might still have succeeded.
    """
    in_time = first.ended_at <= first.request.deadline_at
    if not isinstance(first.outcome, Failure):
        return "success" if in_time else "out_of_time"
    if not in_time:
        return "out_of_time"
    return UNKNOWN if first.outcome.reason is FailureReason.TIMEOUT else "all_failed"
