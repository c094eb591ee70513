"""TCP to several addresses, in virtual time: each instant is exact."""

import gc
from collections.abc import Iterator
from errno import ENOSPC
from typing import Any

import pytest

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.eventloop.poller import READABLE
from hedgerow.net.stream import Stream
from hedgerow.net.tcp import LOCAL_ERRORS, Address
from hedgerow.settings import UpstreamLimits, parse_target
from hedgerow.settings.routes import UpstreamRule
from hedgerow.upstream import connecting
from hedgerow.upstream.connecting import MAX_SOCKETS, Connecting
from hedgerow.upstream.connection_budget import MAX_PARALLEL_CONNECTS, ConnectionBudget
from hedgerow.upstream.connector import Connector
from hedgerow.upstream.endpoint import Endpoint
from hedgerow.upstream.endpoints import UNREACHABLE_S, Endpoints
from support.fake_network import Network, VirtualLoop

TARGET = parse_target("http://upstream.test/")


def address(host: str) -> Address:
    return (2, 1, 6, "", (host, 80))


class Bench:
    """A connector whose name has the addresses of the test's, and what its connects came to."""

    def __init__(self, world: VirtualLoop, network: Network) -> None:
        self.world = world
        self.network = network
        self.budget = ConnectionBudget(100)
        self.results: list[tuple[object, str | None, float]] = []
        self.started_at = world.clock.now

    def connector(self, hosts: str, **limits: float) -> Connector:
        rule = UpstreamRule(name="test", endpoints=(TARGET,))
        endpoints = Endpoints(rule.endpoints, "round_robin", rule.outlier_detection)
        connector = Connector(
            rule,
            endpoints,
            UpstreamLimits(**limits),  # type: ignore[arg-type]
            self.world.loop,
            NoResolver(),
            self.budget,
            open_socket=self.network.open_socket,
        )
        endpoints.replace(TARGET, [address(host) for host in hosts])
        connector.close()  # no lookups here
        return connector

    def connect(self, connector: Connector, tried: str = "") -> Connecting:
        before = len(self.results)
        known = connector.endpoints.all
        started = connector.connect(None, [one for one in known if one.address[4][0] in tried], self.on_done)
        assert len(self.results) == before, "reported before connect had returned"
        return started

    def on_done(self, result: Stream | Failure, to: Endpoint | None) -> None:
        took_s = round(self.world.clock.now - self.started_at, 3)
        self.results.append((result, None if to is None else to.address[4][0], took_s))
        if isinstance(result, Stream):
            fd = result.sock.fileno()
            assert self.world.poller.registered[fd] == READABLE
            self.world.loop.unregister(fd)
            result.close()

    def finish(self) -> tuple[object, str | None, float]:
        self.world.run_until(lambda: bool(self.results))
        (only,) = self.results
        return only


