"""Buckets are exact at round numbers and within 1.25 % elsewhere; windows forget by the clock alone."""

import sys
from itertools import pairwise
from random import Random

import pytest

from hedgerow.planning.hedge_samples import HedgeSamples
from hedgerow.planning.latency_sketch import (
    BOUNDS_S,
    BUCKETS,
    CUT,
    FAILURE,
    SLOT_S,
    SUCCESS,
    WARM,
    LatencySketch,
    bucket_of,
    quantile_of,
)


def test_a_bound_is_in_the_bucket_that_it_ends() -> None:
    assert [bucket_of(bound_s) for bound_s in BOUNDS_S] == list(range(BUCKETS - 1))
    assert [bucket_of(bound_s * 1.000001) for bound_s in BOUNDS_S] == list(range(1, BUCKETS))


@pytest.mark.parametrize("at_ms", [1, 5, 10, 100, 200, 250, 300, 350, 500, 800, 1_000, 1_250, 2_000, 60_000])
def test_round_numbers_are_bounds(at_ms: int) -> None:
    assert BOUNDS_S[bucket_of(at_ms / 1000)] == at_ms / 1000


def test_the_middle_of_a_bucket_is_off_by_at_most_1_25_per_cent() -> None:
    for below_s, bound_s in pairwise(BOUNDS_S):
        assert (bound_s - below_s) / 2 <= 0.0125 * below_s * 1.000001


@pytest.mark.parametrize("latency_s", [-1.0, 0.0, 1e-9])
def test_what_is_not_above_nothing_is_in_the_first_bucket(latency_s: float) -> None:
    assert bucket_of(latency_s) == 0


def counted(sketch: LatencySketch, window: str, now: float) -> tuple[int, int, int]:
    successes, failures, cuts, _ = sketch.counts(window, now)
    return sum(successes), sum(failures), sum(cuts)


def test_outcomes_are_counted_apart() -> None:
    sketch = LatencySketch()
    for outcome in (SUCCESS, SUCCESS, SUCCESS, FAILURE, FAILURE, CUT):
        sketch.observe(0.123, outcome, 1_000.0)
    assert counted(sketch, "minute", 1_000.0) == (3, 2, 1)
    successes, failures, cuts, _ = sketch.counts("day", 1_000.0)
    assert (successes[bucket_of(0.123)], failures[49], cuts[49]) == (3, 2, 1)


@pytest.mark.parametrize(
    ("window", "length_s", "least_s"), [("minute", 60, 40), ("hour", 3_600, 2_880), ("day", 86_400, 64_800)]
)
def test_a_window_forgets_by_the_clock(window: str, length_s: float, least_s: float) -> None:
    """Whatever comes in between: silence, or traffic."""
    for busy in (False, True):
        for began_at in (0.0, 17.3, 123_456.7):
            sketch = LatencySketch()
            sketch.observe(0.1, SUCCESS, began_at)
            now = began_at
            while now < began_at + least_s:
                assert counted(sketch, window, now)[0] >= 1
                now += length_s / 7
                if busy:
                    sketch.observe(0.1, FAILURE, min(now, began_at + least_s))
            assert counted(sketch, window, began_at + least_s - 1e-6)[0] == 1
            assert counted(sketch, window, began_at + length_s + 1e-6)[0] == 0


def test_every_observation_is_in_each_window_once() -> None:
    sketch, random, now, times = LatencySketch(), Random(5), 50.0, []
    for _ in range(3_000):
        now += random.expovariate(1 / 5)
        sketch.observe(random.uniform(0.01, 2), random.choice((SUCCESS, FAILURE, CUT)), now)
        times.append(now)
    for window, width_s, slots in (("minute", 20, 3), ("hour", 720, 5), ("day", 21_600, 4)):
        began_at = (now // width_s - slots + 1) * width_s
        assert sum(counted(sketch, window, now)) == sum(at >= began_at for at in times)


def test_the_length_of_a_window_is_what_was_observed() -> None:
    sketch = LatencySketch()
    assert sketch.counts("hour", 100.0)[3] == 0.0
    sketch.observe(0.1, SUCCESS, 100.0)
    assert sketch.counts("hour", 110.0)[3] == pytest.approx(10)
    assert 40 <= sketch.counts("minute", 10_000.0)[3] <= 60


def test_a_quantile_is_of_the_last_minute_and_none_until_it_is_warm() -> None:
    sketch = LatencySketch()
    assert sketch.quantile(0.95, 0.0) is None
    for number in range(WARM):
        assert sketch.quantile(0.95, 10.0 + number * 2 * SLOT_S / WARM / 4) is None
        sketch.observe((number + 1) / 100, SUCCESS, 10.0)
    assert sketch.quantile(0.95, 30.0) == pytest.approx(0.95, rel=0.0125)
    assert sketch.quantile(0.95, 200.0) is None


def test_a_quantile_is_kept_for_a_second() -> None:
    sketch = LatencySketch()
    for _ in range(2 * WARM):
        sketch.observe(0.1, SUCCESS, 10.0)
    first = sketch.quantile(0.9, 10.0)
    for _ in range(20 * WARM):
        sketch.observe(1.0, SUCCESS, 10.5)
    assert sketch.quantile(0.9, 10.9) == first
    assert sketch.quantile(0.9, 11.1) == pytest.approx(1.0, rel=0.0125)
    assert sketch.quantile(0.01, 11.1) == pytest.approx(0.1, rel=0.0125)


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile_of([0] * (BUCKETS - 1) + [WARM], 0.5) == 60.0


def test_what_a_worker_keeps_for_a_route_takes_less_than_64_kib() -> None:
    sketch, samples = LatencySketch(), HedgeSamples()
    for number in range(500):
        sketch.observe(0.1, SUCCESS, number * 20.0)
        samples.add(0.3, [(0.4, SUCCESS)] * 3, number * 20.0)
    assert size_of([sketch, samples]) < 64 * 1024


def size_of(root: object) -> int:
    seen: dict[int, object] = {}
    left = [root]
    while left:
        found = left.pop()
        if id(found) in seen or isinstance(found, type):
            continue
        seen[id(found)] = found
        if isinstance(found, list | tuple):
            left += found
        for name in getattr(type(found), "__slots__", ()):
            left.append(getattr(found, name))
    return sum(map(sys.getsizeof, seen.values()))
