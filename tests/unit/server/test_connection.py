"""One client's connection: what it costs the others, what it is charged, and how it ends."""

import gc
from collections.abc import Callable
from dataclasses import replace

import pytest

from hedgerow.net.stream import Stream
from hedgerow.server.connection import ClientConnection
from hedgerow.server.request_rejected import slow_head
from hedgerow.settings import ClientLimits
from support.server_harness import GET, OVERLOADED, Asked, RawSocket, ServerHarness, answer, server_harness

BACKPRESSURE_S = ClientLimits().backpressure_s

LIMITS = ClientLimits()
READ_BYTES = 16 * 1024
RESPONSE_BYTES = 400
"""More than one of the harness' responses has."""


class CrowdedSharing:
    """A worker's descriptors, which are wanted for requests."""

    def max_clients(self) -> int:
        return 100

    def set_clients(self, connected: int) -> None: ...

    def client_rejected(self, now: float) -> None: ...

    def is_crowded(self) -> bool:
        return True


# -- the end of a connection


def response_then_late_reading(harness: ServerHarness, client: RawSocket) -> None:
    """Go on writing to a connection that the server closes, then read: the response must be whole (RFC 9112 9.6)."""
    for _ in range(5):
        harness.step()
        client.send(b"more\r\n")
        harness.step()
    client.read()
    assert client.ended
    assert not client.was_reset
    head, _, body = client.received.partition(b"\r\n\r\n")
    (length,) = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
    assert len(body) == int(length.split()[1])
    assert b"Connection: close" in head


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /x HTTP/1.0\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /x HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01",
        b"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_c2_a_client_that_reads_late_gets_its_response(harness: ServerHarness, sent: bytes) -> None:
    harness.handler.answer_at_once()
    client = harness.client()
    client.send(sent)
    response_then_late_reading(harness, client)


def test_c2_so_does_one_whose_head_was_slow(harness: ServerHarness) -> None:
    client = harness.client()
    client.send(GET[:5])
    harness.until(lambda: harness.pipeline_of(client)._unfinished is not None)
    harness.pass_time(LIMITS.head_timeout_s)
    assert client.statuses() == [408]
    response_then_late_reading(harness, client)


def test_c2_so_does_one_that_is_one_too_many() -> None:
    with server_harness(max_clients=0) as harness:
        client = harness.client()
        assert client.statuses() == [503]
        response_then_late_reading(harness, client)


def test_c2_so_does_one_that_is_answered_in_a_drain(harness: ServerHarness) -> None:
    client = harness.client()
    client.send(GET)
    asked = harness.until_asked(1)
    harness.server.drain(lambda: None)
    asked.respond()
    response_then_late_reading(harness, client)


def test_a_lingering_connection_is_closed_when_its_client_closes_or_its_time_is_over(
    harness: ServerHarness,
) -> None:
    harness.handler.answer_at_once()
    polite, silent, resetting = (harness.client() for _ in range(3))
    for client in (polite, silent, resetting):
        client.send(b"GET /x HTTP/1.0\r\n\r\n")
        harness.until_responses(client, 1)
    assert harness.server.connections == 3, "they linger"
    resetting.reset()
    harness.until(lambda: harness.server.connections == 2)
    polite.close()
    harness.until(lambda: harness.server.connections == 1)
    harness.pass_time(LIMITS.linger_s)
    assert harness.server.connections == 0


def test_what_comes_while_a_connection_lingers_is_dropped(harness: ServerHarness) -> None:
    harness.handler.answer_at_once()
    client = harness.client()
    client.send(b"GET /x HTTP/1.0\r\n\r\n")
    harness.until_responses(client, 1)
    client.send(GET * 400)
    for _ in range(5):
        harness.step(0.001)
    assert len(harness.handler.asked) == 1
    assert harness.connection_of(client)._pipeline is None, "nothing is kept of it"


# -- clients that leave


