"""Attempts that are alike are found by samples of hedged requests, and predictions corrected."""

from random import Random

import pytest

from hedgerow.planning.advice import measured_likeness
from hedgerow.planning.hedge_samples import Sample
from hedgerow.planning.latency_sketch import CUT, FAILURE, SUCCESS
from hedgerow.planning.observations import Observations
from hedgerow.planning.what_if import SHOWN_BY_MS, Plan, WhatIf
from support.latency_laws import ALIKE, LAWS, Law, Reality, mean, observed, race

SEEDS = 6
OBSERVED = 2_000
WRONG = {"shared fate": 0.04, "bad spells": 0.1, "slow keys": 0.1}
"""How wrong a prediction is that takes attempts as independent, at its worst time."""


def for_pairs(law: Law) -> Law:
    return lambda random, part, attempts: law(random, part, max(attempts, 2))


def errors(what_if: WhatIf, plan: Plan, real: Reality) -> list[float]:
    return [what_if.success_by(plan, by_ms / 1000) - real.success_by(by_ms) for by_ms in SHOWN_BY_MS]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ALIKE)
def test_samples_correct_what_independence_gets_wrong(name: str) -> None:
    law, plan = ALIKE[name]
    real = race(law, plan, 10_000, Random(f"{name}/reality"))
    draws = [observed(law, OBSERVED, Random(f"{name}/{seed}"), sampled=plan) for seed in range(SEEDS)]
    independent = [errors(WhatIf(WhatIf.of(draw).law, []), plan, real) for draw in draws]
    assert max(abs(mean(column)) for column in zip(*independent, strict=True)) > WRONG[name]
    corrected = [errors(WhatIf.of(draw), plan, real) for draw in draws]
    assert max(abs(mean(column)) for column in zip(*corrected, strict=True)) < 0.01
    assert mean([max(map(abs, row)) for row in corrected]) < 0.02
    assert all(WhatIf.of(draw).correlation.is_measured for draw in draws)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("delay_s", "hedges"), [(0.1, 1), (0.1, 3), (0.5, 2)])
@pytest.mark.parametrize("name", ALIKE)
def test_samples_of_one_plan_predict_others(name: str, delay_s: float, hedges: int) -> None:
    law, sampled = ALIKE[name]
    plan = Plan(delay_s, hedges)
    real = race(for_pairs(law), plan, 10_000, Random(f"{name}/reality"))
    what_if = WhatIf.of(observed(law, 10_000, Random(f"{name}/many"), sampled=sampled))
    assert max(map(abs, errors(what_if, plan, real))) < 0.02


def test_independent_attempts_are_found_independent() -> None:
    law, plan = LAWS["uniform"]
    found = [
        WhatIf.of(
            observed(law, OBSERVED, Random(f"independent/{seed}"), sampled=plan)
        ).correlation.is_measured
        for seed in range(20)
    ]
    assert sum(found) <= 1


def test_a_few_samples_say_nothing() -> None:
    law, plan = ALIKE["bad spells"]
    draw = observed(law, OBSERVED, Random(1), sampled=plan)
    draw.samples = draw.samples[:20]
    assert not WhatIf.of(draw).correlation.is_measured


def test_how_alike_attempts_are_is_a_share() -> None:
    """Half of the hedged requests have hedges that do as the first attempt did, which was to fail."""
    observations = Observations()
    observations.observe(0.1, SUCCESS, 800)
    observations.observe(0.1, FAILURE, 200)
    good: Sample = (0.3, ((0.1, FAILURE), (0.1, SUCCESS), (0.1, SUCCESS)))
    bad: Sample = (0.3, ((0.1, FAILURE), (0.1, FAILURE), (0.1, FAILURE)))
    observations.samples = [good] * 40 + [bad] * 60
    likeness = measured_likeness(WhatIf.of(observations))
    assert likeness is not None
    assert (likeness.samples, round(likeness.measured, 9), round(likeness.independent, 9)) == (100, 0.4, 0.8)
    assert likeness.correlation == pytest.approx(0.5)
    assert likeness.is_significant


def test_samples_of_requests_that_are_all_late_predict_earlier_hedges() -> None:
    observations = Observations()
    observations.observe(0.5, SUCCESS, 1_000)
    late: Sample = (0.2, ((0.5, SUCCESS), (0.5, FAILURE), (0.5, FAILURE)))
    observations.samples = [late] * 100
    correlation = WhatIf.of(observations).correlation
    assert correlation.is_measured
    assert correlation.missed(0.1, 0.6, 2) == pytest.approx(1.0, abs=0.2)


def test_a_hedge_that_was_cut_counts_only_until_then() -> None:
    observations = Observations()
    observations.observe(0.1, SUCCESS, 500)
    observations.observe(0.4, SUCCESS, 500)
    cut: Sample = (0.2, ((0.4, SUCCESS), (0.05, CUT), (0.0, CUT)))
    whole: Sample = (0.2, ((0.4, SUCCESS), (0.4, SUCCESS), (0.0, CUT)))
    observations.samples = [cut] * 50 + [whole] * 50
    correlation = WhatIf.of(observations).correlation
    assert correlation.likeness(0.1).measured == 0.0  # of the 50 that were followed for as long
    assert correlation.likeness(0.5).measured == 1.0
