"""All open connections of one worker: how many there may be, and for how long."""

import asyncio
from typing import Protocol

from hedgerow_simulator.limits import IDLE_LIMIT_S, LONGEST_ANSWER_S, MAX_CONNECTIONS, SWEEP_EVERY_S


class Bounded(Protocol):
    """What is asked of a connection: since when it has been in its state (the loop's clock), and to end."""

    since: float

    @property
    def is_busy(self) -> bool:
        """A request is being answered."""
        ...

    def abort(self) -> None:
        """End at once."""
        ...


class OpenConnections:
    """Keeps the connections, and cuts off those idle or unanswered for longer than the limits."""

    def __init__(self) -> None:
        self._members: set[Bounded] = set()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def all_gone(self) -> bool:
        """No connection is left."""
        return not self._members

    def add(self, connection: Bounded) -> None:
        """Keep the connection; one too many, or one that comes after the end, is cut off at once."""
        self._members.add(connection)
        if self._closed or len(self._members) > MAX_CONNECTIONS:
            connection.abort()

    def discard(self, connection: Bounded) -> None:
        """Forget one that is gone."""
        self._members.discard(connection)

    def abort_all(self) -> None:
        """Cut off every one. They are gone a turn of the loop later."""
        for connection in tuple(self._members):
            connection.abort()

    def start_sweeping(self) -> None:
        """Look for connections past their limits from time to time, until `close`."""
        self._timer = self._loop.call_later(SWEEP_EVERY_S, self._sweep)

    def close(self) -> None:
        """Cut off every one, and each that still comes; the sweeping ends."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.abort_all()

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in tuple(self._members):
            if now - connection.since > (LONGEST_ANSWER_S if connection.is_busy else IDLE_LIMIT_S):
                connection.abort()
        self.start_sweeping()
