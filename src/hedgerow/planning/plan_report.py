"""Predictions and advice as data: what `/status.json` and `hedgerow plan --json` give. Shares are of all requests."""

from collections.abc import Iterable

import msgspec

from hedgerow.planning.advice import Advice
from hedgerow.planning.what_if import SHOWN_BY_MS, Plan, Prediction, WhatIf


class PlanRow(msgspec.Struct):
    """What clients get by one plan; a time is None where the share is never reached."""

    hedge_after_ms: float | None
    """None without hedges."""
    hedges: int
    immediate: bool
    attempts: float
    """For each request."""
    success_by: list[float]
    """By each of `by_ms`."""
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    p999_ms: float | None


class LikenessReport(msgspec.Struct):
    """How hedges that were sent did, beside what independent ones would have."""

    samples: int
    within_ms: float
    measured: float
    error: float
    independent: float
    correlation: float
    """The share of hedged requests whose hedges share the fate of the first attempt; 0: independent."""
    corrects: bool
    """The predictions are corrected by it: chance does not explain it."""


class FindingReport(msgspec.Struct):
    """Something that an operator should know."""

    code: str
    text: str


class PlanReport(msgspec.Struct):
    """Whether hedging would help, and what each plan would bring."""

    observed: int
    """First attempts."""
    verdict: str
    reason: str
    aim: str
    by_ms: list[int]
    recommended: PlanRow | None
    without: PlanRow
    plans: list[PlanRow]
    likeness: LikenessReport | None
    findings: list[FindingReport]


def plan_report(what_if: WhatIf, advice: Advice, plans: Iterable[Plan]) -> PlanReport:
    """Return advice and the predictions for some plans as data."""
    likeness = advice.likeness
    return PlanReport(
        observed=what_if.law.observed,
        verdict=advice.verdict,
        reason=advice.reason,
        aim=advice.aim,
        by_ms=list(SHOWN_BY_MS),
        recommended=None if advice.recommended is None else row_of(advice.recommended),
        without=row_of(advice.without),
        plans=[row_of(what_if.predict(plan)) for plan in plans],
        likeness=None
        if likeness is None
        else LikenessReport(
            samples=likeness.samples,
            within_ms=round(likeness.by_s * 1000, 1),
            measured=round(likeness.measured, 4),
            error=round(likeness.error, 4),
            independent=round(likeness.independent, 4),
            correlation=round(likeness.correlation, 4),
            corrects=what_if.correlation.is_measured,
        ),
        findings=[FindingReport(finding.code, finding.text) for finding in advice.findings],
    )


def row_of(prediction: Prediction) -> PlanRow:
    """Return a prediction as data."""
    plan = prediction.plan
    times_s = (prediction.p50_s, prediction.p90_s, prediction.p99_s, prediction.p999_s)
    return PlanRow(
        round(plan.hedge_after_s * 1000, 3) if plan.hedges else None,
        plan.hedges,
        plan.immediate,
        round(prediction.attempts, 3),
        [round(share, 4) for share in prediction.success_by],
        *(None if at_s is None else round(at_s * 1000, 1) for at_s in times_s),
    )
