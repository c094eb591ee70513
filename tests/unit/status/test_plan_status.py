"""Plans of the status: predicted beside real."""

from random import Random

import pytest

from hedgerow.planning.observations import Observations
from hedgerow.status.plan_status import HEDGES, HedgingInUse, Real, plan_status, real, rejected_share
from hedgerow.telemetry.snapshot import BUCKETS_S, Histogram, Snapshot
from support.latency_laws import LAWS, observed
from support.recorders import a_busy_recorder


def in_use(hedges: int = 2, after_ms: int = 300) -> HedgingInUse:
    return HedgingInUse("/api/smart", "flags", "on", 0.01, after_ms, None, hedges, "wait")


def test_what_clients_got_is_of_the_requests_that_were_answered() -> None:
    """Of three, one has a success after 500 ms; the one that left is not counted."""
    got = real(a_busy_recorder().snapshot({}, 0, 0))
    assert (got.requests, got.attempts) == (3, 3.0)
    assert got.success_by[got.le_ms.index(450.0)] == 0
    assert got.success_by[got.le_ms.index(500.0)] == pytest.approx(1 / 3, abs=1e-4)


def test_a_final_answer_counts_as_a_success_as_it_does_in_what_is_predicted() -> None:
    bound = BUCKETS_S.index(0.2)
    at_200_ms = Histogram([int(index == bound) for index in range(len(BUCKETS_S) + 1)])
    got = real(Snapshot(request_duration=dict.fromkeys(("success", "final", "all_failed"), at_200_ms)))
    assert got.requests == 3
    assert got.success_by[bound - 1 : bound + 1] == [0, pytest.approx(2 / 3, abs=1e-4)]


def test_nothing_counted_is_nothing() -> None:
    assert real(Snapshot()).success_by == []
    assert rejected_share(Snapshot()) == 0.0


def test_rejections_are_a_share_of_attempts() -> None:
    assert (
        rejected_share(Snapshot(attempts={"1": {"success": 6, "status_429": 1}, "2": {"status_429": 1}}))
        == 0.25
    )


@pytest.mark.parametrize("hedges", [0, 1, 5])
def test_the_plan_in_use_is_among_those_shown(hedges: int) -> None:
    observations = observed(LAWS["lognormal"][0], 1_000, Random(1))
    status = plan_status(in_use(hedges, 333), "hour", observations, Snapshot(), Real(0, None, [], []))
    shown = {(row.hedge_after_ms, row.hedges) for row in status.report.plans}
    assert {number for _, number in shown} == set(range(1, max(HEDGES, hedges) + 1))
    assert not hedges or (333.0, hedges) in shown
    assert status.report.in_use is not None
    assert status.report.in_use.hedges == hedges


def test_nothing_observed_is_said() -> None:
    status = plan_status(in_use(), "hour", Observations(), Snapshot(), Real(0, None, [], []))
    assert (status.report.verdict, status.report.observed) == ("unknown", 0)
