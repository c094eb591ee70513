"""Which idle connection an attempt takes, and when idle ones are closed; through a whole pool: test_pool.py."""

from collections.abc import Iterator

import pytest

from hedgerow.upstream.connection import IDLE, UpstreamConnection
from hedgerow.upstream.idle_connections import PROVEN_FOR_S, REAP_INTERVAL_S, IdleConnections
from support.attempts import make_attempt
from support.upstream_bench import UpstreamBench


@pytest.fixture
def bench() -> Iterator[UpstreamBench]:
    bench = UpstreamBench(addresses=2)
    yield bench
    bench.close()


@pytest.fixture
def idle(bench: UpstreamBench) -> IdleConnections:
    """Three connections to the first address, the last of them used last."""
    request = bench.request()
    request.tried = [bench.address(1)]
    attempts = [bench.send(1, request) for _ in range(3)]
    for attempt in attempts:
        bench.exchange(bench.accept(), attempt)
    return bench.pool.idle


def of(idle: IdleConnections) -> list[UpstreamConnection]:
    return list(idle._connections)


def test_the_one_that_was_used_last_is_taken(bench: UpstreamBench, idle: IdleConnections) -> None:
    first, second, third = of(idle)
    assert [idle.take(), idle.take(), idle.take(), idle.take()] == [third, second, first, None]
    for connection in (first, second, third):
        idle.add(connection, bench.now)


def test_one_from_which_something_is_unread_stays(bench: UpstreamBench, idle: IdleConnections) -> None:
    first, second, third = of(idle)
    bench.loop.unread = {third.fd}
    taken = idle.take()
    assert (taken, of(idle)) == (second, [first, third])
    bench.loop.unread = set()
    idle.add(second, bench.now)


def test_a_closed_one_is_dropped(idle: IdleConnections) -> None:
    first, second, third = of(idle)
    third.close()
    assert idle.take() is second
    assert of(idle) == [first]
    second.close()


def test_a_hedge_takes_none_to_an_address_that_its_request_has_tried(
    bench: UpstreamBench, idle: IdleConnections
) -> None:
    request = bench.request()
    request.tried = [bench.address(0)]
    assert idle.take_for_hedge(make_attempt(2, bench.now, request)) is None
    request.tried = [bench.address(1)]
    taken = idle.take_for_hedge(make_attempt(2, bench.now, request))
    assert taken is not None
    assert taken.address == bench.address(0)
    idle.add(taken, bench.now)


def test_the_last_hedge_takes_one_only_where_a_pooled_one_has_answered_since(
    bench: UpstreamBench, idle: IdleConnections
) -> None:
    bench.pass_time(PROVEN_FOR_S / 2)
    request = bench.request()
    request.tried = [bench.address(1)]
    last = make_attempt(3, bench.now, request)
    assert idle.take_for_hedge(last) is None
    taken = idle.take()
    assert taken is not None
    taken.reused = True
    idle.add(taken, bench.now)  # it has answered
    assert idle.take_for_hedge(last) is taken
    idle.add(taken, bench.now)


def test_those_that_were_idle_for_too_long_or_are_too_old_are_closed(
    bench: UpstreamBench, idle: IdleConnections
) -> None:
    first, second, third = of(idle)
    first.idle_since -= bench.limits.idle_timeout_s
    second.opened_at -= bench.limits.max_connection_age_s
    bench.pass_time(REAP_INTERVAL_S + 0.1)
    assert of(idle) == [third]
    assert [connection.state == IDLE for connection in (first, second, third)] == [False, False, True]


def test_one_that_has_answered_when_it_is_too_old_is_closed(
    bench: UpstreamBench, idle: IdleConnections
) -> None:
    taken = idle.take()
    assert taken is not None
    taken.opened_at -= bench.limits.max_connection_age_s + 1
    idle.add(taken, bench.now)
    assert taken.state != IDLE
    assert taken not in of(idle)
