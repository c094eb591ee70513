"""The pool: whatever an attempt needs to reach the upstream, in O(1), and never more than its bounds.

There is no queue for a connection. An attempt takes the connection that was idle for the shortest time, or a new one;
when there are as many as may be, the oldest loser makes way. So an admitted request is never short of its hedges
(grpc/grpc-java#7222: a hedge that was held back hung its request).
"""

from collections.abc import Callable
from functools import partial
from itertools import islice
from math import inf
from typing import Final

from hedgerow.core.observer import Observer
from hedgerow.core.outcomes import Attempt, AttemptHandle, AttemptSender, Failure, FailureReason, Outcome
from hedgerow.eventloop.deadlines import ExpiryQueue
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.net.stream import Stream
from hedgerow.net.tcp import Address
from hedgerow.settings import LoserPolicy, Target, UpstreamLimits
from hedgerow.upstream.connection import CONNECTING, IDLE, STATE_NAMES, UpstreamConnection
from hedgerow.upstream.connector import Connector
from hedgerow.upstream.idle_connections import IdleConnections

MAX_HANDSHAKES_LOOKED_AT: Final = 16
"""Connects of losers that are looked at for one that is in its handshake."""

NEEDED: Final = Failure(FailureReason.TIMEOUT, "closed: its connection was needed")
CANCELLED: Final = Failure(FailureReason.TIMEOUT, "cancelled: the race was over")
GRACE_IS_OVER: Final = Failure(FailureReason.TIMEOUT, "no answer within the loser's grace")


