"""Advice says when hedging helps, and plainly when it does not."""

from random import Random

import pytest

from hedgerow.planning.advice import Symptoms, Verdict, advise, percent
from hedgerow.planning.aim import Aim
from hedgerow.planning.latency_sketch import FAILURE, SUCCESS
from hedgerow.planning.observations import Observations
from hedgerow.planning.what_if import Plan, WhatIf
from support.latency_laws import ALIKE, LAWS, observed


def what_if(name: str) -> WhatIf:
    laws = {**LAWS, **ALIKE}
    law, plan = laws[name]
    return WhatIf.of(observed(law, 5_000, Random(name), sampled=plan if name in ALIKE else None))


def codes(advice: object) -> set[str]:
    return {finding.code for finding in advice.findings}  # type: ignore[attr-defined]


def test_a_tail_is_helped() -> None:
    advice = advise(what_if("1 % at 10x"), Aim(0.998, 0.5))
    assert advice.verdict is Verdict.HELPS
    assert advice.recommended is not None
    assert advice.recommended.attempts < 1.03


def test_failures_that_are_alike_are_not_helped() -> None:
    advice = advise(what_if("bad spells"), Aim(0.95, 0.5))
    assert advice.verdict is Verdict.DOES_NOT_HELP
    assert advice.recommended is None
    assert "correlated" in codes(advice)


def test_the_same_seems_possible_without_samples() -> None:
    """What was not measured is not known: this is why hedges are sampled."""
    advice = advise(WhatIf(what_if("bad spells").law, []), Aim(0.95, 0.5))
    assert (advice.verdict, advice.likeness) == (Verdict.HELPS, None)


def test_fast_failures_are_hedged_at_once() -> None:
    advice = advise(what_if("fast failures"), Aim(0.95, 0.5))
    assert "fast_failures" in codes(advice)
    assert advice.recommended is not None
    assert advice.recommended.plan.immediate
    assert "fast_failures" not in codes(advise(what_if("slow failures"), Aim(0.95, 0.5)))


@pytest.mark.parametrize("symptoms", [Symptoms(rejected=0.06), Symptoms(slower_under_load=2.0)])
def test_an_upstream_that_is_short_of_capacity_is_not_asked_more(symptoms: Symptoms) -> None:
    advice = advise(what_if("lognormal"), Aim(), symptoms)
    assert advice.verdict is Verdict.TOO_COSTLY
    assert advice.recommended is None
    assert codes(advice) & {"rejects_load", "slower_under_load"}
    assert advise(what_if("lognormal"), Aim()).verdict is Verdict.HELPS


def test_a_delay_above_the_tail_is_noticed() -> None:
    late, sound = (advise(what_if("1 % at 10x"), Aim(), current=Plan(at_s, 2)) for at_s in (2.5, 0.25))
    assert "delay_above_tail" in codes(late)
    assert "delay_above_tail" not in codes(sound)


def test_one_latency_for_all_is_not_helped() -> None:
    observations = Observations()
    observations.observe(0.1, SUCCESS, 5_000)
    advice = advise(WhatIf.of(observations), Aim())
    assert advice.verdict is Verdict.DOES_NOT_HELP
    assert advise(WhatIf.of(observations), Aim(0.99, 0.2)).verdict is Verdict.NOT_NEEDED


@pytest.mark.parametrize("count", [0, 1, 199])
def test_little_says_little(count: int) -> None:
    observations = Observations()
    if count:
        observations.observe(0.1, SUCCESS, count)
    advice = advise(WhatIf.of(observations), Aim())
    assert (advice.verdict, advice.recommended) == (Verdict.UNKNOWN, None)
    assert "few_observations" in codes(advice)


@pytest.mark.parametrize("aim", [Aim(), Aim(0.99, 0.5), Aim(max_extra=3.0)])
def test_an_upstream_that_never_succeeds_is_not_helped_at_any_price(aim: Aim) -> None:
    observations = Observations()
    observations.observe(0.1, FAILURE, 300)
    advice = advise(WhatIf.of(observations), aim)
    assert (advice.verdict, advice.recommended) == (Verdict.DOES_NOT_HELP, None)
    assert advice.reason == "none of 300 first attempts succeeded"


def test_what_is_out_of_reach_is_said() -> None:
    advice = advise(what_if("uniform"), Aim(0.999, 0.15))
    assert advice.verdict is Verdict.DOES_NOT_HELP
    assert "out of reach" in advice.reason
    assert advise(what_if("uniform"), Aim(0.99, 0.5, 0.1)).verdict is Verdict.TOO_COSTLY


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0 %"), (1.0, "100.0 %"), (0.0001, "0.1 %"), (0.99999, "99.9 %"), (0.1234, "12.3 %")],
)
def test_all_and_none_are_only_said_of_all_and_none(share: float, text: str) -> None:
    assert percent(share) == text
