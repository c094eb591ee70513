"""How alike the attempts of one request are: measured from hedges that were really sent, never assumed.

A request is a sample if hedges were sent for it, so its first attempt had not succeeded by the hedge delay of that
time, `D`. For any `t >= D` the samples show directly how often neither the first attempt had a success by `t` nor a
hedge by `u`. For a `t` before `D` the rest follows from what hedges do on the whole, which the law of first attempts
says. So a prediction for the delay that was sampled copies reality, and others keep to both.
"""

from math import sqrt
from typing import NamedTuple

from hedgerow.planning.hedge_samples import SAMPLED_ATTEMPTS, Sample
from hedgerow.planning.latency_law import LatencyLaw
from hedgerow.planning.latency_sketch import BOUNDS_S, BUCKETS, CUT, SUCCESS, bucket_of

SURE = 3.0
"""Standard errors that hedges must do worse than first attempts, to be taken as like them."""
INDEPENDENT_SAMPLES = 8
"""What independence counts for, in samples: with as many, the prediction goes half the way to what they show."""
LOOKED_AT = (0.25, 0.5, 0.9)
"""Shares of all successes: hedges are compared with first attempts by the times that these take."""
MIN_SAMPLES = 30
"""Fewer say nothing about how alike attempts are."""


class Likeness(NamedTuple):
    """How often hedges that were sent had a success by a time, and how often they would have if independent."""

    samples: int
    by_s: float
    measured: float
    independent: float
    error: float
    """The standard error of `measured`."""

    @property
    def correlation(self) -> float:
        """Return the share of hedged requests whose hedges share the fate of the first attempt; 0: independent."""
        return max(0.0, 1 - self.measured / self.independent) if self.independent else 0.0

    @property
    def is_significant(self) -> bool:
        """Return whether chance does not explain the difference."""
        return self.samples >= MIN_SAMPLES and self.independent - self.measured > SURE * self.error


