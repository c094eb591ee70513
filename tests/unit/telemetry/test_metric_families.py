from hedgerow.telemetry.metric_families import counters, histograms, lag_histogram
from hedgerow.telemetry.snapshot import Histogram, LagHistogram


def test_known_values_of_a_label_begin_at_nothing() -> None:
    family = counters("x", "text", "event", {"b": 2, "new": 1}, ("a", "b"))
    assert [(sample.labels["event"], sample.value) for sample in family.samples] == [
        ("a", 0),
        ("b", 2),
        ("new", 1),
    ]


def test_buckets_are_cumulative_and_end_at_infinity() -> None:
    counts = [1, 2, *[0] * 20, 4]
    by_bound = {
        sample.labels["le"]: sample.value
        for sample in histograms("x", "text", {"success": Histogram(counts, 3.5)}).samples
        if sample.name == "x_bucket"
    }
    assert (by_bound["0.005"], by_bound["0.01"], by_bound["10.0"], by_bound["+Inf"]) == (1, 3, 3, 7)


def test_a_histogram_of_lag_has_no_label() -> None:
    samples = lag_histogram("x", "text", LagHistogram([1, *[0] * 12], 0.0)).samples
    assert {tuple(sample.labels) for sample in samples} == {("le",), ()}
