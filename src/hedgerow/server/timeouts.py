"""How long a client's connection may be idle, slow, write-blocked or lingering."""

from collections.abc import Hashable
from itertools import islice
from typing import Final, Protocol, TypeVar

from hedgerow.eventloop.deadlines import ExpiryQueue
from hedgerow.server.request_rejected import RequestRejected, slow_head
from hedgerow.settings import ClientLimits

REAP_INTERVAL_S: Final = 0.5
"""How often overdue connections are looked for; they may outlive their limit by this much."""
ENDED_AT_ONCE: Final = 64
"""Of those that are idle, slow, write-blocked or lingering for too long, each: to close one takes 10 to 30 us, and
thousands that connected in a burst are overdue together. The event loop does other work in between."""
REAP_AGAIN_S: Final = 0.01
"""After this time the next of them are ended."""


class TimedConnection(Hashable, Protocol):
    """What a connection does when its time is over."""

    idle_since: float

    @property
    def holds_requests(self) -> bool: ...
    def close_idle(self) -> None: ...
    def reject(self, rejected: RequestRejected) -> None: ...
    def reset(self) -> None: ...
    def abort(self) -> None: ...


C = TypeVar("C", bound=TimedConnection)


class ConnectionTimeouts:
    """The connections of one server that have a timeout running. Pure: instants are passed in."""

    __slots__ = ("_heads", "_limits", "_lingering", "_write_blocked")

    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self._heads: ExpiryQueue[TimedConnection] = ExpiryQueue(limits.head_timeout_s)
        self._write_blocked: ExpiryQueue[TimedConnection] = ExpiryQueue(limits.write_timeout_s)
        self._lingering: ExpiryQueue[TimedConnection] = ExpiryQueue(limits.linger_s)

    def head_started(self, connection: TimedConnection, now: float) -> None:
        """Start the timeout of a request head of which a part has come."""
        self._heads.add(connection, now)

    def head_finished(self, connection: TimedConnection) -> None:
        """End the timeout of a request head: the rest has come."""
        self._heads.discard(connection)

    def write_blocked(self, connection: TimedConnection, now: float) -> None:
        """Start the timeout of a write-blocked client, which does not read its answers as fast as they come."""
        self._write_blocked.add(connection, now)

    def write_unblocked(self, connection: TimedConnection) -> None:
        """End the timeout of a write-blocked client: it has read its answers."""
        self._write_blocked.discard(connection)

    def lingering(self, connection: TimedConnection, now: float) -> None:
        """Start the lingering close: the last answer and FIN were sent, what comes is dropped for a while."""
        self._lingering.add(connection, now)

    def end_lingering(self, now: float, after_s: float) -> None:
        """Close the connections that have lingered for `after_s` seconds: others need their descriptors."""
        for connection in self._lingering.pop_expired(now + self._limits.linger_s - after_s):
            connection.abort()

    def forget(self, connection: TimedConnection) -> None:
        """Forget a connection that is closed."""
        self._heads.discard(connection)
        self._write_blocked.discard(connection)
        self._lingering.discard(connection)

    def reap(
        self, connections: "set[C]", now: float, *, crowded: bool = False, draining: bool = False
    ) -> bool:
        """End some of the connections whose time is over; return whether there are more.

        Where it is `crowded` that of idle ones is over soon, and in a drain at once.
        """
        # A look at each of 10 000 takes 0.3 ms, twice a second; a queue of the idle took 0.5 µs of every request.
        limits, heads = self._limits, self._heads
        idle_timeout_s = limits.crowded_idle_timeout_s if crowded else limits.idle_timeout_s
        long_ago = now if draining else now - idle_timeout_s
        idle = [
            one
            for one in connections
            if one.idle_since <= long_ago and (draining or one not in heads) and not one.holds_requests
        ]
        for overdue in idle[:ENDED_AT_ONCE]:
            overdue.close_idle()
        for connection in islice(heads.pop_expired(now), ENDED_AT_ONCE):
            connection.reject(slow_head(limits.head_timeout_s))
        for connection in islice(self._write_blocked.pop_expired(now), ENDED_AT_ONCE):
            connection.reset()
        for connection in islice(self._lingering.pop_expired(now), ENDED_AT_ONCE):
            connection.abort()
        next_due_at = min(queue.next_due_at for queue in (heads, self._write_blocked, self._lingering))
        return len(idle) > ENDED_AT_ONCE or next_due_at <= now
