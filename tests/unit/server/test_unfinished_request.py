"""Requests of which only a part comes: when they are answered, and that nothing of them is kept."""

from collections.abc import Callable, Iterator
from math import inf

import pytest

from hedgerow.eventloop.deadlines import MIN_MARGIN_S
from hedgerow.server.request_pipeline import REQUESTS_PER_STEP
from hedgerow.settings import ClientLimits
from support.server_harness import GET, OVERLOADED, RawSocket, ServerHarness, server_harness

LIMITS = ClientLimits()
TIMEOUT_S = 2.0
HEAD = b"POST /x HTTP/1.1\r\nHost: x\r\n"
POST = HEAD + b"Content-Length: 3\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
WAITS = HEAD + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
JUST_BEFORE_S = TIMEOUT_S - MIN_MARGIN_S - 0.002


@pytest.fixture
def harness() -> Iterator[ServerHarness]:
    """A server that reads bodies; what it is asked it answers at once."""
    with server_harness(body_timeout_ms=int(TIMEOUT_S * 1000)) as harness:
        harness.faults.queue_age_s = 0.0
        harness.handler.answer_at_once()
        yield harness


def send(harness: ServerHarness, client: RawSocket, data: bytes) -> None:
    """Send, and have it read."""
    client.send(data)
    harness.step()


def late(harness: ServerHarness, number: int = 1) -> bool:
    """Return whether so many requests were handled, and the last one as late."""
    if len(harness.handler.asked) != number:
        return False
    message = harness.handler.asked[-1].request.message
    return message is not None and message.body_arrived_at == inf and not message.body


BEGINS = {
    "nothing of it": (POST, b""),
    "a part": (POST + b"ab", b""),
    "no chunk": (CHUNKED, b""),
    "no last chunk": (CHUNKED + b"2\r\nab\r\n", b""),
    "no end of the trailers": (CHUNKED + b"0\r\nX: y\r\n", b""),
    "nothing after 100 (Continue)": (WAITS, CONTINUE),
}


@pytest.mark.parametrize("begin", BEGINS)
def test_a_body_that_does_not_come_is_answered_within_the_timeout(harness: ServerHarness, begin: str) -> None:
    sent, interim = BEGINS[begin]
    client = harness.client()
    send(harness, client, sent)
    assert client.read() == interim
    harness.step(JUST_BEFORE_S)
    assert harness.handler.asked == []
    harness.step(0.002)
    assert late(harness)
    harness.step()
    assert client.statuses()[-1] == 200, "the answer is the handler's"
    assert b"Connection: close\r\n" in client.read()
    assert harness.server._context.bodies.used == 0


def test_pieces_of_a_body_leave_the_deadline(harness: ServerHarness) -> None:
    """Or a client that sends a byte now and then would hold its connection for good."""
    client = harness.client()
    send(harness, client, CHUNKED)
    for _ in range(9):
        harness.clock.now += TIMEOUT_S / 10
        send(harness, client, b"1\r\nx\r\n")
    assert harness.handler.asked == []
    harness.step(TIMEOUT_S / 10)
    assert late(harness)
    assert harness.server._context.bodies.used == 0


def test_time_counts_from_the_first_byte_of_the_head(harness: ServerHarness) -> None:
    client = harness.client()
    send(harness, client, POST[:9])
    harness.clock.now += JUST_BEFORE_S
    send(harness, client, POST[9:])
    assert harness.handler.asked == []
    harness.step(0.002)
    assert late(harness)


def test_a_head_that_takes_longer_than_the_timeout_is_answered_with_its_end(harness: ServerHarness) -> None:
    client = harness.client()
    send(harness, client, POST[:9])
    harness.clock.now += TIMEOUT_S + 1
    send(harness, client, POST[9:])
    harness.step()
    assert late(harness)


def test_a_body_that_comes_in_time_has_no_deadline_any_more(harness: ServerHarness) -> None:
    client = harness.client()
    before = len(harness.loop.deadlines)
    send(harness, client, POST + b"a")
    assert len(harness.loop.deadlines) == before + 1
    harness.clock.now += JUST_BEFORE_S
    send(harness, client, b"bc" + GET)
    assert [len(asked.request.message.body) for asked in harness.handler.asked if asked.request.message] == [
        3,
        0,
    ]
    assert len(harness.loop.deadlines) == before
    assert harness.server._context.bodies.used == 0
    assert client.statuses() == [200, 200]


def test_what_has_come_while_the_process_was_stopped_is_in_time(harness: ServerHarness) -> None:
    """Deadlines are met before clients are read."""
    client = harness.client()
    send(harness, client, POST + b"a")
    client.send(b"bc")
    harness.step(TIMEOUT_S + 1)
    (asked,) = harness.handler.asked
    assert asked.request.message is not None
    assert asked.request.message.body == b"abc"


