"""A campaign: invariants, an acceptance threshold, and a run that its seed repeats."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

EXAMPLES = 5
"""Examples kept for each broken invariant: enough to begin with, few enough to be read."""


@dataclass(slots=True)
class Findings:
    """The findings of one run."""

    count: int = 0
    """What the campaign counts: schedules, clients, responses."""
    figures: dict[str, str] = field(default_factory=dict)
    """Further measurements, with units, for the report."""
    broken: Counter[str] = field(default_factory=Counter)
    """How often each invariant was broken. Empty: the campaign's claim holds."""
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return not self.broken

    def violation(self, invariant: str, seen: object) -> None:
        """Record that an invariant was broken, and what was seen instead."""
        self.broken[invariant] += 1
        examples = self.examples.setdefault(invariant, [])
        if len(examples) < EXAMPLES:
            examples.append(str(seen))

    def check(self, holds: bool, invariant: str, seen: object) -> None:
        """Record a violation unless the invariant holds."""
        if not holds:
            self.violation(invariant, seen)


class Run(Protocol):
    """Runs a campaign at a share of its full size (1: all of it)."""

    def __call__(self, seed: int, share: float) -> Findings: ...


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign. Each module `verification/campaigns/cNN_….py` has one, named `CAMPAIGN`."""

    id: str
    """As in `C08`."""
    title: str
    proves: str
    """The claim, in a sentence."""
    acceptance_threshold: str
    """The figure that a run must reach for the claim to count."""
    run: Run
    exhaustive: bool = False
    """It tries everything in a fixed order: a seed changes nothing."""


def counted(full: int, share: float, *, at_least: int = 1) -> int:
    """Return how many of `full` a share is, at least `at_least`."""
    return max(int(full * share), at_least)
