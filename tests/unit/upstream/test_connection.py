"""One connection to the upstream: what a response is taken for, and what becomes of the connection.

The test is its race, its connector and its socket. Which bytes are an answer is also checked by h11, in
`test_connection_vs_h11.py`.
"""

import ssl

import pytest

from hedgerow.core.outcomes import Attempt, Failure, FailureReason, Outcome, Success
from hedgerow.core.response_validation import classify_response
from hedgerow.core.traces import AttemptPlace
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.poller import READABLE, WRITABLE
from hedgerow.net.stream import READ_BYTES
from hedgerow.settings import UpstreamLimits
from hedgerow.upstream.connection import ACTIVE, CLOSED, CONNECTING, IDLE
from support.one_connection import GRACE_S, REQUEST, OneConnection

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SUCCESS = "success"
FAILED = Failure(FailureReason.CONNECT, "as the test says")
PIECE_BYTES = 16 * 1024


def ok(body: bytes = b'{"time":1}', *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), lines, body)


@pytest.fixture
def one() -> OneConnection:
    """A connection that has just sent its first attempt."""
    one = OneConnection(classify_response)
    one.open()
    return one


def name_of(outcome: Outcome | None) -> str:
    assert outcome is not None, "the attempt is still running"
    return outcome.reason.value if isinstance(outcome, Failure) else SUCCESS


def feed(one: OneConnection, data: bytes, piece_bytes: int) -> None:
    for at in range(0, len(data), piece_bytes):
        one.receive(data[at : at + piece_bytes])


# -- answers


def test_an_answer_and_the_end_of_its_connection_are_read_in_one_event(one: OneConnection) -> None:
    """Else hedges that are due are sent for an answer that has come (C02, seed 1128/7428)."""
    one.sock.has_ended = True
    one.receive(b'HTTP/1.1 200 OK\r\n\r\n{"time":1}')
    assert name_of(one.attempt.outcome) == SUCCESS


