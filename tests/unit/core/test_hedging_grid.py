"""C01, a quick share: the whole is `make prove`. And the proof that it can fail."""

import types
from itertools import islice
from pathlib import Path

import pytest

from hedgerow.core import hedging
from support.race_grid import disagreements, schedules
from support.virtual_time import Hung

SHARE = 41
"""One schedule in so many; a prime, so that the share cuts across every axis of the grid."""


def test_c01_a_share_of_the_grid_agrees_with_the_oracle() -> None:
    assert list(islice(disagreements(islice(schedules(), 0, None, SHARE)), 1)) == []


MUTANTS = {
    "M01 first completed wins": ("isinstance(attempt.outcome, Success)", "attempt.outcome is not None"),
    "the latest launched wins": ("in attempts:  # the earliest", "in reversed(attempts):  # the earliest"),
    "deadline before harvest": (
        "            all_failed = True\n",
        "            if clock() >= deadline_at: return OutOfTime(tuple(attempts))\n            all_failed = True\n",
    ),
    "M02 the clock starts again": ("hedges_at = inf\n", "hedges_at = inf; deadline_at += plan.hedge_after_s\n"),
    "hedges after the deadline": ("hedges_at <= now < deadline_at", "hedges_at <= now"),
    "hedges never fire": ("if hedges_at <= now < deadline_at", "if False"),
    "a failure ends the race": ("all_failed and hedges_at >= deadline_at", "all_failed"),
    "all failed waits for the deadline": ("all_failed and hedges_at >= deadline_at", "False"),
    "one hedge too many": ("2 + plan.hedges", "3 + plan.hedges"),
    "one hedge too few": ("2 + plan.hedges", "1 + plan.hedges"),
    "hedges come twice": ("hedges_at = inf\n", "hedges_at = now + 0.1 if len(attempts) < 3 else inf\n"),
    "immediate is ignored": ("plan.on_failure is EarlyFailure.IMMEDIATE", "False"),
    "always immediate": ("plan.on_failure is EarlyFailure.IMMEDIATE", "True"),
    "the mark is the arrival": ("attempts[0].launched_at + plan.hedge_after_s", "plan.hedge_after_s"),
    "late by a turn": ("if now >= deadline_at:", "if now > deadline_at:"),
}  # fmt: skip

HEDGING = Path(__file__).parents[3] / "src" / "hedgerow" / "core" / "hedging.py"
"""As it is written: what was imported may have been compiled."""


@pytest.mark.parametrize("name", MUTANTS)
def test_the_grid_catches_a_planted_bug(name: str) -> None:
    """C03, in small: each bug is planted in the source of `hedge`, and the share must notice."""
    source = HEDGING.read_text()
    right, wrong = MUTANTS[name]
    assert source.count(right) == 1, "the planted bug's place has moved"
    mutant = types.ModuleType("mutant")
    exec(compile(source.replace(right, wrong), name, "exec"), mutant.__dict__)
    mutant.__dict__["EarlyFailure"] = hedging.EarlyFailure
    share = islice(schedules(), 0, None, SHARE)
    try:
        caught = next(disagreements(share, mutant.__dict__["hedge"]), None) is not None
    except (
        AttributeError,
        IndexError,
        RuntimeError,
        Hung,
    ):  # it trips over its own bug, launches too much, or never ends
        caught = True
    assert caught
