"""What hedging would bring, and what it would cost: the race of `core.hedging`, calculated.

The first success wins and no failure ends the race, so only when attempts succeed matters: a request has no success by
`t` if its first attempt has none by `t`, and none of its hedges has one by `t` less the hedge delay.
"""

from typing import Final, NamedTuple, Self

from hedgerow.planning.correlation import Correlation
from hedgerow.planning.hedge_samples import Sample
from hedgerow.planning.latency_law import LatencyLaw
from hedgerow.planning.latency_sketch import LARGEST_S
from hedgerow.planning.observations import Observations

SHOWN_BY_MS: Final = (200, 300, 400, 500, 600, 700, 800, 900, 1_000, 1_250, 1_500, 2_000)
"""Times by which the success rate is given."""
_STEPS: Final = 24
"""Of the search for a quantile: halves 60 s down to 4 µs."""


class Plan(NamedTuple):
    """When hedges are sent, and how many."""

    hedge_after_s: float
    hedges: int
    immediate: bool = False
    """Hedges are sent as soon as the first attempt has failed, and after the hedge delay at the latest."""


class Prediction(NamedTuple):
    """What clients would get by a plan. Shares and times are of all requests, times in seconds."""

    plan: Plan
    attempts: float
    """For each request."""
    success_by: tuple[float, ...]
    """By each of `SHOWN_BY_MS`."""
    p50_s: float | None
    """By when half of all requests have a success; None if that is never."""
    p90_s: float | None
    p99_s: float | None
    p999_s: float | None


class WhatIf:
    """Predictions from a law of first attempts; samples of hedged requests correct for attempts that are alike."""

    def __init__(self, law: LatencyLaw, samples: list[Sample]) -> None:
        """Without samples attempts are taken as independent."""
        self.law = law
        self.correlation = Correlation(law, samples)

    @classmethod
    def of(cls, observations: Observations) -> Self:
        """Return the predictions that observations allow."""
        return cls(LatencyLaw(observations), observations.samples)

    def success_by(self, plan: Plan, at_s: float) -> float:
        """Return the share of requests with a success within `at_s` of their start."""
        after_s = plan.hedge_after_s
        if not plan.hedges or at_s <= 0:
            return self.law.success_by(at_s)
        missed = self._missed(plan, at_s, after_s)
        if not plan.immediate:
            return 1 - missed
        for failure in self.law.failures:
            if failure.at_s < min(after_s, at_s):
                # These requests' hedges have had longer, which does not depend on how their first attempts failed.
                of_first = 1 - self.law.success_by(at_s)
                later, sooner = (self._missed(plan, at_s, sent_s) for sent_s in (after_s, failure.at_s))
                missed -= failure.share / of_first * (later - sooner) if of_first else 0.0
        return 1 - missed

    def _missed(self, plan: Plan, at_s: float, sent_s: float) -> float:
        if at_s <= sent_s:
            return 1 - self.law.success_by(at_s)
        return self.correlation.missed(at_s, at_s - sent_s, plan.hedges)

    def attempts(self, plan: Plan) -> float:
        """Return the attempts of a request: hedges are sent for each without a success by the hedge delay."""
        return 1 + plan.hedges * (1 - self.law.success_by(plan.hedge_after_s))

    def reached_at(self, plan: Plan, share: float) -> float | None:
        """Return by when a share of all requests have a success, in seconds; None if that is never."""
        if not self.law.observed:
            return None
        low, high = 0.0, LARGEST_S
        if self.success_by(plan, high) < share:
            return None
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (low, middle) if self.success_by(plan, middle) >= share else (middle, high)
        return high

    def predict(self, plan: Plan) -> Prediction:
        """Return all that is shown of a plan; takes some 0.3 ms."""
        return Prediction(
            plan,
            self.attempts(plan),
            tuple(self.success_by(plan, by_ms / 1000) for by_ms in SHOWN_BY_MS),
            *(self.reached_at(plan, share) for share in (0.5, 0.9, 0.99, 0.999)),
        )
