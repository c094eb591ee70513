"""Responses of one connection, read whole and within their limits; what clients see of it: test_connection.py."""

import pytest

from hedgerow.core.answer_rules import AnswerRules, KnownHeads
from hedgerow.core.outcomes import Failure, FailureReason, Success
from hedgerow.settings import UpstreamLimits
from hedgerow.upstream.response_reader import ResponseReader
from support.attempts import make_request
from support.routes import passed_on_request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
LIMITS = UpstreamLimits(max_body_bytes=8, max_head_bytes=64, max_wire_bytes=128)


@pytest.fixture
def reader() -> ResponseReader:
    return ResponseReader(LIMITS, KnownHeads())


def body_of(reader: ResponseReader) -> bytes:
    outcome = reader.take_outcome(lambda _status, body: Success(body))
    assert isinstance(outcome, Success)
    return outcome.body


def reason(failure: Failure | None) -> FailureReason | None:
    return None if failure is None else failure.reason


@pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
def test_a_response_is_read_in_whatever_pieces_it_comes(reader: ResponseReader, piece_bytes: int) -> None:
    for at in range(0, len(OK), piece_bytes):
        assert not reader.is_complete
        assert reader.feed(OK[at : at + piece_bytes]) is None
    assert (reader.is_complete, reader.status, body_of(reader)) == (True, 200, b"{}")
    assert reader.keeps_connection
    assert reader.wire_bytes == len(OK)


def test_the_next_response_begins_with_nothing_of_the_last(reader: ResponseReader) -> None:
    reader.feed(OK)
    body_of(reader)
    reader.begin_for(make_request())
    assert (reader.is_complete, reader.status, reader.wire_bytes) == (False, 0, 0)
    reader.feed(OK.replace(b"200", b"503"))
    assert (reader.status, body_of(reader)) == (503, b"{}")


@pytest.mark.parametrize(
    "data",
    [
        OK + b"x",
        OK + OK,
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        OK.replace(b"1.1", b"1.0"),
    ],
)
def test_a_connection_is_not_used_again_where_more_came_or_its_end_was_announced(
    reader: ResponseReader, data: bytes
) -> None:
    assert reader.feed(data) is None
    assert (reader.is_complete, body_of(reader), reader.keeps_connection) == (True, b"{}", False)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"SSH-2.0-x\r\n", FailureReason.PROTOCOL),
        (b"RTSP/1.0 200 OK\r\n\r\n", FailureReason.PROTOCOL),
        (b"HTTP/1.1 099 OK\r\n\r\n", FailureReason.PROTOCOL),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
            FailureReason.STATUS_OTHER,
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 64, FailureReason.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789", FailureReason.TOO_LARGE),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 6, FailureReason.TOO_LARGE),
    ],
)
def test_what_is_no_response_or_too_large_is_a_failure(
    reader: ResponseReader, data: bytes, wanted: FailureReason
) -> None:
    assert reason(reader.feed(data)) is wanted


@pytest.mark.parametrize("is_head", [False, True])
@pytest.mark.parametrize("piece_bytes", [1, 1000])
def test_a_head_that_is_passed_on_is_too_large_in_whatever_pieces_it_comes(
    reader: ResponseReader, piece_bytes: int, is_head: bool
) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " + b"x" * 64 + b"\r\n\r\n"
    rules = AnswerRules(((200, 299),))
    reader.begin_for(passed_on_request(b"HEAD" if is_head else b"GET", rules=rules, max_response_body=8))
    found = [reader.feed(data[at : at + piece_bytes]) for at in range(0, len(data), piece_bytes)]
    assert reason(next(filter(None, found), None)) is FailureReason.TOO_LARGE


