"""Predictions and advice as data: what `/status.json` and `hedgerow plan --json` give. Shares are of all requests."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from hedgerow.planning.advice import Advice
from hedgerow.planning.latency_sketch import LARGEST_S, SMALLEST_S
from hedgerow.planning.what_if import SHOWN_BY_MS, Plan, WhatIf

CURVE_STEPS: Final = 40
"""Of a curve: one each 25 ms where all have a success within a second."""
SETTLED: Final = 0.998
"""Of the successes: a curve ends there, for the last few may take a minute."""


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
    curve: list[float]
    """Shares with a success by each of `curve_ms`."""


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
    curve_ms: list[float]
    """Even steps, up to when nearly all that succeed have."""
    recommended: PlanRow | None
    without: PlanRow
    in_use: PlanRow | None
    """The plan in use, or that would be."""
    plans: list[PlanRow]
    likeness: LikenessReport | None
    findings: list[FindingReport]


def plan_report(
    what_if: WhatIf, advice: Advice, plans: Iterable[Plan], current: Plan | None = None
) -> PlanReport:
    """Return advice and the predictions for some plans as data; `current` is the plan in use."""
    longest_s = longest_shown_s(
        what_if, [plan for plan in (advice.without.plan, current) if plan is not None]
    )
    curve_s = [longest_s * step / CURVE_STEPS for step in range(CURVE_STEPS + 1)]

    def row(plan: Plan) -> PlanRow:
        return row_of(what_if, plan, curve_s)

    likeness = advice.likeness
    return PlanReport(
        observed=what_if.law.observed,
        verdict=advice.verdict,
        reason=advice.reason,
        aim=advice.aim,
        by_ms=list(SHOWN_BY_MS),
        curve_ms=[round(at_s * 1000, 3) for at_s in curve_s],
        recommended=row(advice.recommended.plan) if advice.recommended is not None else None,
        without=row(advice.without.plan),
        in_use=row(current) if current is not None else None,
        plans=[row(plan) for plan in plans],
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


def row_of(what_if: WhatIf, plan: Plan, curve_s: Sequence[float]) -> PlanRow:
    """Return the prediction for a plan as data, with its curve at these seconds."""
    prediction = what_if.predict(plan)
    return PlanRow(
        round(plan.hedge_after_s * 1000, 3) if plan.hedges else None,
        plan.hedges,
        plan.immediate,
        round(prediction.attempts, 3),
        [round(share, 4) for share in prediction.success_by],
        _ms(prediction.p50_s),
        _ms(prediction.p90_s),
        _ms(prediction.p99_s),
        _ms(prediction.p999_s),
        [round(what_if.success_by(plan, at_s), 4) for at_s in curve_s],
    )


def _ms(at_s: float | None) -> float | None:
    return None if at_s is None else round(at_s * 1000, 1)


def longest_shown_s(what_if: WhatIf, plans: Iterable[Plan]) -> float:
    """Return a round time by which nearly all that succeed have, by any of the plans."""
    most = [(plan, SETTLED * what_if.success_by(plan, LARGEST_S)) for plan in plans]
    settled_s = max((what_if.reached_at(plan, share) or SMALLEST_S for plan, share in most), default=1.0)
    step_s = round_step_s(settled_s)
    return step_s * (int(settled_s / step_s) + 1)


def round_step_s(longest_s: float) -> float:
    """Return a step of 1, 2 or 5 that is 3 to 8 times in a span."""
    step_s = SMALLEST_S / 10
    while longest_s / step_s >= 8:
        for factor in (2, 2.5, 2):
            step_s *= factor
            if longest_s / step_s < 8:
                break
    return step_s
