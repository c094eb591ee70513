"""Which connection makes way when there are as many as may be; of one pool alone: test_pool.py."""

from pathlib import Path

from hedgerow.admission.controller import AdmissionController
from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.processes.descriptor_sharing import DescriptorSharing
from hedgerow.settings import DescriptorBudget
from hedgerow.upstream.connection_budget import ConnectionBudget
from support.upstream_bench import MakeBench


def test_it_is_full_with_as_many_as_there_may_be() -> None:
    seen: list[bool] = []
    for in_use in (1, 2, 3):
        budget = ConnectionBudget(2)
        budget.in_use = in_use
        seen += [budget.is_full, budget.make_room()]
    assert seen == [False, False, True, False, True, False]


def test_what_makes_way_frees_its_descriptor_at_once(make_bench: MakeBench) -> None:
    """It was freed when the iteration ended: of 256 clients that came in one, 51 could be accepted."""
    bench = make_bench(max_connections=2)
    bench.idle_connections(2)
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    assert bench.budget.make_room()
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before - 1


def test_a_pooled_connection_makes_way_for_a_client(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.idle_connections(3)
    shared = DescriptorBudget(max_in_flight=5, max_clients=9, max_rejected=0, attempts=1, connections=10)
    sharing = DescriptorSharing(shared, AdmissionController(5), bench.budget, lambda: None)
    for clients, in_use, is_full in ((7, 3, True), (8, 2, True), (7, 2, False)):
        sharing.set_clients(clients)
        assert (bench.budget.in_use, bench.counts, bench.budget.is_full) == (
            in_use,
            {"idle": in_use},
            is_full,
        )


def test_u01_with_every_connection_in_use_an_idle_one_to_another_endpoint_makes_way(
    make_bench: MakeBench,
) -> None:
    """An admitted request is never short of its hedges; the idle connection goes before the loser."""
    bench = make_bench(addresses=2, max_connections=3)
    attempts = [bench.send_to(0) for _ in range(3)]
    peers = [bench.accept(0) for _ in range(3)]
    assert [peer.request() for peer in peers] == [1, 1, 1]
    peers[2].answer()
    bench.until(lambda: bench.counts == {"active": 2, "idle": 1})
    first, loser = (attempt for attempt in attempts if attempt.outcome is None)
    bench.abandon(loser)
    first.request.tried = [bench.endpoint(0)]
    hedge = bench.send(2, first.request)
    assert bench.counts == {"active": 2, "connecting": 1, "loser": 1}
    bench.exchange(bench.accept(1), hedge)


def test_m14_pools_of_one_worker_share_their_bound(make_bench: MakeBench) -> None:
    """What is missed least makes way, whichever pool has it: an idle connection, then the oldest loser."""
    one = make_bench(max_connections=3)
    other = make_bench(budget=one.budget)
    (idle,) = one.idle_connections(1)
    loser, later = one.send(), one.send()
    idle.request()
    assert one.budget.in_use == 2
    first = other.send()
    assert one.budget.in_use == 3
    one.abandon(loser)
    one.now += 0.1
    one.abandon(later)
    idle.answer()
    one.until(lambda: one.counts == {"idle": 1, "active": 1, "loser": 1})
    other.send()
    one.until(lambda: idle.is_left)
    assert (later.outcome, one.budget.in_use) == (None, 3)
    third = other.send()
    assert later.outcome == Failure(FailureReason.TIMEOUT, "closed: its connection was needed")
    assert (one.counts, first.outcome, third.outcome) == ({}, None, None)
    failed = other.send()
    assert failed.outcome == Failure(FailureReason.CONNECT, "all 3 connections are in use")
