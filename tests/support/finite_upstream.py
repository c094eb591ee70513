"""A gateway before an upstream that can be overloaded, in virtual time: the race and the limit as they are.

The upstream is `hedgerow_simulator`'s own queue. Arrivals and service times are drawn, the same for the same request
and attempt whatever the gateway does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import log
from random import Random

from hedgerow.core.hedge_limit import HedgeLimit, LateRequest
from hedgerow.core.hedging import HedgePlan, Race
from hedgerow.core.outcomes import Attempt, Failure, FailureReason, Success, Won
from hedgerow.core.request import Request
from hedgerow_simulator.capacity import Capacity
from hedgerow_simulator.stats import SharedCounters, StatsCounter
from hedgerow_simulator.work_queue import Job, WorkQueue

HEDGE_DELAY_S, HEDGES, TIMEOUT_S, LOSER_GRACE_S = 0.3, 2, 0.8, 1.0
FAILED = Failure(FailureReason.STATUS_5XX)
REJECTED_AFTER_S = 0.002


@dataclass
class Second:
    """What became of the requests that arrived in one second, and the attempts that were sent in it."""

    requests: int = 0
    good: int = 0
    attempts: int = 0


@dataclass(frozen=True)
class Scenario:
    """An upstream, and how it is asked."""

    per_s: float
    capacity: Capacity = Capacity(workers=100)  # noqa: RUF009 (frozen)
    service_s: tuple[float, float] = (0.1, 0.6)
    fail: float = 0.1
    cached: float = 0.0
    """Share of requests that never reach the bottleneck."""
    gateways: int = 1
    restart_at_s: float = -1.0
    """All gateways forget what they know."""


@dataclass
class Run:
    """One run of a scenario: `make_limit` is None for a gateway that sends every hedge."""

    scenario: Scenario
    make_limit: Callable[[], HedgeLimit] | None
    hedges: int = HEDGES
    seed: int = 1
    now: float = 0.0
    seconds: list[Second] = field(default_factory=list)
    limits: list[HedgeLimit | None] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)
    """Attempts of each gateway."""

    def play(self, for_s: int) -> "Run":
        """Play this many seconds, and return itself."""
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self.seconds = [Second() for _ in range(for_s + 1)]
        self.queue = WorkQueue(self.scenario.capacity, StatsCounter(SharedCounters(1), 0), self.call_later)
        self.in_flight = [0] * self.scenario.gateways
        self._forget()
        if self.scenario.restart_at_s > 0:
            self.call_later(self.scenario.restart_at_s, self._forget)
        self._arrivals = Random(f"arrivals/{self.seed}")
        self._arrive(0)
        while self._timers[0][0] < for_s:
            self.now, _, callback = heappop(self._timers)
            callback()
        return self

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        heappush(self._timers, (self.now + seconds, next(self._numbers), callback))

    def good_share(self, begin_s: int, end_s: int) -> float:
        seconds = self.seconds[begin_s:end_s]
        return sum(each.good for each in seconds) / sum(each.requests for each in seconds)

    def attempts_per_request(self, begin_s: int, end_s: int) -> float:
        seconds = self.seconds[begin_s:end_s]
        return sum(each.attempts for each in seconds) / sum(each.requests for each in seconds)

    def _forget(self) -> None:
        """Start the gateways again. What is in flight stays so: the upstream works on it."""
        number = self.scenario.gateways
        self.limits = [self.make_limit() if self.make_limit is not None else None for _ in range(number)]

    def _arrive(self, number: int) -> None:
        self.call_later(-log(self._arrivals.random()) / self.scenario.per_s, lambda: self._arrive(number + 1))
        if self.now > 0:
            _Client(self, number).proceed()


class _Client:
    """One request, as `request_task` handles it."""

    def __init__(self, run: Run, number: int) -> None:
        self.run, self.number = run, number
        self.draws = Random(f"{run.seed}/{number}")
        self.second = run.seconds[int(run.now)]
        self.second.requests += 1
        self.gateway = int(self.draws.random() * len(run.limits))
        self.is_cached = self.draws.random() < run.scenario.cached
        self.request = Request(b"GET", b"/", b"", request_id=b"r", arrived_at=run.now)
        plan = HedgePlan(HEDGE_DELAY_S, run.hedges)
        deadline_at = run.now + TIMEOUT_S
        self.late: LateRequest | None = None
        self.race = Race(self.start_attempt, plan, deadline_at=deadline_at)
        self.is_over = False
        self.is_gone = False

    @property
    def limit(self) -> HedgeLimit | None:
        return self.run.limits[self.gateway]

    def proceed(self) -> None:
        if self.is_over:
            return
        verdict = self.race.proceed(self.run.now)
        if verdict is None:
            self.run.call_later(max(self.race.wait_until - self.run.now, 0.0), self.proceed)
            return
        self.is_over = True
        self.second.good += isinstance(verdict, Won)
        if self.limit is not None and self.late is None and isinstance(verdict, Won):
            self.limit.first_was_quick(self.run.now, self.run.in_flight[self.gateway])
        self.run.call_later(LOSER_GRACE_S, self.leave)

    def is_held(self, limit: HedgeLimit, number: int, now: float) -> bool:
        if self.late is None:
            self.late = limit.first_was_late(
                now,
                self.run.in_flight[self.gateway],
                self.run.hedges,
                first_failed=self.race.attempts[0].outcome is not None,
            )
        return number > 1 + self.late.sent

    def start_attempt(self, number: int, now: float) -> Attempt | None:
        run, limit = self.run, self.limit
        if limit is not None and number > 1 and self.is_held(limit, number, now):
            return None
        run.seconds[int(run.now)].attempts += 1
        run.in_flight[self.gateway] += 1
        draws = Random(f"{run.seed}/{self.number}/{number}")
        low, high = run.scenario.service_s
        service_s, fails = low + (high - low) * draws.random(), draws.random() < run.scenario.fail
        attempt = Attempt(number, now, self.request, self)
        done = partial(self.finish, attempt, fails=fails)
        if self.is_cached:
            run.call_later(0.005, partial(self.finish, attempt, fails=False))
        elif run.queue.is_full:
            run.call_later(REJECTED_AFTER_S, partial(self.finish, attempt, fails=True))
        else:
            attempt.handle = _Handle(run.queue.submit(service_s, done))
        return attempt

    def finish(self, attempt: Attempt, *, fails: bool) -> None:
        if not self.is_gone:
            attempt.finish(FAILED if fails else Success(b""), self.run.now)

    def on_attempt_finished(self) -> None:
        self.run.in_flight[self.gateway] -= 1
        if self.late is not None and self.run.now <= self.late.until:
            self.late.answered = True
        self.proceed()

    def leave(self) -> None:
        """Close what still runs: the grace of losers is over."""
        self.is_gone = True
        for attempt in self.race.attempts:
            if attempt.outcome is None:
                attempt.finish(FAILED, self.run.now)
                if isinstance(attempt.handle, _Handle):
                    self.run.queue.leave(attempt.handle.job)


@dataclass
class _Handle:
    job: Job

    def abandon(self) -> None:
        pass
