"""Families of metrics from our own counts, for the exposition."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric

from hedgerow.telemetry.snapshot import BUCKETS_S, LAG_BUCKETS_S, Histogram, LagHistogram


def counters(name: str, text: str, label: str, counts: Mapping[str, int], known: Iterable[str]) -> Metric:
    """Return a counter for each value of a label; those that are `known` begin at 0."""
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, times in sorted({**dict.fromkeys(known, 0), **counts}.items()):
        family.add_metric((value,), times)
    return family


def histograms(name: str, text: str, by_outcome: Mapping[str, Histogram]) -> Metric:
    """Return a histogram in seconds for each outcome."""
    family = HistogramMetricFamily(name, text, labels=("outcome",))
    for outcome, histogram in sorted(by_outcome.items()):
        family.add_metric((outcome,), list(_cumulative(BUCKETS_S, histogram.counts)), histogram.sum_s)
    return family


def lag_histogram(name: str, text: str, lag: LagHistogram) -> Metric:
    """Return a histogram in seconds of what should be nothing."""
    family = HistogramMetricFamily(name, text)
    family.add_metric((), list(_cumulative(LAG_BUCKETS_S, lag.counts)), lag.sum_s)
    return family


def _cumulative(bounds_s: Sequence[float], counts: Sequence[int]) -> Iterator[tuple[str, int]]:
    total = 0
    for bound, times in zip((*map(str, bounds_s), "+Inf"), counts, strict=True):
        total += times
        yield bound, total
