"""Requests that wait unsent: how long each may wait, and which is started next."""

from collections import deque
from math import inf
from typing import Final

from mypy_extensions import mypyc_attr

from hedgerow.eventloop.deadlines import response_deadline
from hedgerow.eventloop.event_handler import EventHandler

WAIT_SHARE: Final = 1 / 4
"""The part of its own timeout for which a request may wait unsent (BEHAVIOUR B11): what is left is enough to hedge."""
SWEEP_SIZE: Final = 1024
"""Entries to have before those that left are looked for; a bound of memory, not of the number that may wait."""


@mypyc_attr(acyclic=True, allow_interpreted_subclasses=True)
class Waiting(EventHandler):
    """A request that may wait unsent."""

    __slots__ = ("is_waiting", "wait_until")

    def __init__(self) -> None:
        self.wait_until = 0.0
        """The instant until which it may wait, once it has to; its owner rejects it then."""
        self.is_waiting = False
        """True from when it is read; False once it is admitted or rejected, or its client has left."""


def wait_until(arrived_at: float, timeout_s: float, lag_s: float) -> float:
    """Return the instant until which a request may wait unsent, so that its rejection is in time where the client is.

    `lag_s` is the event loop's own recent lag.
    """
    return response_deadline(arrived_at, timeout_s * WAIT_SHARE, lag_s)


class WaitingQueue:
    """Requests that wait unsent: first in, first out as long as all of them can be served in time, else newest first.

    Adaptive LIFO (Maurer, "Fail at Scale", ACM Queue 13(8), 2015): while more wait than can be served, each in its
    turn would be served when most of its time is over. The queue does not own the requests: those that no longer wait
    are skipped, and removed when they are more than half of the queue.
    """

    __slots__ = ("_requests", "_sweep_at", "is_newest_first")

    def __init__(self) -> None:
        self._requests: deque[Waiting] = deque()
        self._sweep_at = SWEEP_SIZE
        self.is_newest_first = False

    def __len__(self) -> int:
        """Return how many wait; of those that left out of turn some may be counted still."""
        requests = self._requests
        while requests and not requests[0].is_waiting:
            requests.popleft()
        return len(requests)

    def append(self, request: Waiting) -> None:
        """Add the newest request."""
        requests = self._requests
        requests.append(request)
        if len(requests) >= self._sweep_at:
            for _ in range(len(requests)):
                oldest = requests.popleft()
                if oldest.is_waiting:
                    requests.append(oldest)
            self._sweep_at = 2 * len(requests) + SWEEP_SIZE

    def choose_order(self, rate: float, now: float) -> None:
        """Decide which end is served, `rate` being what will be admitted in a second."""
        number = len(self)
        if not number:
            self.is_newest_first = False
            return
        newest = self._requests[-1]
        room_s = newest.wait_until - now
        if self.is_newest_first:
            room_s /= 2.0  # so that it does not change with each request
        self.is_newest_first = rate < inf and number > rate * room_s

    def pop(self) -> Waiting | None:
        """Take the request that is to be started next."""
        requests = self._requests
        while requests:
            request = requests.pop() if self.is_newest_first else requests.popleft()
            if request.is_waiting:
                return request
        return None
