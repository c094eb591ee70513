"""The counts of one worker at one moment: plain numbers, so that those of several workers can be added up."""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from functools import reduce
from itertools import accumulate
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from hedgerow.telemetry.endpoint_counts import EndpointCounts

BUCKETS_S: Final[tuple[float, ...]] = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 1.0,
    1.5, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the histograms: dense where the reference upstream answers, and around the hedge delay of 300 ms."""

UNKNOWN: Final = "unknown"
"""The outcome of a first attempt that was cancelled before it was known what its client would have got."""

MAX_STATUSES: Final = 16
"""Distinct statuses that a worker counts separately; an upstream could send 900."""

BUCKET_STEP_S: Final = 0.005
"""All bounds are multiples of this."""


class Histogram(msgspec.Struct):
    """Observations by bucket; the last bucket is the one beyond all bounds."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    sum_s: float = 0.0

    @property
    def count(self) -> int:
        """Return the number of observations."""
        return sum(self.counts)


LAG_BUCKETS_S: Final[tuple[float, ...]] = (
    0.0,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
)
"""Upper bounds for what should be nothing; the first counts what was in time."""

LAG_STEP_S: Final = 0.0005
"""All bounds are multiples of this."""


class LagHistogram(msgspec.Struct):
    """How late something was, by bucket; early counts as 0."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(LAG_BUCKETS_S) + 1))
    sum_s: float = 0.0


class RouteCounts(msgspec.Struct):
    """The counts of one route, or of all: counters, and gauges where noted."""

    gauges: ClassVar[tuple[str, ...]] = (
        "in_flight", "attempts_in_flight", "hedge_limited_workers", "hedge_limit", "hedge_delay_s", "workers",
    )  # fmt: skip
    """The fields that are gauges; all others are counters."""

    requests: dict[str, int] = {}
    """Answered, rejected and abandoned requests by outcome."""
    request_duration: dict[str, Histogram] = {}
    in_flight: int = 0
    """Gauge."""
    attempts: dict[str, dict[str, int]] = {}
    """By number, then by outcome."""
    statuses: dict[str, int] = {}
    """Attempts with the outcome `status_other` by the number of their status, as far as `MAX_STATUSES` allows."""
    attempt_duration: dict[str, Histogram] = {}
    first_attempt_duration: dict[str, Histogram] = {}
    """By what clients would have got without hedges: a code of `requests`, or UNKNOWN."""
    hedges: dict[str, int] = {}
    attempts_in_flight: int = 0
    """Gauge: attempts that have not ended, losers included."""
    hedge_limited_workers: int = 0
    """Gauge: workers that hold hedges beyond a limit of attempts in flight."""
    hedge_limit: float = 0.0
    """Gauge: attempts in flight up to which those send hedges, in all."""
    first_attempts_judged: dict[str, int] = {}
    """`quick`: those that won before their hedges were due, and `late`: the others; only where hedges may be held."""
    hedge_limit_halvings: dict[str, int] = {}
    """By sign: nearly all requests `late`, or late requests that stay `unanswered`."""
    wasted_s: float = 0.0
    shed: dict[str, int] = {}
    client_disconnects: int = 0
    overshoot: LagHistogram = msgspec.field(default_factory=LagHistogram)
    """How late responses were, past their deadline."""
    hedge_delay_s: float = 0.0
    """Gauge of one route: the sum of its workers' hedge delays."""
    workers: int = 0
    """Gauge of one route: workers that serve it."""