class Correlation:
    """What samples of hedged requests say, beside a law of first attempts."""

    def __init__(self, law: LatencyLaw, samples: list[Sample]) -> None:
        self._law = law
        self.samples = len(samples)
        delays_s = sorted(delay_s for delay_s, _ in samples)
        # Hedges that are sent at a failure are sent sooner, and a stall of ours delays a few.
        self.sampled_delay_s = delays_s[len(delays_s) * 9 // 10] if samples else 0.0
        columns = [[attempts[number] for _, attempts in samples] for number in range(SAMPLED_ATTEMPTS)]
        self._pending = [_pending(column) for column in columns]
        """For each attempt and bucket, a bit for each sample without a success by the end of the bucket."""
        self._known = [_known(column) for column in columns]
        """The same for samples whose attempt was not cut by then."""
        self._in_time = law.success_by(self.sampled_delay_s)
        """The share of requests that are no samples."""
        self.is_measured = any(
            self.likeness(by_s).is_significant
            for by_s in (law.reached_at(share * law.succeeding) for share in LOOKED_AT)
            if by_s is not None
        )
        """Attempts are alike, beyond chance. If they are not, they are taken as independent."""

    def missed(self, first_by_s: float, hedges_by_s: float, hedges: int) -> float:
        """Return the share of requests without a success by these times of the first attempt and of each hedge.

        Hedges count from when they are sent.
        """
        law, sampled_s = self._law, self.sampled_delay_s
        of_first = 1 - law.success_by(first_by_s)
        if not self.is_measured:
            return of_first * (1 - law.success_by(hedges_by_s)) ** hedges
        if first_by_s >= sampled_s:
            return of_first * self._hedges_missed(first_by_s, hedges_by_s, hedges)
        # Requests that the samples show, and those with a success in between, whose hedges make up the whole.
        shown = 1 - self._in_time
        hedge_by = law.success_by(hedges_by_s)
        shown_by = 1 - self._hedges_missed(sampled_s, hedges_by_s, 1)
        other_by = min(max((hedge_by - shown_by * shown) / self._in_time, 0.0), 1.0) if self._in_time else 0.0
        return shown * self._hedges_missed(sampled_s, hedges_by_s, hedges) + (of_first - shown) * (
            (1 - other_by) ** hedges
        )

    def likeness(self, by_s: float) -> Likeness:
        """Compare hedges with first attempts: the share with a success within `by_s` of when they were sent."""
        bucket, counted, succeeded = min(bucket_of(by_s), len(BOUNDS_S) - 1), 0, 0
        by_s = BOUNDS_S[bucket]  # samples are known by bucket
        for number in range(1, SAMPLED_ATTEMPTS):
            known = self._known[number][bucket]
            counted += known.bit_count()
            succeeded += (known & ~self._pending[number][bucket]).bit_count()
        measured = succeeded / counted if counted else 0.0
        # Hedges of one request may be alike, so the error is that of requests.
        error = sqrt(max(measured * (1 - measured), 0.25 / max(self.samples, 1)) / max(self.samples, 1))
        return Likeness(self.samples, by_s, measured, self._law.success_by(by_s), error)

    def _hedges_missed(self, first_by_s: float, hedges_by_s: float, hedges: int) -> float:
        """Return the share of requests without a success of a hedge, among those without one of the first attempt."""
        one = 1 - self._law.success_by(hedges_by_s)
        if hedges_by_s <= 0 or hedges == 0:
            return 1.0
        late, bucket = self._pending[0][bucket_of(first_by_s)], bucket_of(hedges_by_s)
        singles = [late & self._known[number][bucket] for number in (1, 2)]
        pairs = singles[0] & singles[1]
        missed = [singles[0] & self._pending[1][bucket], singles[1] & self._pending[2][bucket]]
        counted = sum(map(int.bit_count, singles)) / 2
        of_one = _drawn_to(one, sum(map(int.bit_count, missed)) / 2, counted)
        if hedges == 1:
            return of_one
        of_two = _drawn_to(of_one**2, (missed[0] & missed[1] & pairs).bit_count(), pairs.bit_count())
        of_two = min(max(of_two, of_one**2), of_one)
        if hedges == 2:
            return of_two
        return _of_many(of_one, of_two, hedges)


def _drawn_to(assumed: float, times: float, counted: float) -> float:
    return (INDEPENDENT_SAMPLES * assumed + times) / (INDEPENDENT_SAMPLES + counted)


def _of_many(of_one: float, of_two: float, hedges: int) -> float:
    """Return how often all of many hedges miss, if some requests are lost and hedges of others independent.

    A share `lost` of requests, and hedges that miss with the share `other`, give `of_one` and `of_two`.
    """
    spread = 1 + of_two - 2 * of_one
    lost = (of_two - of_one**2) / spread if spread > 1e-9 else of_one
    lost = min(max(lost, 0.0), of_one)
    other = (of_one - lost) / (1 - lost) if lost < 1 else 0.0
    return lost + (1 - lost) * other**hedges


def _pending(attempts: list[tuple[float, int]]) -> list[int]:
    ends: list[int] = [0] * BUCKETS
    for bit, (latency_s, outcome) in enumerate(attempts):
        if outcome == SUCCESS:
            ends[bucket_of(latency_s)] |= 1 << bit
    return _without(ends, len(attempts))


def _known(attempts: list[tuple[float, int]]) -> list[int]:
    ends: list[int] = [0] * BUCKETS
    for bit, (latency_s, outcome) in enumerate(attempts):
        if outcome == CUT:
            ends[bucket_of(latency_s)] |= 1 << bit
    return _without(ends, len(attempts))


def _without(ends: list[int], count: int) -> list[int]:
    left, rest = [], (1 << count) - 1
    for ended in ends:
        rest &= ~ended
        left.append(rest)
    return left
