"""Requests that wait unsent, and which of them is started next."""

from collections import deque
from math import inf
from typing import Final

from mypy_extensions import mypyc_attr

from hedgerow.eventloop.event_handler import EventHandler

SWEEP_SIZE: Final = 1024
"""Entries to have before those that left are looked for; a bound of memory, not of the number that may wait."""


@mypyc_attr(acyclic=True, allow_interpreted_subclasses=True)
class Waiting(EventHandler):
    """A request that may wait unsent."""

    __slots__ = ("is_waiting", "wait_until", "waits_briefly")

    def __init__(self) -> None:
        self.wait_until = 0.0
        """The instant until which it may wait, once it has to; its owner rejects it then."""
        self.waits_briefly = False
        """That is sooner than it has to be (`admission.wait_limit`)."""
        self.is_waiting = False
        """True from when it is queued; False once it is admitted or rejected, or its client has left."""


class WaitingQueue:
    """Requests that wait unsent: first in, first out as long as all of them can be served in time, else newest first.

    Adaptive LIFO (Maurer, "Fail at Scale", ACM Queue 13(8), 2015): while more wait than can be served, each in its
    turn would be served when most of its time is over. Requests that leave out of turn are skipped later, and removed
    when they are more than half of the queue.
    """

    __slots__ = ("_number", "_requests", "is_newest_first")

    def __init__(self) -> None:
        self._requests: deque[Waiting] = deque()
        self._number = 0
        self.is_newest_first = False

    def __len__(self) -> int:
        """Return how many wait."""
        return self._number

    def append(self, request: Waiting) -> None:
        """Add the newest request."""
        requests = self._requests
        requests.append(request)
        request.is_waiting = True
        self._number += 1
        if len(requests) >= 2 * self._number + SWEEP_SIZE:
            for _ in range(len(requests)):
                oldest = requests.popleft()
                if oldest.is_waiting:
                    requests.append(oldest)

    def leave(self, request: Waiting) -> None:
        """Count that a request waits no longer: it is started or rejected, or its client has left."""
        request.is_waiting = False
        self._number -= 1
        if not self._number:
            self._requests.clear()

    def is_oldest(self, request: Waiting) -> bool:
        """Return whether none that waits came before `request`, which waits."""
        requests = self._requests
        while not requests[0].is_waiting:
            requests.popleft()
        return requests[0] is request

    def choose_order(self, rate: float, now: float) -> None:
        """Decide which end is served, `rate` being what will be admitted in a second."""
        requests = self._requests
        while requests and not requests[-1].is_waiting:
            requests.pop()
        if not requests:
            self.is_newest_first = False
            return
        room_s = requests[-1].wait_until - now
        if self.is_newest_first:
            room_s /= 2.0  # so that it does not change with each request
        self.is_newest_first = rate < inf and self._number > rate * room_s

    def pop(self, *, newest_first: bool) -> Waiting | None:
        """Take the request that is to be started next; it waits no longer."""
        requests = self._requests
        while requests:
            request = requests.pop() if newest_first else requests.popleft()
            if request.is_waiting:
                self.leave(request)
                return request
        return None
