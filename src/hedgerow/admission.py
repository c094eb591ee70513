"""Admission: says no at once, and has no queue (tower's `load_shed` is the model).

Three bounds, each with its own reason. What is admitted is never short of a socket: the requests in flight are counted
with all that they may need. What is admitted can be served in time: past what the CPU can do requests are let in at a
pace that fits. And whoever has waited for a good part of its time is refused before others are made to wait as well.

The signal is CoDel's: the *shortest* wait of an interval, here of requests in the kernel. A burst makes some of them
wait, overload makes all of them wait (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012). The
answer is a pace and no cap on what is in flight: a request costs most of its work 0.1 to 0.6 s after it was let in, so
a cap that shrinks stops everybody, one that grows lets a crowd in, and the two take turns. Not a latency gradient: the
upstream's latency says nothing about us. docs/decisions/0013-pace.md
"""

from dataclasses import dataclass
from math import inf
from typing import Final

from hedgerow.turns import Turns

INTERVAL_SHARE: Final = 1 / 16
"""Waits must stay long for two intervals to count, each of this share of what callers give us (50 ms of 800 ms)."""
INTERVAL_S: Final[tuple[float, ...]] = (0.05, 0.5)
"""The bounds of that: below, a burst counts as overload (CoDel waits 100 ms); above, patient callers make up for it."""
LONG_WAIT_SHARE: Final = 1 / 80
"""Waits longer than this share of what callers give us (10 ms of 800 ms): more is let in than can be served."""
LONG_WAIT_S: Final[tuple[float, ...]] = (0.010, 0.100)
"""The bounds of that: below, a wait is not worth a refusal; above, callers would notice whatever they gave us."""
SHED_FACTOR: Final = 10
"""Waits this many times too long: this worker is not ready for more (`/readyz`)."""
STALE_SHARE: Final = 1 / 4
STALE_S: Final = 0.1
"""Who has waited for this share of its time, and for so long, is refused whatever the pace says. The pace learns from
intervals; a jump of the load, or a burst of connections, leaves so much unread before it has learnt that those who
came last would be read when their time is over. Refusing is five times quicker than serving, so it catches up."""
FULL_SHARE: Final = 0.90
"""A loop that is in its turns for this share of the time is used as well as can be: the rest is between them, and what
was let in before may cost more than it seems."""
SERVED_PER_REFUSED: Final = 5
"""A request that is served costs as much as so many refusals (measured: 120 to 190 µs against 22 to 50)."""
LEAST_SERVED_SHARE: Final = 1 / 4
"""The pace never falls below this share of what could be served if nobody were refused. Refusals may be all that the
loop is busy with: clients that ask again at once held a gateway of 8 000 clients down to 128 served (bench W5)."""
CATCH_UP_S: Final = 0.25
"""What lies unread is to be refused within so long: that is work, too."""
SMOOTHING: Final = 0.15
"""The weight of an interval in what a request costs (of 50 ms: a memory of 0.3 s, as long as a request is at work)."""
OFFERED_SMOOTHING: Final = 0.3
"""The same in how many ask: that is told apart from waits, which scatter; but a jump must be seen soon."""
READ_SHARE: Final[tuple[float, ...]] = (0.3, 2.0)
"""How much of what came in an interval was read in it, at the least and at the most: waits scatter, and where they
shrink what had come before is read as well."""
GROW: Final = 0.08
"""How much of the time that the loop can spare is given away in an interval in which the pace was met. What is let in
now costs most 0.3 s later, which is six intervals; with 0.3 the pace overshot, and then had to fall."""
SURE_SHARE: Final = 0.95
"""So much of the pace that fits is given back at once when waits are short again: what a stall of the machine took."""
SLOW: Final = 0.2
"""How much is taken back where the loop is busier than `FULL_SHARE`, though nobody waits yet."""
SATURATED_SHARE: Final = 0.97
SLOW_SATURATED: Final = 2.0
"""The same where it is busier than that: then it does not tell how much is missing, and a machine that has become
slower by a third looks like one that lacks a tenth. A queue stood, its answers lay unread, each was asked for twice
more: at three times the capacity up to 1 % were late. What is taken back for nothing `SURE_SHARE` gives back."""
FORGET_S: Final = 10.0
"""So long after the pace last mattered it is forgotten; then only waits tell of overload."""


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
    """Counts the requests in flight in one worker, and lets them in at a pace that the load allows."""

    __slots__ = (
        "_admitted", "_began_at", "_busy_before_s", "_cost_s", "_credit", "_credited_at", "_ends_at",
        "_in_flight_before", "_met", "_met_at", "_offered", "_patience_s", "_refused", "_refuses", "_shortest",
        "_shortest_before", "_turns", "adapts", "in_flight", "max_in_flight", "pace", "shedding",
    )  # fmt: skip

    def __init__(self, max_in_flight: int, turns: Turns, *, adapts: bool = True) -> None:
        self.max_in_flight = max_in_flight
        """What the sockets are enough for."""
        self.adapts = adapts
        self.pace = inf
        """How many are let in a second at the most: what the CPU is enough for, once it has not been."""
        self.in_flight = 0
        self.shedding = False
        """Requests wait for so long that this worker had better get none."""
        self._turns = turns
        self._patience_s = 1.0
        self._cost_s = 0.0
        """What one request takes of the loop's time."""
        self._offered = 0.0
        """How many ask in a second, whether or not they have been read."""
        self._credit = 0.0
        """How many may be let in now."""
        self._credited_at = 0.0
        self._met_at = 0.0
        self._refuses = False
        """Whoever asked last was refused."""
        self._shortest = 0.0
        self._begin_interval(0.0, 0.0)

    def _begin_interval(self, now: float, waited_s: float) -> None:
        self._began_at = now
        self._ends_at = now + self.interval_s
        self._shortest_before, self._shortest = self._shortest, waited_s
        self._in_flight_before = self.in_flight
        self._met = False
        """Somebody was refused for the pace."""
        self._busy_before_s = self._turns.busy_s(now)
        self._admitted = self._refused = 0

    def try_enter(self, timeout_s: float, arrived_at: float, now: float) -> Refusal | None:
        """Let a request in (None), or say why not. Whoever was let in must `leave` once."""
        waited_s = 0.0
        if self.adapts:
            # On a loop that has time a request waits for its own connection's earlier ones, not for us.
            waited_s = now - arrived_at if self._turns.is_behind(now) else 0.0
            self._observe(timeout_s, waited_s, now)
        refusal: Refusal | None = None
        if self.in_flight >= self.max_in_flight:
            refusal = _SOCKETS
        elif waited_s > stale_after_s(timeout_s):
            refusal = _LAG
        elif self.pace < inf and not self._has_credit(now):
            refusal = _LOAD
            self._met = True
        if refusal is not None:
            self._refuses = True
            self._refused += 1
            return refusal
        self._refuses = False
        self.in_flight += 1
        self._admitted += 1
        return None

    def leave(self) -> None:
        """A request that was let in is over."""
        self.in_flight -= 1

    def note_refusal(self) -> None:
        """Somebody was refused without having been asked about: that took its time as well."""
        self._refused += 1

    def is_hopeless(self, waited_s: float) -> bool:
        """Tell whether a request that waits in a new connection would be refused, so that reading it is for nothing."""
        return self.adapts and (self._refuses or waited_s > stale_after_s(self._patience_s))

    @property
    def long_wait_s(self) -> float:
        """Tell how long a request may lie unread, for callers as patient as those of late."""
        least, most = LONG_WAIT_S
        return min(max(self._patience_s * LONG_WAIT_SHARE, least), most)

    @property
    def interval_s(self) -> float:
        """Tell how long waits must stay long, twice, to count."""
        least, most = INTERVAL_S
        return min(max(self._patience_s * INTERVAL_SHARE, least), most)

    def _has_credit(self, now: float) -> bool:
        """Take one of those whom the pace lets in, if one is left. It saves up for as long as a wait may be."""
        most = max(self.pace * self.long_wait_s, 1.0)
        credit = min(self._credit + (now - self._credited_at) * self.pace, most)
        self._credited_at = now
        enough = credit >= 1.0
        self._credit = credit - 1.0 if enough else credit
        return enough

    def _observe(self, timeout_s: float, waited_s: float, now: float) -> None:
        # Falls fast and rises slowly: the least patient callers are those whom waiting harms.
        self._patience_s += (timeout_s - self._patience_s) * (0.1 if timeout_s < self._patience_s else 0.002)
        if now < self._ends_at:
            self._shortest = min(self._shortest, waited_s)
            return
        self._adapt(now)
        self._begin_interval(now, waited_s)

    def _adapt(self, now: float) -> None:
        """Set the pace for the next interval."""
        passed_s = now - self._began_at
        busy_s = self._turns.busy_s(now) - self._busy_before_s
        self._learn(passed_s, busy_s)
        long_s = self.long_wait_s
        shortest_of_two = min(self._shortest, self._shortest_before)
        was_long = shortest_of_two > long_s
        paced = self.pace < inf
        if paced and self._met:
            self._follow(busy_s / passed_s, may_grow=self._shortest < long_s / 2)
        if was_long or (paced and self._shortest > long_s):
            self._fit()
        if was_long or self._met:
            self._met_at = now
        elif now - self._met_at > FORGET_S:
            self.pace = inf
        too_long = shortest_of_two > long_s * SHED_FACTOR
        self.shedding = too_long or (self.shedding and self._shortest > long_s)

    def _learn(self, passed_s: float, busy_s: float) -> None:
        """Learn what a request costs and how many ask. Half of a request's work is letting it in."""
        left = self._in_flight_before + self._admitted - self.in_flight
        work = (self._admitted + left) / 2 + self._refused / SERVED_PER_REFUSED
        if work > 0:
            cost_s = busy_s / work
            self._cost_s += (cost_s - self._cost_s) * (SMOOTHING if self._cost_s else 1.0)
        # Where waits grow by half a second in a second, half of those who come are not read.
        unread = (self._shortest - self._shortest_before) / passed_s
        least, most = READ_SHARE
        offered = (self._admitted + self._refused) / passed_s / min(max(1.0 - unread, least), most)
        self._offered += (offered - self._offered) * OFFERED_SMOOTHING

    @property
    def _capacity(self) -> float:
        """Tell how many could be served in a second if nobody were refused."""
        return FULL_SHARE / self._cost_s if self._cost_s else inf

    def _fitting(self) -> float:
        """Tell what is left of the loop's time when all others have been refused, those who wait included."""
        refusals = self._offered * (1 + self._shortest / CATCH_UP_S) / SERVED_PER_REFUSED
        return (self._capacity - refusals) / (1 - 1 / SERVED_PER_REFUSED)

    def _fit(self) -> None:
        """Slow down to the pace that fits: at first at once, then by and by."""
        fits = self._fitting()
        if self.pace == inf:
            self._slow_to(fits)
        elif fits < self.pace:
            self._slow_to(self.pace + (fits - self.pace) * OFFERED_SMOOTHING)

    def _follow(self, busy_share: float, *, may_grow: bool) -> None:
        """Give away a part of the loop's time that is spare, or take back what is missing."""
        spare = FULL_SHARE - busy_share
        if spare < 0:
            slow = SLOW if busy_share <= SATURATED_SHARE else SLOW_SATURATED
            self._slow_to(self.pace + spare / self._cost_s * slow)
        elif may_grow:
            self.pace = max(self.pace + spare / self._cost_s * GROW, self._fitting() * SURE_SHARE)

    def _slow_to(self, pace: float) -> None:
        self.pace = max(pace, self._capacity * LEAST_SERVED_SHARE)
