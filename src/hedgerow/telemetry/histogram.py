"""Observations while they are counted: what `snapshot.Histogram` and `snapshot.Lag` are made of.

A module of its own, for each request counts some here: this can be compiled, classes of msgspec's cannot.
"""

from bisect import bisect_left


class HistogramCounter:
    """Counts by bucket; the last bucket is the one beyond all bounds."""

    __slots__ = ("_bounds", "counts", "sum_s")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation in the first bucket that holds it."""
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.sum_s += seconds
