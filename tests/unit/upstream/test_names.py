"""When a name is looked up; several names, and what becomes of connects meanwhile: test_connector.py."""

from collections.abc import Sequence
from typing import Any

import pytest

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.net.resolver import OnResult
from hedgerow.net.tcp import Address
from hedgerow.settings import Target, parse_target
from hedgerow.upstream.names import LOOKUP_PAUSE_S, Name
from support.fake_network import VirtualLoop

TTL_S = 30.0
FOUND: Sequence[Address] = [(2, 1, 6, "", ("192.0.2.1", 80))]
UNKNOWN = Failure(FailureReason.CONNECT, "name lookup: no such name")


class Bench(EventHandler):
    """A name, and a resolver that answers in the same iteration."""

    def __init__(self, url: str = "http://upstream.test/", ttl_s: float = TTL_S) -> None:
        self.world = VirtualLoop()
        self.began_at = self.world.clock.now
        self.answer: Sequence[Address] | Failure | None = FOUND
        self.asked_at: list[float] = []
        self.results: list[object] = []
        self.cancelled = 0
        self.name = Name(parse_target(url), ttl_s, self.world.loop, self, self.on_lookup)

    def look_up(self, host: str, port: int, on_result: OnResult) -> Any:
        assert (host, port) == ("upstream.test", 80)
        self.asked_at.append(round(self.world.clock.now - self.began_at, 2))
        self._on_result = on_result
        self.world.loop.wake(self)
        return self

    def resume(self) -> None:
        if self.answer is not None:
            self._on_result(self.answer)

    def cancel(self) -> None:
        self.cancelled += 1

    def on_lookup(self, target: Target, result: Sequence[Address] | Failure) -> None:
        assert target is self.name.target
        self.results.append(result)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_u04_a_name_is_looked_up_at_once_and_then_each_30_s(bench: Bench) -> None:
    bench.name.schedule()
    bench.world.run_for(95.0)
    assert bench.asked_at == [0.0, 30.0, 60.0, 90.0]
    assert bench.results == [FOUND] * 4


def test_d4_a_lookup_that_fails_is_repeated_soon(bench: Bench) -> None:
    bench.answer = UNKNOWN
    bench.name.schedule()
    bench.world.run_for(2.5 * LOOKUP_PAUSE_S)
    assert bench.asked_at == [0.0, 1.0, 2.0]


def test_u04_a_connect_that_fails_brings_the_next_lookup_forward(bench: Bench) -> None:
    bench.name.schedule()
    bench.world.run_for(0.5)
    for _ in range(5):
        bench.name.look_up_soon()
    bench.world.run_for(5.0)
    assert bench.asked_at == [0.0, 1.0]


def test_u04_it_does_not_put_off_a_lookup() -> None:
    bench = Bench(ttl_s=0.5)
    bench.name.schedule()
    bench.world.run_for(0.2)
    bench.name.look_up_soon()
    bench.world.run_for(0.4)
    assert bench.asked_at == [0.0, 0.5]


def test_u04_there_is_one_lookup_at_a_time(bench: Bench) -> None:
    bench.answer = None
    bench.name.schedule()
    assert bench.name.is_pending
    bench.world.run_for(1.5)
    bench.name.look_up_soon()
    bench.name.schedule()
    assert bench.asked_at == [0.0]


def test_an_ip_address_is_never_looked_up() -> None:
    bench = Bench("http://[2001:db8::1]/")
    assert [address[4][0] for address in bench.name.addresses] == ["2001:db8::1"]
    bench.name.schedule()
    bench.name.look_up_soon()
    bench.world.run_for(100.0)
    assert bench.asked_at == []
    assert len(bench.world.loop.deadlines) == 0


@pytest.mark.parametrize("answer", [FOUND, None])
def test_a_closed_one_is_looked_up_no_more(bench: Bench, answer: Sequence[Address] | None) -> None:
    bench.answer = answer
    bench.name.schedule()
    bench.world.run_for(1.0)
    bench.name.close()
    bench.name.look_up_soon()
    bench.world.run_for(100.0)
    assert (bench.asked_at, bench.cancelled) == ([0.0], int(answer is None))
    assert len(bench.world.loop.deadlines) == 0
