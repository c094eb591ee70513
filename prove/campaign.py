"""What a campaign is: a law, a figure that must be reached, and a run that its seed repeats."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

EXAMPLES = 5
"""So many examples of each broken law are told: enough to begin with, few enough to be read."""


@dataclass(slots=True)
class Findings:
    """What one run came to."""

    count: int = 0
    """Of whatever the campaign counts: schedules, callers, replies."""
    figures: dict[str, str] = field(default_factory=dict)
    """What was measured besides, with units, for people."""
    broken: Counter[str] = field(default_factory=Counter)
    """How often each law was broken. Nothing here: the campaign's claim holds."""
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return not self.broken

    def violation(self, law: str, seen: object) -> None:
        """Note that a law was broken, and what was seen instead."""
        self.broken[law] += 1
        examples = self.examples.setdefault(law, [])
        if len(examples) < EXAMPLES:
            examples.append(str(seen))

    def check(self, holds: bool, law: str, seen: object) -> None:
        """Note a violation unless the law holds."""
        if not holds:
            self.violation(law, seen)


class Run(Protocol):
    """Runs a campaign at a share of its full size (1: all of it)."""

    def __call__(self, seed: int, share: float) -> Findings: ...


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign. A module `prove/cNN_….py` has one, named `CAMPAIGN`."""

    id: str
    """As in `C08`."""
    title: str
    proves: str
    """The claim, in a sentence."""
    must_reach: str
    """The figure without which the claim counts for nothing."""
    run: Run
    exhaustive: bool = False
    """It tries everything in a fixed order: a seed changes nothing."""


def counted(full: int, share: float, *, at_least: int = 1) -> int:
    """Tell how many of `full` a share is."""
    return max(int(full * share), at_least)
