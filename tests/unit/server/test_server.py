"""One port: its timeouts, stalls, and the end of its connections in a drain."""

from math import inf

import pytest

from hedgerow.eventloop.client_sockets import CLIENTS_PER_POLL, POLLS_OF_CLIENTS
from hedgerow.server.server import IDLE_GRACE_S
from hedgerow.server.timeouts import ENDED_AT_ONCE, REAP_AGAIN_S, REAP_INTERVAL_S
from hedgerow.settings import ClientLimits
from support.server_harness import GET, OVERLOADED, Asked, ServerHarness, server_harness

LIMITS = ClientLimits()
CLIENTS_PER_ITERATION = CLIENTS_PER_POLL * POLLS_OF_CLIENTS


def test_a_slow_head_is_answered_408(harness: ServerHarness) -> None:
    slow, quick = harness.client(), harness.client()
    slow.send(GET[:10])
    harness.until(lambda: harness.pipeline_of(slow)._unfinished is not None)
    harness.pass_time(LIMITS.head_timeout_s - 2 * REAP_INTERVAL_S - 0.1)
    slow.send(GET[10:12])  # a byte now and then buys no time
    harness.pass_time(0.0)
    assert slow.statuses() == [408]
    assert harness.rejected == [("bad_request", "slow_head")]
    quick.send(GET)
    harness.until_asked(1)


def test_an_idle_connection_is_closed(harness: ServerHarness) -> None:
    client, busy = harness.client(), harness.client()
    busy.send(GET)
    harness.until_asked(1)
    harness.pass_time(LIMITS.idle_timeout_s - 2)
    assert harness.server.connections == 2
    harness.pass_time(2)
    client.read()
    assert (client.ended, client.received) == (True, b"")
    harness.pass_time(LIMITS.linger_s)
    assert [connection.idle_since for connection in harness.connections] == [inf]


def test_thousands_that_are_idle_together_are_closed_a_few_in_an_iteration(harness: ServerHarness) -> None:
    clients = [harness.client() for _ in range(ENDED_AT_ONCE + 10)]
    busy = clients[0]
    busy.send(GET)
    harness.until_asked(1)
    harness.step(LIMITS.idle_timeout_s + 1, wait_s=0)  # reads what has come; only then is anyone overdue
    closed = []
    for after_s in (2 * REAP_INTERVAL_S, 2 * REAP_AGAIN_S, 2 * REAP_AGAIN_S):
        harness.step(after_s, wait_s=0)
        closed.append([one.idle_since for one in harness.connections].count(inf) - 1)
    assert closed == [ENDED_AT_ONCE, ENDED_AT_ONCE + 9, ENDED_AT_ONCE + 9]
    assert not busy.is_ended()


def test_an_idle_connection_that_asks_again_is_not_idle(harness: ServerHarness) -> None:
    harness.handler.answer_at_once()
    client = harness.client()
    for number in range(4):
        harness.pass_time(LIMITS.idle_timeout_s - 5)
        client.send(GET)
        harness.until_responses(client, number + 1)
    assert harness.server.connections == 1


@pytest.mark.parametrize("stalled_s", [6.0, 80.0])
def test_a_stall_is_not_held_against_clients_whose_bytes_had_come(
    harness: ServerHarness, stalled_s: float
) -> None:
    """C02: the timer fired first, and clients that were in time got 408, or were closed as idle."""
    slow, idle = harness.client(), harness.client()
    slow.send(GET[:10])
    harness.until(lambda: harness.pipeline_of(slow)._unfinished is not None)
    slow.send(GET[10:])
    idle.send(GET)
    harness.step(stalled_s)
    harness.pass_time(0)
    harness.until_asked(2)
    assert slow.read() + idle.read() == b""
    assert not slow.is_ended()
    assert not idle.is_ended()


def test_a_stall_is_not_held_against_clients_of_a_loop_that_cannot_read_all_at_once() -> None:
    number = CLIENTS_PER_ITERATION + 20
    with server_harness(max_clients=number) as harness:
        slow = [harness.client() for _ in range(number)]
        for client in slow:
            client.send(GET[:10])
        harness.until(lambda: all(harness.pipeline_of(client)._unfinished is not None for client in slow))
        for client in slow:
            client.send(GET[10:])
        harness.step(LIMITS.head_timeout_s + 1)
        harness.pass_time(0)
        harness.until_asked(number)


def test_timeouts_go_on_while_more_clients_are_ready_than_an_iteration_reads() -> None:
    """They waited until all of them were read, which under overload is never."""
    with server_harness(max_clients=2 * CLIENTS_PER_ITERATION + 1) as harness:
        harness.handler.answer_at_once()
        slow = harness.client()
        slow.send(GET[:10])
        harness.until(lambda: harness.pipeline_of(slow)._unfinished is not None)
        eager = [harness.client() for _ in range(2 * CLIENTS_PER_ITERATION)]
        for _ in range(int((LIMITS.head_timeout_s + 6 * REAP_INTERVAL_S) * 4)):
            for client in eager:
                client.send(GET)
            harness.step(0.25, wait_s=0)
        assert slow.statuses() == [408]


