"""How long a request may wait unsent: a quarter of its timeout, and less where a longer wait is of no use.

Past capacity the newest request is started first. One that is not started soon is then not started at all, and holds a
connection until it is rejected: of 18 000 requests/s 1 300 waited, and those in flight were short of 430 descriptors.
To reject it then costs more, too, for nothing of its connection is in a cache any more. So once a request was rejected
after its whole wait, few of those that come wait, and briefly; the others are rejected at once.

But clients that ask again as soon as they are answered are as many as before, and are rejected more often: for them
brief waits are worse, and it may be for brief waits alone that they, or bursts, are rejected. So after a second the
whole wait is tried again. Brief waits return only if it is too short then, too, and more requests wait than there were
clients who waited or were held before: such a load fills any wait.
"""

from math import inf
from typing import Final

from hedgerow.admission.waiting import Waiting
from hedgerow.eventloop.deadlines import response_deadline

WAIT_SHARE: Final = 1 / 4
"""The part of its own timeout for which a request may wait unsent (BEHAVIOUR B11): what is left is enough to hedge."""
BRIEF_SHARE: Final = 1 / 16
"""The same for a brief wait: 50 ms of 800, twice a long iteration. Good answers a second at 18 000: 11 200, with 1/32
10 600, with 1/10 10 900, and 10 200 with the whole wait. Time for which the request was held after a rejection counts:
at 36 000 there were 6 700 so, and 5 700 where it did not."""
BRIEF_QUEUE_S: Final = 0.02
"""While waits are brief, no more wait than are started in this time, that of a long iteration. Good answers a second at
24 000: 11 100, with half of it 10 500, and 10 700 with no such bound."""
BRIEF_S: Final = 1.0
"""How long waits are brief, and how long what was learnt from the whole wait holds."""
GROWTH: Final = 1.3
"""How many more must wait than before. With a timeout of 800 ms an open loop comes to 1.6 times as many: what comes in
200 ms, in place of 50 and the 75 of backpressure. A closed loop stays below 1.1: some requests are unread."""


class WaitLimit:
    """Decides until when each request that has to wait may do so; instants are passed in."""

    __slots__ = ("_asking", "_brief_until", "_has_grown", "_learnt_at")

    def __init__(self) -> None:
        self._brief_until = -inf
        self._learnt_at = -inf
        """What is known holds for `BRIEF_S` from this instant."""
        self._asking = -1.0
        """How many clients waited or were held when the whole wait was tried again; -1 before."""
        self._has_grown = False
        """More than those have waited since."""

    def is_brief(self, now: float) -> bool:
        """Return whether those that come now wait briefly."""
        return now < self._brief_until

    def limit(
        self,
        request: Waiting,
        arrived_at: float,
        timeout_s: float,
        lag_s: float,
        now: float,
        *,
        waiting: int,
        starts_per_s: float,
    ) -> None:
        """Set `request.wait_until` so that its rejection is in time where the client is.

        `lag_s` is the event loop's own recent lag; `waiting` counts `request` itself.
        """
        until = response_deadline(arrived_at, timeout_s * WAIT_SHARE, lag_s)
        if now < self._brief_until:
            briefly = arrived_at + timeout_s * BRIEF_SHARE
            if waiting > 1.0 + starts_per_s * BRIEF_QUEUE_S:
                briefly = now
            if briefly < until:
                request.waits_briefly = True
                until = briefly
        request.wait_until = until

    def whole_wait_was_too_short(self, now: float) -> None:
        """Learn that the request that had come first of all was rejected after its whole wait."""
        if self._asking < 0.0 or self._has_grown or now - self._learnt_at >= BRIEF_S:
            self.be_brief(now)
        else:
            self._learnt_at = now

    def count_waiting(self, waiting: int, held: float, now: float) -> None:
        """Learn how many wait, one more than before, and how many clients are held after a rejection."""
        if now < self._brief_until or now - self._learnt_at >= BRIEF_S:
            return
        if self._asking < 0.0:
            self._asking = waiting + held
        elif waiting > self._asking * GROWTH:
            self._has_grown = True

    def be_brief(self, now: float) -> None:
        """Have those that come in the next `BRIEF_S` wait briefly."""
        self._brief_until = self._learnt_at = now + BRIEF_S
        self._asking = -1.0
        self._has_grown = False