class Due(EventHandler):
    """Notes how long the answer to an attempt is when it is due."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self.found: list[int] = []

    def on_deadline(self) -> None:
        outcome = self._attempt.outcome
        self.found.append(len(outcome.body) if isinstance(outcome, Success) else -1)

    def resume(self) -> None:
        self.on_deadline()


@pytest.mark.parametrize("ends_with_connection", [False, True])
@pytest.mark.parametrize("size", [READ_BYTES, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 1024 * 1024])
def test_an_answer_of_any_length_that_has_come_is_read_before_hedges_and_deadlines(
    size: int, ends_with_connection: bool
) -> None:
    """One of more than 64 KiB had a hedge and a 504 for a rival, though it had come."""
    one = OneConnection(limits=UpstreamLimits(max_body_bytes=size, max_wire_bytes=2 * size))
    one.open()
    answer = ok(b"x" * size)
    one.sock.incoming = answer.replace(b"Content-Length", b"X") if ends_with_connection else answer
    one.sock.has_ended = ends_with_connection
    due = Due(one.attempt)
    one.loop.call_at(one.virtual.now, due)
    one.loop.wake_after_reading(due)
    one.virtual.ready(one.sock.fd)
    one.virtual.iterate()
    assert due.found == [size, size]


@pytest.mark.parametrize("piece_bytes", [1, PIECE_BYTES])
@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (SUCCESS, ok()),
        (SUCCESS, CHUNKED + b'5\r\n{"tim\r\n6;x=y\r\ne": 1}\r\n0\r\nTrailer: x\r\n\r\n'),
        (SUCCESS, CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in b'{"time":1}') + b"0\r\n\r\n"),
        (SUCCESS, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + ok()),
        (SUCCESS, b'HTTP/1.1 200\r\nContent-Length: 10\r\n\r\n{"time":1}'),
        (SUCCESS, ok(b' {"x":[{}],"time":1.5e2} \n')),
        (SUCCESS, ok(b'{"time":1}', b"X: \xe4")),
        (SUCCESS, b'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 10\r\n\r\n{"time":1}'),
        (SUCCESS, ok(b'{"time":1}', b"Connection: upgrade", b"Upgrade: h2c")),
        ("status_5xx", b"HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\n<html>"),
        ("status_5xx", b"HTTP/1.1 503 Oops\r\nContent-Length: 0\r\n\r\n"),
        ("status_429", b"HTTP/1.1 429 Slow down\r\nContent-Length: 0\r\n\r\n"),
        ("status_other", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("status_other", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"),
        ("status_other", b'HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n{"time":1}'),
        ("status_other", b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
        ("bad_json", ok(b"<html>")),
        ("bad_json", ok(b"")),
        ("bad_json", ok(b'{"time":1')),
        ("bad_json", ok(b"\x1f\x8b\x08\x00")),
        ("bad_payload", ok(b'{"time":"1"}')),
        ("bad_payload", ok(b"[160]")),
        ("bad_payload", ok(b'{"time":1e999}')),
    ],
)
def test_m11_m07_whole_answers_leave_the_connection_idle(
    one: OneConnection, outcome: str, answer: bytes, piece_bytes: int
) -> None:
    for _ in range(3):
        feed(one, answer, piece_bytes)
        assert name_of(one.attempt.outcome) == outcome
        assert one.connection.state == IDLE
        one.send()
    assert one.facts == ["finished"] * 3
    one.loop.run_once(0.0)
    assert one.sock.sent.startswith(REQUEST)


@pytest.mark.parametrize("piece_bytes", [1, PIECE_BYTES])
@pytest.mark.parametrize(
    ("then_close", "answer"),
    [
        (True, b'HTTP/1.1 200 OK\r\n\r\n{"time":1}'),
        (True, b'HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n{"time":1}'),
        (True, b'HTTP/1.1 103 Hi\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding:Identity\r\n\r\n{"time":1}'),
        (False, ok(b'{"time":1}', b"Connection: close")),
        (False, b'HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n{"time":1}'),
        (False, ok() + b"x"),
        (False, ok() + b"HTTP/1.1 200 OK\r\n"),
        (False, ok() + ok(b'{"time":666}')),
    ],
)
def test_c7_whole_answers_that_end_their_connection(
    one: OneConnection, then_close: bool, answer: bytes, piece_bytes: int
) -> None:
    feed(one, answer, piece_bytes)
    assert (one.attempt.outcome is None) is then_close
    if then_close:
        one.receive(b"")
    assert one.attempt.outcome == Success(b'{"time":1}')
    assert one.connection.state == CLOSED
    assert one.sock.closed, "its descriptor is needed"


@pytest.mark.parametrize("piece_bytes", [1, PIECE_BYTES])
@pytest.mark.parametrize(
    ("reason", "detail", "answer"),
    [
        ("protocol", "", b"\x00\x01garbage\r\n\r\n"),
        (
            "protocol",
            "",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("protocol", "", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 11\r\n\r\n{}"),
        ("protocol", "", CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n"),
        ("protocol", "not HTTP/1.x", b'RTSP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n{"time":1}'),
        ("protocol", "", b'ICE/1.0 200 OK\r\nContent-Length: 10\r\n\r\n{"time":1}'),
        ("protocol", "", b'HTTP/2.0 200 OK\r\nContent-Length: 10\r\n\r\n{"time":1}'),
        ("protocol", "", b'HTTP/0.9 200 OK\r\nContent-Length: 10\r\n\r\n{"time":1}'),
        ("protocol", "", b'HTTP/1.1 200 OK\nContent-Length: 10\n\n{"time":1}'),
        ("protocol", "status 001 does not exist", b"HTTP/1.1 001 OK\r\n\r\n"),
        ("protocol", "status 099 does not exist", b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
        ("protocol", "status 000 does not exist", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 000 OK\r\n\r\n"),
        ("status_other", "status 101", b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        ("status_other", "status 101", b"HTTP/1.1 101 X\r\n\r\n"),
        ("status_other", "status 101", b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 101 X\r\nContent-Length: 9\r\n\r\n"),
    ],
)
def test_c5_c6_what_is_no_answer_fails_at_once_and_closes(
    one: OneConnection, reason: str, detail: str, answer: bytes, piece_bytes: int
) -> None:
    feed(one, answer, piece_bytes)
    outcome = one.attempt.outcome
    assert isinstance(outcome, Failure)
    assert outcome.reason == reason
    if detail:
        assert outcome.detail == detail
    else:
        assert not outcome.detail.isdigit(), "words, not a byte offset"
        assert outcome.detail
    assert one.connection.state == CLOSED
    assert one.facts == ["finished"]
    assert not one.pool.connections


@pytest.mark.parametrize("piece_bytes", [1, PIECE_BYTES])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConte",
        b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"time":1}',
        b'HTTP/1.1 103 Hi\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"time":1}',
        b"HTTP/1.1 103 Hi\r\n\r\n",
        CHUNKED + b'a\r\n{"time":1}\r\n',
        CHUNKED + b'a\r\n{"time":1}\r\n0\r\n',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\na\r\n",
    ],
)
def test_m13_an_answer_that_was_cut_is_a_reset(one: OneConnection, answer: bytes, piece_bytes: int) -> None:
    feed(one, answer, piece_bytes)
    one.receive(b"")
    assert one.attempt.outcome == Failure(FailureReason.RESET, "connection lost in the middle of the answer")
    assert one.connection.state == CLOSED


@pytest.mark.parametrize(
    ("end", "detail"),
    [
        (b"", "connection lost before the answer"),
        (ConnectionResetError(104, "x"), "Connection reset by peer"),
    ],
)
def test_a_connection_that_is_lost_before_the_answer_is_a_reset(
    one: OneConnection, end: bytes | OSError, detail: str
) -> None:
    one.receive(end)
    assert one.attempt.outcome == Failure(FailureReason.RESET, detail)
    assert one.connection.state == CLOSED


def test_c9_a_tls_alert_that_comes_with_the_first_read_is_tls_and_says_so(one: OneConnection) -> None:
    alert = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required")
    alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    one.receive(alert)
    assert one.attempt.outcome == Failure(
        FailureReason.TLS, "TLS alert from the upstream: certificate required"
    )


@pytest.mark.parametrize(
    ("detail", "answer"),
    [
        (
            "more than 65536 bytes of body",
            b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + b" " * 70_000,
        ),
        ("more than 65536 bytes of body", b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 70_000),
        ("more than 65536 bytes of body", ok(b'{"time":1}' + b" " * (64 * 1024 - 9))),
        ("more than 32768 bytes of header section", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000),
        ("more than 32768 bytes of header section", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 8_000),
        ("more than 32768 bytes of header section", b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000),
        (
            "more than 1048576 bytes on the wire",
            CHUNKED + b'a\r\n{"time":1}\r\n0\r\n' + b"X: y\r\n" * 200_000,
        ),
    ],
)
def test_m08_answers_beyond_the_limits_are_too_large(one: OneConnection, detail: str, answer: bytes) -> None:
    feed(one, answer, PIECE_BYTES)
    assert one.attempt.outcome == Failure(FailureReason.TOO_LARGE, detail)
    assert one.connection.state == CLOSED


def test_a_body_of_just_the_limit_passes_in_many_pieces(one: OneConnection) -> None:
    body = b'{"time":1}' + b" " * (64 * 1024 - 10)
    feed(one, ok(body), 999)
    assert one.attempt.outcome == Success(body)
    assert one.connection.state == IDLE


# -- an idle connection


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\n", ok(b'{"time":666}'), b"x", b"\r\n", b""])
def test_m18_m20_unsolicited_bytes_close_an_idle_connection(one: OneConnection, extra: bytes) -> None:
    one.receive(ok())
    one.receive(extra)
    assert one.connection.state == CLOSED
    assert one.facts == ["finished"], "no attempt is touched"
    assert not one.pool.connections


def test_an_idle_connection_that_breaks_is_closed(one: OneConnection) -> None:
    one.receive(ok())
    one.receive(ConnectionResetError(104, "x"))
    assert one.connection.state == CLOSED
    assert one.facts == ["finished"]
    assert not one.pool.connections


def test_the_head_of_an_earlier_answer_does_not_frame_the_next(one: OneConnection) -> None:
    one.receive(ok())
    one.send()
    one.receive(b'HTTP/1.1 200 OK\r\n\r\n{"time":2}')
    one.receive(b"")
    assert one.attempt.outcome == Success(b'{"time":2}')


# -- a stale pooled connection


class Span:
    """The part of an attempt in a trace."""

    headers = b""

    def __init__(self) -> None:
        self.places: list[tuple[str, str, int, str, int]] = []

    def sent_to(self, place: AttemptPlace) -> None:
        self.places.append(place.described())

    def attempt_finished(self, attempt: Attempt) -> None:
        """Called by the observer."""


def test_the_span_of_an_attempt_says_where_it_was_sent_each_time(one: OneConnection) -> None:
    place = ("http://upstream.example/", "upstream.example", 80, "192.0.2.1", 80)
    one.receive(ok())
    one.send(span := Span())
    assert span.places == [place]
    one.receive(b"")
    one.open()
    assert span.places == [place, place]


def reuse(one: OneConnection) -> Attempt:
    """Send a second attempt on the connection."""
    one.receive(ok())
    attempt = one.send()
    one.facts.clear()
    return attempt


@pytest.mark.parametrize("end", [b"", ConnectionResetError(104, "x"), BrokenPipeError(32, "x")])
def test_a_reused_connection_that_ends_at_once_is_retried_and_the_attempt_goes_on(
    one: OneConnection, end: bytes | OSError
) -> None:
    attempt, stale = reuse(one), one.sock
    one.receive(end)
    assert one.facts == ["retried"]
    assert (one.connection.state, one.connection.attempt, attempt.outcome) == (CONNECTING, attempt, None)
    one.loop.run_once(0.0)
    assert stale.closed
    assert one.sock is not stale
    one.open()
    one.loop.run_once(0.0)
    assert one.sock.sent == REQUEST
    one.receive(ok(b'{"time":2}'))
    assert attempt.outcome == Success(b'{"time":2}')
    assert one.connection.state == IDLE


def test_a_retry_happens_once(one: OneConnection) -> None:
    attempt = reuse(one)
    one.receive(b"")
    one.open()
    one.receive(b"")
    assert one.facts == ["retried", "finished"]
    assert one.connection.state == CLOSED
    assert attempt.outcome == Failure(FailureReason.RESET, "connection lost before the answer")


@pytest.mark.parametrize("why_not", ["too late", "bytes had come", "a loser", "a new connection"])
def test_what_is_no_stale_connection_is_not_retried(one: OneConnection, why_not: str) -> None:
    attempt = reuse(one) if why_not != "a new connection" else one.attempt
    window_s = one.limits.stale_retry_window_s
    one.virtual.now += window_s + 0.001 if why_not == "too late" else window_s - 0.001
    if why_not == "bytes had come":
        one.receive(b"H")
    elif why_not == "a loser":
        one.connection.abandon()
    one.receive(b"")
    assert one.facts == ["finished"]
    assert not one.pool.connections
    assert name_of(attempt.outcome) == "reset"


def test_a_reused_connection_that_ends_just_within_the_window_is_retried(one: OneConnection) -> None:
    reuse(one)
    one.virtual.now += one.limits.stale_retry_window_s
    one.receive(b"")
    assert one.facts == ["retried"]


def test_a_connection_may_be_stale_again_for_a_later_attempt(one: OneConnection) -> None:
    reuse(one)
    one.receive(b"")
    one.open()
    one.receive(ok())
    one.send()
    one.receive(b"")
    assert one.facts == ["retried", "finished", "retried"]


# -- losers, and the end


def test_an_abandoned_attempt_is_a_loser_and_its_answer_is_read(one: OneConnection) -> None:
    one.connection.abandon()
    assert one.attempt.is_loser
    assert one.pool.connection_counts()["loser"] == 1
    one.receive(ok())
    assert one.attempt.outcome == Success(b""), "a loser's body is discarded"
    assert one.connection.state == IDLE


def test_at_the_end_of_its_grace_a_loser_is_closed(one: OneConnection) -> None:
    one.connection.abandon()
    one.virtual.advance_to(GRACE_S + 0.002)
    assert one.attempt.outcome == Failure(FailureReason.TIMEOUT, "no answer within the loser's grace")
    assert one.connection.state == CLOSED


def test_a_connection_whose_request_is_not_sent_whole_is_not_used_again(one: OneConnection) -> None:
    """A 413 may come before the body is sent; the next request would be in the middle of it."""
    one.sock.takes = 5
    one.loop.run_once(0.0)
    one.receive(b"HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n")
    assert name_of(one.attempt.outcome) == "status_other"
    assert one.connection.state == CLOSED


def test_failing_twice_and_closing_twice_do_nothing(one: OneConnection) -> None:
    one.connection.fail(FAILED)
    one.connection.fail(Failure(FailureReason.RESET))
    one.connection.close()
    assert one.attempt.outcome == FAILED
    assert one.facts == ["finished"]
    assert not one.pool.connections


def test_an_event_that_was_polled_for_a_closed_connection_is_dropped(one: OneConnection) -> None:
    one.connection.fail(FAILED)
    one.sock.incoming = ok()
    one.connection.on_ready(READABLE | WRITABLE)
    assert one.facts == ["finished"]
    assert not one.pool.connections


def test_a_connection_that_is_established_for_no_attempt_any_more_is_pooled() -> None:
    one = OneConnection()
    one.connection.assign(None, None)
    one.open()
    assert one.connection.state == IDLE
    assert one.sock.sent == b""
    one.send()
    assert one.connection.state == ACTIVE


def test_an_internal_error_while_reading_costs_this_attempt() -> None:
    def classify(status: int, body: bytes) -> Outcome:
        raise ZeroDivisionError

    one = OneConnection(classify)
    one.open()
    one.sock.incoming = ok()
    with pytest.raises(ZeroDivisionError):
        one.connection.on_ready(READABLE)
    one.connection.abort()  # as the event loop does
    assert one.attempt.outcome == Failure(FailureReason.RESET, "an internal error")
    assert one.connection.state == CLOSED


# -- sending


def test_the_request_is_sent_at_the_end_of_the_iteration_in_one_piece(one: OneConnection) -> None:
    assert one.connection.state == ACTIVE
    assert one.sock.sent == b""
    one.loop.run_once(0.0)
    assert one.sock.sent == REQUEST


def test_a_request_that_the_kernel_takes_in_pieces_is_sent_whole(one: OneConnection) -> None:
    one.sock.takes = 5
    one.loop.run_once(0.0)
    assert one.sock.sent == REQUEST[:5]
    assert one.virtual.masks[one.sock.fd] == READABLE | WRITABLE
    one.sock.takes = 1_000
    one.connection.on_ready(WRITABLE)
    assert one.sock.sent == REQUEST
    assert one.virtual.masks[one.sock.fd] == READABLE
