"""Admission."""

from math import inf

from hedgerow.admission.rate import RateController
from hedgerow.admission.waiting import Waiting, WaitingQueue


class AdmissionController:
    """Decides which requests start."""

    def __init__(self, max_in_flight: int, *, adapts: bool = True) -> None:
        self.max_in_flight = max_in_flight
        self.in_flight = 0
        self._adapts = adapts
        self._rate = RateController()
        self._queue = WaitingQueue()
        self._overloaded_at = -inf

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def rate_limit(self, now: float) -> float:
        return self._rate.limit(now)

    def is_overloaded(self, now: float) -> bool:
        return now - self._overloaded_at < 0.5

    def admit_or_queue(self, request: Waiting, now: float) -> bool:
        self._rate.read()
        if not len(self._queue) and self._may_start(now):
            self._enter()
            return True
        self._queue.append(request)
        return False

    def next_admitted(self, now: float) -> Waiting | None:
        queue = self._queue
        if not len(queue):
            return None
        queue.choose_order(self._rate.limit(now), now)
        if queue.is_newest_first:
            self._overloaded_at = now
        if not self._may_start(now):
            return None
        request = queue.pop()
        if request is not None:
            self._enter()
        return request

    def _may_start(self, now: float) -> bool:
        return self.in_flight < self.max_in_flight and (not self._adapts or self._rate.take(now))

    def _enter(self) -> None:
        self.in_flight += 1
        self._rate.admitted()

    def release(self) -> None:
        self.in_flight -= 1
        self._rate.released()

    def record_iteration(self, busy_s: float, now: float) -> None:
        if self._adapts:
            self._rate.record_iteration(busy_s, now)

    def next_admission_at(self, now: float) -> float:
        if not len(self._queue) or self.in_flight >= self.max_in_flight:
            return inf
        return self._rate.next_at(now)
