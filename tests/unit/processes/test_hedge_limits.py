import pytest

from hedgerow.core.hedge_limit import HedgeBudget, HedgeLimit
from hedgerow.processes.hedge_limits import add_hedge_limit, hedge_limit
from hedgerow.settings import Settings
from hedgerow.telemetry.snapshot import Snapshot


@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings(hedges=0, hedge_hold="auto", hedge_ceiling=5)],
    ids=["as it is", "nothing to hold"],
)
def test_nothing_holds_where_nothing_was_asked_for(settings: Settings) -> None:
    assert hedge_limit(settings) is None


def test_hold_is_by_the_signs() -> None:
    limit = hedge_limit(Settings(hedge_hold="auto", hedge_after_ms=200))
    assert limit is not None
    limit.in_flight = 60
    for _ in range(20):
        limit.first_was_late(7.0, 2, first_failed=False)
    assert limit.limit == 30


def test_a_ceiling_alone_takes_no_notice_of_the_signs() -> None:
    limit = hedge_limit(Settings(hedge_ceiling=5))
    assert limit is not None
    assert limit.limit == 5
    for _ in range(40):
        limit.first_was_late(7.0, 2, first_failed=False)
    assert limit.limit == 5


@pytest.mark.parametrize(
    ("settings", "budget"),
    [
        (Settings(hedge_budget_percent=20.0), HedgeBudget(20.0)),
        (Settings(hedge_budget_min_per_second=3.0), HedgeBudget(0.0, 3.0)),
    ],
)
def test_a_budget_has_a_share_or_a_minimum(settings: Settings, budget: HedgeBudget) -> None:
    limit = hedge_limit(settings)
    assert limit is not None
    assert limit.budget == budget


def test_counts_of_a_limit_and_of_none() -> None:
    counts = Snapshot(upstream_connections={"connecting": 1, "active": 5, "idle": 9, "loser": 3})
    add_hedge_limit(counts, None)
    assert (counts.attempts_in_flight, counts.hedge_limited_workers, counts.first_attempts_judged) == (
        6,
        0,
        {},
    )
    limit = HedgeLimit(0.3, holds=True)
    limit.in_flight = 8
    for _ in range(19):
        limit.first_was_late(7.0, 2, first_failed=False)
    limit.first_was_quick(7.0)
    add_hedge_limit(counts, limit)
    assert (counts.attempts_in_flight, counts.hedge_limited_workers, counts.hedge_limit) == (8, 0, 0.0)
    assert counts.first_attempts_judged == {"quick": 1, "late": 19}
    for _ in range(20):
        limit.first_was_late(7.4, 2, first_failed=False)
    add_hedge_limit(counts, limit)
    assert (counts.hedge_limited_workers, counts.hedge_limit) == (1, 4.0)
    assert counts.hedge_limit_halvings == {"late": 1, "unanswered": 0}
