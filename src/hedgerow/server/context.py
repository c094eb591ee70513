"""What the connections of one server share."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hedgerow.core.request import Handler, Request
from hedgerow.eventloop.loop import EventLoop
from hedgerow.server.body_memory import BodyMemory
from hedgerow.server.response_writer import ResponseWriter
from hedgerow.server.timeouts import ConnectionTimeouts
from hedgerow.server.whole_head import WholeHeads
from hedgerow.settings import ClientLimits

if TYPE_CHECKING:
    from hedgerow.server.connection import ClientConnection


class ServerContext:
    """What the connections of one server share."""

    __slots__ = (
        "bodies", "connections", "draining", "handler", "limits", "loop", "max_pipelined_bytes",
        "on_closed", "on_rejected", "parse_chunk_bytes", "passes_headers", "timeouts", "whole_heads", "writer",
    )  # fmt: skip

    def __init__(
        self,
        handler: Handler,
        limits: ClientLimits,
        loop: EventLoop,
        *,
        next_id: Callable[[], bytes],
        on_rejected: Callable[[str, str, Request | None], None],
        on_closed: Callable[[], None],
        passes_headers: bool = False,
    ) -> None:
        """`passes_headers`: the handler needs the headers of requests, and may want their bodies."""
        self.passes_headers = passes_headers
        self.bodies = BodyMemory(limits.max_body_memory)
        self.handler = handler
        self.limits = limits
        self.parse_chunk_bytes = limits.parse_chunk_bytes
        """Looked at for each request, as the next: compiled, it takes a tenth of what it takes in `limits`."""
        self.max_pipelined_bytes = limits.max_pipelined_bytes
        self.loop = loop
        self.on_rejected = on_rejected
        """Called with code and reason of each response that did not come from the handler, and with its request if the
        head of that had come whole."""
        self.on_closed = on_closed
        """Called when a connection is closed."""
        self.connections: set[ClientConnection] = set()
        self.timeouts = ConnectionTimeouts(limits)
        self.whole_heads = WholeHeads(limits, next_id, passed_on=passes_headers)
        self.writer = ResponseWriter()
        self.draining = False
        """Each connection is closed after its next response."""
