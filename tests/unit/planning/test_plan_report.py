"""Predictions as data."""

from random import Random

import msgspec
import pytest

from hedgerow.planning.advice import advise
from hedgerow.planning.aim import Aim
from hedgerow.planning.observations import Observations
from hedgerow.planning.plan_report import PlanReport, plan_report, round_step_s
from hedgerow.planning.what_if import Plan, WhatIf
from support.latency_laws import LAWS, observed


def test_a_report_has_a_row_for_each_plan() -> None:
    law, plan = LAWS["lognormal"]
    what_if = WhatIf.of(observed(law, 2_000, Random(1), sampled=plan))
    report = plan_report(what_if, advise(what_if, Aim()), [Plan(0.2, 1), Plan(0.3, 2)], plan)
    assert [(row.hedge_after_ms, row.hedges) for row in report.plans] == [(200.0, 1), (300.0, 2)]
    for row in (*report.plans, report.without):
        assert len(row.curve) == len(report.curve_ms)
        assert row.curve == sorted(row.curve)
        assert len(row.success_by) == len(report.by_ms)
    assert report.without.curve[-1] > 0.95
    assert report.likeness is not None
    assert not report.likeness.corrects
    assert msgspec.json.decode(msgspec.json.encode(report), type=PlanReport) == report


def test_a_report_of_nothing_is_one() -> None:
    what_if = WhatIf.of(Observations())
    report = plan_report(what_if, advise(what_if, Aim()), [])
    assert (report.observed, report.verdict, report.likeness, report.without.p50_ms) == (
        0,
        "unknown",
        None,
        None,
    )


@pytest.mark.parametrize("longest_s", [0.0003, 0.001, 0.004, 0.0234, 0.99, 1.0, 7.9, 8.0, 59.0])
def test_steps_are_round(longest_s: float) -> None:
    step_s = round_step_s(longest_s)
    assert longest_s / step_s < 8
    assert float(f"{step_s:.6e}"[0]) in (1, 2, 5)
