"""First attempts and hedged requests, for planning: every first attempt is followed to its own end, losers included.

A module of its own, for each request counts here: this can be compiled.
"""

from typing import Final

from hedgerow.core.outcomes import Attempt, FailureReason, Success
from hedgerow.planning.hedge_samples import HedgeSamples
from hedgerow.planning.latency_sketch import CUT, FAILURE, SUCCESS, LatencySketch
from hedgerow.planning.observations import Observations

SAMPLE_EVERY_S: Final = 0.5
"""At most two samples a second: so the 256 that are kept are of 2 minutes or more, however many are hedged."""
MAX_PENDING: Final = 16
"""Samples whose attempts still run: those of 8 s, and losers run on for 1 s."""
LEAST_SAMPLED_S: Final = 600.0
"""Samples of this time are given with any window: a minute has too few, and how alike attempts are changes slowly."""


class FirstAttempts:
    """What one route has observed in one worker."""

    __slots__ = ("_next_sample_at", "_pending", "samples", "sketch")

    def __init__(self) -> None:
        self.sketch = LatencySketch()
        self.samples = HedgeSamples()
        self._pending: list[tuple[Attempt, ...]] = []
        self._next_sample_at = 0.0

    def request_finished(self, attempts: tuple[Attempt, ...], now: float) -> None:
        """Record that a hedged request is over; its losers run on."""
        if now >= self._next_sample_at:  # most are no sample, and cost no more than this
            self._next_sample_at = now + SAMPLE_EVERY_S
            self.collect(now)
            if len(self._pending) < MAX_PENDING:
                self._pending.append(attempts)

    def observations(self, window: str, now: float) -> Observations:
        """Return what was observed in a window of `planning.latency_sketch.WINDOWS`; takes some 0.3 ms."""
        self.collect(now)
        successes, failures, cuts, span_s = self.sketch.counts(window, now)
        samples = self.samples.within(max(span_s, LEAST_SAMPLED_S), now)
        return Observations(successes, failures, cuts, samples, span_s)

    def collect(self, now: float) -> None:
        """Keep the samples whose attempts have all ended."""
        still = []
        for attempts in self._pending:
            if _all_ended(attempts):
                delay_s = attempts[1].launched_at - attempts[0].launched_at
                ends = [
                    (attempt.ended_at - attempt.launched_at, _outcome_of(attempt)) for attempt in attempts
                ]
                self.samples.add(delay_s, ends, now)
            else:
                still.append(attempts)
        self._pending = still


def _all_ended(attempts: tuple[Attempt, ...]) -> bool:
    for attempt in attempts:  # noqa: SIM110 (a generator costs more, and this is asked at each hedged request)
        if attempt.outcome is None:
            return False
    return True


def _outcome_of(attempt: Attempt) -> int:
    outcome = attempt.outcome
    if isinstance(outcome, Success):
        return SUCCESS
    return CUT if outcome is not None and outcome.reason is FailureReason.TIMEOUT else FAILURE
