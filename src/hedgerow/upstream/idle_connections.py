"""The connections of a pool that are idle: which one an attempt takes, and when they are closed."""

from math import inf
from typing import TYPE_CHECKING, Final

from hedgerow.core.outcomes import Attempt
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.settings import UpstreamLimits
from hedgerow.upstream.connection import IDLE, UpstreamConnection

if TYPE_CHECKING:
    from hedgerow.upstream.connector import Connector

REAP_INTERVAL_S: Final = 1.0
"""How often idle connections are looked at; they may outlive `idle_timeout_s` by this much."""
PROVEN_FOR_S: Final = 1.0
"""A pooled connection that has answered within this time is not mute while others answer: middleboxes forget after
some 30 s of silence, or all at once. Without it a last hedge finds none in each swing of the load, and connects: at
1 600 requests/s 60 times a second in place of 1 to 5, which by TLS takes 12 to 20 us of each request."""
MAX_LOOKED_AT: Final = 16
"""Connections that are looked at for one to an address that the request has not tried yet."""


class IdleConnections(EventHandler):
    """Connections without an attempt, the one used last at the end; closed ones are dropped as they are met."""

    __slots__ = (
        "_attempts_per_request",
        "_connections",
        "_connector",
        "_is_reaping",
        "_limits",
        "_loop",
        "_used_at",
    )

    def __init__(
        self, limits: UpstreamLimits, loop: EventLoop, connector: "Connector", *, attempts_per_request: int
    ) -> None:
        self._limits = limits
        self._loop = loop
        self._connector = connector
        self._attempts_per_request = attempts_per_request
        self._connections: list[UpstreamConnection] = []
        self._used_at = -inf
        """When one that was taken from here has last answered."""
        self._is_reaping = False

    def add(self, connection: UpstreamConnection, now: float) -> None:
        """Add a connection whose attempt has been answered; one that is outdated is closed."""
        if connection.reused:
            self._used_at = now
        if self._is_outdated(connection, now):
            connection.close()
            return
        connection.idle_since = now
        self._connections.append(connection)
        if not self._is_reaping:
            self._is_reaping = True
            self._loop.call_at(now + REAP_INTERVAL_S, self)

    def take(self) -> UpstreamConnection | None:
        """Take the connection that was used last, of those without unread data."""
        connections, unread = self._connections, self._loop.unread
        kept: list[UpstreamConnection] = []
        taken = None
        while connections and taken is None:
            connection = connections.pop()
            if connection.state == IDLE:
                if connection.fd in unread:  # unsolicited bytes, or the upstream has closed it
                    kept.append(connection)
                else:
                    taken = connection
        while kept:
            connections.append(kept.pop())
        return taken

    def take_for_hedge(self, attempt: Attempt) -> UpstreamConnection | None:
        """Take a connection to an address that the request has not tried.

        Where pooled connections have gone mute (a middlebox has forgotten them), all of them have, or those that were
        idle for longest. So the last hedge takes one only if a pooled connection has answered since the first attempt
        was sent, and none that was idle for `PROVEN_FOR_S` by then; else a new one, which does not share their fate.
        """
        connections, request = self._connections, attempt.request
        used_since = -inf
        if attempt.number >= self._attempts_per_request:
            used_since = request.started_at
            if self._used_at >= used_since:  # pooled connections work
                used_since -= PROVEN_FOR_S
        for back in range(1, min(len(connections), MAX_LOOKED_AT) + 1):
            connection = connections[-back]
            if connection.idle_since < used_since:  # the others were used before it
                return None
            is_fresh = request.tried is None or connection.address not in request.tried
            if is_fresh and connection.state == IDLE and connection.fd not in self._loop.unread:
                del connections[-back]
                return connection
        return None

    def on_deadline(self) -> None:
        """Close what was idle for too long, is too old, or leads to an address that the name has no more."""
        now = self._loop.clock()
        idle_since = now - self._limits.idle_timeout_s
        kept: list[UpstreamConnection] = []
        for connection in self._connections:
            if connection.state == IDLE:
                if connection.idle_since <= idle_since or self._is_outdated(connection, now):
                    connection.close()
                else:
                    kept.append(connection)
        self._connections = kept
        self._is_reaping = len(kept) > 0
        if kept:
            self._loop.call_at(now + REAP_INTERVAL_S, self)

    def _is_outdated(self, connection: UpstreamConnection, now: float) -> bool:
        if now - connection.opened_at > self._limits.max_connection_age_s:
            return True
        generation = self._connector.addresses.generation
        if connection.generation == generation or connection.address is None:
            return False
        connection.generation = generation
        return not self._connector.is_current(connection.address)
