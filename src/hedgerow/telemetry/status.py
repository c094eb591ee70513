"""What `/status.json` says. Pure: instants come from the supervisor.

The fields and their units are documented in docs/operations.md.
"""

from collections.abc import Sequence
from itertools import accumulate

import msgspec

from hedgerow import __version__
from hedgerow.telemetry.health import (
    Shares,
    State,
    Window,
    Workers,
    assess_gateway,
    assess_upstream,
    attempts_by_outcome,
)
from hedgerow.telemetry.request_record import RequestRecord
from hedgerow.telemetry.snapshot import (
    BUCKETS_S,
    LAG_BUCKETS_S,
    UNKNOWN,
    Histogram,
    Snapshot,
    quantile_s,
)

RECENT = 25
"""Requests that are shown."""


class WorkersTold(msgspec.Struct):
    """How many workers there should be, serve, and do not tell their counts."""

    wanted: int
    ready: int
    untold: int


class VerdictTold(msgspec.Struct):
    """How the upstream behaves, or the gateway, and why in words."""

    state: State
    reason: str


class ConfigurationStatus(msgspec.Struct, frozen=True):
    """Since when the settings are in effect, and what of the file is not."""

    loaded_at: float = 0.0
    """In seconds since 1970, UTC."""
    error: str | None = None
    """Why the file was rejected when it was last read again; None if it was not."""
    needs_restart: list[str] = []
    """Settings that were changed and take effect with the next start, by file and line."""


class RequestsTold(msgspec.Struct):
    """Requests in the window. The success rate is of those that were answered after a race."""

    total: int
    per_s: float
    success_rate: float | None
    by_outcome: dict[str, int]


class LatencyTold(msgspec.Struct):
    """How fast the upstream's successes are."""

    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    le_ms: list[float]
    counts: list[int]
    """One for each of `le_ms`, and one for what is above all of them."""


class AttemptsTold(msgspec.Struct):
    """Attempts that ended in the window, losers too."""

    total: int
    per_s: float
    success_rate: float | None
    per_request: float | None
    failures: dict[str, int]
    """By reason; statuses without a reason of their own by number, as `status_401`."""
    cut_off: int
    """Of those, attempts that we ended so early that they say nothing about the upstream; in no success rate."""
    latency: LatencyTold


class CallersTold(msgspec.Struct):
    """What callers got, or would have got; quantiles are of the successes alone."""

    requests: int
    success_rate: float | None
    success_rate_at_most: float | None
    """If every one whose end is unknown had succeeded."""
    p50_ms: float | None
    p99_ms: float | None
    success_by: list[float]
    """Share of all requests with a success by each of `le_ms`."""


class HedgingTold(msgspec.Struct):
    """What hedging brought, and what it cost."""

    le_ms: list[float]
    with_hedging: CallersTold
    without_hedging: CallersTold
    unknown: int
    """First attempts that were cut off before it could be known."""
    fired: int
    won: int
    rescued: int
    suppressed: int
    wasted: int
    """Fired and not won."""
    wasted_s: float


class LoadTold(msgspec.Struct):
    """How the gateway itself is."""

    in_flight: int
    in_flight_limit: int
    client_connections: int
    upstream_connections: dict[str, int]
    shed: dict[str, int]
    shed_rate: float | None
    paced_workers: int
    """Short of CPU, or lately so."""
    pace: float | None
    """Requests a second that those let in at the most; none if there is none."""
    shedding_workers: int
    loop_turn_p50_ms: float | None
    loop_turn_p99_ms: float | None
    answers: int
    late: int
    """Answers after the end of their timeout."""


class SeriesTold(msgspec.Struct):
    """One value for each second, oldest first; null where nothing happened."""

    at: list[int] = []
    """Seconds since 1970, UTC."""
    requests_per_s: list[float] = []
    hedges_per_s: list[float] = []
    shed_per_s: list[float] = []
    request_success_rate: list[float | None] = []
    attempt_success_rate: list[float | None] = []
    attempt_p50_ms: list[float | None] = []
    attempt_p99_ms: list[float | None] = []
    loop_turn_p99_ms: list[float | None] = []
    in_flight: list[int] = []


class Status(msgspec.Struct):
    """All of `/status.json`."""

    at: float
    version: str
    upstream: str
    hedge_after_ms: int
    hedges_wanted: int
    window_s: float
    """How long the figures reach back."""
    verdict: VerdictTold
    """On the upstream alone."""
    gateway: VerdictTold
    """On the gateway itself: overload, workers, internal errors."""
    workers: WorkersTold
    configuration: ConfigurationStatus
    requests: RequestsTold
    attempts: AttemptsTold
    hedging: HedgingTold
    load: LoadTold
    series: SeriesTold
    recent: list[RequestRecord]


class About(msgspec.Struct, frozen=True):
    """What changes with the configuration only."""

    upstream: str
    hedge_after_ms: int
    hedges: int
    configuration: ConfigurationStatus = ConfigurationStatus()


