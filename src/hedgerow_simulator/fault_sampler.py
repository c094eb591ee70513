"""Chance, made replayable: the n-th request of a worker gets the same latency and fault whenever the seed
is the same.
"""

from bisect import bisect_right
from itertools import accumulate
from random import Random
from typing import NamedTuple

from hedgerow_simulator.behaviour import Behaviour
from hedgerow_simulator.faults import FAULTS, Fault


class Sample(NamedTuple):
    """What chance decided for one request."""

    latency_ms: int
    fault: Fault


class FaultSampler:
    """An endless sequence of draws, two random numbers each, whatever the request then asks for.

    The fixed number is what keeps the sequence in step: a request that asks for a fault consumes its draw
    like any other, so those after it get what they would have got. Worker `index` draws from a seed of its
    own, made from the behaviour's seed and the index; strings seed `Random` through SHA-512, alike in every
    Python version.
    """

    def __init__(self, behaviour: Behaviour, index: int = 0) -> None:
        self._random = Random(f"{behaviour.seed}/{index}").random  # noqa: S311 - replayable on purpose
        self._low, high = behaviour.latency_ms
        self._width = high - self._low + 1
        shares = behaviour.shares()
        self._thresholds = list(accumulate(shares.values()))
        self._faults = [FAULTS[name] for name in (*shares, "ok")]

    def next(self) -> Sample:
        """Sample for the next request."""
        latency_ms = self._low + int(self._random() * self._width)
        return Sample(latency_ms, self._faults[bisect_right(self._thresholds, self._random())])
