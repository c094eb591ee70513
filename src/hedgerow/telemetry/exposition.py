"""The counts in Prometheus' own words. Names and labels are part of the contract with whoever alerts on them."""

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
from hedgerow.telemetry.snapshot import BUCKETS_S, LAG_BUCKETS_S, Histogram, Lag, Snapshot

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0.encode()


def exposition(snapshot: Snapshot) -> bytes:
    """Write `/metrics`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot))
    return generate_latest(registry)


class _Collector(Collector):
    """One snapshot, metric by metric."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        snap = self._snapshot
        yield _counters("hedgerow_requests", "Requests by what their caller got", "outcome", snap.requests)
        yield _histograms(
            "hedgerow_request_duration_seconds",
            "From a request's arrival to its answer",
            snap.request_duration,
        )
        yield GaugeMetricFamily(
            "hedgerow_requests_in_flight", "Admitted and not yet answered", snap.in_flight
        )
        attempts = CounterMetricFamily(
            "hedgerow_attempts",
            "Requests to the upstream that have ended, losers included, by number and outcome",
            labels=("attempt", "outcome"),
        )
        for number, by_outcome in sorted(snap.attempts.items()):
            for outcome, times in sorted(by_outcome.items()):
                attempts.add_metric((number, outcome), times)
        yield attempts
        yield _histograms(
            "hedgerow_attempt_duration_seconds",
            "What the upstream took, losers included",
            snap.attempt_duration,
        )
        yield _counters(
            "hedgerow_hedges",
            "Hedges: fired (sent), won (gave the answer), rescued (gave it after the first attempt had failed)",
            "event",
            snap.hedges,
        )
        yield CounterMetricFamily(
            "hedgerow_wasted_seconds", "Time that the upstream worked on losers", snap.wasted_s
        )
        yield _counters("hedgerow_shed", "Requests refused with 503, by reason", "reason", snap.shed)
        yield CounterMetricFamily(
            "hedgerow_client_disconnects", "Callers who left before their answer", snap.client_disconnects
        )
        yield CounterMetricFamily(
            "hedgerow_upstream_reused_connection_retries",
            "Attempts that met a pooled connection which the upstream had just closed",
            snap.reused_connection_retries,
        )
        yield CounterMetricFamily("hedgerow_bugs", "Requests that a bug of the gateway's ended", snap.bugs)
        connections = GaugeMetricFamily(
            "hedgerow_upstream_connections", "Connections to the upstream", labels=("state",)
        )
        for state, standing in sorted(snap.upstream_connections.items()):
            connections.add_metric((state,), standing)
        yield connections
        yield GaugeMetricFamily(
            "hedgerow_client_connections", "Connections of callers", snap.client_connections
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
            "The cap on requests in flight; it shrinks under overload",
            snap.max_in_flight,
        )
        yield GaugeMetricFamily(
            "hedgerow_shedding_workers",
            "Workers that refuse every request: their loop is behind",
            snap.shedding,
        )
        info = GaugeMetricFamily("hedgerow_build_info", "Always 1", labels=("version",))
        info.add_metric((__version__,), 1)
        yield info


def _counters(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, times in sorted(counts.items()):
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
