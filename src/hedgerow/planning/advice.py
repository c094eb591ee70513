"""Whether hedging would help, in plain words, and why not where it would not."""

from enum import StrEnum
from typing import Final, NamedTuple

from hedgerow.planning.aim import DEFAULT_MAX_EXTRA, Aim
from hedgerow.planning.best_plan import best_plan
from hedgerow.planning.correlation import Likeness
from hedgerow.planning.latency_law import LatencyLaw
from hedgerow.planning.latency_sketch import LARGEST_S
from hedgerow.planning.what_if import Plan, Prediction, WhatIf

MIN_OBSERVED: Final = 200
"""First attempts: of fewer, the 99th percentile is one of the two slowest."""
ALIKE: Final = 0.5
"""Correlation from which attempts are called alike: hedging brings less than half of what it would."""
REJECTS: Final = 0.05
"""Share of attempts that the upstream rejected as too many (429, 503), from which it is short of capacity."""
SLOWER_UNDER_LOAD: Final = 1.5
"""How many times the mean latency grows from quiet to busy times, from which it is short of capacity."""
FAST: Final = 0.25
"""Of the median latency of a success: failures that come sooner are fast."""
SOME_FAILURES: Final = 0.005
"""Share of failures from which they are worth a word."""
HARDLY_SENT: Final = 0.002
"""Share of hedged requests below which a delay is above the tail."""
GAIN: Final = 0.05
"""Of the 99th percentile, or a tenth of it in points of successes: less is no help."""


class Verdict(StrEnum):
    """Whether hedging would help."""

    HELPS = "helps"
    NOT_NEEDED = "not_needed"
    DOES_NOT_HELP = "does_not_help"
    TOO_COSTLY = "too_costly"
    UNKNOWN = "unknown"


class Symptoms(NamedTuple):
    """What is known of the upstream beside latencies and outcomes."""

    rejected: float = 0.0
    """Share of attempts that were rejected as too many."""
    slower_under_load: float | None = None
    """Mean latency when it is busy, divided by that when it is quiet; None if it is not known."""


NO_SYMPTOMS: Final = Symptoms()


class Finding(NamedTuple):
    """Something that an operator should know; `code` is for programs."""

    code: str
    text: str


class Advice(NamedTuple):
    """What to do, and why."""

    verdict: Verdict
    reason: str
    aim: str
    recommended: Prediction | None
    without: Prediction
    findings: list[Finding]
    likeness: Likeness | None
    """How alike attempts are, where it was measured."""


def advise(
    what_if: WhatIf, aim: Aim, symptoms: Symptoms = NO_SYMPTOMS, current: Plan | None = None
) -> Advice:
    """Return the best plan for an aim and what speaks against it; `current` is a plan that is in use."""
    if aim.share is None and aim.max_extra is None:
        aim = Aim(max_extra=DEFAULT_MAX_EXTRA)
    law, without = what_if.law, what_if.predict(Plan(LARGEST_S, 0))
    likeness = measured_likeness(what_if)
    short_of_capacity = _short_of_capacity(symptoms)
    fast_failures = _fast_failures(law)
    findings = [
        finding
        for finding in (
            _too_few(law),
            _alike(likeness),
            short_of_capacity,
            fast_failures,
            _above_the_tail(law, current),
        )
        if finding is not None
    ]
    plan = best_plan(what_if, aim, immediate=fast_failures is not None and short_of_capacity is None)
    recommended = what_if.predict(plan) if plan is not None and plan.hedges else None
    verdict, reason = _verdict(what_if, aim, plan, without, recommended)
    if verdict is Verdict.HELPS and short_of_capacity is not None:
        verdict, reason = Verdict.TOO_COSTLY, f"{short_of_capacity.text}; hedges would add to it"
    if verdict is not Verdict.HELPS:
        recommended = None
    return Advice(verdict, reason, str(aim), recommended, without, findings, likeness)


def measured_likeness(what_if: WhatIf) -> Likeness | None:
    """Return how alike attempts are: by the median success, where samples show enough."""
    by_s = what_if.law.reached_at(what_if.law.succeeding / 2)
    if by_s is None or not what_if.correlation.samples:
        return None
    return what_if.correlation.likeness(by_s)


