"""The requests of one connection: what they cost the others, what they are charged, and that each has its turn."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from hedgerow.core.response import Response
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.server.request_pipeline import REQUESTS_PER_STEP
from hedgerow.server.request_reader import HELD_PIECE_BYTES
from hedgerow.server.timeouts import REAP_INTERVAL_S
from hedgerow.settings import ClientLimits
from support.server_harness import GET, OVERLOADED, Asked, RawSocket, ServerHarness, answer, server_harness

BACKPRESSURE_S = ClientLimits().backpressure_s

LIMITS = ClientLimits()
READ_BYTES = 16 * 1024
RESPONSE_BYTES = 400
"""More than one of the harness' responses has."""


def with_timeout(timeout_ms: int) -> bytes:
    """Return a request that the harness' handler gives this timeout."""
    return b"GET /x?%d HTTP/1.1\r\nHost: x\r\n\r\n" % timeout_ms


class Deadline(EventHandler):
    """Something else that is due."""

    def __init__(self, fire: "list[str]") -> None:
        self.fired = fire

    def on_deadline(self) -> None:
        self.fired.append("deadline")


# -- B1: one client against the others


def test_b1_pipelined_requests_let_other_clients_and_deadlines_have_their_turn(
    harness: ServerHarness,
) -> None:
    order: list[str] = []

    def answer_and_note(asked: Asked) -> None:
        order.append(asked.request.query.decode())
        asked.respond()

    harness.handler.on_request = answer_and_note
    flooding, other = harness.client(), harness.client()
    flooding.send(b"GET /x?flood HTTP/1.1\r\nHost: x\r\n\r\n" * 400)
    while order.count("flood") < 300:
        asked_before = len(order)
        other.send(b"GET /x?other HTTP/1.1\r\nHost: x\r\n\r\n")
        harness.loop.call_at(harness.clock.now, Deadline(order))
        harness.step(0.001)
        turn = order[asked_before:]
        assert turn.count("flood") <= REQUESTS_PER_STEP
        assert turn.count("deadline") == 1
    assert order.count("other") >= 300 // REQUESTS_PER_STEP - 1, "each time round, as its bytes had come"


def test_b1_more_bytes_of_the_same_client_buy_no_second_turn(harness: ServerHarness) -> None:
    harness.handler.answer_at_once()
    flooding = harness.client()
    flooding.send(GET * 100)
    harness.until_asked(REQUESTS_PER_STEP)
    flooding.send(GET * 100)
    harness.step()
    harness.step()
    assert len(harness.handler.asked) == REQUESTS_PER_STEP
    harness.step(0.001)
    assert len(harness.handler.asked) == 2 * REQUESTS_PER_STEP


def test_b1_all_pipelined_requests_are_answered_in_the_end(harness: ServerHarness) -> None:
    harness.handler.answer_at_once()
    client = harness.client()
    client.send(GET * 100)

    def all_have_come() -> bool:
        harness.clock.now += 0.001
        return len(client.statuses()) == 100

    harness.until(all_have_come)
    assert harness.pipeline_of(client)._reader.held_bytes == 0


def test_b1_many_pieces_that_are_held_pause_the_connection(harness: ServerHarness) -> None:
    client = harness.client()
    client.send(GET)
    harness.until_asked(1)
    connection, sent = harness.connection_of(client), 0
    while not connection.paused:
        client.send(b"\r")
        sent += 1
        harness.step()
    assert sent == LIMITS.max_pipelined_bytes // (HELD_PIECE_BYTES + 1) + 1


def test_b1_what_waits_to_be_sent_is_bounded() -> None:
    with server_harness(limits=replace(LIMITS, send_buffer_bytes=4096)) as harness:
        harness.handler.answer_at_once()
        client = harness.client(receive_buffer=4096)
        connection = harness.connection_of(client)
        reader = harness.pipeline_of(client)._reader
        blocked_for = 0
        while blocked_for < 50:  # the kernel gives its buffers more room at first
            if len(reader._unparsed) < 2:
                client.send(GET * 100)
            asked = len(harness.handler.asked)
            harness.step(0.001, wait_s=0.001)
            blocked_for = blocked_for + 1 if connection._stream.blocked else 0
            if blocked_for > 1:
                assert len(harness.handler.asked) == asked, "no further request is begun"
        assert connection._stream.unsent_bytes <= REQUESTS_PER_STEP * RESPONSE_BYTES
        while True:
            try:
                client.send(b"x" * READ_BYTES)
            except BlockingIOError:
                break
            harness.step(0.001, wait_s=0)
        most = LIMITS.max_pipelined_bytes + READ_BYTES + HELD_PIECE_BYTES
        assert reader.held_bytes <= most, "the rest stays with the kernel"


