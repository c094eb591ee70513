"""What a route has counted, added up; what the recorder counts: test_recorder.py."""

from hedgerow.telemetry.route_counters import RouteCounters
from hedgerow.telemetry.snapshot import MAX_STATUSES


def test_distinct_statuses_are_bounded() -> None:
    counters = RouteCounters("a", "u")
    for status in range(600, 601 + MAX_STATUSES):
        counters.count_status(str(status))
        counters.count_status("600")
    assert counters.counts().statuses == {"600": 2 + MAX_STATUSES} | {
        str(status): 1 for status in range(601, 600 + MAX_STATUSES)
    }


def test_attempts_are_summed_by_number_by_outcome_and_by_what_the_first_would_have_brought() -> None:
    counters = RouteCounters("a", "u")
    counters.first["success"].observe(0.25)
    counters.first["reset"].observe(0.5)
    counters.first_lost["success", "out_of_time"].observe(1.0)
    counters.hedges[2, "success"].observe(2.0)
    counters.hedges[3, "reset"].observe(4.0)
    counts = counters.counts()
    assert counts.attempts == {"1": {"success": 2, "reset": 1}, "2": {"success": 1}, "3": {"reset": 1}}
    assert {of: each.sum_s for of, each in counts.attempt_duration.items()} == {"success": 3.25, "reset": 4.5}
    assert {got: each.sum_s for got, each in counts.first_attempt_duration.items()} == {
        "success": 0.25, "all_failed": 0.5, "out_of_time": 1.0
    }  # fmt: skip
    assert counts.hedges["fired"] == 2


def test_what_was_returned_does_not_change() -> None:
    """The sums of one snapshot may be kept while counting goes on."""
    counters = RouteCounters("a", "u")
    counters.first["success"].observe(0.25)
    before = counters.counts()
    counters.first["success"].observe(0.25)
    counters.rejected["not_found"] = 1
    assert before.attempt_duration["success"].count == 1
    assert before.requests == {}
