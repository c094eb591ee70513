"""What is counted by route, as metrics: all of them have the label `route`, those of attempts `upstream` as well.

A request that no route has is counted under the route without a name. Prometheus takes a label without a value for one
that is not there, so sums over all routes are whole.
"""

from collections.abc import Iterator, Mapping
from functools import reduce

from prometheus_client.metrics_core import CounterMetricFamily, Metric

from hedgerow.core.outcomes import FailureReason
from hedgerow.telemetry.metric_families import Families, Part
from hedgerow.telemetry.snapshot import UNKNOWN, RouteCounts, add

_REQUESTS = (
    "success", "final", "all_failed", "out_of_time", "abandoned", "overloaded", "internal",
    "bad_timeout", "bad_request", "not_found", "method_not_allowed", "too_large",
)  # fmt: skip
_WAITS_IN_VAIN = ("out_of_time", "abandoned")
"""Whose durations the alerts ask for: a rate does not see the first request of a series."""
_ATTEMPTS = ("success", "final", *FailureReason)
_FIRST_ATTEMPTS = ("success", "final", "all_failed", "out_of_time", UNKNOWN)
_HEDGES = ("fired", "won", "rescued", "suppressed", "held")
_JUDGED = ("quick", "late")
_HALVINGS = ("late", "unanswered")
_SHED = ("in_flight", "rate_limit", "connections", "bodies")


def route_metrics(routes: Mapping[str, Mapping[str, RouteCounts]]) -> Iterator[Metric]:
    """Return the metrics of all routes, which are by name and then by upstream."""
    by_upstream = [
        Part((name, upstream), counts)
        for name, of_route in sorted(routes.items())
        for upstream, counts in sorted(of_route.items())
        if name
    ]
    by_route = [
        Part((name,), reduce(add, of_route.values(), RouteCounts()))
        for name, of_route in sorted({"": {}, **routes}.items())
    ]
    every, named = Families(("route",), by_route), Families(("route",), by_route[1:])
    yield from _requests(every, named)
    yield from _attempts(by_upstream)
    yield from _first_attempts(named)
    yield from _hedges(named)
    yield Families(("route",), [part for part in by_route[1:] if part.counts.workers]).gauge(
        "hedgerow_hedge_delay_seconds",
        "The hedge delay in use, the mean of all workers",
        lambda counts: counts.hedge_delay_s / counts.workers,
    )
    yield from _holding(named)


def _requests(every: Families, named: Families) -> Iterator[Metric]:
    yield every.counters(
        "hedgerow_requests",
        "Requests by what their client got; final: an answer that asking again cannot change; abandoned: the client"
        " disconnected, or a drain's time was over. all_failed (502) and out_of_time (504) are caused by the upstream,"
        " overloaded (503) and internal (500) by the gateway, the others by the client",
        "outcome",
        lambda counts: counts.requests,
        _REQUESTS,
    )
    yield named.histograms(
        "hedgerow_request_duration_seconds",
        "From the arrival of an admitted request to its response",
        lambda counts: counts.request_duration,
        _WAITS_IN_VAIN,
    )
    yield named.gauge(
        "hedgerow_requests_in_flight",
        "Requests admitted and not yet answered",
        lambda counts: counts.in_flight,
    )
    yield every.counters(
        "hedgerow_shed",
        "Requests rejected with 503 for want of descriptors (in_flight, connections), CPU (rate_limit) or memory"
        " (bodies)",
        "reason",
        lambda counts: counts.shed,
        _SHED,
    )
    yield named.counter(
        "hedgerow_client_disconnects",
        "Requests without a response: their client disconnected, or a drain's time was over",
        lambda counts: counts.client_disconnects,
    )
    yield named.lag_histogram(
        "hedgerow_deadline_overshoot_seconds",
        "How long after its deadline a request was answered; 0: in time",
        lambda counts: counts.overshoot,
    )


def _attempts(parts: list[Part]) -> Iterator[Metric]:
    labels = ("route", "upstream")
    attempts = CounterMetricFamily(
        "hedgerow_attempts",
        "Requests to the upstream that have ended, losers included; from attempt 2 on they are hedges. timeout:"
        " cut off, because its race was over",
        labels=(*labels, "attempt", "outcome"),
    )
    for names, counts in parts:
        for number, by_outcome in sorted(counts.attempts.items()):
            for outcome in _ATTEMPTS:
                attempts.add_metric((*names, number, outcome), by_outcome.get(outcome, 0))
    yield attempts
    families = Families(labels, parts)
    yield families.histograms(
        "hedgerow_attempt_duration_seconds",
        "From the start of an attempt to its end, losers included",
        lambda counts: counts.attempt_duration,
    )
    yield families.gauge(
        "hedgerow_attempts_in_flight",
        "Requests to the upstream that have not ended, losers included",
        lambda counts: counts.attempts_in_flight,
    )
    yield families.counter(
        "hedgerow_wasted_seconds",
        "Time that the upstream spent on losers",
        lambda counts: counts.wasted_s,
    )


def _first_attempts(families: Families) -> Iterator[Metric]:
    yield families.counters(
        "hedgerow_first_attempt",
        "What clients would have got WITHOUT hedging: first attempts by their own outcome, even after the response",
        "outcome",
        lambda counts: {outcome: each.count for outcome, each in counts.first_attempt_duration.items()},
        _FIRST_ATTEMPTS,
    )
    yield families.histograms(
        "hedgerow_first_attempt_duration_seconds",
        "How long clients would have waited WITHOUT hedging: from the start of a first attempt to its own end",
        lambda counts: counts.first_attempt_duration,
    )


def _hedges(families: Families) -> Iterator[Metric]:
    yield families.counters(
        "hedgerow_hedges",
        "Hedges: fired (sent, counted when they end), won (gave the response), rescued (gave it after the first"
        " attempt had failed), suppressed (the timeout left no time for it), held (so as not to make an outage worse)",
        "event",
        lambda counts: counts.hedges,
        _HEDGES,
    )


def _holding(families: Families) -> Iterator[Metric]:
    yield families.gauge(
        "hedgerow_hedge_limited_workers",
        "Workers that hold hedges beyond a limit of attempts in flight",
        lambda counts: counts.hedge_limited_workers,
    )
    yield families.gauge(
        "hedgerow_hedge_limit",
        "Attempts in flight up to which those workers send hedges, in all; 0 without any",
        lambda counts: counts.hedge_limit,
    )
    yield families.counters(
        "hedgerow_first_attempts_judged",
        "First attempts where hedges may be held: late, or quick (won before its hedges were due). With less than 0.05"
        " of them quick, hedges are held",
        "speed",
        lambda counts: counts.first_attempts_judged,
        _JUDGED,
    )
    yield families.counters(
        "hedgerow_hedge_limit_halvings",
        "How often a limit of hedges was halved: nearly no first attempt was quick (late), or late requests had no"
        " answer within another hedge delay (unanswered)",
        "sign",
        lambda counts: counts.hedge_limit_halvings,
        _HALVINGS,
    )