def test_b1_large_responses_count_against_the_write_buffer() -> None:
    """The pages of the admin port have some 100 KB: sixteen of them were held for a client that read none."""
    with server_harness(limits=replace(LIMITS, send_buffer_bytes=4096)) as harness:
        size = LIMITS.write_buffer_bytes
        harness.handler.answer_at_once(answer(size))
        client = harness.client(receive_buffer=4096)
        client.send(GET * 16)
        harness.step()
        harness.step()
        assert harness.connection_of(client)._stream.unsent_bytes < 2 * size


# -- B2: when a request arrived


def test_b2_each_request_is_dated_with_its_own_arrival(harness: ServerHarness) -> None:
    """The third of three requests was dated like the first, and rejected as too late."""
    harness.faults.queue_age_s = 0.0
    client = harness.client()
    written_at = []
    for number in range(3):
        harness.clock.now += 0.1
        written_at.append(harness.clock.now)
        client.send(GET)
        harness.until(lambda held=number: len(harness.pipeline_of(client)._reader._unparsed) == held)  # type: ignore[misc]
        harness.until_asked(1)
    for number in range(3):
        harness.clock.now += 0.1
        harness.handler.asked[number].respond()
    assert [asked.request.arrived_at for asked in harness.handler.asked] == written_at


def test_b2_a_request_arrives_with_its_first_byte(harness: ServerHarness) -> None:
    harness.faults.queue_age_s = 0.0
    client = harness.client()
    first_at = harness.clock.now
    client.send(GET + GET[:5])
    harness.until_asked(1).respond()
    harness.clock.now += 0.3
    client.send(GET[5:])
    assert harness.until_asked(2).request.arrived_at == first_at


def test_time_in_the_socket_buffer_is_charged_to_us(harness: ServerHarness) -> None:
    """Of a connection that was just accepted."""
    harness.faults.queue_age_s = 0.25
    client = harness.client()
    client.send(GET)
    assert harness.until_asked(1).request.arrived_at == harness.clock.now - 0.25


