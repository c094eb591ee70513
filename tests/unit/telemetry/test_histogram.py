"""Histograms: each observation is in the first bucket that holds it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.telemetry.histogram import HistogramCounter
from hedgerow.telemetry.snapshot import BUCKET_STEP_S, BUCKETS_S, LAG_BUCKETS_S, LAG_STEP_S

KINDS = [(BUCKETS_S, BUCKET_STEP_S), (LAG_BUCKETS_S, LAG_STEP_S)]
ROUNDING_S = 1e-9
"""Next to a bound the bucket may be the one beside it: a clock does not distinguish such instants."""


def is_beside_a_bound(seconds: float) -> bool:
    return any(abs(seconds - bound) < ROUNDING_S for bounds, _ in KINDS for bound in bounds)


@pytest.mark.parametrize(("bounds", "step_s"), KINDS)
@given(values=st.lists(st.floats(min_value=-1, max_value=100), max_size=50))
def test_each_observation_is_in_the_first_bucket_that_holds_it(
    bounds: tuple[float, ...], step_s: float, values: list[float]
) -> None:
    values = [value for value in values if not is_beside_a_bound(value)]
    counter = HistogramCounter(bounds, step_s)
    for value in values:
        counter.observe(value)
    for index, bound in enumerate(bounds):
        assert sum(counter.counts[: index + 1]) == sum(value <= bound for value in values)
    assert sum(counter.counts) == len(values)
    assert counter.sum_s == pytest.approx(sum(value for value in values if value > 0))


@pytest.mark.parametrize(
    ("bounds", "step_s", "bound"), [(bounds, step_s, bound) for bounds, step_s in KINDS for bound in bounds]
)
def test_a_bound_is_in_its_own_bucket(bounds: tuple[float, ...], step_s: float, bound: float) -> None:
    """Prometheus' `le` means less or equal."""
    counter = HistogramCounter(bounds, step_s)
    counter.observe(bound)
    assert counter.counts.index(1) == bounds.index(bound)


@pytest.mark.parametrize("seconds", [0.0, -0.5])
def test_what_was_early_counts_as_nothing(seconds: float) -> None:
    counter = HistogramCounter(LAG_BUCKETS_S, LAG_STEP_S)
    counter.observe(seconds)
    assert (counter.counts[0], counter.sum_s) == (1, 0.0)


@pytest.mark.parametrize(("bounds", "step_s"), KINDS)
def test_all_bounds_are_multiples_of_the_step(bounds: tuple[float, ...], step_s: float) -> None:
    for bound in bounds:
        assert bound / step_s == pytest.approx(round(bound / step_s))
