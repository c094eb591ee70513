"""H01, H02: what holding does before an upstream of 100 workers (286 requests/s without hedging), in virtual time.

The scenarios are those of C18, a fifth as long. The figures of 120 s are in docs/decisions/0027-hold.md.
"""

import pytest

from hedgerow.core.hedge_limit import HedgeLimit
from hedgerow_simulator.capacity import Capacity, Disturbance
from support.finite_upstream import HEDGE_DELAY_S, Run, Scenario

DIP_S = 12


def dipped(share: float = 0.5, **more: int) -> Capacity:
    return Capacity(workers=100, dips=(Disturbance(DIP_S, 5.0, share),), **more)  # type: ignore[arg-type]


def held(scenario: Scenario, for_s: int = 30) -> Run:
    return Run(scenario, lambda: HedgeLimit(HEDGE_DELAY_S, holds=True)).play(for_s)


def free(scenario: Scenario, for_s: int = 30) -> Run:
    return Run(scenario, None).play(for_s)


def without(scenario: Scenario, for_s: int = 30) -> Run:
    return Run(scenario, None, hedges=0).play(for_s)


def test_a_healthy_upstream_gets_every_hedge() -> None:
    scenario = Scenario(57)
    held_run, free_run = held(scenario, 15), free(scenario, 15)
    assert held_run.seconds == free_run.seconds
    assert held_run.good_share(1, 14) > 0.98
    assert held_run.attempts_per_request(1, 14) == pytest.approx(2.28, rel=0.03)


def test_a_dip_ends_with_itself_where_hedges_are_held() -> None:
    scenario = Scenario(100, dipped())
    held_run, free_run, alone = held(scenario), free(scenario), without(scenario)
    assert held_run.good_share(4, DIP_S) > 0.97
    assert held_run.good_share(22, 29) > 0.97, "good again within 5 s"
    assert alone.good_share(22, 29) < 0.93
    assert free_run.good_share(22, 29) < 0.5, "it never recovers"


@pytest.mark.exhaustive
def test_before_a_loaded_upstream_as_many_hedges_are_sent_as_do_good() -> None:
    scenario = Scenario(171)
    held_run, alone = held(scenario), without(scenario)
    assert held_run.good_share(8, 29) > alone.good_share(8, 29) + 0.02
    assert 1.3 < held_run.attempts_per_request(8, 29) < 1.8
    assert free(scenario).good_share(8, 29) < 0.05


@pytest.mark.exhaustive
def test_an_upstream_near_its_capacity_is_left_alone() -> None:
    scenario = Scenario(229, dipped())
    held_run, alone = held(scenario, 40), without(scenario, 40)
    assert held_run.good_share(8, DIP_S) > alone.good_share(8, DIP_S) - 0.02
    assert held_run.good_share(30, 39) > alone.good_share(30, 39) - 0.02


@pytest.mark.exhaustive
def test_three_times_slower_for_a_while() -> None:
    scenario = Scenario(171, Capacity(workers=100, slow=(Disturbance(DIP_S, 5.0, 3.0),)))
    held_run, alone = held(scenario, 40), without(scenario, 40)
    assert held_run.good_share(30, 39) > alone.good_share(30, 39) - 0.01
    assert held_run.good_share(DIP_S, 39) > alone.good_share(DIP_S, 39) - 0.1


@pytest.mark.exhaustive
def test_a_gateway_restarted_in_the_dip_is_not_deceived() -> None:
    scenario = Scenario(143, dipped(), gateways=8, restart_at_s=DIP_S + 4.0)
    held_run, free_run = held(scenario, 40), free(scenario, 40)
    assert held_run.good_share(32, 39) > 0.95
    assert free_run.good_share(32, 39) < 0.05


@pytest.mark.exhaustive
def test_a_bounded_queue_that_rejects_is_no_way_out_either() -> None:
    scenario = Scenario(171, dipped(queue=143))
    held_run, alone = held(scenario, 40), without(scenario, 40)
    assert held_run.good_share(30, 39) > alone.good_share(30, 39)
    assert free(scenario, 40).good_share(30, 39) < 0.5


@pytest.mark.exhaustive
def test_quick_answers_of_a_cache_hide_nothing() -> None:
    """Half of the requests never reach the bottleneck: the sign of the first attempts alone would see no harm."""
    scenario = Scenario(286, dipped(), cached=0.5)
    held_run, free_run = held(scenario, 40), free(scenario, 40)
    assert held_run.good_share(30, 39) > 0.97
    assert free_run.good_share(30, 39) < 0.6
    assert sum(limit.halvings_stuck for limit in held_run.limits if limit is not None) > 0


@pytest.mark.exhaustive
def test_an_upstream_that_is_slow_by_nature_gets_its_hedges() -> None:
    """A fifth of its answers come before the hedge delay."""
    scenario = Scenario(285, Capacity(workers=500), service_s=(0.2, 0.7))
    assert held(scenario, 15).attempts_per_request(1, 14) > 2.6


@pytest.mark.exhaustive
def test_a_ceiling_does_it_without_any_sign() -> None:
    run = Run(Scenario(171), lambda: HedgeLimit(HEDGE_DELAY_S, holds=False, ceiling=100)).play(30)
    assert run.good_share(8, 29) > 0.92


@pytest.mark.exhaustive
def test_an_upstream_that_always_needs_longer_than_the_hedge_delay_is_held() -> None:
    """What it cannot do (docs/explanation/hold.md): it takes that for nearly all requests being late."""
    run = held(Scenario(57, service_s=(0.4, 0.7)), 15)
    assert run.attempts_per_request(4, 14) < 1.1
