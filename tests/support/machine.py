"""A core in virtual time: work takes its time, and now and then the core is slower, shared, or somewhere else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

SLICE_S = 0.003
"""What the kernel's scheduler gives one process before another one has its turn."""


@dataclass(frozen=True)
class Costs:
    """What the loop's work takes, in seconds, measured on the bare loop (CPython 3.13)."""

    read: float = 10e-6
    start: float = 10e-6
    hedges: float = 15e-6
    judge: float = 15e-6
    answer: float = 12e-6
    reject: float = 5e-6
    accept: float = 25e-6
    iteration: float = 5e-6
    poll: float = 3e-6
    """The poll itself: it is not busy time, and no other work is done in it."""
    connect: float = 30e-6
    handshake: float = 0.0
    """A TLS handshake, in three pieces."""


COMPILED = Costs()
PLAIN = Costs(read=15e-6, start=15e-6, judge=20e-6, reject=10e-6)
TLS = replace(COMPILED, handshake=1e-3)


@dataclass(frozen=True)
class Disturbance:
    """From `at` on, for `duration_s`, the process does not run, runs `slowdown` times slower, or shares its core."""

    at: float
    duration_s: float
    slowdown: float = inf
    """Infinite: it does not run at all."""
    shares_core: bool = False
    """Another process that always wants to run gets every second slice."""


class Machine:
    """The clock, and one core."""

    def __init__(self, began_at: float, disturbances: Sequence[Disturbance] = ()) -> None:
        self.now = began_at
        self._factor = 1.0
        self._slice_ends_at = inf
        self._changes: list[tuple[float, Disturbance, bool]] = []
        for one in disturbances:
            self._changes.append((began_at + one.at, one, True))
            if one.slowdown < inf or one.shares_core:
                self._changes.append((began_at + one.at + one.duration_s, one, False))
        self._changes.sort(key=lambda change: change[0], reverse=True)
        self._next_change_at = self._changes[-1][0] if self._changes else inf

    def work(self, cost_s: float) -> None:
        """Let the process work for as long as `cost_s` takes on an undisturbed core."""
        self.now += cost_s * self._factor
        if self.now >= self._next_change_at or self.now >= self._slice_ends_at:
            self._disturb()

    def sleep_until(self, at: float) -> None:
        """Let the process sleep; a process that has slept gets a slice of its own."""
        if at <= self.now:
            return
        self.now = at
        if self._slice_ends_at < inf:
            self._slice_ends_at = at + SLICE_S
        if at >= self._next_change_at:
            self._disturb()

    def _disturb(self) -> None:
        while self.now >= self._next_change_at:
            at, one, begins = self._changes.pop()
            self._next_change_at = self._changes[-1][0] if self._changes else inf
            if one.shares_core:
                self._slice_ends_at = self.now + SLICE_S if begins else inf
            elif one.slowdown < inf:
                self._factor = one.slowdown if begins else 1.0
            else:
                self.now = max(self.now, at + one.duration_s)
        if self.now >= self._slice_ends_at:
            self.now += SLICE_S
            self._slice_ends_at = self.now + SLICE_S