@pytest.mark.parametrize("how", [RawSocket.close, RawSocket.half_close, RawSocket.reset])
def test_b10_a_client_that_leaves_has_its_request_cancelled_once(
    harness: ServerHarness, how: Callable[[RawSocket], None]
) -> None:
    """Decision 0005: half-close counts as disconnect."""
    client = harness.client()
    client.send(GET + GET)
    asked = harness.until_asked(1)
    how(client)
    harness.until(lambda: harness.server.connections == 0)
    assert asked.cancelled == 1
    asked.respond()  # it is too late, and does nothing
    harness.step()
    assert len(harness.handler.asked) == 1, "the request behind it is dropped"


def test_a_client_that_leaves_is_noticed_though_it_is_not_read(harness: ServerHarness) -> None:
    client = harness.client()
    client.send(GET)
    asked = harness.until_asked(1)
    connection = harness.connection_of(client)
    while not connection.paused:
        client.send(b"x" * 4096)
        harness.step()
    client.half_close()
    harness.until(lambda: asked.cancelled == 1)
    assert harness.server.connections == 0


@pytest.mark.parametrize("paused", [False, True])
def test_a_half_closed_client_gets_what_is_left_to_send(paused: bool) -> None:
    with server_harness(limits=replace(LIMITS, send_buffer_bytes=4096, max_pipelined_bytes=100)) as harness:
        harness.handler.answer_at_once(answer(200_000))
        client = harness.client(receive_buffer=4096)
        client.send(GET)
        connection = harness.connection_of(client)
        harness.until(lambda: connection._stream.blocked)
        if paused:
            client.send(GET * 10)
            harness.until(lambda: connection.paused)
        client.half_close()
        harness.until(lambda: connection._eof)
        harness.until(lambda: client.read() is not None and (client.ended or client.was_reset))
        assert client.received.endswith(b"{}")
        assert len(client.received) > 200_000
        assert harness.server.connections == 0


# -- clients that do not read


def test_a_write_blocked_client_is_reset() -> None:
    with server_harness(limits=replace(LIMITS, send_buffer_bytes=4096)) as harness:
        harness.handler.answer_at_once(answer(200_000))
        client = harness.client(receive_buffer=4096)
        client.send(GET)
        harness.until(lambda: harness.connection_of(client)._stream.blocked)
        harness.pass_time(LIMITS.write_timeout_s)
        assert harness.server.connections == 0
        client.read()
        assert client.was_reset


def test_a_write_blocked_client_that_has_half_closed_is_reset_too() -> None:
    with server_harness(limits=replace(LIMITS, send_buffer_bytes=4096)) as harness:
        harness.handler.answer_at_once(answer(200_000))
        client = harness.client(receive_buffer=4096)
        client.send(GET)
        harness.until(lambda: harness.connection_of(client)._stream.blocked)
        client.half_close()
        harness.until(lambda: harness.connection_of(client)._eof)
        harness.pass_time(LIMITS.write_timeout_s)
        assert harness.server.connections == 0


def test_a_write_blocked_client_that_reads_on_is_served_on() -> None:
    with server_harness(limits=replace(LIMITS, send_buffer_bytes=4096)) as harness:
        harness.handler.answer_at_once(answer(30_000))
        client = harness.client(receive_buffer=4096)
        client.send(GET * 3)
        harness.until(lambda: harness.connection_of(client)._stream.blocked)
        harness.until(lambda: len(client.read()) > 90_000)
        assert client.statuses() == [200, 200, 200]
        harness.pass_time(LIMITS.write_timeout_s)
        assert harness.server.connections == 1


def test_a_request_is_cancelled_when_its_client_does_not_read_what_it_had_before() -> None:
    with server_harness(limits=replace(LIMITS, send_buffer_bytes=4096)) as harness:
        client = harness.client(receive_buffer=4096)
        client.send(GET * 2)
        harness.until_asked(1).respond(answer(200_000))
        (_, second) = harness.handler.asked  # begun in the same iteration, before anything was sent
        harness.until(lambda: harness.connection_of(client)._stream.blocked)
        harness.pass_time(LIMITS.write_timeout_s)
        assert harness.server.connections == 0
        assert second.cancelled == 1


# -- requests that were read and wait


