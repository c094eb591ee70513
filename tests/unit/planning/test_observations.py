"""Observations of several workers add up."""

import msgspec

from hedgerow.planning.latency_sketch import CUT, FAILURE, SUCCESS, LatencySketch
from hedgerow.planning.observations import MAX_WORKERS_SAMPLES, Observations


def test_observations_add_up() -> None:
    one, other, both = Observations(span_s=5.0), Observations(span_s=9.0), Observations(span_s=9.0)
    for observations, latency_s, outcome in (
        (one, 0.1, SUCCESS), (other, 0.1, SUCCESS), (other, 0.2, FAILURE), (one, 3.0, CUT), (other, 99.0, SUCCESS),
    ):  # fmt: skip
        observations.observe(latency_s, outcome)
        both.observe(latency_s, outcome)
    assert one + other == both
    assert both.count == 5


def test_samples_add_up_to_a_limit() -> None:
    many = Observations(
        samples=[(0.3, ((0.1, SUCCESS), (0.1, SUCCESS), (0.1, SUCCESS)))] * MAX_WORKERS_SAMPLES
    )
    assert len((many + many).samples) == MAX_WORKERS_SAMPLES


def test_a_sketch_and_observations_count_alike() -> None:
    sketch, observations = LatencySketch(), Observations()
    for number in range(1_000):
        latency_s, outcome = number**2 / 10_000, (SUCCESS, FAILURE, CUT)[number % 3]
        sketch.observe(latency_s, outcome, 5.0)
        observations.observe(latency_s, outcome)
    successes, failures, cuts, _ = sketch.counts("hour", 5.0)
    assert (successes, failures, cuts) == (observations.successes, observations.failures, observations.cuts)


def test_observations_go_over_a_wire() -> None:
    given = Observations(samples=[(0.3, ((0.1, SUCCESS), (0.2, FAILURE), (0.0, CUT)))], span_s=3.0)
    given.observe(0.25, SUCCESS, 7)
    assert msgspec.json.decode(msgspec.json.encode(given), type=Observations) == given