@pytest.mark.parametrize("is_head", [False, True])
@pytest.mark.parametrize("before", [b"", b"\r\n"])
@pytest.mark.parametrize(
    ("framing", "is_kept"),
    [
        (b"Content-Length: 2\r\n\r\n{}", True),
        (b"transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", False),
    ],
)
def test_a_connection_is_not_used_again_behind_chunks_in_http_1_0(
    before: bytes, framing: bytes, is_kept: bool, is_head: bool
) -> None:
    """RFC 9112 section 6.1: the framing is to be treated as faulty."""
    reader = ResponseReader(UpstreamLimits(), KnownHeads())
    body = b"{}"
    if is_head:
        reader.begin_for(passed_on_request(b"HEAD", rules=AnswerRules(((200, 299),)), max_response_body=8))
        framing, body = framing.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", b""
    assert reader.feed(before + b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + framing) is None
    assert (reader.is_complete, body_of(reader), reader.keeps_connection) == (True, body, is_kept)


@pytest.mark.parametrize(
    "coding", [b"gzip", b"gzip, chunked", b"chunked, chunked", b"Chunked", b"identity", b"IDENTITY, chunked"]
)
@pytest.mark.parametrize("passes_on", [False, True])
def test_a_body_with_another_transfer_coding_than_chunked_does_not_pass(
    reader: ResponseReader, coding: bytes, passes_on: bool
) -> None:
    """The coding is not removed, and the client would not know of it (RFC 9112 section 6.1)."""
    request = passed_on_request(rules=AnswerRules(((200, 299),)), max_response_body=8)
    if not passes_on:
        request.message = None
    reader.begin_for(request)
    failure = reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n")
    is_plain = coding.lower() in (b"chunked", b"identity", b"identity, chunked")
    assert reason(failure) is (None if is_plain or not passes_on else FailureReason.PROTOCOL)


HEAD_ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", b"\r\n"])
@pytest.mark.parametrize("behind", [b"", b"5", b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"x", OK])
def test_a_connection_is_not_used_again_where_anything_came_behind_an_answer_to_head(
    reader: ResponseReader, before: bytes, behind: bytes
) -> None:
    """RFC 9112 section 6.3, rule 1: it has no body; what comes may be the beginning of one whose rest follows."""
    reader.begin_for(passed_on_request(b"HEAD", rules=AnswerRules(((200, 299),)), max_response_body=8))
    assert reader.feed(before + HEAD_ANSWER + behind) is None
    assert (reader.is_complete, body_of(reader)) == (True, b"")
    assert reader.keeps_connection is (behind == b"")


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", b"\r\n"])
@pytest.mark.parametrize("piece_bytes", [1, 1000])
@pytest.mark.parametrize(
    ("head", "is_kept"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n", True),
        (b"HTTP/1.1 304 X\r\nConnection: x\r\nX-Connection: close\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: x\r\nCONNECTION:keep-alive ,\tClose\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_a_connection_is_used_again_behind_an_answer_to_head_whatever_its_length(
    before: bytes, piece_bytes: int, head: bytes, is_kept: bool
) -> None:
    """RFC 9112 sections 6.3 and 9.3: it ends with the empty line, so only version and Connection count."""
    reader = ResponseReader(UpstreamLimits(), KnownHeads())
    reader.begin_for(passed_on_request(b"HEAD", rules=AnswerRules(((200, 399),)), max_response_body=8))
    data = before + head + b"\r\n"
    for at in range(0, len(data), piece_bytes):
        assert reader.feed(data[at : at + piece_bytes]) is None
    assert (reader.is_complete, reader.keeps_connection) == (True, is_kept)


@pytest.mark.parametrize(
    ("fields", "ends_with_connection"),
    [
        (b"", True),
        (b"Content-Length: 5\r\n", False),
        (b"Transfer-Encoding: chunked\r\n", False),
        (b"Transfer-Encoding: gzip\r\n", True),
    ],
)
@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_which_bodies_end_with_the_connection(
    reader: ResponseReader, before: bytes, fields: bytes, ends_with_connection: bool
) -> None:
    """RFC 9112 section 6.3."""
    assert reader.feed(before + b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n") is None
    assert reader.is_close_delimited() is ends_with_connection
