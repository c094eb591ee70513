"""Queues of instants: what is due next, and what is due now. Pure: instants are passed in.

Both queues are O(1) to add to and to remove from, because most deadlines are never met: an answer comes, and
the deadline is forgotten. That is the timing-wheel argument (Varghese and Lauck, SOSP 1987).
"""

from collections.abc import Hashable, Iterator
from heapq import heappop, heappush
from math import inf
from typing import Final, Generic, TypeVar

from hedgerow.eventloop.event_handler import EventHandler

TICKS_PER_S: Final = 1000
"""Resolution of `DeadlineQueue`. A poll waits for whole milliseconds, so finer ticks gain nothing."""


class DeadlineQueue:
    """Deadlines of waiters; one fires at its instant or up to one tick later, never before."""

    __slots__ = ("_buckets", "_due", "_ticks", "next_due_at")

    def __init__(self) -> None:
        self._buckets: dict[int, dict[EventHandler, None]] = {}
        self._ticks: list[int] = []
        self._due: list[EventHandler] = []
        """Waiters of the first bucket, the first of them last; some may have been cancelled since."""
        self.next_due_at = inf
        """The earliest instant at which something may be due, in seconds."""

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def set(self, at: float, waiter: EventHandler) -> int:
        """Fire `waiter` at the instant `at` (seconds, finite). Return what `cancel` needs."""
        tick = int(at * TICKS_PER_S)
        if tick / TICKS_PER_S < at:
            tick += 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
            heappush(self._ticks, tick)
            self.next_due_at = self._ticks[0] / TICKS_PER_S
        bucket[waiter] = None
        return tick

    def cancel(self, tick: int, waiter: EventHandler) -> None:
        """Forget a deadline; one that has fired is forgotten already."""
        bucket = self._buckets.get(tick)
        if bucket is not None and waiter in bucket:
            del bucket[waiter]  # not `pop`, here and below: compiled, that is a call as in Python
            if not bucket:
                bucket.clear()  # gives its hash table back; the bucket itself goes when its tick comes

    def pop_due(self, now: float) -> EventHandler | None:
        """Take the next waiter whose instant has come, in the order of the instants; None if there is none.

        Between two calls deadlines may be set and cancelled, also such as are due at once.
        """
        ticks, buckets, due = self._ticks, self._buckets, self._due
        while ticks:
            tick = ticks[0]
            bucket = buckets[tick]
            if tick / TICKS_PER_S > now and bucket:
                return None
            while due:
                waiter = due.pop()
                if waiter in bucket:
                    del bucket[waiter]
                    return waiter
            if bucket:
                self._due = due = list(bucket)
                due.reverse()
            else:
                del buckets[heappop(ticks)]
                self.next_due_at = ticks[0] / TICKS_PER_S if ticks else inf
        return None


T = TypeVar("T", bound=Hashable)


class ExpiryQueue(Generic[T]):
    """Things that expire a fixed span after they were added; the order of adding is the order of expiry."""

    __slots__ = ("_due", "span_s")

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self._due: dict[T, float] = {}

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, item: T) -> bool:
        return item in self._due

    def add(self, item: T, now: float) -> None:
        """Expire `item` at `now` + the span; adding it again restarts its span."""
        self.discard(item)
        self._due[item] = now + self.span_s

    def discard(self, item: T) -> None:
        """Forget `item`, if it is here."""
        if item in self._due:
            del self._due[item]

    @property
    def next_due_at(self) -> float:
        """Return the instant at which the next thing expires; infinite if there is none."""
        for due_at in self._due.values():
            return due_at
        return inf

    def pop_oldest(self) -> T | None:
        """Take what was added first, and would expire next."""
        for item in self._due:
            del self._due[item]
            return item
        return None

    def pop_expired(self, now: float) -> Iterator[T]:
        """Take what has expired, oldest first."""
        while self._due:
            item, due_at = next(iter(self._due.items()))
            if due_at > now:
                return
            del self._due[item]
            yield item


MIN_MARGIN_S: Final = 0.003
"""An answer leaves at least this early: a poll waits for whole milliseconds, and the answer has a way to go."""
MAX_MARGIN_S: Final = 0.025
"""And at most this early, however long the loop has lagged: the time is the client's."""


def response_deadline(arrived_at: float, timeout_s: float, lag_s: float = 0.0) -> float:
    """Return the instant by which to answer, so that the answer is within `timeout_s` where the client is.

    The margin is the loop's own recent lag (`lag_s`) and `MIN_MARGIN_S`; never more than `MAX_MARGIN_S` or half the
    timeout. But a timeout of 3 ms or less is over as it begins, for no timer could keep it. The instant is one of
    `DeadlineQueue`'s ticks, so that it does not fire up to a tick later.
    """
    wanted_s = min(lag_s + MIN_MARGIN_S, MAX_MARGIN_S)  # `min` of two: those mypyc compares itself
    at_most_s = min(max(timeout_s / 2, MIN_MARGIN_S), timeout_s)
    return int((arrived_at + timeout_s - min(wanted_s, at_most_s)) * TICKS_PER_S) / TICKS_PER_S
