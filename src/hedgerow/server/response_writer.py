"""Writes responses as they go over the wire."""

import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from math import inf
from typing import Final

from hedgerow.core.response import PassedOnResponse, Response

CLOSE: Final = b"Connection: close\r\n"
DATE_REFRESH_S: Final = 1.0
"""The Date header has whole seconds; making it takes 2 µs, too much for each response."""

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}

_WITHOUT_BODY: Final = (204, 304)
"""RFC 9110 section 6.4.1; a 1xx is never passed on."""


class DateHeader:
    """The value of the Date header (RFC 9110 section 6.6.1), made once a second."""

    __slots__ = ("_made_at", "_value", "_wall_clock")

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._made_at = -inf
        self._value = b""

    def at(self, now: float) -> bytes:
        """Return the value for the instant `now` of the gateway's clock: at most one second old."""
        if now - self._made_at >= DATE_REFRESH_S:
            self._made_at = now
            self._value = formatdate(self._wall_clock(), usegmt=True).encode("ascii")
        return self._value


class ResponseWriter:
    """Writes the responses of one server."""

    __slots__ = ("_date",)

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        """`wall_clock` is for the Date header."""
        self._date = DateHeader(wall_clock)

    def serialize(
        self,
        response: Response,
        request_id: bytes,
        *,
        arrived_at: float,
        now: float,
        connection: bytes,
        is_head: bool,
    ) -> bytes:
        """Return a whole response message. `connection` is the Connection header line, or empty.

        `arrived_at` and `now` are both instants of the gateway's clock, and their difference is the `total` of
        Server-Timing: no handler has to compute a duration. A connection rejected before anything was read arrived when
        it was accepted. A response to HEAD has no body, but the length that GET would have.
        """
        tenths = int((now - arrived_at) * 10_000 + 0.5)  # of a millisecond: mypyc leaves %.1f to Python
        if tenths < 0:  # noqa: PLR1730 (the call of `max` takes 10 % of this function)
            tenths = 0
        if isinstance(response, PassedOnResponse):
            return _passed_on(response, request_id, tenths, self._date.at(now), connection, is_head=is_head)
        return (
            b"%bContent-Type: %b\r\nContent-Length: %d\r\nCache-Control: no-store\r\nX-Request-Id: %b\r\n"
            b"Server-Timing: total;dur=%d.%d%b\r\nDate: %b\r\n%b%b\r\n%b"
            % (
                _STATUS_LINES[response.status], response.content_type, len(response.body), request_id,
                tenths // 10, tenths % 10, response.timing, self._date.at(now), response.headers, connection,
                b"" if is_head else response.body,
            )
        )  # fmt: skip


def _passed_on(
    response: PassedOnResponse,
    request_id: bytes,
    tenths: int,
    date: bytes,
    connection: bytes,
    *,
    is_head: bool,
) -> bytes:
    """Return an answer of the upstream's as it goes to the client: its headers and body, and our own framing."""
    status, headers, body = response.status, response.headers, response.body
    length = b""
    if status not in _WITHOUT_BODY and not is_head:
        length = b"Content-Length: %d\r\n" % len(body)
    return b"%b%b%b%bX-Request-Id: %b\r\nServer-Timing: total;dur=%d.%d%b\r\n%b\r\n%b" % (
        _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status,
        headers,
        b"" if response.has_date else b"Date: %b\r\n" % date,  # RFC 9110 section 6.6.1
        length,
        request_id,
        tenths // 10,
        tenths % 10,
        response.timing,
        connection,
        body if length else b"",
    )