def answered_without_reading(harness: ServerHarness, client: RawSocket) -> ClientConnection:
    """Have a client write-blocked by its first answer, with another request behind it; return its connection."""
    harness.handler.answer_at_once(answer(200_000))
    client.send(GET)
    connection = harness.connection_of(client)
    harness.until(lambda: connection._stream.blocked)
    client.send(GET)
    harness.until(lambda: connection.holds_requests)
    return connection


@pytest.mark.parametrize("how", ["drain", "crowded", "idle"])
def test_requests_behind_an_answer_that_is_not_read_yet_are_not_idle(how: str) -> None:
    """They were dropped with their connection."""
    limits = replace(LIMITS, send_buffer_bytes=4096, idle_timeout_s=2.0)
    sharing = CrowdedSharing() if how == "crowded" else None
    with server_harness(limits=limits, sharing=sharing) as harness:
        client = harness.client(receive_buffer=4096)
        answered_without_reading(harness, client)
        if how == "drain":
            harness.server.drain(lambda: None, 0.1)
        harness.pass_time(2.5)
        harness.until(lambda: len(client.statuses()) == 2)
        assert client.statuses() == [200, 200]
        assert len(harness.handler.asked) == 2


def test_a_request_that_comes_as_its_connection_is_closed_as_idle_is_answered() -> None:
    """Its client has not read the answer before it."""
    with server_harness(limits=replace(LIMITS, send_buffer_bytes=4096)) as harness:
        harness.handler.answer_at_once(answer(200_000))
        client = harness.client(receive_buffer=4096)
        client.send(GET)
        connection = harness.connection_of(client)
        harness.until(lambda: connection._stream.blocked)
        client.send(GET)
        connection.close_idle()
        harness.until(lambda: len(client.statuses()) == 2)


def test_a_request_that_is_held_after_a_503_is_not_idle(harness: ServerHarness) -> None:
    client = harness.client()
    client.send(GET + GET)
    harness.until_asked(1).respond(OVERLOADED)
    connection = harness.connection_of(client)
    assert connection.holds_requests
    connection.close_idle()
    harness.step(BACKPRESSURE_S + 0.001)
    harness.until_asked(2).respond()
    harness.until_responses(client, 2)
    assert not connection.holds_requests


# -- what is left


def test_a_connection_may_be_aborted_by_its_handler_and_twice(harness: ServerHarness) -> None:
    def leave(asked: Asked) -> None:
        connection.abort()
        connection.abort()
        connection.reset()

    client = harness.client()
    connection = harness.connection_of(client)
    harness.handler.on_request = leave
    client.send(GET * 2)
    harness.until(lambda: harness.server.connections == 0)
    assert len(harness.handler.asked) == 1


def test_nothing_is_done_for_a_closed_connection(harness: ServerHarness) -> None:
    client = harness.client()
    connection = harness.connection_of(client)
    client.send(GET)
    asked = harness.until_asked(1)
    connection.abort()
    asked.respond()
    connection.on_ready(0xFFFF)
    connection.close_idle()
    connection.reject(slow_head(1.0))
    harness.step()
    assert client.read() == b""
    assert harness.rejected == []


def connections_and_streams() -> list[object]:
    return [one for one in gc.get_objects() if isinstance(one, ClientConnection | Stream)]


@pytest.mark.parametrize(
    "sent", [GET, GET * 40, b"GET /x HTTP/1.0\r\n\r\n", b"GET /x HTTP/1.1\r\n\r\n", GET[:9]]
)
def test_a_closed_connection_leaves_nothing_to_the_garbage_collector(
    harness: ServerHarness, sent: bytes
) -> None:
    """Collections are rare (`configure_gc`): what only they would free is held for minutes."""
    harness.handler.answer_at_once()
    gc.collect()
    before = {id(one) for one in connections_and_streams()}  # of tests that ran in this process before
    gc.disable()
    try:
        client = harness.client()
        client.send(sent)
        harness.step()
        client.close()
        harness.until(lambda: harness.server.connections == 0)
        harness.step(BACKPRESSURE_S)
        harness.handler.asked.clear()
        assert [one for one in connections_and_streams() if id(one) not in before] == []
    finally:
        gc.enable()
