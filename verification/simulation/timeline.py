"""The time of a simulation: the events outside the gateway, and the clock of the gateway's process.

The process pays for what it does: each system call and each look at the clock takes a little time, and a stall takes
much, wherever it strikes. Events that lie in between happen at their own instants, and what they bring lies unread.
"""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from math import inf
from typing import Any

BEGIN_S = 7.0
"""The clock's reading as a simulation begins: not zero, so that an instant cannot pass for a duration."""
CLOCK_CALL_S = 1e-6
SLOW_FACTOR = 12.0
"""What the process does takes this many times longer in a slow interval."""


class Endless(Exception):  # noqa: N818 (what a broken gateway causes)
    """The event loop never comes to rest, or nothing can ever happen again."""


class Timeline:
    """Events in the order of their instants. `stalls` and `slow` are pairs of instant and length, in seconds."""

    def __init__(
        self, stalls: Iterable[tuple[float, float]] = (), slow: Iterable[tuple[float, float]] = ()
    ) -> None:
        self.now = BEGIN_S
        """The process's time; it alone lets time go on."""
        self.stalled: list[tuple[float, float]] = [(at, at + length_s) for at, length_s in slow]
        """From when to when the process was stopped, or slow."""
        self._slow = tuple(self.stalled)
        self._to_stall = sorted(stalls, reverse=True)
        self._stall_at = self._to_stall[-1][0] if self._to_stall else inf
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0

    # -- the process

    def clock(self) -> float:
        """Return the process's time, which goes on; a stall may strike here."""
        self.charge(CLOCK_CALL_S)
        return self.now

    def charge(self, seconds: float) -> None:
        """Let the process work for a time."""
        for begin, end in self._slow:
            if begin <= self.now < end:
                seconds *= SLOW_FACTOR
        self._advance_to(self.now + seconds)

    def sleep(self, until: float, is_ready: Callable[[], bool]) -> None:
        """Let time go on until `is_ready` or the instant `until`."""
        while True:
            self.run_due()
            if is_ready() or self.now >= until:
                return
            next_at = min(self.next_due_at, until)
            if next_at == inf:
                raise Endless
            self._advance_to(next_at)

    def _advance_to(self, at: float) -> None:
        if at >= self._stall_at:
            begin, length_s = self._to_stall.pop()
            begin = max(begin, self.now)
            self.stalled.append((begin, begin + length_s))
            self._stall_at = self._to_stall[-1][0] if self._to_stall else inf
            at = max(at, begin + length_s)
        self.now = max(self.now, at)

    @property
    def will_stall(self) -> bool:
        """Some of the stalls are yet to come."""
        return self._stall_at < inf

    # -- events outside of it

    def at(self, at: float, callback: Callable[..., None], *args: Any) -> None:
        """Have something happen: `callback(at, *args)`."""
        self._number += 1
        heappush(self._events, (at, self._number, callback, args))

    @property
    def next_due_at(self) -> float:
        return self._events[0][0] if self._events else inf

    def run_due(self) -> None:
        """Let happen what lies before the process's time."""
        events = self._events
        while events and events[0][0] <= self.now:
            at, _, callback, args = heappop(events)
            callback(at, *args)