def describe(
    about: About,
    window: Window,
    *,
    workers: Workers,
    series: SeriesTold,
    recent: list[RequestRecord],
    at: float,
) -> Status:
    """Describe everything, from what was counted in the window."""
    counts, span_s = window.counts, window.span_s
    shares = Shares.of(counts)
    upstream, gateway = assess_upstream(window), assess_gateway(window, workers)
    requests = sum(counts.requests.values())
    return Status(
        at=round(at, 3),
        version=__version__,
        upstream=about.upstream,
        hedge_after_ms=about.hedge_after_ms,
        hedges_wanted=about.hedges,
        window_s=round(span_s, 1),
        verdict=VerdictTold(upstream.state, upstream.reason),
        gateway=VerdictTold(gateway.state, gateway.reason),
        workers=WorkersTold(workers.wanted, workers.ready, workers.untold),
        configuration=about.configuration,
        requests=RequestsTold(
            total=requests,
            per_s=per_s(requests, span_s),
            success_rate=rate(shares.requests - shares.unserved, shares.requests),
            by_outcome={code: times for code, times in counts.requests.items() if times},
        ),
        attempts=_attempts(counts, shares, span_s),
        hedging=_hedging(counts),
        load=_load(counts, shares),
        series=series,
        recent=recent,
    )


def _attempts(counts: Snapshot, shares: Shares, span_s: float) -> AttemptsTold:
    outcomes = attempts_by_outcome(counts)
    total = sum(outcomes.values())
    successes = counts.attempt_duration.get("success", Histogram()).counts
    return AttemptsTold(
        total=total,
        per_s=per_s(total, span_s),
        success_rate=rate(shares.attempts - shares.failed, shares.attempts),
        per_request=_ratio(total, sum(counts.attempts.get("1", {}).values())),
        failures={reason: times for reason, times in sorted(outcomes.items()) if reason != "success"},
        cut_off=shares.cut_off,
        latency=LatencyTold(
            p50_ms=quantile_ms(0.5, BUCKETS_S, successes),
            p90_ms=quantile_ms(0.9, BUCKETS_S, successes),
            p99_ms=quantile_ms(0.99, BUCKETS_S, successes),
            le_ms=_LE_MS,
            counts=successes,
        ),
    )


def _hedging(counts: Snapshot) -> HedgingTold:
    hedges = counts.hedges
    fired, won = hedges.get("fired", 0), hedges.get("won", 0)
    unknown = counts.first_attempt_duration.get(UNKNOWN, Histogram()).count
    return HedgingTold(
        le_ms=_LE_MS,
        with_hedging=_callers(
            {
                code: histogram
                for code, histogram in counts.request_duration.items()
                if code in {"success", "all_failed", "out_of_time", "internal"}
            }
        ),
        without_hedging=_callers(counts.first_attempt_duration),
        unknown=unknown,
        fired=fired,
        won=won,
        rescued=hedges.get("rescued", 0),
        suppressed=hedges.get("suppressed", 0),
        wasted=max(fired - won, 0),  # one that has won is counted as fired when it ends, so never before
        wasted_s=round(counts.wasted_s, 3),
    )


def _callers(durations: dict[str, Histogram]) -> CallersTold:
    requests = sum(histogram.count for histogram in durations.values())
    successes = durations.get("success", Histogram())
    unknown = durations.get(UNKNOWN, Histogram()).count
    return CallersTold(
        requests=requests,
        success_rate=rate(successes.count, requests),
        success_rate_at_most=rate(successes.count + unknown, requests),
        p50_ms=quantile_ms(0.5, BUCKETS_S, successes.counts),
        p99_ms=quantile_ms(0.99, BUCKETS_S, successes.counts),
        success_by=[round(times / requests, 4) for times in accumulate(successes.counts[:-1])]
        if requests
        else [],
    )


def _load(counts: Snapshot, shares: Shares) -> LoadTold:
    answers = sum(counts.overshoot.counts)
    return LoadTold(
        in_flight=counts.in_flight,
        in_flight_limit=counts.max_in_flight,
        client_connections=counts.client_connections,
        upstream_connections=counts.upstream_connections,
        shed={reason: times for reason, times in counts.shed.items() if times},
        shed_rate=round(shares.requests_shed, 4) if shares.requests + shares.shed else None,
        paced_workers=counts.paced,
        pace=round(counts.pace, 1) if counts.paced else None,
        shedding_workers=counts.shedding,
        loop_turn_p50_ms=quantile_ms(0.5, LAG_BUCKETS_S, counts.lag.counts),
        loop_turn_p99_ms=quantile_ms(0.99, LAG_BUCKETS_S, counts.lag.counts),
        answers=answers,
        late=answers - counts.overshoot.counts[0],
    )


def quantile_ms(share: float, bounds_s: Sequence[float], counts: Sequence[int]) -> float | None:
    """Estimate a quantile in milliseconds, to one digit (`quantile_s`)."""
    seconds = quantile_s(share, bounds_s, counts)
    return None if seconds is None else round(seconds * 1000, 1)


def rate(part: int, whole: int) -> float | None:
    """Tell a share to four digits; None of nothing."""
    return round(part / whole, 4) if whole else None


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 2) if whole else None


def per_s(number: int, span_s: float) -> float:
    """Tell a rate to one digit."""
    return round(number / span_s, 1) if span_s else 0.0


_LE_MS = [round(bound_s * 1000, 1) for bound_s in BUCKETS_S]
