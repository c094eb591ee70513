"""What was observed of first attempts and of sampled hedges, as data: added up over workers, or read from a log."""

from typing import Annotated, Self

import msgspec
from msgspec import Meta

from hedgerow.planning.hedge_samples import MAX_SAMPLES, Sample
from hedgerow.planning.latency_sketch import (
    BUCKETS,
    CUT,
    FAILURE_BUCKETS,
    FAILURES_PER_BUCKET,
    SUCCESS,
    bucket_of,
)

MAX_WORKERS_SAMPLES = 4 * MAX_SAMPLES
"""Of all workers together: more make no prediction better that is rounded to tenths of a per cent."""

Count = Annotated[int, Meta(ge=0)]


class Observations(msgspec.Struct):
    """First attempts by outcome and bucket of `latency_sketch.BOUNDS_S`, and samples of hedged requests."""

    successes: list[Count] = msgspec.field(default_factory=lambda: [0] * BUCKETS)
    failures: list[Count] = msgspec.field(default_factory=lambda: [0] * FAILURE_BUCKETS)
    """A bucket is as long as `FAILURES_PER_BUCKET` of successes, and ends with the last of them."""
    cuts: list[Count] = msgspec.field(default_factory=lambda: [0] * FAILURE_BUCKETS)
    samples: list[Sample] = []
    span_s: float = 0.0
    """How long was observed; of several workers, the longest."""

    @property
    def count(self) -> int:
        """Return the number of first attempts."""
        return sum(self.successes) + sum(self.failures) + sum(self.cuts)

    def observe(self, latency_s: float, outcome: int, times: int = 1) -> None:
        """Count first attempts that ended after `latency_s` (`LatencySketch.observe`)."""
        index = bucket_of(latency_s)
        if outcome == SUCCESS:
            self.successes[index] += times
        else:
            counts = self.cuts if outcome == CUT else self.failures
            counts[(index + FAILURES_PER_BUCKET - 1) // FAILURES_PER_BUCKET] += times

    def __add__(self, other: Self) -> "Observations":
        """Add what another worker has observed at the same time."""
        return Observations(
            [one + more for one, more in zip(self.successes, other.successes, strict=True)],
            [one + more for one, more in zip(self.failures, other.failures, strict=True)],
            [one + more for one, more in zip(self.cuts, other.cuts, strict=True)],
            (self.samples + other.samples)[:MAX_WORKERS_SAMPLES],
            max(self.span_s, other.span_s),
        )
