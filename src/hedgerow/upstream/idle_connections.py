"""The connections of a pool that are idle: which one an attempt takes, and when they are closed."""

from math import inf
from typing import TYPE_CHECKING, Final

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.settings import UpstreamLimits
from hedgerow.upstream.connection import IDLE, UpstreamConnection

if TYPE_CHECKING:
    from hedgerow.upstream.endpoint import Endpoint

REAP_INTERVAL_S: Final = 1.0
"""How often idle connections are looked at; they may outlive `idle_timeout_s` by this much."""
CLOSED_AT_ONCE: Final = 128
"""A load that ends leaves thousands that are idle for too long together: to close one takes 5 to 10 us."""
REAP_AGAIN_S: Final = 0.01
"""After this time the next of them are closed."""
PROVEN_FOR_S: Final = 1.0
"""A pooled connection that has answered within this time is not mute while others answer: middleboxes forget after
some 30 s of silence, or all at once. Without it a last hedge finds none in each swing of the load, and connects: at
1 600 requests/s 60 times a second in place of 1 to 5, which by TLS takes 12 to 20 us of each request."""


class IdleConnections(EventHandler):
    """Connections without an attempt, apart by endpoint, the one used last at the end.

    Closed ones are dropped as they are met.
    """

    __slots__ = ("_idle_timeout_s", "_is_reaping", "_loop", "_max_age_s", "_used_at", "endpoints")

    def __init__(self, limits: UpstreamLimits, loop: EventLoop) -> None:
        self._idle_timeout_s = limits.idle_timeout_s
        self._max_age_s = limits.max_connection_age_s
        self._loop = loop
        self.endpoints: dict[Endpoint, None] = {}
        """Those whose list `idle` was not found empty yet; also such as are no longer current."""
        self._used_at = -inf
        """When one that was taken from here has last answered."""
        self._is_reaping = False

    def add(self, connection: UpstreamConnection, endpoint: "Endpoint", now: float) -> None:
        """Add a connection whose attempt has been answered; one that is outdated is closed."""
        if connection.reused:
            self._used_at = now
        if self._is_outdated(connection, endpoint, now):
            connection.close()
            return
        connection.idle_since = now
        if not endpoint.idle:
            self.endpoints[endpoint] = None
        endpoint.idle.append(connection)
        if not self._is_reaping:
            self._is_reaping = True
            self._loop.call_at(now + REAP_INTERVAL_S, self)

    def take(self, endpoint: "Endpoint", used_since: float = -inf) -> UpstreamConnection | None:
        """Take the connection to `endpoint` that was used last, of those without unread data.

        One that was not used since `used_since` is left.
        """
        connections, unread = endpoint.idle, self._loop.unread
        kept: list[UpstreamConnection] = []
        taken = None
        while connections and taken is None:
            connection = connections.pop()
            if connection.state == IDLE:
                if connection.idle_since < used_since:  # the others were used before it
                    kept.append(connection)
                    break
                if connection.fd in unread:  # unsolicited bytes, or the upstream has closed it
                    kept.append(connection)
                else:
                    taken = connection
        while kept:
            connections.append(kept.pop())
        return taken

    def take_for_last_hedge(self, endpoint: "Endpoint", started_at: float) -> UpstreamConnection | None:
        """Take one for the last hedge of a request whose first attempt was sent at `started_at`.

        Where pooled connections have gone mute (a middlebox has forgotten them), all of them have, or those that were
        idle for longest. So it takes one only if a pooled connection has answered since then, and none that was idle
        for `PROVEN_FOR_S` by then; else the hedge needs a new one, which does not share their fate.
        """
        pooled_work = self._used_at >= started_at
        return self.take(endpoint, started_at - PROVEN_FOR_S if pooled_work else started_at)

    def oldest(self) -> UpstreamConnection | None:
        """Return the connection that has been idle for longest."""
        oldest: UpstreamConnection | None = None
        for endpoint in self.endpoints:
            connections = endpoint.idle
            closed = 0
            while closed < len(connections) and connections[closed].state != IDLE:
                closed += 1
            del connections[:closed]
            if connections and (oldest is None or connections[0].idle_since < oldest.idle_since):
                oldest = connections[0]
        return oldest

    def on_deadline(self) -> None:
        """Close some of what was idle for too long, is too old, or leads to an address that the name has no more."""
        now = self._loop.clock()
        idle_since = now - self._idle_timeout_s
        closed = 0
        for endpoint in list(self.endpoints):
            kept: list[UpstreamConnection] = []
            for connection in endpoint.idle:
                if connection.state != IDLE:
                    continue
                is_over = connection.idle_since <= idle_since or self._is_outdated(connection, endpoint, now)
                if is_over and closed < CLOSED_AT_ONCE:
                    connection.close()
                    closed += 1
                else:
                    kept.append(connection)
            endpoint.idle = kept
            if not kept:
                del self.endpoints[endpoint]
        self._is_reaping = len(self.endpoints) > 0
        if self._is_reaping:
            again_s = REAP_AGAIN_S if closed >= CLOSED_AT_ONCE else REAP_INTERVAL_S
            self._loop.call_at(now + again_s, self)

    def _is_outdated(self, connection: UpstreamConnection, endpoint: "Endpoint", now: float) -> bool:
        return not endpoint.is_current or now - connection.opened_at > self._max_age_s
