"""How many attempts and requests failed in a window of time. Pure."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hedgerow.core.outcomes import FailureReason
from hedgerow.telemetry.snapshot import BUCKETS_S, Histogram, RouteCounts, add, quantile_s

ANSWERED: Final = ("success", "final")
"""Outcomes of attempts that are no failures."""
HUNG_S: Final = 1.0
"""A cancelled attempt that took less says nothing about the upstream: its client's timeout was short. Where successes
take longer, their 99th percentile is the bound."""


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """Attempts and requests of a window, with and without success."""

    attempts: int
    """Attempts that ended on their own, or were cancelled after they had hung."""
    failed: int
    cut_off: int
    """Attempts that were cancelled before their outcome could be known."""
    requests: int
    """Requests that were answered after a race."""
    unserved: int
    """Of `requests`, those without success."""
    out_of_time: int
    """Of `unserved`, those whose timeout ended first."""
    shed: int

    @classmethod
    def of(cls, counts: RouteCounts) -> "ErrorRates":
        """Compute them from what was counted in the window."""
        outcomes = attempts_by_outcome(counts)
        cancelled = outcomes.pop(FailureReason.TIMEOUT, 0)
        hung = min(_hung(counts), cancelled)
        attempts = sum(outcomes.values()) + hung
        requests = counts.requests
        unserved = sum(requests.get(code, 0) for code in ("all_failed", "out_of_time", "internal"))
        return cls(
            attempts=attempts,
            failed=attempts - outcomes.get("success", 0) - outcomes.get("final", 0),
            cut_off=cancelled - hung,
            requests=unserved + requests.get("success", 0) + requests.get("final", 0),
            unserved=unserved,
            out_of_time=requests.get("out_of_time", 0),
            shed=sum(counts.shed.values()),
        )

    @property
    def attempts_failed(self) -> float:
        """Return the share of attempts that failed."""
        return self.failed / self.attempts if self.attempts else 0.0

    @property
    def requests_unserved(self) -> float:
        """Return the share of requests without success."""
        return self.unserved / self.requests if self.requests else 0.0

    @property
    def requests_shed(self) -> float:
        """Return the share of requests that the gateway rejected for lack of capacity."""
        return self.shed / (self.requests + self.shed) if self.shed else 0.0


def attempts_by_outcome(counts: RouteCounts) -> dict[str, int]:
    """Sum the attempts by outcome. `status_other` is split by status, as far as the statuses were counted."""
    total: dict[str, int] = {}
    for by_outcome in counts.attempts.values():
        for outcome, times in by_outcome.items():
            total[outcome] = total.get(outcome, 0) + times
    for status, times in counts.statuses.items():
        total[FailureReason.STATUS_OTHER] = total.get(FailureReason.STATUS_OTHER, 0) - times
        total[f"status_{status}"] = total.get(f"status_{status}", 0) + times
    return {outcome: times for outcome, times in total.items() if times > 0}


def successes(durations: Mapping[str, Histogram]) -> Histogram:
    """Return how long it took where there was a success or a final answer."""
    return add(durations.get("success", Histogram()), durations.get("final", Histogram()))


def _hung(counts: RouteCounts) -> int:
    """Count the attempts that were cancelled after the upstream had had enough time."""
    took = counts.attempt_duration
    successes = took.get("success", Histogram()).counts
    enough_s = max(HUNG_S, quantile_s(0.99, BUCKETS_S, successes) or 0.0)
    cancelled = took.get(FailureReason.TIMEOUT, Histogram()).counts
    return sum(cancelled[bisect_left(BUCKETS_S, enough_s) + 1 :])
