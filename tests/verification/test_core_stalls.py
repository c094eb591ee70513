"""What late answers the machine accounts for."""

from verification.harness.core_stalls import CoreStalls, judge
from verification.harness.load import Step

MS = 1_000_000
CAME_AT = 10_000 * MS


def stalls(*spans: tuple[float, float]) -> CoreStalls:
    """Return stalls, in milliseconds before `CAME_AT`."""
    return CoreStalls([(CAME_AT - int(begin * MS), CAME_AT - int(end * MS)) for begin, end in spans], True)


def late(by_ms: float, own_lag_ms: float = 0) -> tuple[int, int, int]:
    return CAME_AT, int(by_ms * MS), int(own_lag_ms * MS)


def test_an_answer_that_was_due_in_a_stall_and_came_with_its_end_is_explained() -> None:
    assert stalls((33, 0.1)).unexplained([late(20), late(30)]) == []


def test_what_came_long_after_a_stall_is_late_by_the_rest() -> None:
    assert stalls((35, 20)).unexplained([late(25)]) == [10 * MS]


def test_a_stall_that_was_over_before_the_answer_was_due_explains_nothing() -> None:
    assert stalls((60, 25)).unexplained([late(20)]) == [20 * MS]


def test_a_stall_that_began_after_the_answer_came_explains_nothing() -> None:
    assert stalls((-1, -40)).unexplained([late(20)]) == [20 * MS]


def test_of_both_cores_the_longer_stall_counts() -> None:
    assert stalls((5, 0)).unexplained([late(20, 18)]) == [2 * MS]
    assert stalls((15, 0)).unexplained([late(20, 3)]) == [5 * MS]


def test_late_answers_that_were_not_kept_are_unexplained() -> None:
    step = {"late": {"beyond_own_lag": {"count": 12, "worst_ms": 20.0, "each": [late(20), late(40)]}}}
    judge(stalls((33, 0)), step)
    assert step["late"]["beyond_own_lag"] == {
        "count": 12, "worst_ms": 20.0, "unexplained": {"count": 11, "worst_ms": 7.0},
    }  # fmt: skip


def test_without_a_watch_nothing_is_explained() -> None:
    step: Step = {"late": {"beyond_own_lag": {"count": 1, "worst_ms": 20.0, "each": [late(20)]}}}
    judge(CoreStalls(), step)
    assert step["late"]["core_watched"] is False
    assert step["late"]["beyond_own_lag"]["unexplained"] == {"count": 1, "worst_ms": 20.0}
