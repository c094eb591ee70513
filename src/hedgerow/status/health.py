"""The health of the upstream and of the gateway, with a reason in words, from the counts of the last seconds. Pure.

The health of the upstream depends only on attempts that ended on their own. What clients got also depends on their
timeouts and on the gateway's load; it is reported beside, and never changes the state.
The thresholds suit an unreliable upstream: of the reference upstream every seventh attempt fails, which hedging
compensates.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hedgerow.status.error_rates import ANSWERED, ErrorRates, attempts_by_outcome
from hedgerow.telemetry.snapshot import BUCKETS_S, Histogram, Snapshot, quantile_s

FAILING: Final = 0.5
"""Share of failed attempts from which the upstream is failing."""
DEGRADED: Final = 0.25
"""Share of failed attempts; all three attempts of one request then fail in 1.6 % of cases."""
UNSERVED: Final = 0.05
"""Share of requests that ran out of time from which the reason mentions them."""
OVERLOADED: Final = 0.01
"""Share of requests that the gateway rejects for lack of capacity."""
MIN_ATTEMPTS: Final = 5
"""With fewer attempts the state is unknown; if these all failed, the upstream is failing (by chance: 1 in 17 000)."""
MIN_FOR_FAILING: Final = 20
"""Attempts for "failing" if some succeeded: with 6, the reference upstream would seem to fail 1 time in 23."""
MIN_FOR_DEGRADED: Final = 50
"""Attempts for "degraded": with 20, the reference upstream would seem degraded 1 time in 7, with 50 1 time in 30."""
UNRESPONSIVE_S: Final = 5.0
"""A worker that has not reported its counts for this long is lagging or stopped."""


class HealthState(StrEnum):
    """The state of the upstream, or of the gateway."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILING = "failing"
    STARTING = "starting"
    """The gateway has just been started: not enough data."""
    UNKNOWN = "unknown"
    """There were too few attempts."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """A state, and its reason in words."""

    state: HealthState
    reason: str


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers there should be, and how many serve."""

    wanted: int
    ready: int
    unresponsive: int = 0
    """Of `ready`, those without a report for `UNRESPONSIVE_S`."""
    ever_ready: bool = True
    """A worker has served since the start."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was counted in a span of time; gauges are those of its end."""

    counts: Snapshot
    span_s: float
    is_first: bool = False
    """The gateway has not run for longer."""

    def of_route(self, name: str) -> "Window":
        """Return what was counted of one route."""
        return Window(self.counts.of_route(name), self.span_s, self.is_first)


def upstream_state(rates: ErrorRates) -> HealthState:
    """Return the state of the upstream; UNKNOWN where there are too few attempts."""
    share, attempts = rates.attempts_failed, rates.attempts
    if attempts < MIN_ATTEMPTS:
        return HealthState.UNKNOWN
    if share >= FAILING and (attempts >= MIN_FOR_FAILING or rates.failed == attempts):
        return HealthState.FAILING
    if share < DEGRADED:
        return HealthState.HEALTHY
    return HealthState.DEGRADED if attempts >= MIN_FOR_DEGRADED else HealthState.UNKNOWN


def assess_upstream(window: Window) -> HealthReport:
    """Return the health of the upstream."""
    rates = ErrorRates.of(window.counts)
    state = upstream_state(rates)
    if state is HealthState.UNKNOWN:
        state = HealthState.STARTING if window.is_first else HealthState.UNKNOWN
        return HealthReport(state, _too_few(window, rates))
    if state is HealthState.HEALTHY:
        reason = describe_success(rates, window.span_s)
    else:
        reason = (
            f"{_percent(rates.attempts_failed)} of {rates.attempts} attempts failed {_last(window)},"
            f" {_most_frequent_failure(window.counts)}."
        )
    return HealthReport(state, reason + _out_of_time(window.counts, rates))


