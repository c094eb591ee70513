"""The best plan is one that no other plan of a grid beats."""

from itertools import product
from random import Random

import pytest

from hedgerow.planning.aim import Aim
from hedgerow.planning.best_plan import best_plan
from hedgerow.planning.what_if import Plan, WhatIf
from support.latency_laws import LAWS, observed

GRID = [Plan(delay / 200, hedges) for delay, hedges in product(range(1, 200), (1, 2, 3))]


def what_if(name: str) -> WhatIf:
    return WhatIf.of(observed(LAWS[name][0], 2_000, Random(name)))


@pytest.mark.parametrize("name", ["uniform", "lognormal", "1 % at 10x", "bimodal", "steps", "slow failures"])
@pytest.mark.parametrize(("share", "within_s"), [(0.9, 0.5), (0.99, 0.5), (0.95, 0.3)])
def test_an_aim_is_reached_at_the_least_load(name: str, share: float, within_s: float) -> None:
    predicted = what_if(name)
    plan = best_plan(predicted, Aim(share, within_s))
    reaching = [one for one in GRID if predicted.success_by(one, within_s) >= share]
    if plan is None:
        assert not reaching
        return
    assert predicted.success_by(plan, within_s) >= share
    if plan.hedges:
        assert predicted.success_by(Plan(1, 0), within_s) < share
        assert all(predicted.attempts(plan) <= predicted.attempts(one) + 1e-9 for one in reaching)


@pytest.mark.parametrize("name", ["lognormal", "1 % at 10x", "bimodal", "steps"])
@pytest.mark.parametrize("extra", [0.05, 0.2])
def test_a_limit_of_load_is_kept_and_used(name: str, extra: float) -> None:
    predicted = what_if(name)
    plan = best_plan(predicted, Aim(max_extra=extra))
    assert plan is not None
    assert predicted.attempts(plan) <= 1 + extra + 1e-9
    mine = predicted.reached_at(plan, 0.99)
    assert mine is not None
    for one in GRID:
        if (
            predicted.attempts(one) <= 1 + extra
            and predicted.success_by(one, 60) > predicted.success_by(plan, 60) - 0.0005
        ):
            other = predicted.reached_at(one, 0.99)
            assert other is None or mine <= other + 0.0015


def test_nothing_is_within_a_limit_that_failures_alone_exceed() -> None:
    assert best_plan(what_if("slow failures"), Aim(max_extra=0.1)) is None


def test_no_load_allows_no_hedge() -> None:
    assert best_plan(what_if("lognormal"), Aim(max_extra=0.0)) is None


def test_an_aim_that_is_reached_needs_no_hedge() -> None:
    plan = best_plan(what_if("uniform"), Aim(0.5, 0.6))
    assert plan is not None
    assert plan.hedges == 0
