"""What a recorder counts of one route: plain numbers on the hot path.

A module of its own, for each request counts some here: this can be compiled, classes of msgspec's cannot.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from hedgerow.telemetry.first_attempts import FirstAttempts
from hedgerow.telemetry.histogram import HistogramCounter
from hedgerow.telemetry.snapshot import (
    BUCKET_STEP_S,
    BUCKETS_S,
    LAG_BUCKETS_S,
    LAG_STEP_S,
    MAX_STATUSES,
    Histogram,
    LagHistogram,
    RouteCounts,
    add,
)

_ANSWERED: Final = ("success", "final")


class RouteCounters:
    """The counts of one route in one worker; the recorder counts.

    A request costs two observations of a histogram, one for itself and one for its attempt. All counts by outcome are
    sums of those histograms.
    """

    __slots__ = (
        "client_disconnects", "durations", "first", "first_attempts", "first_lost", "hedges", "held", "name",
        "overshoot", "rejected", "rescued", "shed", "statuses", "suppressed", "upstream", "wasted_s", "won",
    )  # fmt: skip

    def __init__(self, name: str, upstream: str) -> None:
        """`name` and `upstream` are the route's; both are empty for requests that no route has."""
        self.name = name
        self.upstream = upstream
        self.first_attempts = FirstAttempts()
        self.durations: defaultdict[str, HistogramCounter] = defaultdict(_counter)
        """Of requests, by outcome."""
        self.first: defaultdict[str, HistogramCounter] = defaultdict(_counter)
        """First attempts that ended during their race, by outcome. Most are here: by one string, not by a tuple."""
        self.first_lost: defaultdict[tuple[str, str], HistogramCounter] = defaultdict(_counter)
        """Those that ended after it, by outcome and by what their client would have got of them alone."""
        self.hedges: defaultdict[tuple[int, str], HistogramCounter] = defaultdict(_counter)
        """By number and outcome."""
        self.statuses: dict[str, int] = {}
        """Attempts with the outcome `status_other`, by status."""
        self.rejected: dict[str, int] = {}  # no defaultdict: mypyc leaves `+=` of an item to Python
        self.shed: dict[str, int] = {}
        self.won = self.rescued = self.suppressed = self.held = 0
        self.wasted_s = 0.0
        self.client_disconnects = 0
        self.overshoot = HistogramCounter(LAG_BUCKETS_S, LAG_STEP_S)

    def count_status(self, status: str) -> None:
        """Count an attempt with another status, as far as `MAX_STATUSES` allows."""
        counted = self.statuses
        if status in counted or len(counted) < MAX_STATUSES:
            counted[status] = counted.get(status, 0) + 1

    def counts(self) -> RouteCounts:
        """Return all counts as they are now."""
        request_duration = {code: histogram_of(counted) for code, counted in self.durations.items()}
        requests = {code: durations.count for code, durations in request_duration.items()}
        attempts: defaultdict[str, dict[str, int]] = defaultdict(dict)
        attempt_duration: dict[str, Histogram] = {}
        first_attempt_duration: dict[str, Histogram] = {}
        fired = 0
        for number, outcome, got, counted in self._ended_attempts():
            durations = histogram_of(counted)
            by_outcome = attempts[str(number)]
            by_outcome[outcome] = by_outcome.get(outcome, 0) + durations.count
            _add_to(attempt_duration, outcome, durations)
            if number == 1:
                _add_to(first_attempt_duration, got, durations)
            else:
                fired += durations.count
        return RouteCounts(
            requests=add(requests, self.rejected),
            request_duration=request_duration,
            attempts=dict(attempts),
            statuses=dict(self.statuses),
            attempt_duration=attempt_duration,
            first_attempt_duration=first_attempt_duration,
            hedges={
                "fired": fired,
                "won": self.won,
                "rescued": self.rescued,
                "suppressed": self.suppressed,
                "held": self.held,
            },
            wasted_s=self.wasted_s,
            shed=dict(self.shed),
            client_disconnects=self.client_disconnects,
            overshoot=lag_histogram_of(self.overshoot),
        )

    def _ended_attempts(self) -> Iterator[tuple[int, str, str, HistogramCounter]]:
        """Yield number, outcome, what the client would have got of a first attempt alone, and how long they took."""
        for outcome, counted in self.first.items():
            yield 1, outcome, outcome if outcome in _ANSWERED else "all_failed", counted
        for (outcome, got), counted in self.first_lost.items():
            yield 1, outcome, got, counted
        for (number, outcome), counted in self.hedges.items():
            yield number, outcome, "", counted


def histogram_of(counted: HistogramCounter) -> Histogram:
    """Return what was counted, as it is sent to the supervisor."""
    return Histogram(list(counted.counts), counted.sum_s)


def lag_histogram_of(counted: HistogramCounter) -> LagHistogram:
    """Return what was counted, as it is sent to the supervisor."""
    return LagHistogram(list(counted.counts), counted.sum_s)


def _counter() -> HistogramCounter:
    return HistogramCounter(BUCKETS_S, BUCKET_STEP_S)


def _add_to(by_outcome: dict[str, Histogram], outcome: str, more: Histogram) -> None:
    known = by_outcome.get(outcome)
    if known is not None:  # not by `snapshot.add`: it was half of what the counts of many routes cost
        counts = [one + other for one, other in zip(known.counts, more.counts, strict=True)]
        more = Histogram(counts, known.sum_s + more.sum_s)
    by_outcome[outcome] = more
