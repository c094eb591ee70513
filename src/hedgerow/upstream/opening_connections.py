"""A pool's connections that are being opened, apart by whether an attempt waits for them.

Where a thousand clients come at once, handshakes take longer than the timeouts. An attempt that waits for one is sent
on a connection that becomes idle meanwhile, as Go's net/http does (`Transport.queueForIdleConn`); a connection that was
opened for a loser is there for the next attempt. docs/decisions/0021-tls-cold-starts.md
"""

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final

from hedgerow.core.outcomes import Attempt
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.upstream.endpoint import Endpoint
from hedgerow.upstream.losers import NEEDED

if TYPE_CHECKING:
    from hedgerow.upstream.connection import UpstreamConnection

MAX_LOOKED_AT: Final = 16
"""Connections that are looked at for one that is in its handshake."""


class OpeningConnections(EventHandler):
    """The connections of one pool that are being opened, in the order in which that has begun."""

    __slots__ = ("_loop", "_needed", "_released", "_take_idle", "_unneeded")

    def __init__(
        self, loop: EventLoop, take_idle: "Callable[[Attempt, Endpoint], UpstreamConnection | None]"
    ) -> None:
        """`take_idle` takes an idle connection to an endpoint that an attempt may have."""
        self._loop = loop
        self._take_idle = take_idle
        self._needed: dict[UpstreamConnection, None] = {}
        """Their attempts wait for them."""
        self._unneeded: dict[UpstreamConnection, None] = {}
        """Their attempts have lost or ended, or were sent on another connection."""
        self._released: dict[Endpoint, None] = {}
        """Endpoints with connections that have become idle in this iteration of the event loop."""

    def add(self, connection: "UpstreamConnection") -> None:
        """Add a connection that is being opened for its attempt."""
        self._needed[connection] = None

    def discard(self, connection: "UpstreamConnection") -> None:
        """Forget a connection that is open or closed."""
        self._needed.pop(connection, None)
        self._unneeded.pop(connection, None)

    def mark_unneeded(self, connection: "UpstreamConnection") -> None:
        """Note that no attempt waits for a connection: its handshake is not started any more, only continued."""
        if connection in self._needed and connection.connecting is not None:
            del self._needed[connection]
            self._unneeded[connection] = None
            connection.connecting.is_needed = False

    def take_over(
        self, attempt: Attempt, endpoint: Endpoint, *, is_last_hedge: bool
    ) -> "UpstreamConnection | None":
        """Have an attempt wait for the connection that was unneeded first and is in its handshake, if there is one.

        If each attempt began a handshake of its own, and ended it with its race, none would ever be done. The last
        hedge takes only one whose handshake we have not started: of the others those are left that are never answered.
        So does an attempt without hedges, which would end with the deadline of a handshake that was started before it.
        """
        takes_started = not is_last_hedge and attempt.request.route.plan.hedges > 0
        for connection in islice(self._unneeded, MAX_LOOKED_AT):
            connecting = connection.connecting
            if connecting is None or connection.handshaking_with is not endpoint:
                continue
            if connecting.has_started_handshake and not takes_started:
                continue
            del self._unneeded[connection]
            self._needed[connection] = None
            connection.finish_attempt(NEEDED)
            connection.assign(attempt, endpoint)
            connecting.need()
            return connection
        return None

    def close_unneeded(self) -> bool:
        """Close the connection that was unneeded first and has no loser; return whether there was one."""
        for connection in self._unneeded:
            if connection.attempt is None:
                connection.close()
                return True
        return False

    def connection_released(self, endpoint: Endpoint) -> None:
        """Have an attempt that waits sent on a connection that has become idle, once what has come was read."""
        if self._needed:
            if not self._released:
                self._loop.wake(self)
            self._released[endpoint] = None

    def resume(self) -> None:
        """Send attempts that wait for a handshake on connections that have become idle: the newest first.

        It would wait for longest. With the oldest first 4 000 clients over TLS got 3 400 good answers a second in place
        of 4 600, and were rejected for as long as they asked.
        """
        released, self._released = self._released, {}
        for endpoint in released:
            while endpoint.idle:
                waiting = self._newest_in_handshake(endpoint)
                if waiting is None or waiting.attempt is None:
                    break
                idle = self._take_idle(waiting.attempt, endpoint)
                if idle is None:
                    break
                self.mark_unneeded(waiting)
                try:
                    waiting.pass_attempt_on(idle)
                except Exception:  # noqa: BLE001 (B12: one attempt pays for an internal error)
                    self._loop.internal_error()
                    idle.abort()

    def _newest_in_handshake(self, endpoint: Endpoint) -> "UpstreamConnection | None":
        for connection in islice(reversed(self._needed), MAX_LOOKED_AT):
            if connection.handshaking_with is endpoint and not connection.retried:
                return connection
        return None
