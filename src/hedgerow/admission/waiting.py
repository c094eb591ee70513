"""Requests that wait unsent: how long each may wait, and which is started next."""

from collections import deque
from typing import Final, Protocol

WAIT_SHARE: Final = 1 / 4
"""The part of its own timeout for which a request may wait unsent (BEHAVIOUR B11): what is left is enough to hedge."""
MIN_WAIT_S: Final = 0.02
"""No request is rejected for a wait shorter than an ordinary stall of the machine (20 ms), or half its timeout."""
MAX_WAIT_S: Final = 2.5
"""A quarter of the default timeout (10 s): longer, and the client had better ask another worker."""


class Waiting(Protocol):
    """A request that may wait unsent."""

    wait_until: float
    """The instant until which it may wait; its owner rejects it then."""
    is_waiting: bool
    """False once it is admitted or rejected, or its client has left."""


def wait_until(arrived_at: float, timeout_s: float) -> float:
    """Return the instant until which a request may wait unsent."""
    return arrived_at + min(max(timeout_s * WAIT_SHARE, min(MIN_WAIT_S, timeout_s / 2)), MAX_WAIT_S)


class WaitingQueue:
    """Requests that wait unsent: first in, first out as long as all of them can be served in time, else newest first.

    Adaptive LIFO (Maurer, "Fail at Scale", ACM Queue 13(8), 2015): while more wait than can be served, each in its
    turn would be served when most of its time is over. The queue does not own the requests: those that no longer wait
    are skipped, and removed when they are more than half of the queue.
    """

    __slots__ = ("_requests", "_sweep_at", "is_newest_first")

    def __init__(self) -> None:
        self._requests: deque[Waiting] = deque()
        self._sweep_at = 1024
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
            self._sweep_at = 2 * len(requests) + 1024

    def choose_order(self, rate: float, now: float) -> None:
        """Decide which end is served, `rate` being what will be admitted in a second."""
        number = len(self)
        if not number:
            self.is_newest_first = False
            return
        newest = self._requests[-1]
        room_s = newest.wait_until - now
        if self.is_newest_first:
            room_s *= 0.5
        self.is_newest_first = number > rate * room_s

    def pop(self) -> Waiting | None:
        """Take the request that is to be started next."""
        requests = self._requests
        while requests:
            request = requests.pop() if self.is_newest_first else requests.popleft()
            if request.is_waiting:
                return request
        return None
