from hedgerow.core.hedge_limit import HedgeLimit
from hedgerow.processes.hedge_limits import add_hedge_limits
from hedgerow.telemetry.snapshot import Snapshot


def test_without_a_limit_attempts_are_counted_and_nothing_else() -> None:
    counts = Snapshot(upstream_connections={"connecting": 1, "active": 5, "idle": 9, "loser": 3})
    add_hedge_limits(counts, [])
    assert (counts.attempts_in_flight, counts.hedge_limited_workers, counts.first_attempts_judged) == (
        6,
        0,
        {},
    )


def test_limits_of_several_routes_are_added_up() -> None:
    free, held = HedgeLimit(0.3, holds=True), HedgeLimit(0.3, holds=True)
    free.first_was_quick(7.0)
    held.in_flight = 8
    for _ in range(20):
        held.first_was_late(7.4, 2, first_failed=False)
    counts = Snapshot()
    add_hedge_limits(counts, [free, held, HedgeLimit(0.3, holds=False, ceiling=10)])
    assert (counts.hedge_limited_workers, counts.hedge_limit) == (1, 14.0)
    assert counts.first_attempts_judged == {"quick": 1, "late": 20}
    assert counts.hedge_limit_halvings == {"late": 1, "unanswered": 0}
