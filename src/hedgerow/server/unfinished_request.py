"""A request of which only a part has come: how long the rest may take."""

from math import inf
from typing import TYPE_CHECKING

from hedgerow.core.request import Request
from hedgerow.eventloop.deadlines import response_deadline
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.server.context import ServerContext

if TYPE_CHECKING:
    from hedgerow.server.connection import ClientConnection
    from hedgerow.server.request_pipeline import RequestPipeline


class UnfinishedRequest(EventHandler):
    """Bounds the head of a request by `ClientLimits.head_timeout_s`, then its body by the request's own timeout.

    A body has no other limit: its client is answered when it would be if the upstream were slow, and waits no longer.
    Most requests come whole and have none of this.
    """

    __slots__ = ("_connection", "_context", "_in_body", "_pipeline", "_tick")

    def __init__(
        self, pipeline: "RequestPipeline", connection: "ClientConnection", context: ServerContext
    ) -> None:
        """Begin with the head, of which something has come."""
        self._pipeline = pipeline
        self._connection = connection
        self._context = context
        self._in_body = False
        self._tick = 0
        context.timeouts.head_started(connection, context.loop.clock())

    def expect_body(self, request: Request) -> None:
        """Go on with the body of a request whose head is whole. Idempotent: each piece of it leaves the deadline."""
        if not self._in_body:
            self._in_body = True
            self._connection.idle_since = inf
            self._context.timeouts.head_finished(self._connection)
            loop = self._context.loop
            lag_s = loop.monitor.recent_max_lag_s(loop.clock())
            due_at = response_deadline(request.arrived_at, request.timeout_ms / 1000, lag_s)
            self._tick = loop.call_at(due_at, self)

    def on_deadline(self) -> None:
        """Have the request answered: its body has not come."""
        self._pipeline.on_late_body(self)

    def end(self) -> None:
        """Wait for nothing more: the rest has come, or is not wanted any more."""
        if self._in_body:
            self._context.loop.cancel(self._tick, self)
        else:
            self._context.timeouts.head_finished(self._connection)