def assess_gateway(window: Window, workers: Workers) -> HealthReport:
    """Return the health of the gateway itself."""
    if not workers.ready:
        if not workers.ever_ready:
            return HealthReport(HealthState.STARTING, "No worker serves yet.")
        return HealthReport(HealthState.FAILING, "No worker serves: clients are not answered.")
    rates, internal = ErrorRates.of(window.counts), window.counts.internal_errors
    problems: list[str] = []
    if rates.requests_shed >= OVERLOADED:
        problems.append(
            f"{_percent(rates.requests_shed)} of requests were rejected {_last(window)}: overloaded."
        )
    if workers.unresponsive:
        problems.append(f"{workers.unresponsive} of {workers.wanted} workers do not report.")
    if workers.ready < workers.wanted:
        problems.append(f"{workers.ready} of {workers.wanted} workers serve.")
    if internal:
        problems.append(f"{_counted(internal, 'internal error')} {_last(window)}: see the log.")
    if problems:
        return HealthReport(HealthState.DEGRADED, " ".join(problems))
    return HealthReport(HealthState.HEALTHY, f"{workers.ready} of {workers.wanted} workers serve.")


def describe_success(rates: ErrorRates, span_s: float) -> str:
    """Return the success rates of attempts and requests in words."""
    requests = ""
    if rates.requests:
        requests = f" and {_percent(1 - rates.requests_unserved)} of {_counted(rates.requests, 'request')}"
    return (
        f"{_percent(1 - rates.attempts_failed)} of {rates.attempts} attempts{requests} succeeded"
        f" in the last {span_s:.0f} s."
    )


class HealthTransitions:
    """Detects when the upstream becomes unhealthy, and when it recovers. Between the thresholds nothing changes."""

    def __init__(self) -> None:
        self.unhealthy_since: float | None = None

    def update(self, rates: ErrorRates, now: float) -> str | None:
        """Return `unhealthy` or `recovered` at a transition, else None; `now` is an instant in seconds."""
        state = upstream_state(rates)
        if self.unhealthy_since is None and state is HealthState.FAILING:
            self.unhealthy_since = now
            return "unhealthy"
        if self.unhealthy_since is not None and state is HealthState.HEALTHY:
            self.unhealthy_since = None
            return "recovered"
        return None


# -- the reasons


def _last(window: Window) -> str:
    return f"in the last {window.span_s:.0f} s"


def _too_few(window: Window, rates: ErrorRates) -> str:
    waiting, last = window.counts.in_flight, _last(window)
    ended = f"{_counted(rates.attempts, 'attempt')} ended {last}"
    if rates.failed:
        ended += f", {rates.failed} of them failed"
    if rates.cut_off:
        ended += f", {rates.cut_off} more were cancelled too early to know"
    if window.is_first:
        return f"Started {window.span_s:.0f} s ago: not enough data for a verdict; {ended}."
    if waiting:
        return f"{_counted(waiting, 'request')} waiting; {ended}."
    if not rates.attempts and not rates.cut_off:
        return f"No requests {last}, so nothing is known about the upstream."
    return f"{ended}: too few to judge."


def _out_of_time(counts: Snapshot, rates: ErrorRates) -> str:
    """Describe requests whose timeout was too short for an upstream that responds."""
    if rates.requests < MIN_ATTEMPTS or rates.out_of_time < rates.requests * UNSERVED:
        return ""
    share = _percent(rates.out_of_time / rates.requests)
    took_s = quantile_s(0.99, BUCKETS_S, counts.attempt_duration.get("success", Histogram()).counts)
    takes = (
        "" if took_s is None else f" (99 % of the upstream's successes take at most {took_s * 1000:.0f} ms)"
    )
    return f" {share} of {rates.requests} requests ran out of their own timeout{takes}."


def _most_frequent_failure(counts: Snapshot) -> str:
    failures = attempts_by_outcome(counts)
    for outcome in ANSWERED:
        failures.pop(outcome, None)
    return f"most by {max(failures, key=failures.__getitem__)}"


def _percent(share: float) -> str:
    """Round towards the middle, so that "100 %" means all and "0 %" none."""
    tenths = round(share * 1000)
    if 0 < share < 1:
        tenths = min(max(tenths, 1), 999)
    return f"{tenths / 10:g} %"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
