"""Families of metrics from our own counts, for the exposition."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from hedgerow.telemetry.snapshot import BUCKETS_S, LAG_BUCKETS_S, Histogram, LagHistogram, RouteCounts


class Part(NamedTuple):
    """What was counted under some labels: those of a route, or of a route and its upstream."""

    labels: tuple[str, ...]
    counts: RouteCounts


class Families:
    """Families of metrics that have the labels of each part, and those of their own."""

    def __init__(self, labels: tuple[str, ...], parts: Sequence[Part]) -> None:
        """`labels` are the names of the parts' labels."""
        self._labels = labels
        self._parts = parts

    def counters(
        self,
        name: str,
        text: str,
        label: str,
        counts: Callable[[RouteCounts], Mapping[str, int]],
        known: Iterable[str],
    ) -> Metric:
        """Return a counter for each value of a further label; those that are `known` begin at 0."""
        family = CounterMetricFamily(name, text, labels=(*self._labels, label))
        for labels, each in self._parts:
            for value, times in sorted({**dict.fromkeys(known, 0), **counts(each)}.items()):
                family.add_metric((*labels, value), times)
        return family

    def counter(self, name: str, text: str, count: Callable[[RouteCounts], float]) -> Metric:
        """Return a counter."""
        family = CounterMetricFamily(name, text, labels=self._labels)
        for labels, each in self._parts:
            family.add_metric(labels, count(each))
        return family

    def gauge(self, name: str, text: str, value: Callable[[RouteCounts], float]) -> Metric:
        """Return a gauge."""
        family = GaugeMetricFamily(name, text, labels=self._labels)
        for labels, each in self._parts:
            family.add_metric(labels, value(each))
        return family

    def histograms(
        self,
        name: str,
        text: str,
        by_outcome: Callable[[RouteCounts], Mapping[str, Histogram]],
        known: Iterable[str] = (),
    ) -> Metric:
        """Return a histogram in seconds for each outcome; those that are `known` begin at 0."""
        family = HistogramMetricFamily(name, text, labels=(*self._labels, "outcome"))
        for labels, each in self._parts:
            for outcome, histogram in sorted(
                {**dict.fromkeys(known, Histogram()), **by_outcome(each)}.items()
            ):
                buckets = list(_cumulative(BUCKETS_S, histogram.counts))
                family.add_metric((*labels, outcome), buckets, histogram.sum_s)
        return family

    def lag_histogram(self, name: str, text: str, lag: Callable[[RouteCounts], LagHistogram]) -> Metric:
        """Return a histogram in seconds of what should be nothing."""
        family = HistogramMetricFamily(name, text, labels=self._labels)
        for labels, each in self._parts:
            add_lag(family, labels, lag(each))
        return family


def counters(name: str, text: str, label: str, counts: Mapping[str, int], known: Iterable[str]) -> Metric:
    """Return a counter for each value of a label; those that are `known` begin at 0."""
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, times in sorted({**dict.fromkeys(known, 0), **counts}.items()):
        family.add_metric((value,), times)
    return family


def add_lag(family: HistogramMetricFamily, labels: Sequence[str], lag: LagHistogram) -> None:
    """Add a histogram in seconds of what should be nothing."""
    family.add_metric(labels, list(_cumulative(LAG_BUCKETS_S, lag.counts)), lag.sum_s)


def _cumulative(bounds_s: Sequence[float], counts: Sequence[int]) -> Iterator[tuple[str, int]]:
    total = 0
    for bound, times in zip((*map(str, bounds_s), "+Inf"), counts, strict=True):
        total += times
        yield bound, total
