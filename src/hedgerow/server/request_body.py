"""The body of one request while it is read: whole, in memory, within limits."""

from http import HTTPStatus
from math import inf
from typing import Final

from hedgerow.core.forwarding import ClientMessage
from hedgerow.core.request import Request
from hedgerow.server.body_memory import BodyMemory
from hedgerow.server.request_rejected import RequestRejected

MAX_FRAMING: Final = 8
"""Bytes on the wire for each byte of a body: one chunk for each byte takes 6."""


class RequestBody:
    """What has come of a body. `announce`, `add` and `fed` raise RequestRejected where it comes to too much."""

    __slots__ = ("_content", "_limit", "_memory", "_overhead_bytes", "_wire_bytes", "request", "size")

    def __init__(self, request: Request, limit: int, memory: BodyMemory, overhead_bytes: int) -> None:
        """`limit` is the most that the body may have."""
        self.request = request
        self._limit = limit
        self._memory = memory
        self._overhead_bytes = overhead_bytes
        self._content = bytearray()
        self._wire_bytes = 0
        self.size = 0

    def announce(self, length: int) -> None:
        """Expect as much as the client says; -1 where it sends chunks, and says nothing."""
        if length > self._limit:
            raise self._too_large()

    def add(self, data: bytes) -> None:
        """Add what came next."""
        if self.size + len(data) > self._limit:
            raise self._too_large()
        if not self._memory.take(len(data)):
            raise RequestRejected(
                "overloaded",
                "the bodies of too many requests are being read; try again later",
                headers=b"Retry-After: 1\r\n",
                reason="bodies",
            )
        self.size += len(data)
        self._content += data

    def fed(self, size: int) -> None:
        """Count bytes on the wire: chunk framing and trailers are no way around the limit."""
        self._wire_bytes += size
        if self._wire_bytes > MAX_FRAMING * self.size + self._overhead_bytes:
            raise RequestRejected("bad_request", "the chunk framing of the body takes far more than the body")

    def finish(self, arrived_at: float, *, closes: bool) -> Request:
        """Return the request with its body, which has come whole; it `closes` the connection if a trailer says so."""
        message = _message_of(self.request)
        message.body = bytes(self._content)
        message.body_bytes = self.size
        message.body_arrived_at = arrived_at
        self.request.keep_alive = self.request.keep_alive and not closes
        return self.request

    def give_up(self) -> Request:
        """Return the request without its body, marked as late: it is answered, and closes its connection."""
        _message_of(self.request).body_arrived_at = inf
        self.request.keep_alive = False
        return self.request

    def _too_large(self) -> RequestRejected:
        detail = f"the body is longer than {self._limit} bytes"
        return RequestRejected("too_large", detail, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def without_body(request: Request) -> Request:
    """Return a request whose body is not read, marked as such: it is answered, and closes its connection."""
    _message_of(request).has_refused_body = True
    request.keep_alive = False
    return request


def framing_head(request: Request, length: int) -> bytes:
    """Return a head of HTTP/1.1 that has what says where a request's body ends, and whether its connection persists.

    `length` is -1 if the body comes in chunks.
    """
    framing = b"Transfer-Encoding: chunked" if length < 0 else b"Content-Length: %d" % length
    connection = b"" if request.keep_alive else b"Connection: close\r\n"
    return b"%b / HTTP/1.1\r\n%b\r\n%b\r\n" % (request.method, framing, connection)


def _message_of(request: Request) -> ClientMessage:
    """Return the request as its client sent it: bodies are read only where that is kept."""
    message = request.message
    assert message is not None  # noqa: S101 (for mypy)
    return message
