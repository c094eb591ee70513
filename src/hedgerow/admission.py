"""Admission: says no at once, and has no queue (tower's `load_shed` is the model).

Three bounds, each with its own reason. What is admitted is never short of a socket: the cap counts what a
request may need at the most. What is admitted can be served in time: under load the cap shrinks until the turns
of the event loop are short. And if they stay long all the same, nothing is admitted until they are short again.

The signal is CoDel's: the *shortest* turn of an interval. A burst makes one long turn, overload makes all of
them long (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012). The answer is TCP's: shrink
by a factor, grow by a step (Chiu and Jain 1989). Not a latency gradient: the upstream's latency says nothing
about us.
"""

from dataclasses import dataclass
from math import inf

from hedgerow.turns import Turns

INTERVAL_S = 0.1
"""CoDel's interval: so long must turns stay long to count."""
LONG_TURN_S = 0.010
"""Turns longer than this: too much is in flight. Answers leave up to 25 ms before their deadline."""
SHORT_TURN_S = 0.005
"""Turns shorter than this: there is room for more."""
SHED_TURN_S = 0.020
"""Turns longer than this through an interval: admit nothing until an interval has had one below `LONG_TURN_S`."""
SHRINK = 0.85
GROW = 0.02
SETTLE_S = 0.3
"""From one shrinking to the next: what was admitted before keeps us busy for as long as it is in flight."""
LEAST_CAP = 64
"""The cap never shrinks below this, or a stalled machine could talk it down to nothing."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was not admitted; `reason` is a metric label."""

    reason: str
    retry_after_s: int = 1


_SOCKETS = Refusal("in_flight")
_LOAD = Refusal("load")
_LAG = Refusal("lag")
TOO_LATE = Refusal("too_late")
"""It lay unread for so long that it could not be answered in time."""


class Admission:
    """Counts the requests in flight in one worker, up to a cap that follows the load."""

    __slots__ = (
        "_bound", "_interval_ends_at", "_may_shrink_at", "_shortest", "_turns", "adapts", "cap", "in_flight",
        "max_in_flight", "shedding",
    )  # fmt: skip

    def __init__(self, max_in_flight: int, turns: Turns, *, adapts: bool = True) -> None:
        self.max_in_flight = max_in_flight
        """What the sockets are enough for."""
        self.adapts = adapts
        self._turns = turns
        self.cap = max_in_flight
        """What the CPU is enough for, as far as is known."""
        self.in_flight = 0
        self.shedding = False
        self._bound = False
        self._shortest = inf
        self._interval_ends_at = 0.0
        self._may_shrink_at = 0.0

    def try_enter(self) -> Refusal | None:
        """Let a request in (None), or say why not. Whoever was let in must `leave` once."""
        if self.in_flight >= self.cap:
            self._bound = True
            return _SOCKETS if self.cap == self.max_in_flight else _LOAD
        if self.shedding and not self._turns.after_idle:
            return _LAG
        self.in_flight += 1
        return None

    def leave(self) -> None:
        """A request that was let in is over."""
        self.in_flight -= 1

    def turn_took(self, took_s: float, now: float) -> None:
        """Hear of one turn of the event loop, as it ends at the instant `now`."""
        if self._turns.after_idle:
            self._shortest = 0.0
        elif took_s < self._shortest:
            self._shortest = took_s
        if now >= self._interval_ends_at:
            if self.adapts:
                self._adapt(self._shortest, now)
            self._shortest = inf
            self._bound = False
            self._interval_ends_at = now + INTERVAL_S

    def _adapt(self, shortest_s: float, now: float) -> None:
        if shortest_s > LONG_TURN_S:
            if now >= self._may_shrink_at:
                self.cap = max(
                    int(min(self.cap, self.in_flight) * SHRINK), min(LEAST_CAP, self.max_in_flight)
                )
                self._may_shrink_at = now + SETTLE_S
        elif shortest_s < SHORT_TURN_S and self._bound:
            self.cap = min(self.cap + int(self.cap * GROW) + 1, self.max_in_flight)
        if shortest_s > SHED_TURN_S:
            self.shedding = True
        elif shortest_s < LONG_TURN_S:
            self.shedding = False
