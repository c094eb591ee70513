"""Admission: says no at once, and has no queue (tower's `load_shed` is the model).

Three bounds, each with its own reason. What is admitted is never short of a socket: the cap counts what a
request may need at the most. What is admitted can be served in time: under load the cap shrinks until requests
are read soon after they came. And if they are not all the same, nothing is admitted until they are.

The signal is CoDel's: the *shortest* wait of an interval, here of requests in the kernel. A burst makes some of
them wait, overload makes all of them wait (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012).
The answer is TCP's: shrink by a share, grow by a smaller one (Chiu and Jain 1989). Not a latency gradient: the
upstream's latency says nothing about us.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

from hedgerow.turns import Turns

INTERVAL_SHARE: Final = 1 / 8
"""CoDel's interval, for so long must waits stay long to count, as a share of what callers give us (0.1 s of 800 ms)."""
INTERVAL_S: Final[tuple[float, ...]] = (0.1, 1.0)
"""The bounds of that: below, a burst counts as overload; above, patient callers make up for it."""
LONG_WAIT_SHARE: Final = 1 / 80
"""Waits longer than this share of what callers give us (10 ms of 800 ms): too much is in flight."""
LONG_WAIT_S: Final[tuple[float, ...]] = (0.010, 0.100)
"""The bounds of that: below, a wait is not worth a refusal; above, callers would notice whatever they gave us."""
SHRINK: Final = 0.15
"""The cap shrinks by this share where waits are just too long, by twice of it where they are twice too long. Two
intervals in a row must say so: one may be a burst, or a moment in which the machine gave us no CPU."""
SHRINK_AT_MOST: Final = 0.35
SHED_FACTOR: Final = 10
"""Waits this many times too long: shrinking the cap is not enough, nothing is admitted until they are short."""
STALE_SHARE: Final = 1 / 4
STALE_S: Final = 0.1
"""Who has waited for this share of its time, and for so long, is refused whatever the cap says. The cap learns from
intervals; a jump of the load, or a burst of connections, leaves so much unread before it has learnt that those who
came last would be read when their time is over. Refusing is five times quicker than serving, so it catches up."""
SETTLE_INTERVALS: Final = 3
"""From one shrinking to the next: what was admitted before keeps us busy for as long as it is in flight."""
FULL_SHARE: Final = 0.92
"""A loop that is in its turns for this share of the time is used as well as can be; the rest is between them."""
GROW: Final = 0.6
"""Growth of the cap in an interval in which it was met, times the share of the time that the loop could spare. Less,
and a cap that was shrunk too far (a cold start) takes many seconds back; more overshoots, for what is admitted now
costs most 100 ms to 600 ms later."""
SERVED_PER_REFUSED: Final = 5
"""A request that is served costs at least so many refusals (measured: 22 µs against 120 to 150)."""
LEAST_SERVED_SHARE: Final = 0.25
"""Where less of our work than this is for those we let in, refusals are the overload, and a smaller cap makes more of
them: clients that ask again at once held a gateway of 8 000 clients down to 128 served (bench W5). So the cap grows."""
STARVED_INTERVALS: Final = 5
"""So many intervals in a row: what was let in before may be at work, with its hedges for instance."""
LEAST_CAP: Final = 64
"""The cap never shrinks below this, or a stalled machine could talk it down to nothing."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was not admitted; `reason` is a metric label."""

    reason: str
    retry_after_s: int = 1


_SOCKETS: Final = Refusal("in_flight")
_LOAD: Final = Refusal("load")
_LAG: Final = Refusal("lag")
TOO_LATE: Final = Refusal("too_late")
"""It lay unread for so long that it could not be answered in time."""


def stale_after_s(timeout_s: float) -> float:
    """Tell how long a request may have lain unread and still be let in."""
    return max(timeout_s * STALE_SHARE, STALE_S)