class ConnectionPool(AttemptSender):
    """One upstream's connections and losers."""

    def __init__(
        self,
        target: Target,
        limits: UpstreamLimits,
        *,
        max_connections: int,
        attempts_per_request: int,
        losers: LoserPolicy,
        loser_grace_s: float,
        classify: Callable[[int, bytes], Outcome],
        loop: EventLoop,
        connector: Connector,
        observer: Observer,
        user_agent: str,
    ) -> None:
        self.limits = limits
        self.classify = classify
        self.loop = loop
        self.max_connections = max_connections
        self.connections: set[UpstreamConnection] = set()
        self.idle = IdleConnections(limits, loop, connector, attempts_per_request=attempts_per_request)
        self._losers: ExpiryQueue[UpstreamConnection] = ExpiryQueue(loser_grace_s)
        self._drains_losers = losers is LoserPolicy.DRAIN
        self._observer = observer
        self._connector = connector
        self.tls_sessions = connector.tls_sessions
        self._loser_reaper = _LoserReaper(self)
        self._reaps_losers = False
        self._unneeded: dict[UpstreamConnection, None] = {}
        """Connections that are being opened, and whose attempt has lost or ended."""
        self._head = (
            f"GET {target.path} HTTP/1.1\r\n"
            f"Host: {target.authority}\r\n"
            f"User-Agent: {user_agent}\r\n"
            "Accept: application/json\r\n"
            "Accept-Encoding: identity\r\n"  # a compressed body could be a bomb (urllib3 CVE-2025-66471)
        ).encode("ascii")

    # -- called by the gateway

    def send(self, attempt: Attempt) -> AttemptHandle:
        """Send the attempt on a pooled connection, or on a new one. Never raises, never waits."""
        connection = self._take_idle(attempt)
        if connection is not None:
            connection.reused = True
            self._note_address(attempt, connection.address)
            connection.send(attempt)
            return connection
        connection = self._take_handshake(attempt)
        if connection is not None:
            connection.take_over(attempt, NEEDED)
            return connection
        connection = UpstreamConnection(self, attempt)
        if len(self.connections) >= self.max_connections and not self._make_room():
            connection.fail(
                Failure(FailureReason.CONNECT, f"all {self.max_connections} connections are in use")
            )
        else:
            self.connections.add(connection)
            self._connect(connection)
        return connection

    def close(self) -> None:
        """Close every connection; attempts that still run fail as `reset`."""
        for connection in list(self.connections):
            connection.fail(Failure(FailureReason.RESET, "the gateway stops"))
        self._connector.close()

    def connection_counts(self) -> dict[str, int]:
        """Count the connections by state. For telemetry: it looks at each."""
        # 0.3 ms for 4 000 of them, once a second.
        states = [connection.state for connection in self.connections]
        counts = {name: states.count(state) for state, name in enumerate(STATE_NAMES)}
        return {**counts, "loser": len(self._losers)}

    # -- called by a connection

    def request_bytes(self, attempt: Attempt) -> bytes:
        """Return the request message; the ids connect the upstream's log and traces with those of the gateway."""
        return b"%bX-Request-Id: %b\r\nHedgerow-Attempt: %d\r\n%b\r\n" % (
            self._head,
            attempt.request.request_id,
            attempt.number,
            attempt.span.headers if attempt.span is not None else b"",
        )

    def attempt_finished(self, connection: UpstreamConnection, attempt: Attempt, at: float) -> None:
        """Count the attempt, and take its connection back if it can be used again."""
        if attempt.is_loser:
            self._losers.discard(connection)
        self._observer.attempt_finished(attempt)
        connection.retried = False
        if connection.state == IDLE:
            self.idle.add(connection, at)

    def attempt_abandoned(self, connection: UpstreamConnection) -> None:
        """Drain the loser for its grace period, or close its connection."""
        if connection.state == CONNECTING:
            self._unneeded[connection] = None
        if not self._drains_losers:
            self._end_loser(connection, CANCELLED)
            return
        now = self.loop.clock()
        self._losers.add(connection, now)
        if not self._reaps_losers:
            self._reaps_losers = True
            self.loop.call_at(now + self._losers.span_s, self._loser_reaper)

    def retry(self, connection: UpstreamConnection) -> None:
        """Connect again for the attempt that the connection has; it stays the same attempt."""
        self._observer.stale_connection_retried()
        tried = connection.attempt.request.tried if connection.attempt is not None else None
        if tried is not None and connection.address in tried:  # the request has not reached it
            tried.remove(connection.address)
        self._connect(connection)

    def on_closed(self, connection: UpstreamConnection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        self._unneeded.pop(connection, None)

    # -- called by the event loop

    def reap_losers(self) -> None:
        """End the losers whose grace is over."""
        try:
            for connection in self._losers.pop_expired(self.loop.clock()):
                self._end_loser(connection, GRACE_IS_OVER)
        finally:  # an internal error on the way of one does not spare the others
            next_at = self._losers.next_due_at
            self._reaps_losers = next_at < inf
            if self._reaps_losers:
                self.loop.call_at(next_at, self._loser_reaper)

    # -- its own

    def _take_idle(self, attempt: Attempt) -> UpstreamConnection | None:
        """Return a pooled connection that the attempt may have."""
        if (attempt.number > 1 or attempt.request.tried) and len(self.connections) < self.max_connections:
            return self.idle.take_for_hedge(attempt)
        return self.idle.take()

    def _take_handshake(self, attempt: Attempt) -> UpstreamConnection | None:
        """Return a connection that was opened for a loser and is in its TLS handshake: the one that is so for longest.

        Not one to an address that the request has tried. Where a thousand clients come at once, handshakes take longer
        than their timeouts. If each attempt began its own, and ended it with its race, none would ever be done.
        """
        tried = attempt.request.tried or ()
        for connection in islice(self._unneeded, MAX_HANDSHAKES_LOOKED_AT):
            if connection.is_handshaking_with_other_than(tried):
                del self._unneeded[connection]
                return connection
        return None

    def _end_loser(self, connection: UpstreamConnection, failure: Failure) -> None:
        """Close the connection of a loser; but let a TLS handshake continue, for the pool."""
        if connection.is_handshaking:
            connection.take_over(None, failure)
        else:
            connection.fail(failure)

    def _connect(self, connection: UpstreamConnection) -> None:
        tried = connection.attempt.request.tried if connection.attempt is not None else None
        connection.connecting = self._connector.connect(tried or (), partial(self._connected, connection))

    def _connected(
        self, connection: UpstreamConnection, result: Stream | Failure, address: Address | None
    ) -> None:
        connection.connecting = None
        self._unneeded.pop(connection, None)
        if isinstance(result, Failure):
            connection.fail(result)
        elif address is not None:
            if connection.attempt is not None:
                self._note_address(connection.attempt, address)
            connection.open(result, address)

    def _note_address(self, attempt: Attempt, address: Address | None) -> None:
        """Have the request's other attempts go elsewhere, where there is an elsewhere."""
        if len(self._connector.addresses.all) > 1:
            request = attempt.request
            if request.tried is None:
                request.tried = []
            request.tried.append(address)

    def _make_room(self) -> bool:
        """Close a loser for an attempt that can still win; return whether there was one. An idle one would be used."""
        loser = self._losers.pop_oldest()
        if loser is None:
            return False
        loser.fail(NEEDED)
        return True


class _LoserReaper(EventHandler):
    """Has the pool end the losers whose grace is over."""

    __slots__ = ("_pool",)

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def on_deadline(self) -> None:
        self._pool.reap_losers()
