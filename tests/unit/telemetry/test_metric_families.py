from hedgerow.telemetry.metric_families import Families, Part, counters
from hedgerow.telemetry.snapshot import Histogram, LagHistogram, RouteCounts


def test_known_values_of_a_label_begin_at_nothing() -> None:
    family = counters("x", "text", "event", {"b": 2, "new": 1}, ("a", "b"))
    assert [(sample.labels["event"], sample.value) for sample in family.samples] == [
        ("a", 0),
        ("b", 2),
        ("new", 1),
    ]


def test_each_part_has_its_labels_and_all_known_values() -> None:
    parts = [Part(("a",), RouteCounts(hedges={"won": 2})), Part(("b",), RouteCounts())]
    family = Families(("route",), parts).counters(
        "x", "text", "event", lambda counts: counts.hedges, ("won",)
    )
    assert [(sample.labels, sample.value) for sample in family.samples] == [
        ({"route": "a", "event": "won"}, 2),
        ({"route": "b", "event": "won"}, 0),
    ]


def test_buckets_are_cumulative_and_end_at_infinity() -> None:
    counts = RouteCounts(request_duration={"success": Histogram([1, 2, *[0] * 20, 4], 3.5)})
    family = Families((), [Part((), counts)]).histograms("x", "text", lambda each: each.request_duration)
    by_bound = {sample.labels["le"]: sample.value for sample in family.samples if sample.name == "x_bucket"}
    assert (by_bound["0.005"], by_bound["0.01"], by_bound["10.0"], by_bound["+Inf"]) == (1, 3, 3, 7)


def test_a_histogram_of_lag_has_the_labels_of_its_part_alone() -> None:
    parts = [Part(("a",), RouteCounts(overshoot=LagHistogram([1, *[0] * 12], 0.0)))]
    samples = Families(("route",), parts).lag_histogram("x", "text", lambda each: each.overshoot).samples
    assert {tuple(sample.labels) for sample in samples} == {("route", "le"), ("route",)}