def test_so_is_more_of_it_than_one_read_takes(harness: ServerHarness) -> None:
    """A body of 40 KB was given up after 16."""
    harness.handler.body_bytes = 64 * 1024
    body, client = b"x" * 40_000, harness.client()
    send(harness, client, HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
    assert client.send(body) == len(body)
    harness.step(TIMEOUT_S + 1)
    (asked,) = harness.handler.asked
    assert asked.request.message is not None
    assert asked.request.message.body == body


def test_the_request_behind_it_is_not_answered(harness: ServerHarness) -> None:
    client = harness.client()
    send(harness, client, GET + POST + b"a")
    harness.step(TIMEOUT_S)
    harness.step()
    assert client.statuses() == [200, 200]
    send(harness, client, b"bc" + GET)
    for _ in range(3):
        harness.step(0.01)
    assert late(harness, 2)
    assert client.is_ended()
    harness.pass_time(LIMITS.linger_s)
    assert harness.server.connections == 0


def test_a_client_that_reads_late_gets_its_answer(harness: ServerHarness) -> None:
    """The body comes after all, and is read: closing with unread bytes takes the answer from the client."""
    client = harness.client()
    send(harness, client, POST + b"a")
    harness.step(TIMEOUT_S)
    for _ in range(5):
        harness.step()
        client.send(b"bc")
    assert client.statuses() == [200]
    assert client.is_ended()
    assert not client.was_reset


@pytest.mark.parametrize("how", [RawSocket.close, RawSocket.half_close, RawSocket.reset])
def test_a_client_that_leaves_in_the_body_is_forgotten(
    harness: ServerHarness, how: Callable[[RawSocket], None]
) -> None:
    before = len(harness.loop.deadlines)
    client = harness.client()
    send(harness, client, POST + b"a")
    assert harness.server._context.bodies.used == 1
    how(client)
    harness.until(lambda: harness.server.connections == 0)
    assert harness.server._context.bodies.used == 0
    assert len(harness.loop.deadlines) == before
    assert harness.handler.asked == []


def test_a_rejected_body_has_no_deadline_any_more(harness: ServerHarness) -> None:
    before = len(harness.loop.deadlines)
    client = harness.client()
    send(harness, client, CHUNKED + b"1\r\nx\r\n")
    send(harness, client, b"z\r\n")
    assert client.statuses() == [400]
    assert len(harness.loop.deadlines) == before
    assert harness.server._context.bodies.used == 0


def test_behind_a_request_that_is_answered_later_it_has_its_own_time(harness: ServerHarness) -> None:
    harness.handler.on_request = lambda _: None
    client = harness.client()
    send(harness, client, GET + POST + b"a")
    harness.step(TIMEOUT_S + 1)
    assert len(harness.handler.asked) == 1, "answers come in order"
    harness.handler.asked[0].respond()
    harness.step()
    harness.step()
    assert late(harness, 2)
    harness.handler.asked[1].respond()


def test_100_continue_comes_after_the_answers_to_the_requests_before(harness: ServerHarness) -> None:
    """The client would take it for an interim answer to the first of them (RFC 9110 section 15.2.1)."""
    harness.handler.on_request = lambda _: None
    client = harness.client()
    send(harness, client, GET + GET + WAITS)
    for asked in (0, 1):
        assert client.statuses() == [200] * asked
        harness.handler.asked[asked].respond()
        harness.step()
    assert client.statuses() == [200, 200, 100]
    assert client.read().endswith(CONTINUE)
    send(harness, client, b"abc")
    harness.handler.asked[2].respond()
    harness.step()
    assert client.statuses() == [200, 200, 100, 200], "once"


def test_behind_a_rejected_request_it_is_answered_as_its_time_is_over(harness: ServerHarness) -> None:
    """It is not held: it would be later still."""
    harness.handler.on_request = lambda _: None
    client = harness.client()
    send(harness, client, GET + POST + b"a")
    harness.clock.now += TIMEOUT_S + 1
    harness.handler.asked[0].respond(OVERLOADED)
    harness.step()
    assert late(harness, 2)
    harness.handler.asked[1].respond()


@pytest.mark.parametrize(
    "refused", [b"Transfer-Encoding: gzip, chunked\r\n\r\n", b"Content-Length: 9999999\r\n\r\n"]
)
def test_a_body_that_was_refused_is_not_waited_for(harness: ServerHarness, refused: bytes) -> None:
    """Nor behind a rejected request: its own timeout makes nothing else of it (C02)."""
    harness.handler.on_request = lambda _: None
    client = harness.client()
    send(harness, client, GET + HEAD + refused)
    harness.clock.now += TIMEOUT_S - 0.02
    harness.handler.asked[0].respond(OVERLOADED)
    harness.step()
    harness.step(0.1)
    assert len(harness.handler.asked) == 1, "the handler is not asked about it"
    assert client.statuses()[-1] == (501 if b"gzip" in refused else 413)


def test_behind_more_requests_than_one_step_answers(harness: ServerHarness) -> None:
    client = harness.client()
    send(harness, client, GET * (REQUESTS_PER_STEP + 1) + POST + b"a")
    harness.clock.now += TIMEOUT_S + 1
    for _ in range(3):
        harness.step()
    assert late(harness, REQUESTS_PER_STEP + 2)


def test_a_drain_waits_for_the_body(harness: ServerHarness) -> None:
    client = harness.client()
    send(harness, client, POST + b"a")
    empty: list[bool] = []
    harness.server.drain(lambda: empty.append(True), 0.1)
    harness.pass_time(0.5)
    send(harness, client, b"bc")
    assert client.statuses() == [200]
    assert not empty
    harness.pass_time(LIMITS.linger_s)
    assert empty


def test_a_slow_head_is_answered_408(harness: ServerHarness) -> None:
    client = harness.client()
    send(harness, client, POST[:20])
    harness.pass_time(LIMITS.head_timeout_s)
    assert client.statuses() == [408]
    assert harness.handler.asked == []
