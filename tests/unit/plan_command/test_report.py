"""The report, as text and as data, of the same figures."""

from random import Random

import msgspec

from hedgerow.plan_command.report import as_json, flags, shown_plans, text
from hedgerow.plan_command.source import Source
from hedgerow.planning.advice import NO_SYMPTOMS, Advice, advise
from hedgerow.planning.aim import Aim
from hedgerow.planning.plan_report import PlanReport
from hedgerow.planning.what_if import Plan, WhatIf
from support.latency_laws import ALIKE, LAWS, observed


def planned(name: str, aim: Aim = Aim()) -> tuple[Source, WhatIf, Advice]:  # noqa: B008 (a value)
    law, plan = {**LAWS, **ALIKE}[name]
    source = Source(
        observed(law, 3_000, Random(name), sampled=plan if name in ALIKE else None),
        NO_SYMPTOMS,
        "a log",
        plan,
    )
    what_if = WhatIf.of(source.observations)
    return source, what_if, advise(what_if, aim, source.symptoms, plan)


def test_the_flags_of_a_plan() -> None:
    assert flags(Plan(0.2104, 1)) == "--hedge-after-ms 210 --hedges 1"
    assert (
        flags(Plan(0.3, 2, immediate=True)) == "--hedge-after-ms 300 --hedges 2 --hedge-on-failure immediate"
    )
    assert flags(Plan(60, 0)) == "--hedges 0"


def test_the_plan_in_use_and_the_recommended_one_are_in_the_table() -> None:
    source, what_if, advice = planned("lognormal")
    assert advice.recommended is not None
    plans = [row.plan for row in shown_plans(what_if, advice, source.current)]
    assert {source.current, advice.recommended.plan, advice.without.plan} <= set(plans)
    assert len(plans) == len(set(plans))
    said = text(source, what_if, advice)
    assert said.count("<- recommended") == said.count("<- in use") == 1
    assert f"hedgerow serve {flags(advice.recommended.plan)}" in said


def test_no_flags_are_given_where_hedging_does_not_help() -> None:
    source, what_if, advice = planned("bad spells", Aim(0.95, 0.5))
    said = text(source, what_if, advice)
    assert said.startswith("Hedging will not help: ")
    assert "hedgerow serve" not in said
    assert "predictions are corrected" in said
    assert "Note: attempts of one request are alike" in said


def test_hedges_at_a_failure_have_a_star() -> None:
    said = text(*planned("fast failures", Aim(0.95, 0.5)))
    assert "* or as soon as the first attempt has failed" in said


def test_data_is_a_report() -> None:
    source, what_if, advice = planned("steps")
    report = msgspec.json.decode(as_json(source, what_if, advice), type=PlanReport)
    assert (report.verdict, report.reason, report.observed) == (advice.verdict, advice.reason, 3_000)
