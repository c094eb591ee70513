"""Builds `/status.json` from what was counted. Pure: instants come from the supervisor.

The fields and their units are documented in docs/reference/status-json.md.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import msgspec

from hedgerow import __version__
from hedgerow.status.error_rates import ANSWERED, ErrorRates, attempts_by_outcome
from hedgerow.status.health import Window, Workers, assess_gateway, assess_upstream
from hedgerow.status.holding import describe_holding, hold_status
from hedgerow.status.report_schema import (
    AttemptsStatus,
    ClientsStatus,
    ConfigurationStatus,
    HedgingStatus,
    LatencyStatus,
    LoadStatus,
    RequestsStatus,
    SeriesStatus,
    Status,
    VerdictStatus,
    WorkersStatus,
)
from hedgerow.telemetry.request_record import RequestRecord
from hedgerow.telemetry.snapshot import BUCKETS_S, LAG_BUCKETS_S, UNKNOWN, Histogram, Snapshot, quantile_s

RECENT: Final = 25
"""Recent requests in the report."""
_LE_MS: Final = [round(bound_s * 1000, 1) for bound_s in BUCKETS_S]


class About(msgspec.Struct, frozen=True):
    """What changes with the configuration only."""

    upstream: str
    hedge_after_ms: int
    hedges: int
    hedge_hold: str = "off"
    configuration: ConfigurationStatus = ConfigurationStatus()


def build_report(
    about: About,
    window: Window,
    *,
    workers: Workers,
    series: SeriesStatus,
    recent: list[RequestRecord],
    at: float,
) -> Status:
    """Build the report from what was counted in the window; `at` is in seconds since 1970."""
    counts, span_s = window.counts, window.span_s
    rates = ErrorRates.of(counts)
    upstream, gateway = assess_upstream(window), assess_gateway(window, workers)
    holding = describe_holding(counts, about.hedge_hold, about.hedge_after_ms, about.hedges, span_s)
    requests = sum(counts.requests.values())
    return Status(
        at=round(at, 3),
        version=__version__,
        upstream=about.upstream,
        hedge_after_ms=about.hedge_after_ms,
        hedges_wanted=about.hedges,
        window_s=round(span_s, 1),
        verdict=VerdictStatus(upstream.state, upstream.reason + holding),
        gateway=VerdictStatus(gateway.state, gateway.reason),
        workers=WorkersStatus(workers.wanted, workers.ready, workers.unresponsive),
        configuration=about.configuration,
        requests=RequestsStatus(
            total=requests,
            per_s=per_s(requests, span_s),
            success_rate=rate(rates.requests - rates.unserved, rates.requests),
            by_outcome={code: times for code, times in counts.requests.items() if times},
        ),
        attempts=_attempts(counts, rates, span_s),
        hedging=_hedging(counts),
        hold=hold_status(counts, about.hedge_hold, about.hedge_after_ms),
        load=_load(counts, rates),
        series=series,
        recent=recent,
    )


def _attempts(counts: Snapshot, rates: ErrorRates, span_s: float) -> AttemptsStatus:
    outcomes = attempts_by_outcome(counts)
    total = sum(outcomes.values())
    successes = counts.attempt_duration.get("success", Histogram()).counts
    return AttemptsStatus(
        total=total,
        per_s=per_s(total, span_s),
        success_rate=rate(rates.attempts - rates.failed, rates.attempts),
        per_request=_ratio(total, sum(counts.attempts.get("1", {}).values())),
        failures={reason: times for reason, times in sorted(outcomes.items()) if reason not in ANSWERED},
        cut_off=rates.cut_off,
        latency=LatencyStatus(
            p50_ms=quantile_ms(0.5, BUCKETS_S, successes),
            p90_ms=quantile_ms(0.9, BUCKETS_S, successes),
            p99_ms=quantile_ms(0.99, BUCKETS_S, successes),
            le_ms=_LE_MS,
            counts=successes,
        ),
    )


def _hedging(counts: Snapshot) -> HedgingStatus:
    hedges = counts.hedges
    fired, won = hedges.get("fired", 0), hedges.get("won", 0)
    unknown = counts.first_attempt_duration.get(UNKNOWN, Histogram()).count
    return HedgingStatus(
        le_ms=_LE_MS,
        with_hedging=_clients(
            {
                code: histogram
                for code, histogram in counts.request_duration.items()
                if code in {"success", "all_failed", "out_of_time", "internal"}
            }
        ),
        without_hedging=_clients(
            {got: histogram for got, histogram in counts.first_attempt_duration.items() if got != "final"}
        ),
        unknown=unknown,
        fired=fired,
        won=won,
        rescued=hedges.get("rescued", 0),
        suppressed=hedges.get("suppressed", 0),
        wasted=max(fired - won, 0),  # a hedge counts as fired when it ends, a winner before
        wasted_s=round(counts.wasted_s, 3),
    )


def _clients(durations: dict[str, Histogram]) -> ClientsStatus:
    requests = sum(histogram.count for histogram in durations.values())
    successes = durations.get("success", Histogram())
    unknown = durations.get(UNKNOWN, Histogram()).count
    return ClientsStatus(
        requests=requests,
        success_rate=rate(successes.count, requests),
        success_rate_at_most=rate(successes.count + unknown, requests),
        p50_ms=quantile_ms(0.5, BUCKETS_S, successes.counts),
        p99_ms=quantile_ms(0.99, BUCKETS_S, successes.counts),
        success_by=[round(times / requests, 4) for times in accumulate(successes.counts[:-1])]
        if requests
        else [],
    )


def _load(counts: Snapshot, rates: ErrorRates) -> LoadStatus:
    answers = sum(counts.overshoot.counts)
    return LoadStatus(
        in_flight=counts.in_flight,
        in_flight_limit=counts.max_in_flight,
        client_connections=counts.client_connections,
        upstream_connections=counts.upstream_connections,
        shed={reason: times for reason, times in counts.shed.items() if times},
        shed_rate=round(rates.requests_shed, 4) if rates.requests + rates.shed else None,
        rate_limited_workers=counts.rate_limited_workers,
        admission_rate_limit=round(counts.admission_rate_limit, 1) if counts.rate_limited_workers else None,
        overloaded_workers=counts.overloaded_workers,
        loop_iteration_p50_ms=quantile_ms(0.5, LAG_BUCKETS_S, counts.lag.counts),
        loop_iteration_p99_ms=quantile_ms(0.99, LAG_BUCKETS_S, counts.lag.counts),
        answers=answers,
        late=answers - counts.overshoot.counts[0],
    )


def quantile_ms(share: float, bounds_s: Sequence[float], counts: Sequence[int]) -> float | None:
    """Estimate a quantile in milliseconds, to one digit (`quantile_s`)."""
    seconds = quantile_s(share, bounds_s, counts)
    return None if seconds is None else round(seconds * 1000, 1)


def rate(part: int, whole: int) -> float | None:
    """Return a share to four digits; None of nothing."""
    return round(part / whole, 4) if whole else None


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 2) if whole else None


def per_s(number: int, span_s: float) -> float:
    """Return a rate per second to one digit."""
    return round(number / span_s, 1) if span_s else 0.0
