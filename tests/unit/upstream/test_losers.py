"""How long losers run on; through a whole pool: test_pool.py."""

import pytest

from hedgerow.core.outcomes import Failure
from hedgerow.upstream.connection import UpstreamConnection
from hedgerow.upstream.losers import ENDED_AT_ONCE, GRACE_IS_OVER, Losers
from support.attempts import make_attempt
from support.fake_network import VirtualLoop
from support.one_connection import OneConnection

GRACE_S = 1.0


class Bench:
    """Losers by name."""

    def __init__(self) -> None:
        self.world = VirtualLoop()
        pool = OneConnection().pool
        self.connections = {name: UpstreamConnection(pool, make_attempt(), None) for name in "abc"}
        self.ended: list[tuple[str, float]] = []
        self.fails = False
        self.began_at = self.world.clock.now
        self.losers = Losers(GRACE_S, self.world.loop, self.end)

    def name_of(self, connection: UpstreamConnection | None) -> str:
        (name,) = (name for name, one in self.connections.items() if one is connection)
        return name

    def end(self, connection: UpstreamConnection, failure: Failure) -> None:
        assert failure is GRACE_IS_OVER
        self.ended.append((self.name_of(connection), round(self.world.clock.now - self.began_at, 2)))
        if self.fails:
            self.fails = False
            raise ZeroDivisionError

    def add(self, *names: str) -> None:
        for name in names:
            self.losers.add(self.connections[name])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_each_has_its_grace(bench: Bench) -> None:
    bench.add("a")
    bench.world.run_for(0.4)
    bench.add("b", "c")
    bench.losers.discard(bench.connections["c"])
    bench.world.run_for(3.0)
    assert bench.ended == [("a", 1.0), ("b", 1.4)]
    assert len(bench.losers) == 0
    assert len(bench.world.loop.deadlines) == 0


def test_of_many_whose_grace_is_over_together_some_are_ended_at_a_time(bench: Bench) -> None:
    """An upstream that falls silent leaves thousands, and what else is due must not wait for the last of them."""
    pool = OneConnection().pool
    bench.connections = {
        str(number): UpstreamConnection(pool, make_attempt(), None) for number in range(3 * ENDED_AT_ONCE)
    }
    bench.add(*bench.connections)
    bench.world.clock.now += GRACE_S + 0.01
    numbers = []
    for _ in range(4):
        bench.world.loop.run_once(0)
        numbers.append(len(bench.ended))
    assert numbers == [ENDED_AT_ONCE, 2 * ENDED_AT_ONCE, 3 * ENDED_AT_ONCE, 3 * ENDED_AT_ONCE]


def test_the_oldest_is_known(bench: Bench) -> None:
    assert bench.losers.oldest_since == float("inf")
    assert bench.losers.pop_oldest() is None
    bench.add("a")
    bench.world.run_for(0.4)
    bench.add("b")
    assert bench.losers.oldest_since == bench.began_at
    assert bench.name_of(bench.losers.pop_oldest()) == "a"
    bench.world.run_for(3.0)
    assert bench.ended == [("b", 1.4)]


def test_an_internal_error_on_the_way_of_one_does_not_spare_the_others(bench: Bench) -> None:
    bench.add("a", "b")
    bench.fails = True
    bench.world.run_for(1.1)
    assert [name for name, _ in bench.ended] == ["a", "b"]
    assert bench.world.internal_errors == 1
