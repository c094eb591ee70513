"""Random latencies and faults, reproducible: the n-th request of a worker always gets the same for a seed."""

from bisect import bisect_right
from itertools import accumulate
from random import Random
from typing import NamedTuple

from hedgerow_simulator.behaviour import Behaviour
from hedgerow_simulator.faults import FAULTS, Fault


class Sample(NamedTuple):
    """The random latency and fault of one request."""

    latency_ms: int
    fault: Fault


class FaultSampler:
    """An endless sequence of samples, of two random numbers each.

    A request that selects its own fault consumes a sample like any other, so later requests get the same as
    without it. Each worker has its own seed, made from the behaviour's seed and its index; strings seed
    `Random` through SHA-512, equally in every Python version.
    """

    def __init__(self, behaviour: Behaviour, index: int = 0) -> None:
        self._random = Random(f"{behaviour.seed}/{index}").random  # noqa: S311 - reproducible on purpose
        self._low, high = behaviour.latency_ms
        self._width = high - self._low + 1
        shares = behaviour.shares()
        self._thresholds = list(accumulate(shares.values()))
        self._faults = [FAULTS[name] for name in (*shares, "ok")]

    def next(self) -> Sample:
        """Return the sample of the next request."""
        latency_ms = self._low + int(self._random() * self._width)
        return Sample(latency_ms, self._faults[bisect_right(self._thresholds, self._random())])