class NoResolver:
    def look_up(self, *_: object) -> Any:
        raise AssertionError


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Afterwards no socket, deadline or registration of it may be left, nor an internal error."""
    world = VirtualLoop()
    network = Network(world)
    registered = dict(world.poller.registered)
    bench = Bench(world, network)
    yield bench
    world.loop.run_once(0)
    assert world.internal_errors == 0
    assert bench.budget.parallel_connects == 0
    assert network.open == []
    assert world.poller.registered == registered
    assert len(world.loop.deadlines) == 0


# -- one address


def test_a_connect_gives_its_stream_registered_for_reading_by_two_epoll_ctl(bench: Bench) -> None:
    bench.network.connects("a", 0.02)
    bench.world.poller.calls.clear()
    bench.connect(bench.connector("a"))
    result, to, took_s = bench.finish()
    assert isinstance(result, Stream)
    assert (to, took_s) == ("a", 0.02)
    assert bench.world.poller.calls == ["register", "modify", "unregister"], "the last one is the test's"


@pytest.mark.parametrize("after_s", [-1.0, 0.02])
def test_a_refused_connect_is_reported_with_the_reason(bench: Bench, after_s: float) -> None:
    bench.network.refuses("a", after_s)
    bench.connect(bench.connector("a"))
    assert bench.finish() == (Failure(FailureReason.CONNECT, "Connection refused"), "a", max(after_s, 0.0))


def test_an_address_that_cannot_be_reached_fails_the_attempt_at_once(bench: Bench) -> None:
    bench.network.unreachable("a")
    bench.connect(bench.connector("a"))
    assert bench.finish() == (Failure(FailureReason.CONNECT, "Network is unreachable"), "a", 0.0)


def test_without_a_descriptor_the_attempt_fails_at_once(bench: Bench) -> None:
    bench.network.no_descriptor = True
    bench.connect(bench.connector("ab"))
    result, _, took_s = bench.finish()
    assert (result, took_s) == (Failure(FailureReason.CONNECT, "Too many open files"), 0.0)


def test_connecting_is_bounded(bench: Bench) -> None:
    bench.network.hangs("a")
    bench.connect(bench.connector("a", connect_timeout_s=0.05))
    assert bench.finish() == (Failure(FailureReason.CONNECT, "no connection within 0.05 s (TCP)"), "a", 0.05)


def test_a_connect_that_succeeds_as_its_time_is_over_succeeds(bench: Bench) -> None:
    bench.network.connects("a", 0.05)
    bench.connect(bench.connector("a", connect_timeout_s=0.05))
    assert isinstance(bench.finish()[0], Stream)


# -- several addresses


def test_u01_a_first_address_that_connects_has_no_rival(bench: Bench) -> None:
    bench.network.connects("a", 0.249)
    bench.network.connects("b")
    bench.connect(bench.connector("ab"))
    assert bench.finish()[1:] == ("a", 0.249)
    assert bench.network.attempts == [("a", 0.0)]


def test_u01_the_next_address_is_tried_250_ms_later_where_the_first_does_not_answer(bench: Bench) -> None:
    bench.network.hangs("a")
    bench.network.connects("b", 0.01)
    bench.connect(bench.connector("ab"))
    assert bench.finish()[1:] == ("b", 0.26)
    assert bench.network.attempts == [("a", 0.0), ("b", 0.25)]


def test_u01_the_next_address_is_tried_at_once_where_the_first_refuses(bench: Bench) -> None:
    bench.network.refuses("a", 0.01)
    bench.network.connects("b", 0.01)
    bench.connect(bench.connector("ab"))
    assert bench.finish()[1:] == ("b", 0.02)
    assert bench.network.attempts == [("a", 0.0), ("b", 0.01)]


def test_u01_an_address_that_fails_as_it_is_tried_costs_no_time(bench: Bench) -> None:
    bench.network.unreachable("a")
    bench.network.connects("b", 0.01)
    bench.connect(bench.connector("ab"))
    assert bench.finish()[1:] == ("b", 0.01)


def test_u01_the_first_address_may_still_connect_after_its_head_start(bench: Bench) -> None:
    bench.network.connects("a", 0.3)
    bench.network.connects("b", 0.1)
    bench.connect(bench.connector("ab"))
    assert bench.finish()[1:] == ("a", 0.3)


def test_u01_two_that_connect_in_one_iteration_are_one_connection(bench: Bench) -> None:
    bench.network.connects("a", 0.35)
    bench.network.connects("b", 0.1)
    bench.connect(bench.connector("ab"))
    assert bench.finish()[1:] == ("a", 0.35)
    bench.world.run_for(1.0)
    assert len(bench.results) == 1


def test_u01_a_first_address_that_refuses_late_leaves_the_second_alone(bench: Bench) -> None:
    bench.network.refuses("a", 0.3)
    bench.network.connects("b", 0.2)
    bench.network.connects("c")
    bench.connect(bench.connector("abc"))
    assert bench.finish()[1:] == ("b", 0.45)
    assert bench.network.attempts == [("a", 0.0), ("b", 0.25)]


def test_u01_a_second_address_that_refuses_gives_its_turn_to_the_third(bench: Bench) -> None:
    bench.network.hangs("a")
    bench.network.refuses("b", 0.05)
    bench.network.connects("c", 0.05)
    bench.connect(bench.connector("abc"))
    assert bench.finish()[1:] == ("c", 0.35)
    assert bench.network.attempts == [("a", 0.0), ("b", 0.25), ("c", 0.3)]


@pytest.mark.parametrize("last", ["refuses", "unreachable"])
def test_u01_where_only_earlier_addresses_are_left_they_are_waited_for(bench: Bench, last: str) -> None:
    bench.network.connects("a", 0.9)
    getattr(bench.network, last)("b")
    bench.connect(bench.connector("ab"))
    assert bench.finish()[1:] == ("a", 0.9)


@pytest.mark.parametrize(
    ("first", "second", "text", "took_s"),
    [
        ("refuses", "refuses", "Connection refused", 0.002),
        ("refuses", "hangs", "no connection within 0.5 s (TCP)", 0.5),
        ("hangs", "refuses", "no connection within 0.5 s (TCP)", 0.5),
        ("hangs", "hangs", "no connection within 0.5 s (TCP)", 0.5),
        ("hangs", "unreachable", "no connection within 0.5 s (TCP)", 0.5),
        ("unreachable", "hangs", "no connection within 0.5 s (TCP)", 0.5),
    ],
)
def test_u01_when_no_address_answers_the_attempt_fails_and_says_why(
    bench: Bench, first: str, second: str, text: str, took_s: float
) -> None:
    getattr(bench.network, first)("a")
    getattr(bench.network, second)("b")
    bench.connect(bench.connector("ab", connect_timeout_s=0.5))
    result, _, took = bench.finish()
    assert (result, took) == (Failure(FailureReason.CONNECT, text), took_s)


def test_u01_an_earlier_address_that_refuses_last_ends_the_connect(bench: Bench) -> None:
    bench.network.refuses("a", 0.4)
    bench.network.refuses("b", 0.01)
    bench.connect(bench.connector("ab"))
    assert bench.finish() == (Failure(FailureReason.CONNECT, "Connection refused"), "b", 0.4)


def test_one_connect_has_a_bounded_number_of_sockets(bench: Bench) -> None:
    for host in "abcdef":
        bench.network.hangs(host)
    bench.connect(bench.connector("abcdef"))
    most = 0
    while not bench.results:
        bench.world.loop.run_once(0.1)
        most = max(most, len(bench.network.open))
    assert most == MAX_SOCKETS
    assert [host for host, _ in bench.network.attempts] == ["a", "b", "c"]


@pytest.mark.parametrize(("refuses_at_s", "tried_at_s"), [(0.6, 0.75), (0.75, 0.75), (0.9, 0.9)])
def test_where_one_of_three_sockets_fails_the_next_address_is_tried_once_the_newest_had_its_head_start(
    bench: Bench, refuses_at_s: float, tried_at_s: float
) -> None:
    for host in "bc":
        bench.network.hangs(host)
    bench.network.refuses("a", refuses_at_s)
    bench.network.connects("d", 0.01)
    bench.connect(bench.connector("abcd"))
    assert bench.finish()[1:] == ("d", tried_at_s + 0.01)
    assert bench.network.attempts[-1] == ("d", tried_at_s)


def test_u03_each_address_that_does_not_answer_fails_once(bench: Bench) -> None:
    for host in "abcd":
        bench.network.hangs(host)
    bench.network.unreachable("e")
    for hosts, failures in (("ab", [1, 1]), ("ae", [1, 1]), ("abcd", [1, 1, 1, 0])):
        connector = bench.connector(hosts)
        bench.results.clear()
        bench.connect(connector)
        bench.finish()
        assert [endpoint.failures for endpoint in connector.endpoints.all] == failures


def test_m14_all_connects_together_have_a_bounded_number_of_further_sockets(bench: Bench) -> None:
    """Each counts as one of the worker's connections. With three each other routes had no descriptors."""
    number = 3 * MAX_PARALLEL_CONNECTS
    for host in "abc":
        bench.network.hangs(host)
    bench.network.connects("d", 0.01)
    connector = bench.connector("abcd")
    for _ in range(number):
        connector.connect(connector.endpoints.all[0], [], bench.on_done)
    most = 0
    while len(bench.results) < number - MAX_PARALLEL_CONNECTS:
        bench.world.loop.run_once(0.1)
        most = max(most, len(bench.network.open))
    assert most == number + (MAX_SOCKETS - 1) * MAX_PARALLEL_CONNECTS
    assert {(to, took_s) for _, to, took_s in bench.results} == {("d", 0.76)}
    bench.world.run_for(3.0)
    assert {(to, took_s) for _, to, took_s in bench.results[-MAX_PARALLEL_CONNECTS:]} == {("c", 3.0)}