def _verdict(
    what_if: WhatIf, aim: Aim, plan: Plan | None, without: Prediction, recommended: Prediction | None
) -> tuple[Verdict, str]:
    law = what_if.law
    if law.observed < MIN_OBSERVED:
        return (
            Verdict.UNKNOWN,
            f"of {law.observed} first attempts nothing can be said; observe at least {MIN_OBSERVED}",
        )
    if not law.succeeding:
        return Verdict.DOES_NOT_HELP, f"none of {law.observed} first attempts succeeded"
    if plan is not None and recommended is None:
        return Verdict.NOT_NEEDED, f"the aim ({aim}) is reached without hedging"
    if recommended is None:
        return _out_of_reach(what_if, aim)
    gain_s = (without.p99_s or LARGEST_S) - (recommended.p99_s or LARGEST_S)
    gain = what_if.success_by(recommended.plan, LARGEST_S) - law.succeeding
    if aim.share is None and gain_s < GAIN * (without.p99_s or LARGEST_S) and gain < GAIN / 10:
        return Verdict.DOES_NOT_HELP, "no plan within the aim makes the slowest 1 % faster, or more succeed"
    words = []
    if gain_s > 0 and recommended.p99_s is not None:
        before = "never" if without.p99_s is None else f"{without.p99_s * 1000:.0f} ms"
        words.append(f"99 % of requests succeed within {recommended.p99_s * 1000:.0f} ms instead of {before}")
    if gain >= GAIN / 100:
        after = what_if.success_by(recommended.plan, LARGEST_S)
        words.append(f"{percent(after)} succeed instead of {percent(law.succeeding)}")
    cost = f"for {percent(recommended.attempts - 1)} more requests to the upstream"
    return Verdict.HELPS, f"{', and '.join(words) or f'the aim ({aim}) is reached'}, {cost}"


def _out_of_reach(what_if: WhatIf, aim: Aim) -> tuple[Verdict, str]:
    law = what_if.law
    if aim.share is None:
        never = 1 - law.succeeding
        return (
            Verdict.TOO_COSTLY,
            f"{percent(never)} of first attempts fail and are hedged whatever the delay, so {aim} is not possible",
        )
    if best_plan(what_if, aim._replace(max_extra=None)) is not None:
        return Verdict.TOO_COSTLY, f"{aim} is not possible: it takes more extra requests"
    assert aim.within_s is not None  # noqa: S101 (for mypy: it comes with a share)
    most = max(what_if.success_by(Plan(0.001, hedges), aim.within_s) for hedges in (1, 2, 3))
    return (
        Verdict.DOES_NOT_HELP,
        f"{aim} is out of reach: with three hedges sent at once it would be {percent(most)}",
    )


def _too_few(law: LatencyLaw) -> Finding | None:
    if law.observed >= 10 * MIN_OBSERVED:
        return None
    error = 50 / max(law.observed, 1) ** 0.5
    return Finding(
        "few_observations",
        f"{law.observed} first attempts were observed: shares may be off by {error:.0f} points",
    )


def _alike(likeness: Likeness | None) -> Finding | None:
    if likeness is None or not likeness.is_significant or likeness.correlation < ALIKE:
        return None
    return Finding(
        "correlated",
        f"attempts of one request are alike: {percent(likeness.measured)} of {likeness.samples} hedged requests' "
        f"hedges succeeded within {likeness.by_s * 1000:.0f} ms, where {percent(likeness.independent)} would have if "
        "independent; another attempt seldom helps",
    )


def _short_of_capacity(symptoms: Symptoms) -> Finding | None:
    if symptoms.rejected >= REJECTS:
        return Finding(
            "rejects_load",
            f"the upstream rejects {percent(symptoms.rejected)} of attempts as too many (429 or 503)",
        )
    if symptoms.slower_under_load is not None and symptoms.slower_under_load >= SLOWER_UNDER_LOAD:
        return Finding(
            "slower_under_load",
            f"the upstream is short of capacity: its mean latency is {symptoms.slower_under_load:.1f} times as long "
            "when it is busy as when it is quiet",
        )
    return None


def _fast_failures(law: LatencyLaw) -> Finding | None:
    median_s = law.reached_at(law.succeeding / 2)
    if median_s is None or law.failing < SOME_FAILURES:
        return None
    fast = sum(point.share for point in law.failures if point.at_s < FAST * median_s)
    if fast < law.failing / 2:
        return None
    return Finding(
        "fast_failures",
        f"most failures come within {FAST * median_s * 1000:.0f} ms: hedges that wait for the hedge delay come late "
        "for them, --hedge-on-failure immediate (in a route retry_on_failure) sends them at once",
    )


def _above_the_tail(law: LatencyLaw, current: Plan | None) -> Finding | None:
    if current is None or not current.hedges or not law.observed:
        return None
    late = 1 - law.success_by(current.hedge_after_s)
    if late >= HARDLY_SENT:
        return None
    return Finding(
        "delay_above_tail",
        f"the hedge delay of {current.hedge_after_s * 1000:.0f} ms is above the tail: only {percent(late)} of requests "
        "are hedged",
    )


def percent(share: float) -> str:
    """Return a share as people read it: `12.3 %`; 0 and 100 only where that is exact."""
    tenths = round(share * 1000)
    if 0 < share < 1:
        tenths = min(max(tenths, 1), 999)
    return f"{tenths / 10:.1f} %"
