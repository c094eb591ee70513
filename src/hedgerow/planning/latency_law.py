"""How likely a first attempt has succeeded by a time: from what was observed, cuts included."""

from typing import NamedTuple

from hedgerow.planning.latency_sketch import BOUNDS_S, BUCKETS, FAILURES_PER_BUCKET, bucket_of
from hedgerow.planning.observations import Observations

MAX_FAILURE_POINTS = 12
"""Instants that stand for all failures where hedges are sent at a failure."""


class FailurePoint(NamedTuple):
    """Failures as if all had come at one instant."""

    at_s: float
    share: float


class LatencyLaw:
    """The share of first attempts with a success by any time: the cumulative incidence of Aalen and Johansen (1978).

    An attempt that was cut counts as running until then, and as one like the others afterwards.
    """

    def __init__(self, observations: Observations) -> None:
        self.observed = observations.count
        self._reached: list[float] = []
        """The share of successes by each of `BOUNDS_S`."""
        failed: list[tuple[float, float]] = []
        at_risk, running, success = observations.count, 1.0, 0.0
        for index in range(BUCKETS):
            times = observations.successes[index]
            if times:
                success += running * times / at_risk
                running *= 1 - times / at_risk
                at_risk -= times
            self._reached.append(success)
            if index % FAILURES_PER_BUCKET == 0 or index == BUCKETS - 1:
                part = (index + FAILURES_PER_BUCKET - 1) // FAILURES_PER_BUCKET
                failures, cuts = observations.failures[part], observations.cuts[part]
                if failures:
                    at_s = BOUNDS_S[min(max(index - FAILURES_PER_BUCKET // 2, 0), len(BOUNDS_S) - 1)]
                    failed.append((at_s, running * failures / at_risk))
                    running *= 1 - failures / at_risk
                at_risk -= failures + cuts
        self.failures = _condensed(failed)
        self.failing = sum(point.share for point in self.failures)
        """The share that ends as a failure."""
        self.succeeding = success
        """The share that ends as a success; what is left was never seen to end."""

    def success_by(self, at_s: float) -> float:
        """Return the share with a success within `at_s`; evenly within a bucket."""
        if at_s <= 0.0:
            return 0.0
        index = bucket_of(at_s)
        if index >= len(BOUNDS_S):
            return self._reached[-2]
        below, below_s = (self._reached[index - 1], BOUNDS_S[index - 1]) if index else (0.0, 0.0)
        part = min(max((at_s - below_s) / (BOUNDS_S[index] - below_s), 0.0), 1.0)
        return below + (self._reached[index] - below) * part

    def reached_at(self, share: float) -> float | None:
        """Return the shortest time by which `share` of all first attempts have a success; None if that is never."""
        if share > self._reached[-2] or not self.observed:
            return None
        low, high = 0, len(BOUNDS_S) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._reached[middle] >= share else (middle + 1, high)
        below, below_s = (self._reached[low - 1], BOUNDS_S[low - 1]) if low else (0.0, 0.0)
        rise = self._reached[low] - below
        return below_s + (BOUNDS_S[low] - below_s) * ((share - below) / rise if rise else 1.0)


def _condensed(failed: list[tuple[float, float]]) -> list[FailurePoint]:
    """Return at most `MAX_FAILURE_POINTS` instants for all failures, each for about as many."""
    total = sum(share for _, share in failed)
    points: list[FailurePoint] = []
    weight = moment = 0.0
    for at_s, share in failed:
        weight += share
        moment += share * at_s
        if weight >= total / MAX_FAILURE_POINTS:
            points.append(FailurePoint(moment / weight, weight))
            weight = moment = 0.0
    if weight:
        points.append(FailurePoint(moment / weight, weight))
    return points
