"""A cache of parsed requests, shared by all client connections of a worker."""

from typing import Final, TypeAlias

from hedgerow.core.request_head import RequestHead

MAX_CACHED_REQUESTS: Final = 256
MAX_CACHED_BYTES: Final = 2 * 1024
"""Heads that one worker keeps, and the length of one: 0.5 MB, usually some 50 KB. Where their headers are kept, too, it
may be three times as much."""

Parsed: TypeAlias = tuple[bytes, bytes, bytes, RequestHead | None, bool, bool]
"""Method, path, query, the head if it is kept, whether the connection persists, and whether it is HTTP/1.0."""


class ParsedRequestCache:
    """Maps a whole header section, byte for byte, to its method, path and query, and to its headers if those are kept.

    Most clients send the same bytes again, and parsing them takes several times as long as this lookup. The same
    bytes between two requests mean the same request. Requests that have an id or a trace of their own are not put here:
    they do not recur.
    """

    __slots__ = ("_parsed",)

    def __init__(self) -> None:
        self._parsed: dict[bytes, Parsed] = {}

    def get(self, data: bytes) -> Parsed | None:
        """Return what was put for the same bytes, or None."""
        return self._parsed.get(data)

    def put(self, data: bytes, parsed: Parsed) -> None:
        """Add a parsed request, unless it is long. What is full is emptied: requests that recur come back at once."""
        if len(data) > MAX_CACHED_BYTES:
            return
        if len(self._parsed) >= MAX_CACHED_REQUESTS:
            self._parsed.clear()
        self._parsed[data] = parsed
