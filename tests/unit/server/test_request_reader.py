"""What was read of one connection, parsed in bounded pieces, each with the instant at which it came."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from hedgerow.net.stream import Stream
from hedgerow.server.request_reader import RequestReader
from hedgerow.settings import ClientLimits
from support.server_harness import GET, RawSocket, ServerHarness

CHUNK = 64


@pytest.fixture
def harness() -> Iterator[ServerHarness]:
    harness = ServerHarness(limits=replace(ClientLimits(), parse_chunk_bytes=CHUNK))
    yield harness
    harness.close()


@pytest.fixture
def client(harness: ServerHarness) -> RawSocket:
    return harness.client()


@pytest.fixture
def stream(harness: ServerHarness, client: RawSocket) -> Stream:
    return harness.connection_of(client)._stream


@pytest.fixture
def reader(harness: ServerHarness) -> Iterator[RequestReader]:
    reader = RequestReader(harness.server._context)
    yield reader
    reader.close()


def test_what_is_held_is_parsed_piece_by_piece(reader: RequestReader, stream: Stream) -> None:
    data = GET * 5
    reader.add(data, stream)
    assert (reader.held_bytes, reader.requests) == (len(data), [])
    pieces = 0
    while reader.has_unparsed:
        reader.parse()
        pieces += 1
        assert reader.held_bytes == max(len(data) - pieces * CHUNK, 0)
    assert pieces == -(-len(data) // CHUNK)
    assert len(reader.requests) == 5
    assert reader.holds_requests
    assert not reader.has_partial_request


def test_a_request_that_comes_whole_and_alone_is_parsed_at_once(
    reader: RequestReader, stream: Stream
) -> None:
    reader.add(GET, stream)
    assert (len(reader.requests), reader.has_unparsed, reader.held_bytes) == (1, False, 0)
    for held in (1, 2):  # what comes behind it is held
        reader.add(GET, stream)
        assert (len(reader.requests), reader.held_bytes) == (1, held * len(GET))


def test_while_a_request_is_answered_the_bytes_of_the_next_are_held_and_counted(
    reader: RequestReader, stream: Stream
) -> None:
    reader.add(GET, stream, is_answering=True)
    assert (reader.requests, reader.held_bytes) == ([], len(GET))


def test_the_rest_of_a_head_is_no_request_though_it_looks_like_one(
    reader: RequestReader, stream: Stream
) -> None:
    reader.add(b"GET / HTTP/1.1\r\nHost: x\r\n", stream)
    reader.parse()
    reader.add(GET, stream)
    reader.parse()
    assert (reader.requests, reader.rejected is not None) == ([], True)


def test_a_request_arrives_when_its_first_byte_was_read(
    harness: ServerHarness, reader: RequestReader, stream: Stream
) -> None:
    begun_at = harness.clock.now
    reader.add(GET[:10], stream)
    reader.parse()
    assert reader.has_partial_request
    harness.clock.now += 5.0
    reader.add(GET[10:] + GET, stream)
    while reader.has_unparsed:
        reader.parse()
    first, second = (request.arrived_at for request in reader.requests)
    assert first < begun_at + 1.0
    assert second == pytest.approx(begun_at + 5.0, abs=1.0)


def test_what_is_rejected_ends_the_parsing_and_keeps_the_requests_before_it(
    reader: RequestReader, stream: Stream
) -> None:
    reader.add(GET + b"nonsense\r\n\r\n" + GET, stream)
    while reader.rejected is None:
        reader.parse()
    assert len(reader.requests) == 1
    assert reader.error_response(reader.rejected).status == 400
    assert not reader.rejected_is_head
    assert reader.rejected_id


def test_closed_it_holds_nothing_any_more(reader: RequestReader, stream: Stream) -> None:
    reader.add(GET * 3, stream)
    reader.parse()
    reader.close()
    assert (reader.holds_requests, reader.held_bytes, reader.rejected) == (False, 0, None)


def test_the_kernel_is_asked_for_the_age_of_what_comes_first(
    harness: ServerHarness, reader: RequestReader, stream: Stream
) -> None:
    """Time in the socket buffer is charged to the gateway."""
    harness.faults.queue_age_s = 3.0
    harness.loop.clients.lag = False
    harness.loop.clients.are_fresh_until = harness.clock.now + 1
    for _ in range(2):
        reader.add(GET, stream)
    while reader.has_unparsed:
        reader.parse()
    assert [request.arrived_at for request in reader.requests] == [harness.clock.now - 3.0, harness.clock.now]


def test_a_process_that_is_stopped_while_it_asks_for_the_age_dates_nothing_earlier(
    harness: ServerHarness, reader: RequestReader, stream: Stream
) -> None:
    """Else the request would be answered 504 before its time is over, with nothing sent."""

    def stopped() -> None:
        harness.clock.now += 0.4

    came_at = harness.clock.now - 0.1
    harness.faults.queue_age_s, harness.faults.while_dated = 0.5, stopped
    reader.add(GET, stream)
    assert reader.requests[0].arrived_at == pytest.approx(came_at)
