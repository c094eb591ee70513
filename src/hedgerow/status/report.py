"""Builds `/status.json` from what was counted. Pure: instants come from the supervisor.

The fields and their units are documented in docs/reference/status-json.md.
"""

from itertools import accumulate
from typing import Final, Self

import msgspec

from hedgerow import __version__
from hedgerow.settings import Settings
from hedgerow.settings.effective_routing import hedges_of, redacted_endpoints, routes_in_effect
from hedgerow.settings.routes import RouteRule
from hedgerow.status.error_rates import ANSWERED, ErrorRates, attempts_by_outcome
from hedgerow.status.figures import per_s, quantile_ms, rate, ratio
from hedgerow.status.health import Window, Workers, assess_gateway, assess_upstream
from hedgerow.status.holding import describe_holding, hold_status
from hedgerow.status.report_schema import (
    AttemptsStatus,
    ClientsStatus,
    ConfigurationStatus,
    HedgingStatus,
    LatencyStatus,
    LoadStatus,
    SeriesStatus,
    Status,
    WorkersStatus,
)
from hedgerow.status.route_schema import VerdictStatus
from hedgerow.status.routes_report import NO_ROUTE, requests_status, route_statuses, upstream_statuses
from hedgerow.telemetry.request_record import RequestRecord
from hedgerow.telemetry.snapshot import BUCKETS_S, LAG_BUCKETS_S, UNKNOWN, Histogram, Snapshot

RECENT: Final = 25
"""Recent requests in the report."""
_LE_MS: Final = [round(bound_s * 1000, 1) for bound_s in BUCKETS_S]


class About(msgspec.Struct, frozen=True):
    """What changes with the configuration only."""

    routes: tuple[RouteRule, ...]
    upstreams: dict[str, str]
    """The endpoints of each, as they may be shown."""
    configuration: ConfigurationStatus = ConfigurationStatus()

    @classmethod
    def of(cls, settings: Settings, configuration: ConfigurationStatus) -> Self:
        """Return what settings say."""
        return cls(routes_in_effect(settings), redacted_endpoints(settings), configuration)

    def rules(self, route: str | None) -> tuple[RouteRule, ...]:
        """Return all routes, or one by its name; nothing if there is no such one."""
        return tuple(rule for rule in self.routes if route in (None, rule.name))


def build_report(
    about: About,
    window: Window,
    *,
    workers: Workers,
    series: SeriesStatus,
    recent: list[RequestRecord],
    at: float,
    route: str | None = None,
) -> Status:
    """Build the report from what was counted in the window, of all routes or of one.

    `at` is in seconds since 1970; `series` and `recent` are of the same route or routes.
    """
    of_all, rules = window, about.rules(route)
    if route is not None:
        window = window.of_route(route)
    counts, span_s = window.counts, window.span_s
    rates = ErrorRates.of(counts)
    routes = route_statuses(about.routes, of_all)
    delays_ms = {status.hedging.after_ms for status in routes if route in (None, status.name)}
    hedge_after_ms = delays_ms.pop() if len(delays_ms) == 1 else None
    hold = "off" if any(rule.hedge.hold == "off" for rule in rules) else "auto"
    upstream, gateway = assess_upstream(window), assess_gateway(of_all, workers)
    sent = max((hedges_of(rule) for rule in rules if rule.hedge.mode == "on"), default=0)
    return Status(
        at=round(at, 3),
        version=__version__,
        route=route,
        upstream=", ".join(dict.fromkeys(about.upstreams[rule.upstream] for rule in rules)),
        hedge_after_ms=hedge_after_ms,
        hedges_wanted=max(map(hedges_of, rules)),
        window_s=round(span_s, 1),
        verdict=VerdictStatus(
            upstream.state, upstream.reason + describe_holding(counts, hold, hedge_after_ms, sent, span_s)
        ),
        gateway=VerdictStatus(gateway.state, gateway.reason),
        workers=WorkersStatus(workers.wanted, workers.ready, workers.unresponsive),
        configuration=about.configuration,
        requests=requests_status(counts, rates, span_s),
        attempts=_attempts(counts, rates, span_s),
        hedging=_hedging(counts),
        hold=hold_status(counts, hold, hedge_after_ms),
        load=_load(of_all.counts, ErrorRates.of(of_all.counts)),
        series=series,
        recent=recent,
        routes=routes,
        upstreams=upstream_statuses(about.upstreams, about.routes, of_all),
        unrouted=of_all.of_route(NO_ROUTE).counts.requests,
    )


def _attempts(counts: Snapshot, rates: ErrorRates, span_s: float) -> AttemptsStatus:
    outcomes = attempts_by_outcome(counts)
    total = sum(outcomes.values())
    successes = counts.attempt_duration.get("success", Histogram()).counts
    return AttemptsStatus(
        total=total,
        per_s=per_s(total, span_s),
        success_rate=rate(rates.attempts - rates.failed, rates.attempts),
        per_request=ratio(total, sum(counts.attempts.get("1", {}).values())),
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