def test_a_request_that_came_since_the_clients_were_read_is_answered_and_its_connection_stays(
    harness: ServerHarness,
) -> None:
    harness.handler.answer_at_once()
    client = harness.client()
    connection = harness.connection_of(client)
    harness.clock.now += 1
    client.send(GET)
    connection.close_idle()
    harness.step()
    assert client.statuses() == [200]
    assert not client.is_ended()
    connection.close_idle()
    harness.step()
    assert client.is_ended()


def test_a_client_that_has_left_when_its_idle_connection_is_closed_does_not_linger(
    harness: ServerHarness,
) -> None:
    client = harness.client()
    connection = harness.connection_of(client)
    client.close()
    connection.close_idle()
    assert not len(connection._context.timeouts._lingering)
    assert harness.server.connections == 0


def test_timeouts_go_on_after_one_of_them_was_an_internal_error(harness: ServerHarness) -> None:
    clients = [harness.client(), harness.client()]
    harness.faults.shutting_down.append(ZeroDivisionError())
    harness.pass_time(LIMITS.idle_timeout_s)
    assert [type(error) for error in harness.internal_errors] == [ZeroDivisionError]
    harness.internal_errors.clear()
    harness.pass_time(2 * LIMITS.linger_s)
    assert sum(client.is_ended() for client in clients) >= 1


def test_an_internal_error_of_one_connection_leaves_the_others(harness: ServerHarness) -> None:
    harness.handler.answer_at_once()
    broken, other = harness.client(), harness.client()
    harness.faults.reading.append(ZeroDivisionError())
    broken.send(GET)
    harness.until(lambda: len(harness.internal_errors) == 1)
    assert harness.server.connections == 1
    other.send(GET)
    harness.until_responses(other, 1)
    harness.internal_errors.clear()


# -- B13: drain


class Drain:
    """A drain that has begun."""

    def __init__(self, harness: ServerHarness, **arguments: float) -> None:
        self.done = 0
        harness.server.drain(self.on_empty, **arguments)

    def on_empty(self) -> None:
        self.done += 1


def test_b13_a_server_without_connections_is_drained_soon_and_not_at_once(harness: ServerHarness) -> None:
    drain = Drain(harness)
    assert drain.done == 0
    harness.step(0.001)
    assert drain.done == 1
    harness.pass_time(5)
    assert drain.done == 1


def test_b13_a_drain_accepts_what_the_kernel_has_queued(harness: ServerHarness) -> None:
    harness.handler.answer_at_once()
    clients = [harness.connect() for _ in range(80)]
    for client in clients:
        client.send(GET)
    drain = Drain(harness)
    harness.step()
    with pytest.raises(ConnectionRefusedError):
        harness.connect()
    for client in clients:
        harness.until_responses(client, 1)
        assert b"\r\nConnection: close\r\n" in client.received
        client.close()
    harness.until(lambda: harness.server.connections == 0)
    harness.step(0.001)
    assert drain.done == 1


def test_b13_what_is_in_flight_is_answered_and_closed(harness: ServerHarness) -> None:
    client = harness.client()
    client.send(GET)
    asked = harness.until_asked(1)
    drain = Drain(harness)
    harness.pass_time(20)
    assert (asked.cancelled, drain.done) == (0, 0)
    asked.respond()
    harness.until(client.is_ended)
    assert client.statuses() == [200]
    assert b"\r\nConnection: close\r\n" in client.received
    harness.pass_time(LIMITS.linger_s)
    assert drain.done == 1


def test_b13_an_idle_connection_has_a_grace(harness: ServerHarness) -> None:
    harness.handler.answer_at_once()
    late, idle = harness.client(), harness.client()
    drain = Drain(harness)
    harness.step(IDLE_GRACE_S - 0.1)
    late.send(GET)
    harness.until_responses(late, 1)
    assert not idle.is_ended()
    harness.pass_time(0.1)
    assert idle.is_ended()
    harness.pass_time(LIMITS.linger_s)
    assert drain.done == 1


def test_b13_a_stall_does_not_use_up_the_grace(harness: ServerHarness) -> None:
    harness.handler.answer_at_once()
    client = harness.client()
    Drain(harness)
    client.send(GET)
    harness.step(IDLE_GRACE_S + 5)
    harness.until_responses(client, 1)


def test_b13_requests_behind_backpressure_are_answered(harness: ServerHarness) -> None:
    client = harness.client()
    client.send(GET + GET)
    first = harness.until_asked(1)
    first.respond(OVERLOADED)
    harness.step()
    Drain(harness)
    harness.handler.answer_at_once()
    harness.pass_time(0.1)
    assert client.statuses() == [503, 200]


def test_closing_ends_every_connection_at_once(harness: ServerHarness) -> None:
    clients = [harness.client() for _ in range(5)]
    clients[0].send(GET)
    asked: Asked = harness.until_asked(1)
    drain = Drain(harness)
    harness.server.close()
    assert (harness.server.connections, asked.cancelled) == (0, 1)
    harness.loop.run_once(0)
    harness.pass_time(5)
    assert drain.done == 0
