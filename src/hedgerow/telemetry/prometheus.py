"""The counts in Prometheus' own words. Names and labels are part of the contract with whoever alerts on them.

Label values that can come are told from the start, as 0: `rate()` does not see a series' first step from nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from hedgerow import __version__
from hedgerow.core.outcomes import FailureReason
from hedgerow.telemetry.snapshot import BUCKETS_S, LAG_BUCKETS_S, UNKNOWN, Histogram, Lag, Snapshot

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0.encode()

_REQUESTS = (
    "success", "all_failed", "out_of_time", "abandoned", "overloaded", "internal",
    "bad_timeout", "bad_request", "not_found", "method_not_allowed", "too_large",
)  # fmt: skip
_FIRST_ATTEMPTS = ("success", "all_failed", "out_of_time", UNKNOWN)
_HEDGES = ("fired", "won", "rescued", "suppressed")
_SPANS = ("exported", "failed", "dropped")
_SHED = ("in_flight", "load", "connections")


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
        yield _counters(
            "hedgerow_requests",
            "Requests by what their caller got: success; all_failed (502) and out_of_time (504) are the upstream's"
            " doing; overloaded (503) and internal (500) are ours; abandoned: the caller left; the rest were refused"
            " for what they asked",
            "outcome",
            snap.requests,
            _REQUESTS,
        )
        yield _histograms(
            "hedgerow_request_duration_seconds",
            "From the arrival of an admitted request to its answer: what callers waited, with hedging",
            snap.request_duration,
        )
        yield GaugeMetricFamily(
            "hedgerow_requests_in_flight", "Requests that were admitted and not yet answered", snap.in_flight
        )
        yield _counters(
            "hedgerow_shed",
            "Requests rejected with 503, after a quarter of their timeout at most: in_flight and connections (no"
            " descriptor for more); load (too little CPU)",
            "reason",
            snap.shed,
            _SHED,
        )
        yield CounterMetricFamily(
            "hedgerow_client_disconnects",
            "Callers who left before their answer, perhaps because they give up sooner than their timeout says",
            snap.client_disconnects,
        )
        yield CounterMetricFamily(
            "hedgerow_bugs", "Requests that a bug of the gateway's ended; its stack is in the log", snap.bugs
        )
        yield CounterMetricFamily(
            "hedgerow_log_lines_dropped",
            "Log lines that were lost because nobody reads the log, or its disk is full",
            snap.log_lines_dropped,
        )

    def _attempts(self) -> Iterator[Metric]:
        snap = self._snapshot
        attempts = CounterMetricFamily(
            "hedgerow_attempts",
            "Requests to the upstream that have ended, losers too, by number (1: first, 2 and up: hedges) and"
            " outcome (success or why it failed; timeout: we gave up on it, because its race was over)",
            labels=("attempt", "outcome"),
        )
        for number, by_outcome in sorted(snap.attempts.items()):
            for outcome in ("success", *FailureReason):
                attempts.add_metric((number, outcome), by_outcome.get(outcome, 0))
        yield attempts
        yield _histograms(
            "hedgerow_attempt_duration_seconds",
            "From an attempt's launch to its end, losers too: how fast the upstream itself is",
            snap.attempt_duration,
        )

    def _first_attempts(self) -> Iterator[Metric]:
        by_outcome = self._snapshot.first_attempt_duration
        yield _counters(
            "hedgerow_first_attempt",
            "What callers would have got WITHOUT hedging, to be set against hedgerow_requests_total: first attempts"
            " by their own end, also when it came after the answer; unknown: cut off before it could be known",
            "outcome",
            {outcome: histogram.count for outcome, histogram in by_outcome.items()},
            _FIRST_ATTEMPTS,
        )
        yield _histograms(
            "hedgerow_first_attempt_duration_seconds",
            "What callers would have waited WITHOUT hedging, to be set against hedgerow_request_duration_seconds:"
            " from a first attempt's launch to its own end",
            by_outcome,
        )

    def _hedges(self) -> Iterator[Metric]:
        snap = self._snapshot
        yield _counters(
            "hedgerow_hedges",
            "Hedges: fired (sent, and ended by now), won (gave the answer), rescued (gave it after the first attempt"
            " had failed), suppressed (not sent: the caller's timeout left no time for it)",
            "event",
            snap.hedges,
            _HEDGES,
        )
        yield CounterMetricFamily(
            "hedgerow_wasted_seconds",
            "Time that the upstream worked on attempts whose race was over: the price of hedging",
            snap.wasted_s,
        )

    def _edges(self) -> Iterator[Metric]:
        snap = self._snapshot
        connections = GaugeMetricFamily(
            "hedgerow_upstream_connections",
            "Connections to the upstream: connecting, active, idle; loser counts those that carry a loser once more",
            labels=("state",),
        )
        for state, standing in sorted(snap.upstream_connections.items()):
            connections.add_metric((state,), standing)
        yield connections
        yield CounterMetricFamily(
            "hedgerow_upstream_reused_connection_retries",
            "Attempts sent again because the upstream had just closed their pooled connection; many: its idle timeout"
            " is shorter than ours",
            snap.reused_connection_retries,
        )
        yield GaugeMetricFamily(
            "hedgerow_client_connections", "Callers' connections to the main port", snap.client_connections
        )
        yield _lag(
            "hedgerow_deadline_overshoot_seconds",
            "How long after the end of its timeout a request was answered; in time counts as 0",
            snap.overshoot,
        )
        yield _lag(
            "hedgerow_event_loop_lag_seconds",
            "Length of the event loop's turns: how long what has come may wait to be looked at",
            snap.lag,
        )
        yield GaugeMetricFamily(
            "hedgerow_requests_in_flight_limit",
            "How many requests may be in flight; more would be short of descriptors",
            snap.max_in_flight,
        )
        yield GaugeMetricFamily(
            "hedgerow_paced_workers",
            "Workers that are or lately were short of CPU, and let requests in at a pace; the others let in all",
            snap.paced,
        )
        yield GaugeMetricFamily(
            "hedgerow_pace_requests_per_second",
            "How many requests a second those workers let in, in all; 0 if there is none",
            snap.pace,
        )
        yield GaugeMetricFamily(
            "hedgerow_shedding_workers",
            "Workers in which requests lie unread for far too long: ten times what is too long",
            snap.shedding,
        )
        yield CounterMetricFamily(
            "hedgerow_worker_restarts",
            "Workers that died and were replaced, each with the requests that it had in flight; those that SIGHUP"
            " replaces are not counted",
            snap.worker_restarts,
        )
        yield _counters(
            "hedgerow_spans",
            "Spans of traces: exported; failed (the receiver did not take them); dropped (too many waited, or the"
            " process ended first)",
            "outcome",
            snap.spans,
            _SPANS,
        )
        info = GaugeMetricFamily("hedgerow_build_info", "Always 1", labels=("version",))
        info.add_metric((__version__,), 1)
        yield info


def _counters(name: str, text: str, label: str, counts: Mapping[str, int], known: Iterable[str]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, times in sorted({**dict.fromkeys(known, 0), **counts}.items()):
        family.add_metric((value,), times)
    return family


def _histograms(name: str, text: str, by_outcome: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=("outcome",))
    for outcome, histogram in sorted(by_outcome.items()):
        family.add_metric((outcome,), list(_cumulative(BUCKETS_S, histogram.counts)), histogram.sum_s)
    return family


def _lag(name: str, text: str, lag: Lag) -> Metric:
    family = HistogramMetricFamily(name, text)
    family.add_metric((), list(_cumulative(LAG_BUCKETS_S, lag.counts)), lag.sum_s)
    return family


def _cumulative(bounds_s: Sequence[float], counts: Sequence[int]) -> Iterator[tuple[str, int]]:
    total = 0
    for bound, times in zip((*map(str, bounds_s), "+Inf"), counts, strict=True):
        total += times
        yield bound, total
