"""Which worker accepts the next connection."""

import os
from collections.abc import Iterator

import pytest

from hedgerow.processes.accept_balancer import AcceptBalancer, ConnectionCounts


@pytest.fixture
def counts() -> Iterator[ConnectionCounts]:
    counts = ConnectionCounts.create(4)
    yield counts
    counts.close()


def test_a_worker_alone_accepts_everything(counts: ConnectionCounts) -> None:
    counts.set_count(2, 5_000)
    assert counts.may_accept(2)


@pytest.mark.parametrize(
    ("own", "other", "may"),
    [
        (0, 0, True),
        (1, 0, True),
        (2, 0, False),
        (32, 32, True),
        (37, 32, True),
        (38, 32, False),
        (32, 38, True),
    ],
)
def test_the_least_loaded_accepts_and_others_within_the_slack(
    counts: ConnectionCounts, own: int, other: int, may: bool
) -> None:
    counts.set_count(0, own)
    counts.set_count(1, other)
    assert counts.may_accept(0) is may


def test_a_worker_that_has_withdrawn_is_not_waited_for(counts: ConnectionCounts) -> None:
    counts.set_count(0, 10)
    counts.set_count(1, 0)
    assert not counts.may_accept(0)
    counts.withdraw(1)
    assert counts.may_accept(0)


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_taking_turns_in_any_order_comes_out_even(counts: ConnectionCounts, workers: int) -> None:
    balancers = [AcceptBalancer(counts, slot) for slot in range(workers)]
    taken = [0] * workers
    for balancer in balancers:
        balancer.set_count(0)
    for _ in range(64):  # the first one awake takes all that it may
        chosen = next(slot for slot, balancer in enumerate(balancers) if balancer.may_accept())
        taken[chosen] += 1
        balancers[chosen].set_count(taken[chosen])
    assert max(taken) <= 1.5 * min(taken)


def test_another_process_sees_the_same_numbers(counts: ConnectionCounts) -> None:
    other = ConnectionCounts(os.dup(counts.descriptor))
    other.set_count(3, 7)
    counts.set_count(0, 9)
    assert not counts.may_accept(0)
    other.close()
