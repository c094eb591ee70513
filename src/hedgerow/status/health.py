"""Verdicts in words, from the counts of the last seconds: one on the upstream, one on the gateway itself. Pure.

The verdict on the upstream counts attempts that ended by themselves, and nothing else. What clients got depends on
their timeouts and on the gateway's load, too: it is reported beside the verdict and never changes it.
The thresholds suit an upstream that is unreliable by nature: the reference upstream fails every seventh time, which is
what hedging is for.
"""

from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hedgerow.core.outcomes import FailureReason
from hedgerow.telemetry.snapshot import BUCKETS_S, Histogram, Snapshot, quantile_s

FAILING: Final = 0.5
"""Share of attempts that fail: with half of them the upstream is failing."""
DEGRADED: Final = 0.25
"""Share of attempts that fail; all three of one request then fail in 1.6 % of cases."""
UNSERVED: Final = 0.05
"""Share of requests without success that is worth a sentence."""
OVERLOADED: Final = 0.01
"""Share of requests that the gateway rejects for want of capacity."""
MIN_ATTEMPTS: Final = 5
"""With fewer attempts there is no verdict; if these all failed, the upstream is failing (by chance: 1 in 17 000)."""
MIN_FOR_FAILING: Final = 20
"""Attempts for "failing" if some succeeded: with 6, the reference upstream would seem to fail 1 time in 23."""
MIN_FOR_DEGRADED: Final = 50
"""Attempts for "degraded": with 20, the reference upstream would seem degraded 1 time in 7, with 50 1 time in 30."""
HUNG_S: Final = 1.0
"""An attempt that we cut off before this says nothing about the upstream: its client's timeout was short. Where
successes take longer, their 99th percentile is the bound."""
UNRESPONSIVE_S: Final = 5.0
"""A worker that has not reported its counts for this long lags or is stopped."""


class HealthState(StrEnum):
    """How the upstream, or the gateway, is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILING = "failing"
    STARTING = "starting"
    """The gateway has just been started: not enough data."""
    UNKNOWN = "unknown"
    """Nothing is known: too little was asked."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The state, and why in words."""

    state: HealthState
    reason: str


@dataclass(frozen=True, slots=True)
class Workers:
    """How the workers are."""

    wanted: int
    ready: int
    unresponsive: int = 0
    """Ready, and without a report for `UNRESPONSIVE_S`."""
    ever_ready: bool = True
    """Some worker has served since the start."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was counted in a span of time; gauges are of its end."""

    counts: Snapshot
    span_s: float
    is_first: bool = False
    """The gateway has not run for longer."""


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """What went well and what did not, in one span of time."""

    attempts: int
    """That ended by themselves, or were cut off after they had hung."""
    failed: int
    cut_off: int
    """Attempts that we ended before it could be known what they would come to."""
    requests: int
    """Requests that were answered after a race."""
    unserved: int
    """Of these, without success."""
    out_of_time: int
    """Of those without success, those whose timeout ended first."""
    shed: int

    @classmethod
    def of(cls, counts: Snapshot) -> "ErrorRates":
        """Take them from the differences of counts."""
        outcomes = attempts_by_outcome(counts)
        ended_by_us = outcomes.pop(FailureReason.TIMEOUT, 0)
        hung = min(_hung(counts), ended_by_us)
        attempts = sum(outcomes.values()) + hung
        requests = counts.requests
        unserved = sum(requests.get(code, 0) for code in ("all_failed", "out_of_time", "internal"))
        return cls(
            attempts=attempts,
            failed=attempts - outcomes.get("success", 0),
            cut_off=ended_by_us - hung,
            requests=unserved + requests.get("success", 0),
            unserved=unserved,
            out_of_time=requests.get("out_of_time", 0),
            shed=sum(counts.shed.values()),
        )

    @property
    def attempts_failed(self) -> float:
        """Return the share of attempts that failed."""
        return self.failed / self.attempts if self.attempts else 0.0

    @property
    def requests_unserved(self) -> float:
        """Return the share of requests without success."""
        return self.unserved / self.requests if self.requests else 0.0

    @property
    def requests_shed(self) -> float:
        """Return the share of requests that the gateway rejected for want of capacity."""
        return self.shed / (self.requests + self.shed) if self.shed else 0.0

    @property
    def state(self) -> HealthState:
        """Return what the attempts say about the upstream; UNKNOWN where they are too few."""
        share, attempts = self.attempts_failed, self.attempts
        if attempts < MIN_ATTEMPTS:
            return HealthState.UNKNOWN
        if share >= FAILING and (attempts >= MIN_FOR_FAILING or self.failed == attempts):
            return HealthState.FAILING
        if share < DEGRADED:
            return HealthState.HEALTHY
        return HealthState.DEGRADED if attempts >= MIN_FOR_DEGRADED else HealthState.UNKNOWN


def attempts_by_outcome(counts: Snapshot) -> dict[str, int]:
    """Add attempts up over their numbers; `status_other` is split by number, as far as the numbers were kept."""
    total: dict[str, int] = {}
    for by_outcome in counts.attempts.values():
        for outcome, times in by_outcome.items():
            total[outcome] = total.get(outcome, 0) + times
    for status, times in counts.statuses.items():
        total[FailureReason.STATUS_OTHER] = total.get(FailureReason.STATUS_OTHER, 0) - times
        total[f"status_{status}"] = total.get(f"status_{status}", 0) + times
    return {outcome: times for outcome, times in total.items() if times > 0}