@pytest.mark.parametrize("next_one", ["connects", "unreachable"])
def test_where_no_further_socket_may_be_open_the_next_address_is_tried_in_place_of_the_first(
    bench: Bench, next_one: str
) -> None:
    bench.network.connects("a", 0.3)
    getattr(bench.network, next_one)("b")
    for _ in range(MAX_PARALLEL_CONNECTS):
        assert bench.budget.begin_parallel_connect()
    bench.connect(bench.connector("ab"))
    bench.world.run_until(lambda: len(bench.network.attempts) == 2)
    assert len(bench.network.open) == 1
    assert bench.finish()[1:] == (("b", 0.251) if next_one == "connects" else ("a", 0.3))
    for _ in range(MAX_PARALLEL_CONNECTS):
        bench.budget.end_parallel_connect()


def test_without_a_descriptor_for_the_next_address_the_others_are_left_for_later(bench: Bench) -> None:
    bench.network.refuses("a", 0.5)
    bench.network.connects("c", 0.01)
    bench.connect(bench.connector("abc"))
    bench.world.run_for(0.2)
    bench.network.no_descriptor = True
    bench.world.run_for(0.2)
    bench.network.no_descriptor = False
    assert bench.finish()[1:] == ("c", 0.51)
    assert bench.network.attempts == [("a", 0.0), ("c", 0.5)]


