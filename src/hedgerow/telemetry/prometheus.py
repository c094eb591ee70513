"""The counts in Prometheus' exposition format. Metric names and labels are a contract: dashboards and alerts use them.

Each label value that can occur is exposed from the start, as 0: `rate()` does not see the first step of a new series.
What is counted by route is in `prometheus_routes`.
"""

from collections.abc import Iterable, Iterator

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
from hedgerow.settings.routes import MAX_ENDPOINTS_SHOWN
from hedgerow.telemetry.metric_families import add_lag, counters
from hedgerow.telemetry.prometheus_routes import route_metrics
from hedgerow.telemetry.snapshot import Snapshot

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0.encode()
_SPANS = ("exported", "failed", "dropped")


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
        yield from route_metrics(self._snapshot.routes)
        yield from self._endpoints()
        yield from self._gateway()
        yield from self._edges()
        yield from self._workers()

    def _endpoints(self) -> Iterator[Metric]:
        """Yield what the workers know of the endpoints, where they are few."""
        endpoints = [
            ((upstream, *name.split(" ", 1)), state)
            for upstream, by_name in sorted(self._snapshot.endpoints.items())
            for name, state in sorted(by_name.items())
        ]
        if len(endpoints) > MAX_ENDPOINTS_SHOWN:  # workers may know different ones of a name
            endpoints = []
        names = ("upstream", "endpoint", "address")
        in_flight = GaugeMetricFamily(
            "hedgerow_endpoint_attempts_in_flight",
            "Attempts that run at an address, losers included",
            labels=names,
        )
        failures = GaugeMetricFamily(
            "hedgerow_endpoint_consecutive_failures",
            "Failures in a row of an address, the sum of all workers",
            labels=names,
        )
        ejected = GaugeMetricFamily(
            "hedgerow_endpoint_ejected_workers",
            "Workers that leave an address out for its failures",
            labels=names,
        )
        unreachable = GaugeMetricFamily(
            "hedgerow_endpoint_unreachable_workers",
            "Workers that could not connect to an address within the last second",
            labels=names,
        )
        for labels, state in endpoints:
            in_flight.add_metric(labels, state.in_flight)
            failures.add_metric(labels, state.failures)
            ejected.add_metric(labels, state.ejected_workers)
            unreachable.add_metric(labels, state.unreachable_workers)
        yield from (in_flight, failures, ejected, unreachable)

    def _gateway(self) -> Iterator[Metric]:
        snap = self._snapshot
        yield CounterMetricFamily(
            "hedgerow_internal_errors",
            "Internal errors, mostly answered with 500; the log has the stack",
            snap.internal_errors,
        )
        yield CounterMetricFamily(
            "hedgerow_log_lines_dropped",
            "Log lines lost because the log is not read, or its disk is full",
            snap.log_lines_dropped,
        )

    def _edges(self) -> Iterator[Metric]:
        snap = self._snapshot
        connections = GaugeMetricFamily(
            "hedgerow_upstream_connections",
            "Connections to the upstream: connecting, active, idle; loser: those of the first two that serve a loser",
            labels=("upstream", "state"),
        )
        for upstream, by_state in sorted(snap.connections.items()):
            for state, number in sorted(by_state.items()):
                connections.add_metric((upstream, state), number)
        yield connections
        yield CounterMetricFamily(
            "hedgerow_upstream_reused_connection_retries",
            "Attempts retried once because the upstream had just closed their pooled connection: its idle timeout may"
            " be shorter than the gateway's",
            snap.reused_connection_retries,
        )
        yield GaugeMetricFamily(
            "hedgerow_client_connections", "Client connections to the main port", snap.client_connections
        )
        lag = HistogramMetricFamily(
            "hedgerow_event_loop_lag_seconds",
            "Duration of event loop iterations",
        )
        add_lag(lag, (), snap.lag)
        yield lag

    def _workers(self) -> Iterator[Metric]:
        snap = self._snapshot
        yield GaugeMetricFamily(
            "hedgerow_requests_in_flight_limit",
            "Limit of requests in flight",
            snap.max_in_flight,
        )
        yield GaugeMetricFamily(
            "hedgerow_rate_limited_workers",
            "Workers that are short of CPU, so that their admission rate is limited",
            snap.rate_limited_workers,
        )
        yield GaugeMetricFamily(
            "hedgerow_admission_rate_limit",
            "Requests per second that those workers admit, in all; 0 without any",
            snap.admission_rate_limit,
        )
        yield GaugeMetricFamily(
            "hedgerow_overloaded_workers",
            "Workers in which more requests wait than can be served in time",
            snap.overloaded_workers,
        )
        yield CounterMetricFamily(
            "hedgerow_worker_restarts",
            "Workers that died, with what they had in flight, and were replaced; not those that SIGHUP replaced",
            snap.worker_restarts,
        )
        yield counters(
            "hedgerow_spans",
            "Spans of traces: exported, failed (not accepted by the collector) or dropped (the queue was full)",
            "outcome",
            snap.spans,
            _SPANS,
        )
        info = GaugeMetricFamily("hedgerow_build_info", "Always 1", labels=("version",))
        info.add_metric((__version__,), 1)
        yield info
