"""The open connections of one worker, with limits on their number and duration."""

import asyncio
from typing import Protocol

from hedgerow_simulator.limits import IDLE_TIMEOUT_S, MAX_CONNECTIONS, MAX_RESPONSE_S, REAP_INTERVAL_S


class TrackedConnection(Protocol):
    """What the registry uses of a connection; `since` is the start of its state, by the loop's clock."""

    since: float

    @property
    def is_busy(self) -> bool:
        """Return whether a request is being answered."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class ConnectionRegistry:
    """Keeps the connections, and aborts those idle or unanswered for longer than the limits."""

    def __init__(self) -> None:
        self._members: set[TrackedConnection] = set()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def all_gone(self) -> bool:
        """Return whether no connection is left."""
        return not self._members

    def add(self, connection: TrackedConnection) -> None:
        """Add a connection; abort it if it exceeds the limit or arrives after `close`."""
        self._members.add(connection)
        if self._closed or len(self._members) > MAX_CONNECTIONS:
            connection.abort()

    def discard(self, connection: TrackedConnection) -> None:
        """Remove a closed connection."""
        self._members.discard(connection)

    def abort_all(self) -> None:
        """Abort all connections. They are closed one event loop iteration later."""
        for connection in tuple(self._members):
            connection.abort()

    def start_reaping(self) -> None:
        """Check the limits periodically, until `close`."""
        self._timer = self._loop.call_later(REAP_INTERVAL_S, self._reap)

    def close(self) -> None:
        """Abort all connections, and later ones when they are added; stop checking."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.abort_all()

    def _reap(self) -> None:
        now = self._loop.time()
        for connection in tuple(self._members):
            if now - connection.since > (MAX_RESPONSE_S if connection.is_busy else IDLE_TIMEOUT_S):
                connection.abort()
        self.start_reaping()
