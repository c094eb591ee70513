"""A cache of parsed requests, shared by all client connections of a worker."""

from typing import Final, TypeAlias

from hedgerow.core.forwarding import RequestHead
from hedgerow.core.request import Request

MAX_CACHED_REQUESTS: Final = 256
"""Header sections that one worker keeps, each of at most `ClientLimits.slice_bytes`: 0.5 MB, usually some 50 KB.
Where their headers are kept, too, it may be three times as much."""

_Parsed: TypeAlias = tuple[bytes, bytes, bytes, RequestHead | None]


class ParsedRequestCache:
    """Maps a whole header section, byte for byte, to its method, path and query, and to its headers if those are kept.

    Most clients send the same bytes again, and parsing them takes several times as long as this lookup. The same
    bytes between two requests mean the same request. The parser leaves out requests that have an id or a trace of
    their own: they do not recur.
    """

    __slots__ = ("_parsed",)

    def __init__(self) -> None:
        self._parsed: dict[bytes, _Parsed] = {}

    def get(self, data: bytes) -> _Parsed | None:
        """Return method, path, query and head of a cached request, or None."""
        return self._parsed.get(data)

    def put(self, data: bytes, request: Request) -> None:
        """Add a parsed request. A full cache is emptied first: requests that recur come back at once."""
        if len(self._parsed) >= MAX_CACHED_REQUESTS:
            self._parsed.clear()
        head = request.message.head if request.message is not None else None
        self._parsed[data] = (request.method, request.path, request.query, head)