def test_all_addresses_together_have_one_deadline(bench: Bench) -> None:
    bench.network.hangs("a")
    bench.network.hangs("b")
    bench.connect(bench.connector("ab", connect_timeout_s=0.1, happy_eyeballs_delay_s=0.25))
    assert bench.finish()[2] == 0.1
    assert bench.network.attempts == [("a", 0.0)]


# -- what is learnt about addresses


def test_u01_after_a_refusal_connects_go_to_the_other_address_at_once(bench: Bench) -> None:
    """`localhost` where only one family listens: no connection churn, no delay."""
    bench.network.refuses("a")
    bench.network.connects("b")
    connector = bench.connector("ab")
    for _ in range(5):
        bench.connect(connector)
        bench.world.run_for(0.1)
    assert [host for host, _ in bench.network.attempts] == ["a", "b", "b", "b", "b", "b"]


def test_u01_while_an_address_does_not_answer_only_the_first_connects_wait_for_it(bench: Bench) -> None:
    bench.network.hangs("a")
    bench.network.connects("b")
    connector = bench.connector("ab")
    for _ in range(5):
        bench.connect(connector)
        bench.world.run_for(0.3)
    assert [host for host, _ in bench.network.attempts] == ["a", "b", "b", "b", "b", "b"]


def test_u01_an_address_that_is_slow_once_is_used_again(bench: Bench) -> None:
    bench.network.connects("a", 0.26)
    bench.network.connects("b", 0.26)
    connector = bench.connector("ab")
    bench.connect(connector)
    bench.world.run_for(1.0)
    bench.world.run_for(UNREACHABLE_S)
    assert {connector.endpoints.choose([], bench.world.clock.now).address[4][0] for _ in range(2)} == {
        "a",
        "b",
    }


def test_d1_an_attempt_goes_to_an_address_that_the_others_have_not_tried(bench: Bench) -> None:
    for host in "abc":
        bench.network.connects(host)
    connector = bench.connector("abc")
    for _ in range(3):
        bench.connect(connector, tried="ab")
    bench.world.run_for(0.1)
    assert [host for host, _ in bench.network.attempts] == ["c", "c", "c"]


def test_d1_a_connect_says_which_address_it_tries(bench: Bench) -> None:
    bench.network.hangs("a")
    bench.network.hangs("b")
    started = bench.connect(bench.connector("ab"))
    assert started.endpoint is not None
    assert started.endpoint.address == address("a")
    bench.world.run_for(0.3)
    assert started.endpoint.address == address("b")
    started.cancel()


