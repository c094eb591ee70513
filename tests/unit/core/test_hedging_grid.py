"""C01, a quick share: the whole is `make verify`. And the proof that it can fail."""

import types
from itertools import islice
from pathlib import Path

import pytest

from hedgerow.core import hedging
from support.race_grid import disagreements, schedules
from support.virtual_time import Hung

pytestmark = pytest.mark.exhaustive

SHARE = 41
"""One schedule in so many; a prime, so that the share cuts across every axis of the grid."""


def test_c01_a_share_of_the_grid_agrees_with_the_oracle() -> None:
    assert list(islice(disagreements(islice(schedules(), 0, None, SHARE)), 1)) == []


HEDGES_SENT = "                self._hedges_at = inf\n"
MUTANTS = {
    "M01 first completed wins": ("elif isinstance(outcome, Success):", "else:"),
    "the latest started wins": ("in self.attempts:  # the earliest", "in reversed(self.attempts):  # the earliest"),
    "deadline before what has finished": (
        "            all_failed = True\n",
        "            if now >= deadline_at: return OutOfTime(tuple(self.attempts))\n            all_failed = True\n",
    ),
    "M02 the clock starts again": (
        HEDGES_SENT, HEDGES_SENT + "                self.deadline_at = deadline_at = deadline_at + plan.hedge_after_s\n"
    ),
    "hedges after the deadline": ("self._hedges_at <= now < deadline_at", "self._hedges_at <= now"),
    "hedges never fire": ("if self._hedges_at <= now < deadline_at", "if False"),
    "a failure ends the race": ("all_failed and self._hedges_at >= deadline_at", "all_failed"),
    "all failed waits for the deadline": ("all_failed and self._hedges_at >= deadline_at", "False"),
    "one hedge too many": ("2 + self._plan.hedges", "3 + self._plan.hedges"),
    "one hedge too few": ("2 + self._plan.hedges", "1 + self._plan.hedges"),
    "hedges come twice": (
        HEDGES_SENT,
        "                self._hedges_at = now + 0.1 if len(self.attempts) < 3 else inf\n",
    ),
    "immediate is ignored": ("plan.early_failure is EarlyFailure.IMMEDIATE", "False"),
    "always immediate": ("plan.early_failure is EarlyFailure.IMMEDIATE", "True"),
    "the hedge delay counts from zero": ("first.launched_at + plan.hedge_after_s", "plan.hedge_after_s"),
    "late by an iteration": (
        "            if now >= deadline_at:\n", "            if now > deadline_at:\n"
    ),
    "B3 it waits for the hedges alone": ("min(deadline_at, self._hedges_at)", "self._hedges_at"),
    "it waits for the deadline alone": ("min(deadline_at, self._hedges_at)", "deadline_at"),
}  # fmt: skip

HEDGING = Path(__file__).parents[3] / "src" / "hedgerow" / "core" / "hedging.py"
"""As it is written: what was imported may have been compiled."""


@pytest.mark.parametrize("name", MUTANTS)
def test_the_grid_catches_an_injected_bug(name: str) -> None:
    """C03, in small: each bug is injected into the source of `Race`, and the share must notice."""
    source = HEDGING.read_text()
    right, wrong = MUTANTS[name]
    assert source.count(right) == 1, "the injected bug's place has moved"
    mutant = types.ModuleType("mutant")
    exec(compile(source.replace(right, wrong), name, "exec"), mutant.__dict__)
    mutant.__dict__["EarlyFailure"] = hedging.EarlyFailure
    share = islice(schedules(), 0, None, SHARE)
    try:
        caught = next(disagreements(share, mutant.__dict__["Race"]), None) is not None
    except (
        AttributeError,
        IndexError,
        OverflowError,
        RuntimeError,
        Hung,
    ):  # it trips over its own bug, launches too much, or never ends
        caught = True
    assert caught
