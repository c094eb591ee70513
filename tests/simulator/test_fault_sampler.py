from collections import Counter
from itertools import islice
from math import sqrt

import pytest

from hedgerow_simulator import Behaviour
from hedgerow_simulator.fault_sampler import FaultSampler, Sample

DRAWS = 100_000
GOLDEN = [
    (453, "wrong_type"),
    (162, "ok"),
    (178, "truncated"),
    (409, "not_json"),
    (397, "reset"),
    (512, "error"),
    (243, "ok"),
    (267, "ok"),
]


def draws(behaviour: Behaviour, count: int, index: int = 0) -> list[Sample]:
    source = FaultSampler(behaviour, index)
    return list(islice(iter(source.next, None), count))


def test_the_same_seed_gives_the_same_draws() -> None:
    assert draws(Behaviour(seed=7), 1_000) == draws(Behaviour(seed=7), 1_000)


def test_the_draws_of_a_seed_are_the_same_in_every_version() -> None:
    """Golden values: a new Python, or a change of the code, must not change what a seed stands for."""
    assert [
        (draw.latency_ms, draw.fault.name)
        for draw in draws(Behaviour(seed=7, error_rate=0.3, malformed_rate=0.3), len(GOLDEN))
    ] == GOLDEN


def test_another_seed_and_another_worker_give_others() -> None:
    first = draws(Behaviour(seed=7), 100)
    assert first != draws(Behaviour(seed=8), 100)
    assert first != draws(Behaviour(seed=7), 100, index=1)


def test_latencies_do_not_depend_on_the_rates() -> None:
    faulty, faultless = (
        draws(Behaviour(seed=3), 500),
        draws(Behaviour.faultless(latency_ms=(100, 600), seed=3), 500),
    )
    assert [draw.latency_ms for draw in faulty] == [draw.latency_ms for draw in faultless]


def test_shares_are_kept_within_five_standard_deviations() -> None:
    behaviour = Behaviour(error_rate=0.2, malformed_rate=0.09, hang_rate=0.05, drip_rate=0.04, seed=1)
    seen = Counter(draw.fault.name for draw in draws(behaviour, DRAWS))
    shares = behaviour.shares()
    shares["ok"] = 1 - sum(shares.values())
    assert set(seen) == set(shares)
    for name, share in shares.items():
        assert seen[name] / DRAWS == pytest.approx(share, abs=5 * sqrt(share * (1 - share) / DRAWS)), name


def test_latencies_are_uniform_and_take_both_ends() -> None:
    seen = Counter(draw.latency_ms for draw in draws(Behaviour(latency_ms=(100, 109), seed=1), DRAWS))
    assert sorted(seen) == list(range(100, 110))
    for count in seen.values():
        assert count / DRAWS == pytest.approx(0.1, abs=5 * sqrt(0.1 * 0.9 / DRAWS))


def test_a_share_of_one_leaves_nothing_else() -> None:
    only = Behaviour(
        error_rate=1, too_many_rate=0, malformed_rate=0, reset_rate=0, hang_rate=0, latency_ms=(4, 4)
    )
    assert {(draw.latency_ms, draw.fault.name) for draw in draws(only, 1_000)} == {(4, "error")}
