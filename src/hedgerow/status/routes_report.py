"""What `/status.json` says of each route, upstream and endpoint. Pure."""

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Final

from hedgerow.settings.effective_routing import hedges_of
from hedgerow.settings.routes import QuantileDelay, RouteRule
from hedgerow.status.error_rates import ANSWERED, ErrorRates, attempts_by_outcome
from hedgerow.status.figures import per_s, quantile_ms, rate, ratio
from hedgerow.status.health import Window, assess_upstream
from hedgerow.status.holding import describe_holding
from hedgerow.status.route_schema import (
    EndpointStatus,
    QuantilesStatus,
    RequestsStatus,
    RouteAttemptsStatus,
    RouteHedgingStatus,
    RouteStatus,
    UpstreamStatus,
    VerdictStatus,
)
from hedgerow.telemetry.snapshot import BUCKETS_S, Histogram, RouteCounts, add

NO_ROUTE: Final = ""
"""The name under which a snapshot has what no route has."""


def hedge_delay_ms(rule: RouteRule, counts: RouteCounts) -> int:
    """Return the hedge delay now: what its workers report, and before they do what is configured."""
    after = rule.hedge.after
    if isinstance(after, QuantileDelay):
        after = counts.hedge_delay_s / counts.workers if counts.workers else after.max_s
    return round(after * 1000)


def route_statuses(rules: Iterable[RouteRule], window: Window) -> list[RouteStatus]:
    """Return the status of each route, in the order of the configuration."""
    return [_route_status(rule, window.of_route(rule.name)) for rule in rules]


def _route_status(rule: RouteRule, window: Window) -> RouteStatus:
    counts, hedge = window.counts, rule.hedge
    rates, health, after_ms = ErrorRates.of(counts), assess_upstream(window), hedge_delay_ms(rule, counts)
    sent = hedges_of(rule) if hedge.mode == "on" else 0
    holding = describe_holding(counts, hedge.hold, after_ms, sent, window.span_s)
    successes = counts.request_duration.get("success", Histogram())
    return RouteStatus(
        name=rule.name,
        upstream=rule.upstream,
        verdict=VerdictStatus(health.state, health.reason + holding),
        requests=requests_status(counts, rates, window.span_s),
        latency=_quantiles(successes),
        attempts=_attempts(counts, rates, window.span_s),
        hedging=RouteHedgingStatus(
            mode=hedge.mode,
            sample=hedge.sample,
            after_ms=after_ms,
            quantile=hedge.after.quantile if isinstance(hedge.after, QuantileDelay) else None,
            max_hedges=hedges_of(rule),
            fired=counts.hedges.get("fired", 0),
            won=counts.hedges.get("won", 0),
            rescued=counts.hedges.get("rescued", 0),
            held=counts.hedges.get("held", 0),
            limit=round(counts.hedge_limit, 1) if counts.hedge_limited_workers else None,
        ),
        in_flight=counts.in_flight,
        attempts_in_flight=counts.attempts_in_flight,
    )


def upstream_statuses(
    upstreams: Mapping[str, str], rules: Iterable[RouteRule], window: Window
) -> list[UpstreamStatus]:
    """Return the status of each upstream; `upstreams` has the URLs of each."""
    of_upstream: dict[str, list[str]] = {name: [] for name in upstreams}
    for rule in rules:
        of_upstream[rule.upstream].append(rule.name)
    return [_upstream_status(name, url, of_upstream[name], window) for name, url in upstreams.items()]


def _upstream_status(name: str, url: str, routes: list[str], window: Window) -> UpstreamStatus:
    by_route = (by_upstream.get(name) for by_upstream in window.counts.routes.values())
    counts = reduce(add, (counts for counts in by_route if counts is not None), RouteCounts())
    endpoints = window.counts.endpoints.get(name, {})
    return UpstreamStatus(
        name=name,
        url=url,
        routes=routes,
        attempts=_attempts(counts, ErrorRates.of(counts), window.span_s),
        latency=_quantiles(counts.attempt_duration.get("success", Histogram())),
        endpoints=[
            EndpointStatus(
                *_url_and_address(place),
                in_flight=state.in_flight,
                failures=state.failures,
                ejected_workers=state.ejected_workers,
                unreachable_workers=state.unreachable_workers,
            )
            for place, state in endpoints.items()
        ],
    )


def _url_and_address(place: str) -> tuple[str, str]:
    url, _, address = place.rpartition(" ")
    return url, address


def requests_status(counts: RouteCounts, rates: ErrorRates, span_s: float) -> RequestsStatus:
    """Return what became of requests."""
    total = sum(counts.requests.values())
    return RequestsStatus(
        total=total,
        per_s=per_s(total, span_s),
        success_rate=rate(rates.requests - rates.unserved, rates.requests),
        by_outcome={code: times for code, times in counts.requests.items() if times},
    )


def _attempts(counts: RouteCounts, rates: ErrorRates, span_s: float) -> RouteAttemptsStatus:
    outcomes = attempts_by_outcome(counts)
    total = sum(outcomes.values())
    return RouteAttemptsStatus(
        total=total,
        per_s=per_s(total, span_s),
        success_rate=rate(rates.attempts - rates.failed, rates.attempts),
        per_request=ratio(total, sum(counts.attempts.get("1", {}).values())),
        failures={reason: times for reason, times in sorted(outcomes.items()) if reason not in ANSWERED},
    )


def _quantiles(successes: Histogram) -> QuantilesStatus:
    return QuantilesStatus(*(quantile_ms(share, BUCKETS_S, successes.counts) for share in (0.5, 0.9, 0.99)))
