"""Which requests start now, which wait unsent, and which of those that wait is next.

A request that cannot start at once waits, for at most a quarter of its timeout; its owner rejects it when that is over.
There are two reasons to wait: all descriptors are in use (`max_in_flight`), or the event loop cannot do more (`rate`).
Nothing here has a clock: each state is a function of the instant at which it is read, so it is the same after a silence
as at rest. docs/decisions/0016-admission.md
"""

from math import inf
from typing import Final

from hedgerow.admission.rate import LIMIT_EXPIRY_S, RateController
from hedgerow.admission.wait_limit import WaitLimit
from hedgerow.admission.waiting import Waiting, WaitingQueue
from hedgerow.settings import ClientLimits

BACKPRESSURE_S: Final = ClientLimits().backpressure_s
"""How long a client is held that asks again after a rejection; less with a timeout under 600 ms."""
MUCH_REJECTED: Final = 0.1
"""Of what is started. While fewer requests are rejected, brief waits would only have more of them rejected."""


class AdmissionController:
    """Counts the requests in flight in one worker, and decides which of those that wait is started when."""

    __slots__ = (
        "_adapts", "_overloaded_at", "_queue", "_rate", "_wait_limit", "in_flight", "is_crowded", "max_in_flight",
    )  # fmt: skip

    def __init__(self, max_in_flight: int, *, adapts: bool = True) -> None:
        self.max_in_flight = max_in_flight
        """What the descriptors are enough for."""
        self.is_crowded = False
        """Clients have descriptors that requests in flight could have, were there fewer of them."""
        self.in_flight = 0
        self._adapts = adapts
        self._rate = RateController()
        self._queue = WaitingQueue()
        self._wait_limit = WaitLimit()
        self._overloaded_at = -inf

    @property
    def waiting(self) -> int:
        """Return how many requests wait."""
        return len(self._queue)

    def rate_limit(self, now: float) -> float:
        """Return how many requests are admitted in a second; infinite where there is no limit."""
        return self._rate.limit(now) if self._adapts else inf

    def is_overloaded(self, now: float) -> bool:
        """Return whether more wait than can be served in time, or did within `LIMIT_EXPIRY_S`."""
        return now - self._overloaded_at < LIMIT_EXPIRY_S

    def admit_or_queue(self, request: Waiting, now: float) -> bool:
        """Return whether a request that was read is to start now; else it waits, and is returned by `next_admitted`."""
        self._rate.record_read()
        if not len(self._queue) and self._may_start(now):
            self._count_start()
            return True
        self._queue.append(request)
        return False

    def next_admitted(self, now: float) -> Waiting | None:
        """Return the next request that is to start now, or None."""
        queue = self._queue
        if not len(queue):
            return None
        rate = self.rate_limit(now)
        if self._rate.recent_starts > 0.0:
            rate = min(rate, self._rate.recent_starts)
        if self._wait_limit.is_brief(now):
            newest_first = True
            queue.is_newest_first = False  # from then on all that wait may have their turn
        else:
            queue.choose_order(rate, now)
            newest_first = queue.is_newest_first
        if newest_first:
            self._overloaded_at = now
        if not self._may_start(now):
            return None
        request = queue.pop(newest_first=newest_first)
        if request is not None:
            self._count_start()
        return request

    def next_admission_at(self, now: float) -> float:
        """Return when a waiting request can start; infinite where none waits, or another must end first."""
        if not len(self._queue) or self.in_flight >= self.max_in_flight:
            return inf
        return self._rate.next_token_at(now) if self._adapts else now

    def limit_wait(
        self, request: Waiting, arrived_at: float, timeout_s: float, lag_s: float, now: float
    ) -> None:
        """Set until when a request that was queued may wait (`WaitLimit.limit`)."""
        waiting, rate = len(self._queue), self._rate
        self._wait_limit.count_waiting(waiting, rate.recent_rejected * BACKPRESSURE_S, now)
        self._wait_limit.limit(
            request, arrived_at, timeout_s, lag_s, now, waiting=waiting, starts_per_s=rate.recent_starts
        )

    def reject(self, request: Waiting, now: float) -> str:
        """Record that a request has waited as long as it may; return why it was not started: a metric label."""
        is_full = self.in_flight >= self.max_in_flight
        if (is_full or self.is_crowded) and self._adapts and not request.waits_briefly:
            rate = self._rate
            # Behind others that may wait for longer it could not have been next.
            if rate.recent_rejected > rate.recent_starts * MUCH_REJECTED and self._queue.is_oldest(request):
                self._wait_limit.whole_wait_was_too_short(now)
        self._overloaded_at = now
        self._queue.leave(request)
        return "in_flight" if is_full else "rate_limit"

    def client_rejected(self, now: float) -> None:
        """Learn that a client was rejected as it connected: requests that wait hold the descriptors of clients."""
        if self._adapts:
            self._wait_limit.be_brief(now)

    def record_error(self) -> None:
        """Learn that a request was answered by an error at once: it takes time that others do not have."""
        self._rate.record_error()

    def leave(self, request: Waiting) -> None:
        """Forget a request that waits, since its client has left."""
        self._queue.leave(request)

    def release(self) -> None:
        """Count that an admitted request is over."""
        self.in_flight -= 1
        self._rate.record_end()

    def record_iteration(self, busy_s: float, now: float) -> None:
        """Learn from an iteration of the event loop; `busy_s` is the time from the poll's return to its end."""
        if self._adapts:
            self._rate.record_iteration(busy_s, now)

    def _may_start(self, now: float) -> bool:
        if self.in_flight >= self.max_in_flight:
            return False
        return not self._adapts or self._rate.take(now)

    def _count_start(self) -> None:
        self.in_flight += 1
        self._rate.record_start()
