"""Observations while they are counted: what `snapshot.Histogram` and `snapshot.LagHistogram` are made of.

A module of its own, for each request counts some here: this can be compiled, classes of msgspec's cannot.
"""

from bisect import bisect_left
from typing import Final

ROUNDING: Final = 1e-9
"""Of a step: what floats may add to a bound, which is in its own bucket. No clock resolves a time that short."""


class HistogramCounter:
    """Counts by bucket; the last bucket is the one beyond all bounds.

    The bounds are multiples of a step, so a table finds the bucket: a fifth of what `bisect` takes once compiled.
    """

    __slots__ = ("_bucket_of_step", "_per_s", "counts", "sum_s")

    def __init__(self, bounds: tuple[float, ...], step_s: float) -> None:
        """`bounds` are upper bounds in seconds, each a multiple of `step_s`."""
        self._per_s = 1.0 / step_s
        steps = round(bounds[-1] * self._per_s)
        self._bucket_of_step = [bisect_left(bounds, (step + 0.5) * step_s) for step in range(steps)]
        """The bucket of what is longer than this many steps, and not longer than one more."""
        self.counts = [0] * (len(bounds) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation in the first bucket that holds it; what is not above 0 counts as 0."""
        if seconds <= 0.0:
            self.counts[0] += 1
            return
        step = int(seconds * self._per_s - ROUNDING)
        bucket = self._bucket_of_step[step] if step < len(self._bucket_of_step) else -1
        self.counts[bucket] = self.counts[bucket] + 1  # mypyc leaves `+=` of an item to Python
        self.sum_s += seconds
