"""What was read of one connection, parsed in bounded pieces, each with the instant at which it came."""

import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from hedgerow.net.stream import READ_BYTES, Stream
from hedgerow.server.request_reader import HELD_PIECE_BYTES, RequestReader
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
    assert (reader.held_bytes, reader.requests) == (len(data) + HELD_PIECE_BYTES, [])
    pieces = 0
    while reader.has_unparsed:
        assert reader.held_bytes == len(data) - pieces * CHUNK + HELD_PIECE_BYTES
        reader.parse()
        pieces += 1
    assert reader.held_bytes == 0
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
        assert (len(reader.requests), reader.held_bytes) == (1, held * (len(GET) + HELD_PIECE_BYTES))


def test_while_a_request_is_answered_the_bytes_of_the_next_are_held_and_counted(
    reader: RequestReader, stream: Stream
) -> None:
    reader.add(GET, stream, is_answering=True)
    assert (reader.requests, reader.held_bytes) == ([], len(GET) + HELD_PIECE_BYTES)


@pytest.mark.parametrize("piece_bytes", [1, 2, 100])
def test_what_is_counted_is_what_is_taken(reader: RequestReader, stream: Stream, piece_bytes: int) -> None:
    """Pieces of one byte took 88 times what was counted, 5.8 MB of a connection."""
    pieces = 2_000
    tracemalloc.start()
    try:
        for number in range(pieces):
            reader.add(b"%0*d" % (piece_bytes, number % 10**piece_bytes), stream, is_answering=True)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1.25 * reader.held_bytes


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
    assert (reader.holds_requests, reader.has_unparsed, reader.held_bytes) == (True, False, 0)
    reader.requests.clear()
    assert reader.holds_requests, "it is not answered yet"
    message = reader.serialize_rejection(reader.rejected)
    assert message.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close\r\n" in message
    head, _, body = message.partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert b'"code":"bad_request"' in body


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


# -- bodies: however the bytes of a request are cut into reads, the request is the same

POST = b"POST /x HTTP/1.1\r\nHost: x\r\n"
LENGTH, CHUNKED = b"Content-Length: %d\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"
BODY_BYTES = 64 * 1024
KIB = 1024
END = b"\r\n\r\n"


@pytest.fixture
def bodies() -> Iterator[ServerHarness]:
    """A server that reads bodies, with the usual limits."""
    harness = ServerHarness(body_timeout_ms=10_000)
    harness.handler.body_bytes = BODY_BYTES
    yield harness
    harness.close()


def read_in(harness: ServerHarness, pieces: Iterable[bytes]) -> bytes:
    """Return the body of the one request that comes in these reads."""
    reader, stream = RequestReader(harness.server._context), harness.connection_of(harness.client())._stream
    for piece in pieces:
        for at in range(0, len(piece), READ_BYTES):
            reader.add(piece[at : at + READ_BYTES], stream)
            while reader.has_unparsed and reader.rejected is None:
                reader.parse()
    assert reader.rejected is None, reader.rejected
    (request,) = reader.requests
    assert request.message is not None
    body = request.message.body
    reader.release_body(len(body))
    reader.close()
    return body


def in_chunks(body: bytes, chunk_bytes: int) -> bytes:
    chunks = (body[at : at + chunk_bytes] for at in range(0, len(body), chunk_bytes))
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [8 * KIB + 1, 12 * KIB, 16 * KIB - 8])
@pytest.mark.parametrize("behind", [b"", END])
@pytest.mark.parametrize("chunk_bytes", [0, BODY_BYTES])
def test_a_body_that_comes_in_a_read_of_its_own_is_not_taken_for_a_head(
    bodies: ServerHarness, size: int, behind: bytes, chunk_bytes: int
) -> None:
    """It ends with the first empty line in it, as a head does: as a chunked one always may."""
    body = b"x" * (size - len(behind)) + behind
    if chunk_bytes:
        head, wire = POST + CHUNKED, in_chunks(body, chunk_bytes)
    else:
        head, wire = POST + LENGTH % len(body), body
    assert read_in(bodies, [head, wire]) == body


@pytest.mark.parametrize("seed", range(60))
def test_the_cuts_between_reads_do_not_matter(bodies: ServerHarness, seed: int) -> None:
    chance = Random(seed)
    size = chance.choice((2, 8, 16, 64)) * KIB + chance.choice((-9, -1, 0, 1, 9))
    body = bytearray(chance.choice((b"x", b"\r\n", END, b"0" + END)) * size)[: min(size, BODY_BYTES)]
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(body) - 4)
        body[at : at + 4] = END
    if chance.random() < 0.5:
        body[-4:] = END
    if chance.random() < 0.5:
        wire = POST + LENGTH % len(body) + body
    else:
        wire = POST + CHUNKED + in_chunks(bytes(body), chance.choice((1, 100, 3_000, 20_000, BODY_BYTES)))
    ends = [at + 4 for at in range(len(wire)) if wire.startswith(END, at)]
    ends = [*chance.sample(ends, min(len(ends), 9)), wire.index(END) + 4]
    cuts = sorted({0, len(wire), *ends, *(chance.randrange(len(wire)) for _ in range(chance.randrange(20)))})
    pieces = [bytes(wire[begin:end]) for begin, end in pairwise(cuts)]
    assert read_in(bodies, pieces) == bytes(body)


def test_a_body_by_length_has_no_framing_to_be_counted() -> None:
    harness = ServerHarness(limits=ClientLimits(body_overhead_bytes=0), body_timeout_ms=10_000)
    harness.handler.body_bytes = BODY_BYTES
    body = b"x" * BODY_BYTES
    assert read_in(harness, [POST + LENGTH % len(body), body]) == body
    harness.close()
