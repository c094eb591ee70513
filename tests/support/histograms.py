"""Histograms of snapshots, made of latencies."""

from hedgerow.telemetry.histogram import HistogramCounter
from hedgerow.telemetry.snapshot import BUCKET_STEP_S, BUCKETS_S, Histogram


def histogram(*seconds: float) -> Histogram:
    """Return a histogram of these latencies in seconds."""
    made = HistogramCounter(BUCKETS_S, BUCKET_STEP_S)
    for value in seconds:
        made.observe(value)
    return Histogram(made.counts, made.sum_s)
