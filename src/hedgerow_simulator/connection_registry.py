"""All open connections of one worker: how many there may be, and for how long."""

import asyncio
from typing import Protocol

from hedgerow_simulator.limits import IDLE_TIMEOUT_S, MAX_CONNECTIONS, MAX_RESPONSE_S, REAP_INTERVAL_S


class TrackedConnection(Protocol):
    """What is asked of a connection: since when it has been in its state (the loop's clock), and to end."""

    since: float

    @property
    def is_busy(self) -> bool:
        """A request is being answered."""
        ...

    def abort(self) -> None:
        """End at once."""
        ...


class ConnectionRegistry:
    """Keeps the connections, and cuts off those idle or unanswered for longer than the limits."""

    def __init__(self) -> None:
        self._members: set[TrackedConnection] = set()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def all_gone(self) -> bool:
        """No connection is left."""
        return not self._members

    def add(self, connection: TrackedConnection) -> None:
        """Keep the connection; one too many, or one that comes after the end, is cut off at once."""
        self._members.add(connection)
        if self._closed or len(self._members) > MAX_CONNECTIONS:
            connection.abort()

    def discard(self, connection: TrackedConnection) -> None:
        """Forget one that is gone."""
        self._members.discard(connection)

    def abort_all(self) -> None:
        """Cut off every one. They are gone a turn of the loop later."""
        for connection in tuple(self._members):
            connection.abort()

    def start_reaping(self) -> None:
        """Look for connections past their limits from time to time, until `close`."""
        self._timer = self._loop.call_later(REAP_INTERVAL_S, self._reap)

    def close(self) -> None:
        """Cut off every one, and each that still comes; the sweeping ends."""
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
