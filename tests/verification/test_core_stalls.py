"""What late answers the machine accounts for."""

import subprocess
import sys
from pathlib import Path

from verification.harness.core_stalls import CoreStalls, judge, run_delay_ns
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


def test_a_stall_takes_the_margin_with_which_an_answer_would_have_been_early() -> None:
    assert stalls((60, 30)).unexplained([late(20), late(31)]) == [MS]


def test_a_stall_that_was_over_long_before_the_answer_was_due_explains_nothing() -> None:
    assert stalls((90, 46)).unexplained([late(20)]) == [20 * MS]


def test_of_many_short_stalls_all_count() -> None:
    assert stalls((40, 36), (30, 20), (9, 0)).unexplained([late(20), late(25)]) == [2 * MS]


def test_a_stall_that_began_after_the_answer_came_explains_nothing() -> None:
    assert stalls((-1, -40)).unexplained([late(20)]) == [20 * MS]


def test_of_both_cores_the_longer_stall_counts() -> None:
    assert stalls((5, 0)).unexplained([late(20, 18)]) == [2 * MS]
    assert stalls((15, 0)).unexplained([late(20, 3)]) == [5 * MS]


def test_late_answers_that_were_not_kept_are_unexplained() -> None:
    each = [late(20), late(40)]
    step: Step = {
        "late": {"beyond_own_lag": {"count": 12, "worst_ms": 20.0, "each": each}},
        "rejected_after_a_quarter": {"count": 3},
        "each_rejected_after_a_quarter": each,
    }
    judge(stalls((33, 0)), step)
    assert step["late"]["beyond_own_lag"] == {
        "count": 12, "worst_ms": 20.0, "unexplained": {"count": 11, "worst_ms": 7.0},
    }  # fmt: skip
    assert step["rejected_after_a_quarter"]["unexplained"] == {"count": 2, "worst_ms": 7.0}
    assert "each_rejected_after_a_quarter" not in step


def test_without_a_watch_nothing_is_explained() -> None:
    step: Step = {
        "late": {"beyond_own_lag": {"count": 1, "worst_ms": 20.0, "each": [late(20)]}},
        "rejected_after_a_quarter": {"count": 0},
    }
    judge(CoreStalls(), step)
    assert step["late"]["core_watched"] is False
    assert step["late"]["beyond_own_lag"]["unexplained"] == {"count": 1, "worst_ms": 20.0}


def test_the_kernel_says_how_long_a_process_was_ready_and_did_not_run() -> None:
    _, before, _ = map(int, Path("/proc/self/schedstat").read_text().split())
    with Path("/proc/self/schedstat").open("rb") as account:
        seen = run_delay_ns(account.fileno())
    _, after, _ = map(int, Path("/proc/self/schedstat").read_text().split())
    assert before <= seen <= after


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    with Path(f"/proc/{process.pid}/schedstat").open("rb") as account:
        process.wait()
        assert run_delay_ns(account.fileno()) == 0
