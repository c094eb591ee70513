"""A caller's request, as the HTTP edge hands it to whoever answers it."""


class Request:
    """One request, its head read and found sound. `arrived_at` is an instant of the gateway's clock, in seconds."""

    __slots__ = ("arrived_at", "method", "path", "query", "request_id")

    def __init__(
        self,
        method: bytes,
        path: bytes,
        query: bytes,
        *,
        request_id: bytes,
        arrived_at: float,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.request_id = request_id
        self.arrived_at = arrived_at
