"""The plan that reaches an aim at the least load, or the most within a limit of load."""

from collections.abc import Iterable
from math import ceil, inf
from typing import Final

from hedgerow.planning.aim import Aim
from hedgerow.planning.latency_sketch import LARGEST_S
from hedgerow.planning.what_if import Plan, WhatIf

MAX_HEDGES: Final = 3
"""Tried: a fourth hedge gains less than a tenth of what the first did."""


def best_plan(what_if: WhatIf, aim: Aim, *, immediate: bool = False) -> Plan | None:
    """Return the best plan for an aim, None if there is none; `immediate` considers plans that hedge at a failure.

    With a share to reach it is the plan with the fewest attempts, else the one with the most successes, and of those
    the one with the lowest 99th percentile.
    """
    if aim.share is not None and aim.within_s is not None:
        if what_if.law.success_by(aim.within_s) >= aim.share:
            return Plan(LARGEST_S, 0)
        plans = list(_plans_that_reach(what_if, aim.share, aim.within_s, immediate=immediate))
        if aim.max_extra is not None:
            plans = [plan for plan in plans if what_if.attempts(plan) <= 1 + aim.max_extra + 1e-9]
        return min(plans, key=what_if.attempts, default=None)
    if aim.max_extra is None:
        return None
    plans = list(_plans_that_cost(what_if, aim.max_extra, immediate=immediate))
    return min(plans, key=lambda plan: _rank(what_if, plan), default=None)


def _plans_that_reach(what_if: WhatIf, share: float, within_s: float, *, immediate: bool) -> Iterable[Plan]:
    """Return for each number of hedges the plan with the longest delay that reaches a share within a time."""
    for at_once in (False, True) if immediate else (False,):
        for hedges in range(1, MAX_HEDGES + 1):
            low, high = 0, ceil(within_s * 1000)  # the shorter the delay, the more successes
            if what_if.success_by(Plan(0.001, hedges, at_once), within_s) < share:
                continue
            while low < high:
                middle = (low + high + 1) // 2
                reaches = what_if.success_by(Plan(middle / 1000, hedges, at_once), within_s) >= share
                low, high = (middle, high) if reaches else (low, middle - 1)
            yield Plan(max(low, 1) / 1000, hedges, at_once)


def _plans_that_cost(what_if: WhatIf, max_extra: float, *, immediate: bool) -> Iterable[Plan]:
    """Return for each number of hedges the plan with the shortest delay that costs at most `max_extra` attempts."""
    for at_once in (False, True) if immediate else (False,):
        for hedges in range(1, MAX_HEDGES + 1):
            delay_s = what_if.law.reached_at(max(1 - max_extra / hedges, 0.0))
            if delay_s is not None and max_extra > 0:
                yield Plan(max(ceil(delay_s * 1000 - 1e-6), 1) / 1000, hedges, at_once)


def _rank(what_if: WhatIf, plan: Plan) -> tuple[float, float, float]:
    p99_s = what_if.reached_at(plan, 0.99)
    return (
        -round(what_if.success_by(plan, LARGEST_S), 3),
        inf if p99_s is None else round(p99_s, 3),
        what_if.attempts(plan),
    )
