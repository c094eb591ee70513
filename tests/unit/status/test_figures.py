"""Figures are rounded, and nothing is none."""

from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.status.figures import per_s, quantile_ms, rate, ratio
from hedgerow.telemetry.snapshot import BUCKETS_S
from support.histograms import histogram

SHORT = st.floats(min_value=0, max_value=12)


def test_nothing_has_no_share_and_no_quantile() -> None:
    assert (rate(0, 0), ratio(0, 0), per_s(0, 0.0), quantile_ms(0.5, (0.1,), [0, 0])) == (
        None,
        None,
        0.0,
        None,
    )


@pytest.mark.parametrize(("part", "whole", "share"), [(1, 3, 0.3333), (3, 3, 1.0), (0, 9, 0.0)])
def test_a_share_has_four_digits(part: int, whole: int, share: float) -> None:
    assert rate(part, whole) == share


def test_others_have_one_or_two() -> None:
    assert (ratio(5, 3), per_s(10, 3.0), quantile_ms(0.5, (0.1, 0.2), [0, 3, 0])) == (1.67, 3.3, 150.0)


@given(st.lists(SHORT, min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    found = quantile_ms(share, BUCKETS_S, histogram(*values).counts)
    assert found is not None
    true = sorted(values)[min(int(-(-share * len(values) // 1)), len(values)) - 1]
    above = [bound for bound in BUCKETS_S if bound >= true]
    below = [bound for bound in BUCKETS_S if bound < true]
    assert (below[-1] if below else 0.0) * 1000 - 0.1 <= found
    assert found <= (above[0] if above else BUCKETS_S[-1]) * 1000 + 0.1


def test_a_quantile_of_evenly_spread_values_is_near_the_true_one() -> None:
    values = [0.1 + 0.5 * n / 1000 for n in range(1000)]
    found = quantile_ms(0.99, BUCKETS_S, histogram(*values).counts)
    assert found == pytest.approx(quantiles(values, n=100)[98] * 1000, abs=2.0)
