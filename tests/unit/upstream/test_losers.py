"""How long losers run on; through a whole pool: test_pool.py."""

from typing import Any

import pytest

from hedgerow.core.outcomes import Failure
from hedgerow.upstream.losers import GRACE_IS_OVER, Losers
from support.fake_network import VirtualLoop

GRACE_S = 1.0


class Bench:
    def __init__(self) -> None:
        self.world = VirtualLoop()
        self.ended: list[tuple[str, float]] = []
        self.fails = False
        self.began_at = self.world.clock.now
        self.losers = Losers(GRACE_S, self.world.loop, self.end)

    def end(self, connection: Any, failure: Failure) -> None:
        assert failure is GRACE_IS_OVER
        self.ended.append((connection, round(self.world.clock.now - self.began_at, 2)))
        if self.fails:
            self.fails = False
            raise ZeroDivisionError

    def add(self, *names: Any) -> None:
        for name in names:
            self.losers.add(name)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_each_has_its_grace(bench: Bench) -> None:
    bench.add("a")
    bench.world.run_for(0.4)
    bench.add("b", "c")
    bench.losers.discard("c")  # type: ignore[arg-type]
    bench.world.run_for(3.0)
    assert bench.ended == [("a", 1.0), ("b", 1.4)]
    assert len(bench.losers) == 0
    assert len(bench.world.loop.deadlines) == 0


def test_the_oldest_is_known(bench: Bench) -> None:
    assert bench.losers.oldest_since == float("inf")
    assert bench.losers.pop_oldest() is None
    bench.add("a")
    bench.world.run_for(0.4)
    bench.add("b")
    assert bench.losers.oldest_since == bench.began_at
    assert str(bench.losers.pop_oldest()) == "a"
    bench.world.run_for(3.0)
    assert bench.ended == [("b", 1.4)]


def test_an_internal_error_on_the_way_of_one_does_not_spare_the_others(bench: Bench) -> None:
    bench.add("a", "b")
    bench.fails = True
    bench.world.run_for(1.1)
    assert [name for name, _ in bench.ended] == ["a", "b"]
    assert bench.world.internal_errors == 1