class Snapshot(RouteCounts):
    """All counts of a worker: those of `RouteCounts` are the totals of all routes."""

    gauges: ClassVar[tuple[str, ...]] = (
        *RouteCounts.gauges, "endpoints", "connections", "upstream_connections", "client_connections", "max_in_flight",
        "rate_limited_workers", "admission_rate_limit", "overloaded_workers",
    )  # fmt: skip

    routes: dict[str, dict[str, RouteCounts]] = {}
    """By route, then by its upstream, which another configuration may change. Without a name: what no route has."""
    endpoints: dict[str, dict[str, EndpointCounts]] = {}
    """Gauge, by upstream, then by URL and address with a blank between; nothing where they are many."""
    connections: dict[str, dict[str, int]] = {}
    """Gauge: connections to each upstream, by state."""
    reused_connection_retries: int = 0
    internal_errors: int = 0
    log_lines_dropped: int = 0
    upstream_connections: dict[str, int] = {}
    """Gauge, by state: those of all upstreams."""
    client_connections: int = 0
    """Gauge."""
    lag: LagHistogram = msgspec.field(default_factory=LagHistogram)
    """Duration of event loop iterations."""
    max_in_flight: int = 0
    """Gauge: requests that may be in flight."""
    rate_limited_workers: int = 0
    """Gauge: workers whose rate of admission is limited, because they are short of CPU."""
    admission_rate_limit: float = 0.0
    """Gauge: requests per second that those admit, at most."""
    overloaded_workers: int = 0
    """Gauge: workers in which more requests wait than can be served in time."""
    spans: dict[str, int] = {}
    """Spans of traces, by outcome."""
    worker_restarts: int = 0
    """Counted by the supervisor, not by the workers: workers that died and were replaced."""

    @classmethod
    def of(cls, total: RouteCounts, **more: Any) -> "Snapshot":
        """Return a snapshot with these totals; `more` are its other fields."""
        return cls(**{name: getattr(total, name) for name in total.__struct_fields__}, **more)

    def of_route(self, name: str) -> "Snapshot":
        """Return what was counted of one route as if there were no other. What is not by route is as it was."""
        counts = reduce(add, self.routes.get(name, {}).values(), RouteCounts())
        return msgspec.structs.replace(
            self, routes={}, **{field: getattr(counts, field) for field in counts.__struct_fields__}
        )

    def drop_routes_but(self, names: Collection[str]) -> None:
        """Forget what is by route of other routes than these; the totals stay."""
        self.routes = {name: counts for name, counts in self.routes.items() if name in names}

    def without_gauges(self) -> "Snapshot":
        """Return the counters of a worker that has ended; its gauges are 0."""
        counters = _zero_gauges(self)
        counters.routes = {
            name: {upstream: _zero_gauges(counts) for upstream, counts in by_upstream.items()}
            for name, by_upstream in self.routes.items()
        }
        return counters


T = TypeVar("T")
Counts = TypeVar("Counts", bound=RouteCounts)


def _zero_gauges(counts: Counts) -> Counts:
    nothing = type(counts)()
    return msgspec.structs.replace(counts, **{name: getattr(nothing, name) for name in counts.gauges})


def add(left: T, right: T) -> T:
    """Add two snapshots, or two parts of them at the same place."""
    total: Any
    kind = type(left)
    if kind is int or kind is float:  # first, for most are
        total = left + right  # type: ignore[operator]
    elif isinstance(left, msgspec.Struct):
        fields = left.__struct_fields__
        total = type(left)(**{name: add(getattr(left, name), getattr(right, name)) for name in fields})
    elif isinstance(left, dict) and isinstance(right, dict):
        total = {
            key: add(left[key], right[key]) if key in left and key in right else left.get(key, right.get(key))
            for key in {**left, **right}
        }
    elif isinstance(left, list) and isinstance(right, list):
        # Hundreds of numbers: a type check of each took 0.4 ms of a worker's time each second.
        total = [one + other for one, other in zip(left, right, strict=True)]
    else:
        total = left + right  # type: ignore[operator]
    return total  # type: ignore[no-any-return]


def difference(earlier: Snapshot, later: Snapshot) -> Snapshot:
    """Return what was counted between two snapshots of the same gateway; gauges are the later one's."""
    return _minus(later, earlier)


def _minus(left: T, right: T) -> T:
    difference: Any
    kind = type(left)
    if kind is int or kind is float:  # first, for most are
        difference = left - right  # type: ignore[operator]
    elif isinstance(left, msgspec.Struct):
        gauges = left.gauges if isinstance(left, RouteCounts) else ()
        difference = type(left)(
            **{
                name: getattr(left, name)
                if name in gauges
                else _minus(getattr(left, name), getattr(right, name))
                for name in left.__struct_fields__
            }
        )
    elif isinstance(left, dict) and isinstance(right, dict):
        difference = {key: _minus(left[key], right[key]) if key in right else left[key] for key in left}
    else:
        assert isinstance(left, list) and isinstance(right, list)  # noqa: PT018, S101 (for mypy)
        difference = [one - other for one, other in zip(left, right, strict=True)]  # numbers, as in `add`
    return difference  # type: ignore[no-any-return]


def quantile_s(share: float, bounds_s: Sequence[float], counts: Sequence[int]) -> float | None:
    """Estimate a quantile as Prometheus' `histogram_quantile` does: evenly within its bucket.

    Beyond the last bound it is that bound: "at least". None without observations.
    """
    reached = list(accumulate(counts))
    if not reached[-1]:
        return None
    rank = share * reached[-1]
    index = bisect_left(reached, max(rank, 1e-9))
    if index >= len(bounds_s):
        return bounds_s[-1]
    below_s = bounds_s[index - 1] if index else 0.0
    before = reached[index - 1] if index else 0
    return below_s + (bounds_s[index] - below_s) * (rank - before) / counts[index]
