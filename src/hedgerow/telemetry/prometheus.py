"""The counts in Prometheus' exposition format. Metric names and labels are a contract: dashboards and alerts use them.

Each label value that can occur is exposed from the start, as 0: `rate()` does not see the first step of a new series.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from hedgerow import __version__
from hedgerow.core.outcomes import FailureReason
from hedgerow.telemetry.metric_families import counters, histograms, lag_histogram
from hedgerow.telemetry.snapshot import UNKNOWN, Snapshot

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0.encode()

_REQUESTS = (
    "success", "all_failed", "out_of_time", "abandoned", "overloaded", "internal",
    "bad_timeout", "bad_request", "not_found", "method_not_allowed", "too_large",
)  # fmt: skip
_FIRST_ATTEMPTS = ("success", "all_failed", "out_of_time", UNKNOWN)
_HEDGES = ("fired", "won", "rescued", "suppressed", "held")
_JUDGED = ("quick", "late")
_HALVINGS = ("late", "unanswered")
_SPANS = ("exported", "failed", "dropped")
_SHED = ("in_flight", "rate_limit", "connections")


def render(snapshot: Snapshot) -> bytes:
    """Write `/metrics`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot))
    return generate_latest(registry)


class _Collector(Collector):
    """One snapshot, metric by metric."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        yield from self._requests()
        yield from self._attempts()
        yield from self._first_attempts()
        yield from self._hedges()
        yield from self._edges()

    def _requests(self) -> Iterator[Metric]:
        snap = self._snapshot
        yield counters(
            "hedgerow_requests",
            "Requests by what their client got: success; all_failed (502) and out_of_time (504) are caused by the"
            " upstream; overloaded (503) and internal (500) by the gateway; abandoned: the client disconnected; the"
            " others are invalid requests, which were rejected",
            "outcome",
            snap.requests,
            _REQUESTS,
        )
        yield histograms(
            "hedgerow_request_duration_seconds",
            "Time from the arrival of an admitted request to its response, with hedging",
            snap.request_duration,
        )
        yield GaugeMetricFamily(
            "hedgerow_requests_in_flight", "Requests that were admitted and not yet answered", snap.in_flight
        )
        yield counters(
            "hedgerow_shed",
            "Requests rejected with 503, after at most a quarter of their timeout: in_flight and connections (no"
            " descriptor for more); rate_limit (too little CPU)",
            "reason",
            snap.shed,
            _SHED,
        )
        yield CounterMetricFamily(
            "hedgerow_client_disconnects",
            "Clients that disconnected before their response, perhaps because they give up before their timeout",
            snap.client_disconnects,
        )
        yield CounterMetricFamily(
            "hedgerow_internal_errors",
            "Internal errors of the gateway, most of them answered with 500; the stack trace is in the log",
            snap.internal_errors,
        )
        yield CounterMetricFamily(
            "hedgerow_log_lines_dropped",
            "Log lines that were dropped because the log is not read, or its disk is full",
            snap.log_lines_dropped,
        )

    def _attempts(self) -> Iterator[Metric]:
        snap = self._snapshot
        attempts = CounterMetricFamily(
            "hedgerow_attempts",
            "Requests to the upstream that have ended, losers included, by number (1: first, 2 and up: hedges) and"
            " outcome (success or the reason of the failure; timeout: cancelled because its race was over)",
            labels=("attempt", "outcome"),
        )
        for number, by_outcome in sorted(snap.attempts.items()):
            for outcome in ("success", *FailureReason):
                attempts.add_metric((number, outcome), by_outcome.get(outcome, 0))
        yield attempts
        yield histograms(
            "hedgerow_attempt_duration_seconds",
            "Time from the start of an attempt to its end, losers included: the latency of the upstream itself",
            snap.attempt_duration,
        )

    def _first_attempts(self) -> Iterator[Metric]:
        by_outcome = self._snapshot.first_attempt_duration
        yield counters(
            "hedgerow_first_attempt",
            "What clients would have got WITHOUT hedging, to be compared with hedgerow_requests_total: first attempts"
            " by their own outcome, even after the response; unknown: cancelled before the outcome was known",
            "outcome",
            {outcome: histogram.count for outcome, histogram in by_outcome.items()},
            _FIRST_ATTEMPTS,
        )
        yield histograms(
            "hedgerow_first_attempt_duration_seconds",
            "How long clients would have waited WITHOUT hedging, to be compared with"
            " hedgerow_request_duration_seconds: from the start of a first attempt to its own end",
            by_outcome,
        )

    def _hedges(self) -> Iterator[Metric]:
        snap = self._snapshot
        yield counters(
            "hedgerow_hedges",
            "Hedges: fired (sent, counted when they end), won (gave the response), rescued (gave it after the first"
            " attempt had failed), suppressed (not sent: the client's timeout left no time for it), held (due and not"
            " sent, so as not to make an outage worse)",
            "event",
            snap.hedges,
            _HEDGES,
        )
        yield GaugeMetricFamily(
            "hedgerow_attempts_in_flight",
            "Requests to the upstream that have not ended, losers included",
            snap.attempts_in_flight,
        )
        yield GaugeMetricFamily(
            "hedgerow_hedge_limited_workers",
            "Workers that hold hedges beyond a limit of attempts in flight, by a ceiling or because nearly all requests"
            " are late",
            snap.hedge_limited_workers,
        )
        yield GaugeMetricFamily(
            "hedgerow_hedge_limit",
            "Attempts in flight up to which those workers send hedges, in all; 0 without such workers",
            snap.hedge_limit,
        )
        yield counters(
            "hedgerow_first_attempts_judged",
            "First attempts where hedges may be held: quick (won before its hedges were due) or late. With less than"
            " 0.05 of them quick, hedges are held",
            "speed",
            snap.first_attempts_judged,
            _JUDGED,
        )
        yield counters(
            "hedgerow_hedge_limit_halvings",
            "How often a limit of hedges was halved: late (nearly no first attempt was quick), unanswered (late"
            " requests had no answer within another hedge delay)",
            "sign",
            snap.hedge_limit_halvings,
            _HALVINGS,
        )
        yield CounterMetricFamily(
            "hedgerow_wasted_seconds",
            "Time that the upstream spent on losers: the cost of hedging",
            snap.wasted_s,
        )

    def _edges(self) -> Iterator[Metric]:
        snap = self._snapshot
        connections = GaugeMetricFamily(
            "hedgerow_upstream_connections",
            "Connections to the upstream: connecting, active, idle; loser counts those of the first two whose attempt"
            " is a loser",
            labels=("state",),
        )
        for state, number in sorted(snap.upstream_connections.items()):
            connections.add_metric((state,), number)
        yield connections
        yield CounterMetricFamily(
            "hedgerow_upstream_reused_connection_retries",
            "Attempts retried once because the upstream had just closed their pooled connection; many of them mean"
            " that its idle timeout is shorter than the gateway's",
            snap.reused_connection_retries,
        )
        yield GaugeMetricFamily(
            "hedgerow_client_connections", "Client connections to the main port", snap.client_connections
        )
        yield lag_histogram(
            "hedgerow_deadline_overshoot_seconds",
            "How long after its deadline a request was answered; in time counts as 0",
            snap.overshoot,
        )
        yield lag_histogram(
            "hedgerow_event_loop_lag_seconds",
            "Duration of event loop iterations: how long received data may wait until it is read",
            snap.lag,
        )
        yield GaugeMetricFamily(
            "hedgerow_requests_in_flight_limit",
            "Limit of requests in flight, set by file descriptors",
            snap.max_in_flight,
        )
        yield GaugeMetricFamily(
            "hedgerow_rate_limited_workers",
            "Workers whose admission rate is limited, because they are short of CPU",
            snap.rate_limited_workers,
        )
        yield GaugeMetricFamily(
            "hedgerow_admission_rate_limit",
            "Requests per second that those workers admit, in all; 0 without such workers",
            snap.admission_rate_limit,
        )
        yield GaugeMetricFamily(
            "hedgerow_overloaded_workers",
            "Workers in which more requests wait than can be served in time, or did within the last half second",
            snap.overloaded_workers,
        )
        yield CounterMetricFamily(
            "hedgerow_worker_restarts",
            "Workers that died and were replaced; each lost the requests that it had in flight. Replacements by"
            " SIGHUP are not counted",
            snap.worker_restarts,
        )
        yield counters(
            "hedgerow_spans",
            "Spans of traces: exported; failed (not accepted by the collector); dropped (the queue was full, or the"
            " process ended first)",
            "outcome",
            snap.spans,
            _SPANS,
        )
        info = GaugeMetricFamily("hedgerow_build_info", "Always 1", labels=("version",))
        info.add_metric((__version__,), 1)
        yield info