def test_u01_what_stands_in_for_an_endpoint_is_one_that_no_other_attempt_has_tried(bench: Bench) -> None:
    """A hedge has gone to b meanwhile, so this attempt goes to c."""
    bench.network.hangs("a")
    bench.network.connects("c")
    connector = bench.connector("abc")
    tried: list[Endpoint] = []
    connector.connect(None, tried, bench.on_done)
    bench.world.run_for(0.2)
    tried.append(connector.endpoints.all[1])
    assert bench.finish()[1:] == ("c", 0.251)
    assert [endpoint.address[4][0] for endpoint in tried] == ["a", "b", "c"]


@pytest.mark.parametrize("number", sorted(LOCAL_ERRORS))
def test_u03_an_error_of_our_own_speaks_against_no_endpoint(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Without a descriptor, memory or local port, all endpoints would soon be left out."""
    connector = bench.connector("ab")

    def fail(_: object) -> Any:
        raise OSError(number, "x")

    monkeypatch.setattr(connector, "open_socket", fail)
    for _ in range(9):
        bench.connect(connector)
    bench.world.run_for(0.1)
    assert len(bench.results) == 9
    assert not any(each.failures or each.unreachable_until for each in connector.endpoints.all)


def test_u03_where_no_more_descriptors_may_be_watched_the_attempt_fails_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC of epoll_ctl(2): a connect that raised kept its place for good."""
    bench.network.connects("a")
    bench.network.connects("b")
    connector = bench.connector("ab")

    def fail(*_: object) -> None:
        raise OSError(ENOSPC, "x")

    monkeypatch.setattr(bench.world.poller, "register", fail)
    bench.connect(connector)
    result, _, took_s = bench.finish()
    assert (result, took_s) == (Failure(FailureReason.CONNECT, "No space left on device"), 0.0)
    assert not any(endpoint.failures for endpoint in connector.endpoints.all)
    assert bench.network.open == []


# -- cancelling


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3, 0.6])
def test_a_connect_can_be_cancelled_at_any_time(bench: Bench, after_s: float) -> None:
    """The fixture looks for what is left."""
    for host in "abc":
        bench.network.hangs(host)
    started = bench.connect(bench.connector("abc"))
    if after_s:
        bench.world.run_for(after_s)
    started.cancel()
    started.cancel()
    bench.world.run_for(5.0)
    assert bench.results == []


def test_a_connect_that_fails_at_once_can_be_cancelled_before_it_is_reported(bench: Bench) -> None:
    bench.network.unreachable("a")
    bench.connect(bench.connector("a")).cancel()
    bench.world.run_for(1.0)
    assert bench.results == []


def test_cancelling_a_connect_that_is_done_leaves_its_stream_alone(bench: Bench) -> None:
    bench.network.connects("a")
    taken: list[Stream] = []
    started: list[Connecting] = []

    def take(result: Stream | Failure, _: Endpoint | None) -> None:
        assert isinstance(result, Stream)
        started[0].cancel()
        taken.append(result)

    started.append(bench.connector("a").connect(None, [], take))
    bench.world.run_until(lambda: bool(taken))
    started[0].cancel()
    assert started[0]._sockets == []
    assert not taken[0].closed
    bench.world.loop.unregister(taken[0].sock.fileno())
    taken[0].close()


def test_an_owner_that_raises_leaves_no_socket(bench: Bench) -> None:
    bench.network.connects("a")

    def fail(_: Stream | Failure, __: Endpoint | None) -> None:
        raise RuntimeError

    bench.connector("a").connect(None, [], fail)
    bench.world.run_for(1.0)
    assert bench.world.internal_errors == 1
    bench.world.internal_errors = 0


# -- memory


@pytest.mark.parametrize("fate", ["connects", "refuses", "hangs"])
def test_a_connect_is_freed_without_a_collection(bench: Bench, fate: str) -> None:
    """C02, C13: a worker collects rarely, and what holds itself in a circle stays until then."""
    getattr(bench.network, fate)("a")
    getattr(bench.network, fate)("b")
    connector = bench.connector("ab")
    gc.collect()
    gc.disable()
    try:
        before = of_connects()  # compiled, other tests of this process may have left some
        bench.connect(connector)
        bench.finish()
        bench.results.clear()
        assert len(of_connects()) == len(before)
    finally:
        gc.enable()


def of_connects() -> list[object]:
    """Return all objects of the module that are in memory."""
    return [each for each in gc.get_objects() if type(each).__module__ == connecting.__name__]
