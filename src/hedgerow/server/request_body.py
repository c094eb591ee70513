"""The body of one request while it is read: whole, in memory, within limits."""

from http import HTTPStatus
from typing import Final

from hedgerow.server.body_memory import BodyMemory
from hedgerow.server.request_rejected import RequestRejected

MAX_FRAMING: Final = 8
"""Bytes on the wire for each byte of a body: one chunk for each byte takes 6."""


class RequestBody:
    """What has come of a body. Each method raises RequestRejected where it comes to too much."""

    __slots__ = ("_length", "_limit", "_memory", "_overhead_bytes", "_pieces", "_wire_bytes", "size")

    def __init__(self, limit: int, length: int, memory: BodyMemory, overhead_bytes: int) -> None:
        """`limit` is the most that the body may have; `length` is what the client says, -1 where it sends chunks."""
        self._limit = limit
        self._length = length
        self._memory = memory
        self._overhead_bytes = overhead_bytes
        self._pieces: list[bytes] = []
        self._wire_bytes = 0
        self.size = 0
        if length > limit:
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
        self._pieces.append(data)

    def fed(self, size: int) -> None:
        """Count bytes on the wire: chunk framing and trailers are no way around the limit."""
        self._wire_bytes += size
        if self._wire_bytes > MAX_FRAMING * self.size + self._overhead_bytes:
            raise RequestRejected("bad_request", "the chunk framing of the body takes far more than the body")

    def whole(self) -> bytes:
        """Return all of it."""
        return b"".join(self._pieces)

    def _too_large(self) -> RequestRejected:
        detail = f"the body is longer than {self._limit} bytes"
        return RequestRejected("too_large", detail, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
