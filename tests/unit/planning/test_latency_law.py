"""The law of first attempts, of whole observations and of cut ones."""

from random import Random

import pytest

from hedgerow.planning.latency_law import MAX_FAILURE_POINTS, LatencyLaw
from hedgerow.planning.latency_sketch import CUT, FAILURE, SUCCESS
from hedgerow.planning.observations import Observations


def observed(*attempts: tuple[float, int, int]) -> LatencyLaw:
    observations = Observations()
    for latency_s, outcome, times in attempts:
        observations.observe(latency_s, outcome, times)
    return LatencyLaw(observations)


def test_shares_are_counted_where_nothing_was_cut() -> None:
    law = observed((0.1, SUCCESS, 50), (0.3, SUCCESS, 30), (0.05, FAILURE, 20))
    assert [round(law.success_by(at_s), 9) for at_s in (0.09, 0.1, 0.29, 0.3, 60.0)] == [
        0,
        0.5,
        0.5,
        0.8,
        0.8,
    ]
    assert (round(law.succeeding, 9), round(law.failing, 9)) == (0.8, 0.2)


def test_a_share_is_even_within_a_bucket() -> None:
    law = observed((0.1, SUCCESS, 1), (0.2, SUCCESS, 1))
    assert law.success_by(0.19875) == pytest.approx(0.5 + 0.5 / 2)


def test_what_was_cut_is_as_the_others_later() -> None:
    """Half of what is slower than 200 ms was cut there: the law is that of the attempts that were not."""
    law = observed((0.1, SUCCESS, 50), (0.2, CUT, 25), (0.4, SUCCESS, 20), (0.4, FAILURE, 5))
    assert law.success_by(0.3) == pytest.approx(0.5)
    assert law.success_by(0.4) == pytest.approx(0.9)
    assert law.failing == pytest.approx(0.1)


def test_cutting_at_random_changes_little() -> None:
    random = Random(7)
    whole, cut = Observations(), Observations()
    for _ in range(20_000):
        latency_s, outcome = random.uniform(0.1, 0.6), SUCCESS if random.random() < 0.9 else FAILURE
        whole.observe(latency_s, outcome)
        cut_s = random.uniform(0.0, 1.2)
        cut.observe(*((latency_s, outcome) if latency_s < cut_s else (cut_s, CUT)))
    laws = LatencyLaw(whole), LatencyLaw(cut)
    for at_s in (0.2, 0.3, 0.4, 0.5, 0.6):
        assert laws[1].success_by(at_s) == pytest.approx(laws[0].success_by(at_s), abs=0.015)


def test_reached_at_is_the_inverse() -> None:
    law = observed(*((0.1 + 0.001 * number, SUCCESS, 1) for number in range(100)), (0.5, FAILURE, 25))
    for share in (0.05, 0.4, 0.79):
        reached_s = law.reached_at(share)
        assert reached_s is not None
        assert law.success_by(reached_s) == pytest.approx(share)
    assert law.reached_at(0.81) is None


def test_nothing_is_known_of_nothing() -> None:
    law = LatencyLaw(Observations())
    assert (law.observed, law.success_by(1.0), law.reached_at(0.5), law.failures) == (0, 0.0, None, [])


def test_failures_are_condensed_and_keep_their_share_and_mean() -> None:
    law = observed((0.1, SUCCESS, 500), *((0.01 * number, FAILURE, 5) for number in range(1, 101)))
    assert 5 <= len(law.failures) <= MAX_FAILURE_POINTS + 1
    assert sum(point.share for point in law.failures) == pytest.approx(0.5)
    mean_s = sum(point.share * point.at_s for point in law.failures) / law.failing
    assert mean_s == pytest.approx(0.505, rel=0.05)
