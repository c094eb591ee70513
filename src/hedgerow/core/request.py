"""A caller's request, as the HTTP edge hands it to whoever answers it."""

from secrets import token_hex

from hedgerow.core.trace_context import TraceContext


class Request:
    """One request, its head read and found sound. `arrived_at` is an instant of the gateway's clock, in seconds.

    `keep_alive` tells whether its connection may be used again, `announce_keep_alive` whether the caller must be told
    so: callers who speak HTTP/1.0 must (RFC 9112 section 9.3).
    """

    __slots__ = (
        "announce_keep_alive",
        "arrived_at",
        "keep_alive",
        "method",
        "path",
        "query",
        "request_id",
        "trace",
    )

    def __init__(
        self,
        method: bytes,
        path: bytes,
        query: bytes,
        *,
        request_id: bytes,
        arrived_at: float,
        keep_alive: bool = True,
        announce_keep_alive: bool = False,
        trace: TraceContext | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.request_id = request_id
        self.arrived_at = arrived_at
        self.keep_alive = keep_alive
        self.announce_keep_alive = announce_keep_alive
        self.trace = trace


class RequestIdGenerator:
    """Makes ids for requests that bring none: unique, and cheap (0.1 µs; `uuid4` takes 1.5 µs)."""

    __slots__ = ("_made", "_prefix")

    def __init__(self) -> None:
        self._prefix = token_hex(6).encode()
        self._made = 0

    def next(self) -> bytes:
        """Make one: a number behind what is this worker's alone."""
        self._made += 1
        return b"%b-%d" % (self._prefix, self._made)
