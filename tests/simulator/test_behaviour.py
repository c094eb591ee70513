import math

import pytest

from hedgerow_simulator import Behaviour, BehaviourError


def test_the_defaults_resemble_the_reference_upstream() -> None:
    behaviour = Behaviour()
    assert behaviour.latency_ms == (100, 600)
    assert behaviour.rates() == {
        "error-rate": 0.10,
        "too-many-rate": 0.02,
        "malformed-rate": 0.02,
        "reset-rate": 0.01,
        "hang-rate": 0.01,
        "drip-rate": 0,
    }


def test_malformed_is_shared_equally() -> None:
    shares = Behaviour(malformed_rate=0.3).shares()
    assert shares["truncated"] == shares["not_json"] == shares["wrong_type"] == pytest.approx(0.1)


def test_faultless_has_no_shares() -> None:
    assert set(Behaviour.faultless(latency_ms=5).shares().values()) == {0}
    assert Behaviour.faultless(latency_ms=5).latency_ms == (5, 5)
    assert Behaviour.faultless(latency_ms=(5, 9)).latency_ms == (5, 9)


@pytest.mark.parametrize("rate", [-0.01, 1.01, math.nan, math.inf])
def test_a_rate_outside_0_to_1_is_refused_by_its_name(rate: float) -> None:
    with pytest.raises(BehaviourError, match="hang-rate"):
        Behaviour(hang_rate=rate)


@pytest.mark.parametrize("span", [(-1, 5), (6, 5), (0, 120_001)])
def test_a_bad_latency_is_refused(span: tuple[int, int]) -> None:
    with pytest.raises(BehaviourError, match="latency-ms"):
        Behaviour(latency_ms=span)


def test_rates_that_add_up_to_more_than_1_are_rejected_and_all_named() -> None:
    with pytest.raises(BehaviourError, match=r"add up to 1\.06 \(error-rate 1, too-many-rate 0\.02, "):
        Behaviour(error_rate=1)


def test_rates_may_add_up_to_1_in_spite_of_binary_rounding() -> None:
    Behaviour(
        error_rate=0.1, too_many_rate=0.2, malformed_rate=0.3, reset_rate=0.1, hang_rate=0.2, drip_rate=0.1
    )
