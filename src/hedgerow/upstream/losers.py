"""The losers of a pool: attempts whose race is over, and that run on for a while."""

from collections.abc import Callable
from itertools import islice
from math import inf
from typing import Final

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.eventloop.deadlines import ExpiryQueue
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.upstream.connection import UpstreamConnection

ENDED_AT_ONCE: Final = 64
"""Of those whose grace is over: an upstream that falls silent leaves thousands, and other work is due in between."""
NEEDED: Final = Failure(FailureReason.TIMEOUT, "closed: its connection was needed")
CANCELLED: Final = Failure(FailureReason.TIMEOUT, "cancelled: the race was over")
WORKER_ENDS: Final = Failure(FailureReason.TIMEOUT, "closed: the worker ends")
GRACE_IS_OVER: Final = Failure(FailureReason.TIMEOUT, "no answer within the loser's grace")


class Losers(EventHandler):
    """Connections that have a loser, oldest first."""

    __slots__ = ("_end", "_is_reaping", "_loop", "_queue")

    def __init__(
        self, grace_s: float, loop: EventLoop, end: Callable[[UpstreamConnection, Failure], None]
    ) -> None:
        """`end` is called with each whose grace is over."""
        self._queue: ExpiryQueue[UpstreamConnection] = ExpiryQueue(grace_s)
        self._loop = loop
        self._end = end
        self._is_reaping = False

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, connection: UpstreamConnection) -> None:
        """Let its loser run on for its grace."""
        now = self._loop.clock()
        self._queue.add(connection, now)
        if not self._is_reaping:
            self._is_reaping = True
            self._loop.call_at(now + self._queue.span_s, self)

    def discard(self, connection: UpstreamConnection) -> None:
        """Forget a connection: its loser has ended."""
        self._queue.discard(connection)

    @property
    def oldest_since(self) -> float:
        """Return when the oldest one has lost; infinite if there is none."""
        return self._queue.next_due_at - self._queue.span_s

    def pop_oldest(self) -> UpstreamConnection | None:
        """Take the one that has lost first."""
        return self._queue.pop_oldest()

    def on_deadline(self) -> None:
        """End some of those whose grace is over; the others in the next iterations."""
        now = self._loop.clock()
        try:
            for connection in islice(self._queue.pop_expired(now), ENDED_AT_ONCE):
                self._end(connection, GRACE_IS_OVER)
        finally:  # an internal error on the way of one does not spare the others
            next_at = self._queue.next_due_at
            self._is_reaping = next_at < inf
            if next_at <= now:
                self._loop.wake_in_next_iteration(self)
            elif self._is_reaping:
                self._loop.call_at(next_at, self)

    def resume(self) -> None:
        """Go on with those whose grace is over."""
        self.on_deadline()
