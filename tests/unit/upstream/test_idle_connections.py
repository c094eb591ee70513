"""Which idle connection an attempt takes, and when idle ones are closed; through a whole pool: test_pool.py."""

from collections.abc import Iterator

import pytest

from hedgerow.upstream.connection import IDLE, UpstreamConnection
from hedgerow.upstream.endpoint import Endpoint
from hedgerow.upstream.idle_connections import PROVEN_FOR_S, REAP_INTERVAL_S, IdleConnections
from support.upstream_bench import UpstreamBench


@pytest.fixture
def bench() -> Iterator[UpstreamBench]:
    bench = UpstreamBench(addresses=2)
    yield bench
    bench.close()


@pytest.fixture
def idle(bench: UpstreamBench) -> IdleConnections:
    """Three connections to the first address, the last of them used last."""
    attempts = [bench.send_to(0) for _ in range(3)]
    for attempt in attempts:
        bench.exchange(bench.accept(), attempt)
    return bench.pool.idle


@pytest.fixture
def endpoint(bench: UpstreamBench) -> Endpoint:
    return bench.endpoint(0)


def test_the_one_that_was_used_last_is_taken(
    bench: UpstreamBench, idle: IdleConnections, endpoint: Endpoint
) -> None:
    first, second, third = list(endpoint.idle)
    assert [idle.take(endpoint) for _ in range(4)] == [third, second, first, None]
    for connection in (first, second, third):
        idle.add(connection, endpoint, bench.now)


def test_one_from_which_something_is_unread_stays(
    bench: UpstreamBench, idle: IdleConnections, endpoint: Endpoint
) -> None:
    first, second, third = list(endpoint.idle)
    bench.loop.unread = {third.fd}
    taken = idle.take(endpoint)
    assert (taken, endpoint.idle) == (second, [first, third])
    bench.loop.unread = set()
    idle.add(second, endpoint, bench.now)


def test_a_closed_one_is_dropped(idle: IdleConnections, endpoint: Endpoint) -> None:
    first, second, third = list(endpoint.idle)
    third.close()
    assert idle.take(endpoint) is second
    assert endpoint.idle == [first]
    second.close()


def test_u01_one_to_another_endpoint_is_not_taken(bench: UpstreamBench, idle: IdleConnections) -> None:
    assert idle.take(bench.endpoint(1)) is None


def test_the_last_hedge_takes_one_only_where_a_pooled_one_has_answered_since(
    bench: UpstreamBench, idle: IdleConnections, endpoint: Endpoint
) -> None:
    bench.pass_time(PROVEN_FOR_S / 2)
    assert idle.take_for_last_hedge(endpoint, bench.now) is None
    assert len(endpoint.idle) == 3
    taken = idle.take(endpoint)
    assert taken is not None
    taken.reused = True
    idle.add(taken, endpoint, bench.now)  # it has answered
    assert idle.take_for_last_hedge(endpoint, bench.now) is taken
    idle.add(taken, endpoint, bench.now)


def test_the_oldest_is_the_one_that_was_idle_for_longest_at_any_endpoint(
    bench: UpstreamBench, idle: IdleConnections, endpoint: Endpoint
) -> None:
    first, second, _ = list(endpoint.idle)
    bench.now += 1.0
    attempt = bench.send_to(1)
    bench.exchange(bench.accept(1), attempt)
    assert idle.oldest() is first
    first.close()
    assert idle.oldest() is second
    (other,) = bench.endpoint(1).idle
    other.idle_since = second.idle_since - 1.0
    assert idle.oldest() is other


def test_a_closed_one_is_looked_at_once_for_the_oldest(idle: IdleConnections, endpoint: Endpoint) -> None:
    """To close N connections for want of room took N * N / 2 looks."""
    first, second, third = list(endpoint.idle)
    first.close()
    second.close()
    assert idle.oldest() is third
    assert endpoint.idle == [third]
    third.close()
    assert idle.oldest() is None
    assert endpoint.idle == []


def test_those_that_were_idle_for_too_long_or_are_too_old_are_closed(
    bench: UpstreamBench, idle: IdleConnections, endpoint: Endpoint
) -> None:
    first, second, third = list(endpoint.idle)
    first.idle_since -= bench.limits.idle_timeout_s
    second.opened_at -= bench.limits.max_connection_age_s
    bench.pass_time(REAP_INTERVAL_S + 0.1)
    assert endpoint.idle == [third]
    assert [connection.state == IDLE for connection in (first, second, third)] == [False, False, True]


def test_one_that_has_answered_when_it_is_too_old_is_closed(
    bench: UpstreamBench, idle: IdleConnections, endpoint: Endpoint
) -> None:
    taken: UpstreamConnection | None = idle.take(endpoint)
    assert taken is not None
    taken.opened_at -= bench.limits.max_connection_age_s + 1
    idle.add(taken, endpoint, bench.now)
    assert taken.state != IDLE
    assert taken not in endpoint.idle


def test_u04_one_to_an_address_that_the_name_has_lost_is_closed(
    bench: UpstreamBench, idle: IdleConnections, endpoint: Endpoint
) -> None:
    bench.pool.endpoints.replace(bench.target, [bench.address(1)])
    bench.pass_time(REAP_INTERVAL_S + 0.1)
    assert endpoint.idle == []
    assert endpoint not in idle.endpoints
