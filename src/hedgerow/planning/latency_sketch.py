"""First attempts by latency and outcome, in constant memory, for the last minute, hour and day.

Buckets grow with the latency, so an error is relative to it, as in DDSketch (Masson, Rim and Lee, VLDB 2019). Their
bounds are round numbers, as in HdrHistogram's: nothing is estimated of a share "by 300 ms", for it is counted.
What is known is a function of `now`: what is too old is left out when it is read, whatever came since.
A module of its own, for each request counts here: this can be compiled.
"""

from array import array
from collections.abc import Sequence
from math import inf
from typing import Final

SMALLEST_S: Final = 0.001
"""Latencies up to this are in one bucket: no hedge delay is shorter."""
LARGEST_S: Final = 60.0
"""Latencies above this are in one bucket: the longest timeout of a client by default."""
FAILURES_PER_BUCKET: Final = 6
"""Buckets of successes that make one of failures: when a first attempt fails hardly matters."""

SUCCESS: Final = 0
FAILURE: Final = 1
CUT: Final = 2
"""We ended it, or its client left: it had not succeeded by then, and nothing else is known."""

_PER_DECADE: Final = 140
"""From 1 to 2 in 40 steps of 0.025, to 4 in 40 of 0.05, to 10 in 60 of 0.1: the middle of a bucket is off by 1.25 %."""
_ROUNDING: Final = 1e-9
"""Of a step: what floats may add to a bound, which is in its own bucket."""


def bucket_of(latency_s: float) -> int:
    """Return the bucket of a success."""
    if latency_s <= SMALLEST_S:
        return 0
    if latency_s > LARGEST_S:
        return BUCKETS - 1
    scaled, index = latency_s / SMALLEST_S, 1
    while scaled > 10.0 + _ROUNDING:
        scaled /= 10.0
        index += _PER_DECADE
    if scaled <= 2.0:
        return index + int((scaled - 1.0) * 40.0 - _ROUNDING)
    if scaled <= 4.0:
        return index + 40 + int((scaled - 2.0) * 20.0 - _ROUNDING)
    return index + 80 + int((scaled - 4.0) * 10.0 - _ROUNDING)


def _bounds_s() -> list[float]:
    bounds_s = [SMALLEST_S]
    decade_s = SMALLEST_S
    while bounds_s[-1] < LARGEST_S - _ROUNDING:
        for start, step, steps in ((1.0, 0.025, 40), (2.0, 0.05, 40), (4.0, 0.1, 60)):
            bounds_s += [round((start + step * number) * decade_s, 9) for number in range(1, steps + 1)]
        decade_s *= 10.0
    return [bound_s for bound_s in bounds_s if bound_s <= LARGEST_S + _ROUNDING]


BOUNDS_S: Final[tuple[float, ...]] = tuple(_bounds_s())
"""Upper bounds of the buckets of successes, which they include; the last bucket has none."""
BUCKETS: Final = len(BOUNDS_S) + 1
"""Of successes: 662."""
FAILURE_BUCKETS: Final = (BUCKETS - 1) // FAILURES_PER_BUCKET + 2
_BEFORE_FAILURES: Final = BUCKETS
_BEFORE_CUTS: Final = BUCKETS + FAILURE_BUCKETS
_FEW: Final = 256
"""The largest number that CPython keeps one object of, for all."""
_COUNTS: Final = BUCKETS + 2 * FAILURE_BUCKETS

SLOT_S: Final = 20.0
"""The shortest slot: it is open for this long, then it is added to the slots of the minute, the hour and the day."""
WINDOWS: Final[dict[str, int]] = {"minute": 1, "hour": 36, "day": 1_080}
"""Length of a slot of each window, in shortest slots: 20 s, 12 minutes, 6 hours."""
_SLOTS: Final[dict[str, int]] = {"minute": 3, "hour": 5, "day": 4}
"""Slots of each window, with the one under way: it reaches back for at least two thirds of its name."""

WARM: Final = 100
"""Successes that a quantile is taken from; of fewer, the 95th percentile is one of the five slowest by chance."""
_QUANTILE_HOLDS_S: Final = 1.0
"""How long a quantile is kept; to compute one takes some 50 µs."""


def _no_counts() -> "array[int]":
    return array("I", [0]) * _COUNTS  # of its own size: made of bytes it would have room for a sixteenth more


