"""A caller's request, as the HTTP edge hands it to whoever answers it."""

from hedgerow.traces import TraceContext


class Request:
    """One request, its head read and found sound. `arrived_at` is an instant of the gateway's clock, in seconds.

    `keep_alive` tells whether its connection may be used again, `says_keep_alive` whether the caller must be told
    so: callers who speak HTTP/1.0 must (RFC 9112 section 9.3).
    """

    __slots__ = (
        "arrived_at",
        "keep_alive",
        "method",
        "path",
        "query",
        "request_id",
        "says_keep_alive",
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
        says_keep_alive: bool = False,
        trace: TraceContext | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.request_id = request_id
        self.arrived_at = arrived_at
        self.keep_alive = keep_alive
        self.says_keep_alive = says_keep_alive
        self.trace = trace
