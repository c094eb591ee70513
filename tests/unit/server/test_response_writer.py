"""Responses byte for byte, C10 and the Date header."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.core.response import JSON, Response, problem_response
from hedgerow.server.response_writer import DateHeader, ResponseWriter

DATE = b"Thu, 01 Jan 1970 00:00:00 GMT"


def serialize(
    response: Response,
    *,
    arrived_at: float = 8.0,
    now: float = 8.0,
    is_head: bool = False,
    connection: bytes = b"",
) -> bytes:
    return ResponseWriter(lambda: 0.0).serialize(
        response, b"id-1", arrived_at=arrived_at, now=now, connection=connection, is_head=is_head
    )


def test_a_response_byte_for_byte() -> None:
    response = Response(
        200,
        b'{"time": 7}',
        content_type=JSON,
        headers=b"Hedgerow-Timeout-Ms: 900\r\n",
        timing=b', hedges;desc="2"',
    )
    assert serialize(response, now=8.0625, connection=b"Connection: keep-alive\r\n") == (
        b"HTTP/1.1 200 OK\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: 11\r\n"
        b"Cache-Control: no-store\r\n"
        b"X-Request-Id: id-1\r\n"
        b'Server-Timing: total;dur=62.5, hedges;desc="2"\r\n'
        b"Date: " + DATE + b"\r\n"
        b"Hedgerow-Timeout-Ms: 900\r\n"
        b"Connection: keep-alive\r\n"
        b"\r\n"
        b'{"time": 7}'
    )


def test_a_response_to_head_has_the_length_and_no_body() -> None:
    response = problem_response("not_found", "why", b"id-1")
    whole, head = serialize(response), serialize(response, is_head=True)
    assert head + response.body == whole
    assert head.endswith(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(response.body) in head


@pytest.mark.parametrize(
    ("arrived_at", "now", "total"),
    [
        (1_861_337.25, 1_861_337.25, b"0.0"),
        (1_861_337.25, 1_861_337.3125, b"62.5"),
        (0.0, 0.00004, b"0.0"),
        (0.0, 0.00006, b"0.1"),
        (1.0, 3.0, b"2000.0"),
        (1.5, 1.0, b"0.0"),  # the kernel's arrival time is an estimate
    ],
)
def test_c10_the_total_is_the_time_between_two_instants(arrived_at: float, now: float, total: bytes) -> None:
    message = serialize(problem_response("overloaded", "why", b"id-1"), arrived_at=arrived_at, now=now)
    assert b"\r\nServer-Timing: total;dur=" + total + b"\r\n" in message


@given(st.floats(0, 10**7, allow_subnormal=False), st.floats(0, 70, allow_subnormal=False))
def test_c10_the_total_depends_on_the_difference_alone(arrived_at: float, took_s: float) -> None:
    """The uptime of the machine, which the clock reads, never shows."""
    message = serialize(Response(200, b"{}"), arrived_at=arrived_at, now=arrived_at + took_s)
    total_ms = float(message.partition(b"total;dur=")[2].partition(b"\r\n")[0])
    assert total_ms == pytest.approx(took_s * 1000, abs=0.0501)


def test_c10_a_duration_cannot_be_passed() -> None:
    """Both instants must be named; there is no parameter for a duration, and no default."""
    write: Any = ResponseWriter().serialize
    with pytest.raises(TypeError):
        write(Response(200, b""), b"id", 0.5, b"", False)
    with pytest.raises(TypeError):
        write(Response(200, b""), b"id", now=1.0, connection=b"", is_head=False)


class WallClock:
    def __init__(self) -> None:
        self.reads = 0
        self.reading = 784_111_777.0

    def __call__(self) -> float:
        self.reads += 1
        return self.reading


def test_the_date_is_made_once_a_second() -> None:
    clock = WallClock()
    date = DateHeader(clock)
    assert date.at(0.0) == b"Sun, 06 Nov 1994 08:49:37 GMT"  # the example of RFC 9110 section 5.6.7
    clock.reading += 1.0
    assert date.at(0.999) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert clock.reads == 1
    assert date.at(1.0) == b"Sun, 06 Nov 1994 08:49:38 GMT"
    assert clock.reads == 2


@pytest.mark.parametrize("now", [-5.0, 0.0, 1_861_337.3])
def test_the_date_is_there_from_the_first_response(now: float) -> None:
    assert DateHeader(WallClock()).at(now) == b"Sun, 06 Nov 1994 08:49:37 GMT"