class _Ring:
    """The slots of one window."""

    __slots__ = ("_counts", "_numbers", "_width")

    def __init__(self, width: int, slots: int) -> None:
        self._width = width
        self._numbers = [-1] * slots
        self._counts = [_no_counts() for _ in range(slots)]

    def add(self, observed: list[tuple[int, int]], slot: int) -> None:
        """Add a shortest slot, which is over: numbers by bucket, of those that have any."""
        number = slot // self._width
        place = number % len(self._numbers)
        if self._numbers[place] != number:
            self._numbers[place] = number
            self._counts[place] = _no_counts()
        counts = self._counts[place]
        for index, times in observed:
            counts[index] += times

    def within(self, slot: int) -> "list[array[int]]":
        """Return the slots that are not too old at the shortest slot `slot`."""
        oldest = slot // self._width - len(self._numbers)
        return [counts for number, counts in zip(self._numbers, self._counts, strict=True) if number > oldest]

    def oldest(self, slot: int) -> int:
        """Return the shortest slot with which the window begins."""
        return (slot // self._width - len(self._numbers) + 1) * self._width


class LatencySketch:
    """First attempts of one route in one worker: 55 KiB from the first one on, and an addition for each."""

    __slots__ = (
        "_began_at", "_few", "_open", "_open_until", "_quantile", "_quantile_of", "_quantile_until", "_rings", "_slot",
    )  # fmt: skip

    def __init__(self) -> None:
        self._open = array("I")
        self._few: list[int] = []
        """What is not in `_open` yet, of the open slot."""
        self._slot = 0
        self._open_until = -inf
        """The end of the open slot; nothing was observed before there is one, and nothing takes memory."""
        self._began_at = -inf
        self._rings: list[_Ring] = []
        self._quantile: float | None = None
        self._quantile_of = 0.0
        self._quantile_until = -inf

    def observe(self, latency_s: float, outcome: int, now: float) -> None:
        """Count a first attempt that has ended: a SUCCESS, a FAILURE or CUT after `latency_s`. Costs some 0.2 µs."""
        if now >= self._open_until:
            self._open_slot(now)
        index = bucket_of(latency_s)
        if outcome != SUCCESS:
            index = (index + FAILURES_PER_BUCKET - 1) // FAILURES_PER_BUCKET
            index += _BEFORE_FAILURES if outcome == FAILURE else _BEFORE_CUTS
        # A list of small numbers: to count in the array costs 4 times as much, and large numbers would be objects.
        times = self._few[index] + 1
        if times == _FEW:
            self._open[index] += _FEW
            times = 0
        self._few[index] = times

    def counts(self, window: str, now: float) -> tuple[list[int], list[int], list[int], float]:
        """Return successes, failures and cuts by bucket in a window of `WINDOWS`, and its length in seconds."""
        if not self._rings:
            return [0] * BUCKETS, [0] * FAILURE_BUCKETS, [0] * FAILURE_BUCKETS, 0.0
        slot = int(now // SLOT_S)
        ring = self._rings[list(WINDOWS).index(window)]
        slots = ring.within(slot)
        if self._slot >= ring.oldest(slot):  # what is older is no part of the window, open as it may be
            slots += [self._open, array("I", self._few)]
        total: Sequence[int] = [sum(column) for column in zip(*slots, strict=True)] or _no_counts()
        began_at = max(ring.oldest(slot) * SLOT_S, self._began_at)
        return (
            list(total[:_BEFORE_FAILURES]),
            list(total[_BEFORE_FAILURES:_BEFORE_CUTS]),
            list(total[_BEFORE_CUTS:]),
            max(now - began_at, 0.0),
        )

    def quantile(self, share: float, now: float) -> float | None:
        """Return the latency in seconds that a share of the last minute's successes did not exceed.

        None of fewer than `WARM`. It is kept for a second, so it may be asked for each request.
        """
        if now >= self._quantile_until or share != self._quantile_of:
            self._quantile = quantile_of(self.counts("minute", now)[0], share)
            self._quantile_of = share
            self._quantile_until = now + _QUANTILE_HOLDS_S
        return self._quantile

    def _open_slot(self, now: float) -> None:
        if self._open_until == -inf:
            self._began_at = now
            self._rings = [_Ring(width, _SLOTS[name]) for name, width in WINDOWS.items()]
        else:
            observed: list[tuple[int, int]] = []
            for index in range(_COUNTS):
                times = self._open[index] + self._few[index]
                if times:
                    observed.append((index, times))
            for ring in self._rings:
                ring.add(observed, self._slot)
        self._open = _no_counts()
        self._few = [0] * _COUNTS
        self._slot = int(now // SLOT_S)
        self._open_until = (self._slot + 1) * SLOT_S


def quantile_of(successes: Sequence[int], share: float) -> float | None:
    """Return a quantile of successes by bucket: evenly within its bucket; None of fewer than `WARM`.

    Above `LARGEST_S` it is that: "at least".
    """
    total = sum(successes)
    if total < WARM:
        return None
    rank, reached = share * total, 0
    for index, times in enumerate(successes):
        if times and reached + times >= rank:
            if index >= len(BOUNDS_S):
                break
            below_s = BOUNDS_S[index - 1] if index else 0.0
            return below_s + (BOUNDS_S[index] - below_s) * max(rank - reached, 0.0) / times
        reached += times
    return LARGEST_S