def _hung(counts: Snapshot) -> int:
    """Count the attempts that we cut off after the upstream had had time enough."""
    took = counts.attempt_duration
    successes = took.get("success", Histogram()).counts
    enough_s = max(HUNG_S, quantile_s(0.99, BUCKETS_S, successes) or 0.0)
    cut_off = took.get(FailureReason.TIMEOUT, Histogram()).counts
    return sum(cut_off[bisect_left(BUCKETS_S, enough_s) + 1 :])


def assess_upstream(window: Window) -> HealthReport:
    """Return the verdict on the upstream."""
    shares = ErrorRates.of(window.counts)
    state = shares.state
    if state is HealthState.UNKNOWN:
        state = HealthState.STARTING if window.is_first else HealthState.UNKNOWN
        return HealthReport(state, _too_little(window, shares))
    if state is HealthState.HEALTHY:
        reason = what_succeeded(shares, window.span_s)
    else:
        reason = (
            f"{_percent(shares.attempts_failed)} of {shares.attempts} attempts failed {_last(window)},"
            f" {_most(window.counts)}."
        )
    return HealthReport(state, reason + _out_of_time(window.counts, shares))


def assess_gateway(window: Window, workers: Workers) -> HealthReport:
    """Return the verdict on the gateway itself."""
    if not workers.ready:
        if not workers.ever_ready:
            return HealthReport(HealthState.STARTING, "No worker serves yet.")
        return HealthReport(HealthState.FAILING, "No worker serves: clients are not answered.")
    shares, internal = ErrorRates.of(window.counts), window.counts.internal_errors
    worries: list[str] = []
    if shares.requests_shed >= OVERLOADED:
        worries.append(
            f"{_percent(shares.requests_shed)} of requests were rejected {_last(window)}: overloaded."
        )
    if workers.unresponsive:
        worries.append(f"{workers.unresponsive} of {workers.wanted} workers do not report.")
    if workers.ready < workers.wanted:
        worries.append(f"{workers.ready} of {workers.wanted} workers serve.")
    if internal:
        worries.append(f"{_counted(internal, 'internal error')} {_last(window)}: see the log.")
    if worries:
        return HealthReport(HealthState.DEGRADED, " ".join(worries))
    return HealthReport(HealthState.HEALTHY, f"{workers.ready} of {workers.wanted} workers serve.")


def what_succeeded(shares: ErrorRates, span_s: float) -> str:
    """Return the shares of success in words."""
    requests = ""
    if shares.requests:
        requests = f" and {_percent(1 - shares.requests_unserved)} of {_counted(shares.requests, 'request')}"
    return (
        f"{_percent(1 - shares.attempts_failed)} of {shares.attempts} attempts{requests} succeeded"
        f" in the last {span_s:.0f} s."
    )


def _last(window: Window) -> str:
    return f"in the last {window.span_s:.0f} s"


def _too_little(window: Window, shares: ErrorRates) -> str:
    waiting, last = window.counts.in_flight, _last(window)
    ended = f"{_counted(shares.attempts, 'attempt')} ended {last}"
    if shares.failed:
        ended += f", {shares.failed} of them failed"
    if shares.cut_off:
        ended += f", {shares.cut_off} more cut off too early to know"
    if window.is_first:
        return f"Started {window.span_s:.0f} s ago: not enough data for a verdict; {ended}."
    if waiting:
        return f"{_counted(waiting, 'request')} waiting; {ended}."
    if not shares.attempts and not shares.cut_off:
        return f"No client asked {last}, so nothing is known about the upstream."
    return f"{ended}: too few to judge."


def _out_of_time(counts: Snapshot, shares: ErrorRates) -> str:
    """Describe requests whose timeout was too short for an upstream that answers."""
    if shares.requests < MIN_ATTEMPTS or shares.out_of_time < shares.requests * UNSERVED:
        return ""
    share = _percent(shares.out_of_time / shares.requests)
    took_s = quantile_s(0.99, BUCKETS_S, counts.attempt_duration.get("success", Histogram()).counts)
    takes = (
        "" if took_s is None else f" (99 % of the upstream's successes take at most {took_s * 1000:.0f} ms)"
    )
    return f" {share} of {shares.requests} requests ran out of their own timeout{takes}."


def _most(counts: Snapshot) -> str:
    failures = attempts_by_outcome(counts)
    failures.pop("success", None)
    return f"most by {max(failures, key=failures.__getitem__)}"


def _percent(share: float) -> str:
    """Round towards the middle, so that "100 %" means all and "0 %" none."""
    tenths = round(share * 1000)
    if 0 < share < 1:
        tenths = min(max(tenths, 1), 999)
    return f"{tenths / 10:g} %"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


class HealthTransitions:
    """Notices when the upstream turns bad, and when it is well again. Between the two thresholds nothing is news."""

    def __init__(self) -> None:
        self.bad_since: float | None = None

    def update(self, shares: ErrorRates, now: float) -> str | None:
        """Return `unhealthy` or `recovered` when that is news; `now` is an instant, in seconds."""
        if self.bad_since is None and shares.state is HealthState.FAILING:
            self.bad_since = now
            return "unhealthy"
        if self.bad_since is not None and shares.state is HealthState.HEALTHY:
            self.bad_since = None
            return "recovered"
        return None