def test_what_is_read_after_a_pause_is_dated_by_the_kernel() -> None:
    with server_harness(limits=replace(LIMITS, max_pipelined_bytes=len(GET) // 2)) as harness:
        client = harness.client()
        client.send(GET)
        first = harness.until_asked(1)
        client.send(GET)
        harness.until(lambda: harness.connection_of(client).paused)
        client.send(GET)
        first.respond()
        harness.faults.queue_age_s = 0.125
        harness.until_asked(2).respond()
        assert harness.until_asked(3).request.arrived_at == harness.clock.now - 0.125
        harness.step(BACKPRESSURE_S + 0.001)


def test_time_in_which_we_were_stopped_while_others_were_read_is_charged_to_us(
    harness: ServerHarness,
) -> None:
    clients = [harness.client(), harness.client()]
    for number, client in enumerate(
        clients, start=1
    ):  # what a new connection sends first has its age asked anyway
        client.send(GET)
        harness.until_asked(number).respond()

    def stop(_: Asked) -> None:
        harness.handler.on_request = lambda _: None
        harness.clock.now += 0.5
        harness.faults.queue_age_s = 0.5

    harness.handler.on_request = stop
    arrived_at = harness.clock.now
    for client in clients:
        client.send(GET)
    harness.until(lambda: len(harness.handler.asked) == 4)
    assert [asked.request.arrived_at for asked in harness.handler.asked[2:]] == [arrived_at, arrived_at]


# -- when what is rejected arrived: `total` of Server-Timing counts from its first byte


def totals_of(client: RawSocket) -> list[float]:
    """Return the `total` of each response that has come, in seconds."""
    return [float(total) / 1000 for total in re.findall(rb"total;dur=([\d.]+)", client.read())]


@pytest.mark.parametrize(
    "pieces",
    [
        (b"GET /x", b"\x00"),
        (b"GET /x HTTP/1.1\r\n", b"\r\n"),
        (b"GET /x HTTP/1.1\r\nHost: x\r\n", b"X: " + b"y" * READ_BYTES * 3),
        (b"PLAY rtsp://x ", b"RTSP/1.0\r\n"),
        (GET + b"PLAY rtsp://x ", b"RTSP/1.0\r\n"),
        (GET + b"GET", b" /x HTTP/1.1\r\n\r\n"),
        (GET[:-3], GET[-3:] + b"G", b"\x00"),
    ],
)
def test_what_is_malformed_arrived_with_its_first_byte(
    harness: ServerHarness, pieces: tuple[bytes, ...]
) -> None:
    harness.faults.queue_age_s = 0.0
    harness.handler.answer_at_once()
    client = harness.client()
    for piece in pieces:
        client.send(piece)
        for _ in range(4):
            harness.step()
        harness.clock.now += 0.3
    assert client.statuses()[-1] in (400, 431)
    assert totals_of(client)[-1] == 0.3


@pytest.mark.parametrize("behind", [b"nonsense\r\n\r\n", b"GET / RTSP/1.0\r\n"])
def test_what_is_malformed_behind_a_request_arrived_when_it_came(
    harness: ServerHarness, behind: bytes
) -> None:
    harness.faults.queue_age_s = 0.0
    client = harness.client()
    client.send(GET[:-3])
    harness.step()
    harness.clock.now += 0.5
    client.send(GET[-3:] + behind)
    asked = harness.until_asked(1)
    harness.clock.now += 0.2
    asked.respond()
    harness.step()
    assert client.statuses() == [200, 400]
    assert totals_of(client) == [0.7, 0.2]


def test_a_slow_head_arrived_with_its_first_byte(harness: ServerHarness) -> None:
    harness.faults.queue_age_s = 0.0
    client = harness.client()
    client.send(GET[:5])
    harness.step()
    harness.pass_time(LIMITS.head_timeout_s)
    assert client.statuses() == [408]
    assert LIMITS.head_timeout_s <= totals_of(client)[0] <= LIMITS.head_timeout_s + 2 * REAP_INTERVAL_S


def test_a_client_that_is_one_too_many_arrived_as_it_was_accepted() -> None:
    with server_harness(max_clients=0) as harness:
        client = harness.client()
        assert (client.statuses(), totals_of(client)) == ([503], [0.0])


# -- backpressure


def test_after_a_503_the_next_request_is_held_for_a_while(harness: ServerHarness) -> None:
    client = harness.client()
    client.send(GET)
    harness.until_asked(1).respond(OVERLOADED)
    harness.until_responses(client, 1)
    client.send(GET)
    harness.step()
    harness.step(BACKPRESSURE_S - 0.001)
    harness.step()
    assert len(harness.handler.asked) == 1
    harness.step(0.002)
    harness.until_asked(2)


@pytest.mark.parametrize("rejected_ms", [1, 400, 10_000])
@pytest.mark.parametrize(("timeout_ms", "held_s"), [(10_000, BACKPRESSURE_S), (400, 0.05), (80, 0.01)])
@pytest.mark.parametrize("parts", [1, 2])
def test_it_is_held_for_an_eighth_of_its_own_timeout_at_most(
    harness: ServerHarness, rejected_ms: int, timeout_ms: int, held_s: float, parts: int
) -> None:
    """Held for longer it would be late: it was, behind a rejected request whose timeout was longer."""
    harness.faults.queue_age_s = 0.0
    client = harness.client()
    client.send(with_timeout(rejected_ms))
    harness.until_asked(1).respond(OVERLOADED)
    harness.until_responses(client, 1)
    head = with_timeout(timeout_ms)
    for part in (head[:10], head[10:]) if parts == 2 else (head,):
        client.send(part)
        harness.step()
    harness.step(held_s - 0.002)
    assert len(harness.handler.asked) == 1
    harness.step(0.003)
    assert len(harness.handler.asked) == 2
    harness.step()


def test_a_request_whose_time_passed_behind_the_rejected_one_is_not_held(harness: ServerHarness) -> None:
    client = harness.client()
    client.send(GET + with_timeout(400) + with_timeout(2_000) + GET)
    first = harness.until_asked(1)
    harness.clock.now += 0.06
    harness.handler.on_request = lambda asked: asked.respond(OVERLOADED)
    first.respond(OVERLOADED)
    assert [asked.request.query for asked in harness.handler.asked] == [b"", b"400"], "the next one has time"
    harness.step(BACKPRESSURE_S + 0.001)
    assert len(harness.handler.asked) == 3
    harness.step(BACKPRESSURE_S + 0.001)
    assert len(harness.handler.asked) == 4


def test_a_request_that_comes_after_the_backpressure_ends_it(harness: ServerHarness) -> None:
    client = harness.client()
    client.send(GET)
    harness.until_asked(1).respond(OVERLOADED)
    harness.step(BACKPRESSURE_S + 0.001)
    client.send(GET)
    harness.until_asked(2).respond()
    client.send(GET)
    harness.until_asked(3)


def test_what_is_malformed_is_not_held(harness: ServerHarness) -> None:
    client = harness.client()
    client.send(GET)
    harness.until_asked(1).respond(OVERLOADED)
    client.send(b"nonsense\r\n\r\n")
    harness.until_responses(client, 2)
    assert client.statuses() == [503, 400]


def test_a_client_that_waits_after_a_503_needs_neither_a_system_call_nor_a_deadline(
    harness: ServerHarness,
) -> None:
    client = harness.client()
    client.send(GET)
    asked = harness.until_asked(1)
    before = len(harness.loop.deadlines)
    asked.respond(OVERLOADED)
    harness.until_responses(client, 1)
    assert len(harness.loop.deadlines) == before
    assert not harness.connection_of(client).paused, "it is watched as before"
    harness.step(BACKPRESSURE_S)
    client.send(GET)
    harness.until_asked(2)


def test_pipelined_requests_wait_for_the_backpressure_too(harness: ServerHarness) -> None:
    client = harness.client()
    client.send(GET * 2)
    harness.until_asked(1).respond(OVERLOADED)
    for _ in range(5):
        harness.step()
    assert len(harness.handler.asked) == 1
    harness.step(BACKPRESSURE_S + 0.001)
    assert len(harness.handler.asked) == 2


def test_backpressure_is_not_cut_short_by_a_turn_that_waits(harness: ServerHarness) -> None:
    client = harness.client()

    def reject_the_last(asked: Asked) -> None:
        asked.respond(OVERLOADED if len(harness.handler.asked) == REQUESTS_PER_STEP + 1 else answer())

    harness.handler.on_request = reject_the_last
    client.send(GET * REQUESTS_PER_STEP + GET + GET)
    harness.until_asked(REQUESTS_PER_STEP)
    client.send(GET)
    harness.step()
    harness.step(0.001)
    for _ in range(5):
        harness.step(0.001)
    assert len(harness.handler.asked) == REQUESTS_PER_STEP + 1


@pytest.mark.parametrize("how", [RawSocket.close, RawSocket.half_close, RawSocket.reset])
def test_a_client_that_leaves_during_backpressure_is_noticed_at_once(
    harness: ServerHarness, how: Callable[[RawSocket], None]
) -> None:
    client = harness.client()
    client.send(GET)
    harness.until_asked(1).respond(OVERLOADED)
    harness.until_responses(client, 1)
    how(client)
    harness.until(lambda: harness.server.connections == 0)
    harness.step(BACKPRESSURE_S + 0.001)  # its deadline finds it closed


# -- internal errors


def test_an_exception_of_the_handler_ends_its_connection_alone(harness: ServerHarness) -> None:
    def fail(asked: Asked) -> None:
        raise ZeroDivisionError

    other, broken = harness.client(), harness.client()
    harness.handler.on_request = fail
    broken.send(GET)
    harness.until(lambda: harness.server.connections == 1)
    assert [type(error) for error in harness.internal_errors] == [ZeroDivisionError]
    harness.internal_errors.clear()
    harness.handler.answer_at_once()
    other.send(GET)
    harness.until_responses(other, 1)


@pytest.mark.parametrize("when", ["as the response before it is sent", "after backpressure"])
def test_an_exception_of_the_handler_leaves_no_connection_that_hangs(
    harness: ServerHarness, when: str
) -> None:
    """Outside of `on_ready` the connection went on unanswered for ever: nothing aborted it."""
    client = harness.client()
    client.send(GET + GET)
    first = harness.until_asked(1)

    def fail(asked: Asked) -> None:
        raise ZeroDivisionError

    harness.handler.on_request = fail
    first.respond(OVERLOADED if when == "after backpressure" else None)
    harness.step(BACKPRESSURE_S + 0.001)
    harness.until(lambda: harness.server.connections == 0)
    assert [type(error) for error in harness.internal_errors] == [ZeroDivisionError]
    harness.internal_errors.clear()


def test_an_exception_while_a_response_is_sent_leaves_no_connection_that_hangs(
    harness: ServerHarness,
) -> None:
    """What ends a race has nothing else to answer with: the client waited for ever."""
    client = harness.client()
    client.send(GET + GET)
    harness.until_asked(1).respond(Response(299, b"{}"))
    harness.until(lambda: harness.server.connections == 0)
    assert [type(error) for error in harness.internal_errors] == [KeyError]
    harness.internal_errors.clear()
    assert len(harness.handler.asked) == 1


def test_a_connection_that_was_paused_is_read_again_when_its_requests_are_answered() -> None:
    """The simulation found one that was not, and got 408 at last."""
    limits = ClientLimits(max_pipelined_bytes=150, parse_chunk_bytes=100)
    with server_harness(limits=limits) as harness:
        harness.handler.answer_at_once()
        client = harness.client()
        number = 2 * READ_BYTES // len(GET)  # more than one read, each beyond what may be held
        client.send(GET * number)
        for _ in range(number):
            client.read()
            harness.step(0.001, wait_s=0.0)
        assert len(client.statuses()) == number