class Admission:
    """Counts the requests in flight in one worker, up to a cap that follows the load."""

    __slots__ = (
        "_admitted", "_began_at", "_busy_before_s", "_ends_at", "_in_flight_before", "_may_shrink_at", "_met",
        "_most_in_flight", "_patience_s", "_refused", "_shortest", "_shortest_before", "_starved", "_turns", "adapts",
        "cap", "in_flight", "max_in_flight", "shedding",
    )  # fmt: skip

    def __init__(self, max_in_flight: int, turns: Turns, *, adapts: bool = True) -> None:
        self.max_in_flight = max_in_flight
        """What the sockets are enough for."""
        self.adapts = adapts
        self.cap = max_in_flight
        """What the CPU is enough for, as far as is known."""
        self.in_flight = 0
        self.shedding = False
        self._turns = turns
        self._patience_s = 1.0
        self._may_shrink_at = 0.0
        self._starved = 0
        """Intervals in a row in which nearly all work was refusing."""
        self._shortest = 0.0
        self._begin_interval(0.0, 0.0)

    def _begin_interval(self, now: float, waited_s: float) -> None:
        self._began_at = now
        self._ends_at = now + self.interval_s
        self._shortest_before, self._shortest = self._shortest, waited_s
        self._most_in_flight = self._in_flight_before = self.in_flight
        self._met = False
        """Somebody was refused for the cap."""
        self._busy_before_s = self._turns.busy_s(now)
        self._admitted = self._refused = 0

    def try_enter(self, timeout_s: float, arrived_at: float, now: float) -> Refusal | None:
        """Let a request in (None), or say why not. Whoever was let in must `leave` once."""
        waited_s = 0.0
        if self.adapts:
            # On a loop that has time a request waits for its own connection's earlier ones, not for us.
            waited_s = now - arrived_at if self._turns.is_behind(now) else 0.0
            self._observe(timeout_s, waited_s, now)
        if self.in_flight >= self.cap:
            self._met = True
            self._refused += 1
            return _SOCKETS if self.cap == self.max_in_flight else _LOAD
        if self.shedding or waited_s > stale_after_s(timeout_s):
            self._refused += 1
            return _LAG
        self.in_flight += 1
        self._admitted += 1
        self._most_in_flight = max(self._most_in_flight, self.in_flight)
        return None

    def leave(self) -> None:
        """A request that was let in is over."""
        self.in_flight -= 1

    @property
    def long_wait_s(self) -> float:
        """Tell how long a request may lie unread, for callers as patient as those of late."""
        least, most = LONG_WAIT_S
        return min(max(self._patience_s * LONG_WAIT_SHARE, least), most)

    @property
    def stale_s(self) -> float:
        """Tell after how long an unread request is not worth reading, for callers as patient as those of late."""
        return stale_after_s(self._patience_s) if self.adapts else inf

    @property
    def interval_s(self) -> float:
        """Tell how long waits must stay long to count."""
        least, most = INTERVAL_S
        return min(max(self._patience_s * INTERVAL_SHARE, least), most)

    def _observe(self, timeout_s: float, waited_s: float, now: float) -> None:
        # Falls fast and rises slowly: the least patient callers are those whom waiting harms.
        self._patience_s += (timeout_s - self._patience_s) * (0.1 if timeout_s < self._patience_s else 0.002)
        if now < self._ends_at:
            self._shortest = min(self._shortest, waited_s)
            return
        self._adapt(now)
        self._begin_interval(now, waited_s)

    def _served_share(self) -> float:
        """Tell which share of the interval's work was for requests that were let in: half of it is letting them in."""
        left = self._in_flight_before + self._admitted - self.in_flight
        served = SERVED_PER_REFUSED * (self._admitted + left) / 2
        return served / (served + self._refused) if self._refused else 1.0

    def _adapt(self, now: float) -> None:
        long_s = self.long_wait_s
        too_long = min(self._shortest, self._shortest_before) / long_s
        unserved = LEAST_SERVED_SHARE - self._served_share()
        self._starved = self._starved + 1 if unserved > 0 else 0
        if self._starved >= STARVED_INTERVALS:
            self._grow(unserved)
        elif too_long > 1:
            # Above the cap nobody is let in: the last shrinking is still at work, and another would change nothing yet.
            if now >= self._may_shrink_at and not self.shedding and self.in_flight <= self.cap:
                left = 1 - min(SHRINK * too_long, SHRINK_AT_MOST)
                shrunk = int(min(self.cap, self._most_in_flight) * left)
                self.cap = max(shrunk, min(LEAST_CAP, self.max_in_flight))
                self._may_shrink_at = now + SETTLE_INTERVALS * self.interval_s
        elif self._met and self._shortest < long_s / 2:
            passed_s = now - self._began_at
            self._grow(FULL_SHARE - (self._turns.busy_s(now) - self._busy_before_s) / passed_s)
        self.shedding = too_long > SHED_FACTOR or (self.shedding and self._shortest > long_s)

    def _grow(self, spare: float) -> None:
        if spare > 0:
            self.cap = min(self.cap + int(self.cap * spare * GROW) + 1, self.max_in_flight)
