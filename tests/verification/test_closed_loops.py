"""C17 judges a load by what could be served when it ran: the machine's speed drifts by a third."""

from collections import Counter

import pytest

from verification.harness.campaign import Findings
from verification.harness.closed_loops import UNDISTURBED, Comparison, Load, Run

CLIENTS = 380
ASKED_PER_S = 1_000
"""Requests a second of so many clients, if all are served at once."""
TIMEOUT_MS = 900


def run(good: int, rejected: int = 0, *, timeout_ms: int = TIMEOUT_MS, capacity: float | None = None) -> Run:
    """Return a load whose every second had these answers."""
    seconds = [Counter(good=good) + Counter({"503": rejected}) for _ in range(7)]
    return Run(Load(CLIENTS, timeout_ms), UNDISTURBED, seconds, capacity_per_s=capacity)


def broken(*runs: Run, bare_race_per_s: float = ASKED_PER_S) -> set[str]:
    """Return which invariants these runs of one load break, by their first words."""
    findings = Findings()
    Comparison("loads", {CLIENTS: bare_race_per_s}, list(runs)).judge(findings)
    return {invariant.split(":")[0] for invariant in findings.broken}


def test_what_could_be_served_right_after_must_be_served() -> None:
    assert broken(run(990, 1, capacity=995)) == {"what can be served is served"}
    assert not broken(run(990, capacity=None))


def test_what_could_not_be_served_right_after_need_not_be_also_if_another_run_was() -> None:
    assert not broken(run(700, 500, capacity=750), run(1_000))
    assert broken(run(700, 500), run(1_000)) == {
        "what can be served is served",
        "no run differs from the others",
    }


def test_then_nearly_all_that_could_be_done_is_asked_for() -> None:
    assert broken(run(600, 500, capacity=750), run(1_000)) == {
        "where not all can be served",
        "no run differs from the others",
    }


def test_a_collapse_is_found_also_where_it_lasts() -> None:
    assert broken(run(400, 500, capacity=400)) == {"good answers 0.6 of the bare race's"}


@pytest.mark.parametrize("capacity", [None, 300.0])
def test_without_a_timeout_nothing_is_rejected_whatever_could_be_served(capacity: float | None) -> None:
    assert "without a timeout nothing is rejected" in broken(
        run(1_000, 1, timeout_ms=0, capacity=capacity), run(1_000, timeout_ms=0)
    )


def test_the_same_clients_without_a_timeout_show_what_could_be_served() -> None:
    loads: list[Load] = []

    def again(load: Load) -> Run:
        loads.append(load)
        return run(750, timeout_ms=0)

    served, rejecting = run(1_000), run(700, 500)
    for each in (served, rejecting):
        each.measure_capacity(again)
    assert loads == [Load(CLIENTS)]
    assert (served.capacity_per_s, rejecting.capacity_per_s) == (None, 750)
