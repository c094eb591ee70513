"""What `/status.json` says of plans: what hedging would bring on a route, beside what it brings. Pure."""

from itertools import accumulate
from typing import Any, Final, Literal, Self

import msgspec

from hedgerow.planning.advice import Symptoms, advise
from hedgerow.planning.aim import Aim
from hedgerow.planning.observations import Observations
from hedgerow.planning.plan_report import PlanReport, plan_report
from hedgerow.planning.what_if import Plan, WhatIf
from hedgerow.settings.effective_routing import hedges_of
from hedgerow.settings.routes import QuantileDelay, RouteRule
from hedgerow.status.error_rates import attempts_by_outcome, successes
from hedgerow.status.routes_report import hedge_delay_ms
from hedgerow.telemetry.snapshot import BUCKETS_S, Snapshot

ANSWERED: Final = ("success", "final", "all_failed", "out_of_time", "internal")
HEDGES: Final = 3
"""Most hedges that are shown, or as many as are set."""
SHARES: Final = (
    0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995,
)  # fmt: skip
"""The delays are what these shares of the successes take."""


class Real(msgspec.Struct):
    """What clients got in the last 30 s, of all requests that had an answer."""

    requests: int
    attempts: float | None
    """For each request."""
    le_ms: list[float]
    success_by: list[float]


class HedgingInUse(msgspec.Struct):
    """The hedging of a route."""

    route: str
    configured_by: Literal["flags", "file"]
    mode: str
    sample: float
    hedge_after_ms: int
    """Now; it follows the latency where there is a quantile."""
    hedge_quantile: float | None
    hedges: int
    hedge_on_failure: str

    @classmethod
    def of(cls, rule: RouteRule, recent: Snapshot, *, is_of_file: bool) -> Self:
        """Return the hedging of a route; `recent` is what was counted of it."""
        hedge = rule.hedge
        return cls(
            route=rule.name,
            configured_by="file" if is_of_file else "flags",
            mode=hedge.mode,
            sample=hedge.sample,
            hedge_after_ms=hedge_delay_ms(rule, recent),
            hedge_quantile=hedge.after.quantile if isinstance(hedge.after, QuantileDelay) else None,
            hedges=hedges_of(rule),
            hedge_on_failure=hedge.retry_on_failure,
        )

    @property
    def plan(self) -> Plan:
        """Return the plan that requests are hedged by, or would be."""
        return Plan(self.hedge_after_ms / 1000, self.hedges, immediate=self.hedge_on_failure == "immediate")


class PlanStatus(msgspec.Struct):
    """`/status.json?plan=WINDOW&route=NAME`."""

    window: str
    span_s: float
    hedging: HedgingInUse
    rejected: float
    """Share of attempts that the upstream rejected as too many (429), where that is no final answer."""
    real: Real
    report: PlanReport
    observations: Observations


def plan_status(
    in_use: HedgingInUse, window: str, observations: Observations, recent: Snapshot, real: Real
) -> PlanStatus:
    """Return all that is said of plans; takes some 50 ms. `recent` is what was counted in the last seconds.

    Observations and counts are of the route alone.
    """
    what_if = WhatIf.of(observations)
    rejected = rejected_share(recent)
    advice = advise(what_if, Aim(), Symptoms(rejected), in_use.plan)
    most = max(HEDGES, in_use.hedges)
    plans = [
        Plan(delay_s, hedges, in_use.plan.immediate)
        for hedges in range(1, most + 1)
        for delay_s in _delays_s(what_if, in_use.plan.hedge_after_s)
    ]
    return PlanStatus(
        window,
        round(observations.span_s, 1),
        in_use,
        round(rejected, 4),
        real,
        plan_report(what_if, advice, plans, in_use.plan),
        observations,
    )


def real(counts: Snapshot) -> Real:
    """Return what clients got, of what was counted; of all that were answered after a race."""
    answered = [counts.request_duration[code] for code in ANSWERED if code in counts.request_duration]
    requests = sum(histogram.count for histogram in answered)
    first = sum(counts.attempts.get("1", {}).values())
    total = sum(sum(outcomes.values()) for outcomes in counts.attempts.values())
    return Real(
        requests,
        round(total / first, 3) if first else None,
        [round(bound_s * 1000, 1) for bound_s in BUCKETS_S],
        [round(times / requests, 4) for times in accumulate(successes(counts.request_duration).counts[:-1])]
        if requests
        else [],
    )


def rejected_share(counts: Snapshot) -> float:
    """Return the share of attempts that the upstream rejected as too many."""
    outcomes: dict[str, Any] = attempts_by_outcome(counts)
    total = sum(outcomes.values())
    return outcomes.get("status_429", 0) / total if total else 0.0


def _delays_s(what_if: WhatIf, in_use_s: float) -> list[float]:
    """Return hedge delays that distinguish plans, in whole ms, and the one in use."""
    reached = (what_if.law.reached_at(share * what_if.law.succeeding) for share in SHARES)
    delays_ms = {max(round(at_s * 1000), 1) for at_s in reached if at_s is not None}
    return [delay_ms / 1000 for delay_ms in sorted({*delays_ms, max(round(in_use_s * 1000), 1)})]
