"""A worker in virtual time: what its event loop has to do costs so much, and the kernel keeps what is not read.

It does in each iteration what the worker's loop does: upstream answers, due timers, clients, accepts, admission, flush. There
is no I/O and no real clock; the same seed gives the same run. Nothing of the gateway is used here but the admission
controller that is tried.
"""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from math import inf

from hedgerow.admission.controller import AdmissionController
from hedgerow.admission.waiting import wait_until

HEDGE_DELAY_S = 0.3
HEDGES = 2
ROUND_TRIP_S = 0.0001
"""From an answer that is sent to the next request of a client in a closed loop, and from a connect to its handshake."""
DEADLINE, HEDGE, WAIT_OVER, RESUME = range(4)


@dataclass(frozen=True)
class Costs:
    """What the loop's work takes, in seconds (measured on the bare loop of `bench`, CPython 3.13)."""

    read: float = 10e-6
    start: float = 10e-6
    hedges: float = 15e-6
    judge: float = 15e-6
    answer: float = 12e-6
    reject: float = 5e-6
    accept: float = 25e-6
    iteration: float = 5e-6
    poll: float = 3e-6
    """Of the poll itself: it is not busy time, and it is not there for other work."""
    connect: float = 30e-6
    handshake: float = 0.0
    """Of a TLS connection, in three pieces."""

    def scaled(self, factor: float) -> "Costs":
        """Return the costs of a machine that is `factor` times slower."""
        return Costs(**{name: value * factor for name, value in vars(self).items()})


COMPILED = Costs()
PLAIN = Costs(read=15e-6, start=15e-6, judge=20e-6, reject=10e-6)
TLS = replace(COMPILED, handshake=1e-3)


@dataclass(frozen=True)
class Disturbance:
    """From `at` on for `duration_s` the worker's process does not run, runs `slowdown` times slower, or shares its core."""

    at: float
    duration_s: float
    slowdown: float = inf
    """Infinite: it does not run at all."""
    shares_core: bool = False
    """Another process that always wants to run gets every second slice."""


SLICE_S = 0.003
"""What the kernel's scheduler gives a process before the other has its turn."""


class Connection:
    """A client's keep-alive connection: requests that have come on it wait in the kernel until it is read."""

    __slots__ = ("accepted", "client", "closed_loop", "is_paused", "queued", "timeout_s")

    def __init__(self, timeout_s: float, *, closed_loop: bool, accepted: bool) -> None:
        self.timeout_s = timeout_s
        self.closed_loop = closed_loop
        self.accepted = accepted
        self.is_paused = False
        self.queued: deque[float] = deque()


class Request:
    """One request, as the gateway's `RequestTask`."""

    __slots__ = ("arrived_at", "connection", "deadline", "is_done", "is_hedged", "is_started", "is_waiting", "pending",
                 "wait_until")  # fmt: skip

    def __init__(self, connection: Connection, arrived_at: float, margin_s: float) -> None:
        self.connection = connection
        self.arrived_at = arrived_at
        self.wait_until = wait_until(arrived_at, connection.timeout_s)
        self.deadline = arrived_at + connection.timeout_s - margin_s
        self.is_waiting = False
        self.is_done = self.is_hedged = self.is_started = False
        self.pending = 0


@dataclass
class Second:
    """What the clients got in one second; the late are counted among the others as well."""

    offered: int = 0
    good: int = 0
    failed: int = 0
    expired: int = 0
    rejected: int = 0
    late: int = 0
    longest_iteration_s: float = 0.0
    busy_s: float = 0.0
    rate_limit: float = inf


@dataclass
class WorkerModel:
    """A worker and its clients; `run_until` plays them."""

    controller: AdmissionController
    costs: Costs = COMPILED
    seed: int = 1
    disturbances: Sequence[Disturbance] = ()
    latency_s: tuple[float, float] = (0.1, 0.6)
    failing_share: float = 0.12
    backpressure_s: float = 0.075
    max_reads: int = 128
    max_accepts: int = 16
    answers_budget_s: float = 0.004
    """For so long upstream answers are read before timers are looked at; if some are left then, hedges wait for them."""
    hedges_budget_s: float = 0.002
    reads_budget_s: float = 0.002
    flush_early: bool = False
    skip: bool = False
    margin_s: float = 0.003
    now: float = 100.0
    seconds: list[Second] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start with an idle loop and no connection."""
        self.began_at = self.now
        self.random = random.Random(self.seed)
        self._number = 0
        self._answers: list[tuple[float, int, Request, int]] = []
        """Upstream events: instant, order, request, pieces of its handshake that are left."""
        self._timers: list[tuple[float, int, int, object]] = []
        self._arrivals: list[tuple[float, int, Connection]] = []
        self._readable: deque[Connection] = deque()
        self._backlog: deque[Connection] = deque()
        self._flushes: list[tuple[Request, str]] = []
        self.open_loop: deque[float] = deque()
        self.open_timeout_s = 0.8
        self.open_pool: list[Connection] = []
        self.idle_connections = 0
        self._lag = [0.0, 0.0]
        self._lag_slot = 0
        self._factor = 1.0
        self._slice_ends = inf
        self._events: list[tuple[float, Disturbance, bool]] = []
        for one in self.disturbances:
            self._events.append((self.began_at + one.at, one, True))
            if one.slowdown < inf or one.shares_core:
                self._events.append((self.began_at + one.at + one.duration_s, one, False))
        self._events.sort(key=lambda event: event[0], reverse=True)
        self._next_event = self._events[-1][0] if self._events else inf

    # The clients.

    def open_clients(self, count: int, timeout_s: float, *, at: float = 0.0, over_s: float = 0.05) -> None:
        """Add a closed loop: `count` clients connect within `over_s`, ask, and ask again at each answer."""
        for number in range(count):
            connection = Connection(timeout_s, closed_loop=True, accepted=False)
            self._arrive(self.began_at + at + over_s * number / count, connection)

    def offer(self, rate: float, begin: float, end: float, *, poisson: bool = False) -> None:
        """Add an open loop of `rate` requests a second between two instants."""
        at = self.began_at + begin
        while at < self.began_at + end:
            self.open_loop.append(at)
            at += self.random.expovariate(rate) if poisson else 1 / rate

    def burst(self, count: int, at: float, *, over_s: float = 0.01) -> None:
        """Add `count` requests within `over_s`."""
        self.open_loop.extend(self.began_at + at + over_s * number / count for number in range(count))

    def _arrive(self, at: float, connection: Connection) -> None:
        self._number += 1
        heappush(self._arrivals, (at, self._number, connection))

    def _second(self, at: float) -> Second:
        number = int(at - self.began_at)
        while len(self.seconds) <= number:
            self.seconds.append(Second())
        return self.seconds[number]

    # The machine.

    def _work(self, cost_s: float) -> None:
        self.now += cost_s * self._factor
        if self.now >= self._next_event or self.now >= self._slice_ends:
            self._disturb()

    def _disturb(self) -> None:
        while self.now >= self._next_event:
            at, one, begins = self._events.pop()
            self._next_event = self._events[-1][0] if self._events else inf
            if one.shares_core:
                self._slice_ends = self.now + SLICE_S if begins else inf
            elif one.slowdown < inf:
                self._factor = one.slowdown if begins else 1.0
            else:
                self.now = max(self.now, at + one.duration_s)
        if self.now >= self._slice_ends:
            self.now += SLICE_S
            self._slice_ends = self.now + SLICE_S

    def _sleep_until(self, at: float) -> None:
        if at > self.now:
            self.now = at
            if self._slice_ends < inf:
                self._slice_ends = at + SLICE_S
            if self.now >= self._next_event:
                self._disturb()

    # The loop.

    def run_until(self, end: float) -> None:
        """Play until `end`, in seconds from the beginning."""
        end += self.began_at
        while self.now < end:
            self._work(self.costs.poll)
            self._sleep_until(min(self._next_wake_at(), end))
            if self.now < end:
                self._iterate()

    def _next_wake_at(self) -> float:
        if self._readable or self._backlog:
            return self.now
        at = self.controller.next_admission_at(self.now) if self.controller.waiting else inf
        if self._answers:
            at = min(at, self._answers[0][0])
        if self._timers:
            at = min(at, self._timers[0][0])
        if self._arrivals:
            at = min(at, self._arrivals[0][0])
        if self.open_loop:
            at = min(at, self.open_loop[0])
        return at

    def _receive(self) -> None:
        """Put what has come by now into the kernel's queues."""
        while self.open_loop and self.open_loop[0] <= self.now:
            at = self.open_loop.popleft()
            pool = self.open_pool
            connection = pool.pop() if pool else Connection(self.open_timeout_s, closed_loop=False, accepted=True)
            self._put(at, connection)
        while self._arrivals and self._arrivals[0][0] <= self.now:
            at, _, connection = heappop(self._arrivals)
            self._put(at, connection)

    def _put(self, at: float, connection: Connection) -> None:
        self._second(at).offered += 1
        connection.queued.append(at)
        if not connection.accepted:
            self._backlog.append(connection)
        elif not connection.is_paused and len(connection.queued) == 1:
            self._readable.append(connection)

    def _iterate(self) -> None:
        began_at = self.now
        self._receive()
        self._work(self.costs.iteration)
        self._read_answers(began_at)
        self._run_timers(began_at)
        if self.flush_early: self._flush()
        behind = self.skip and self._answers and self._answers[0][0] <= began_at
        reads_until = self.now + self.reads_budget_s
        for _ in range(0 if behind else min(self.max_reads, len(self._readable))):
            self._read_client(self._readable.popleft())
            if self.now > reads_until: break
        for _ in range(0 if behind else min(self.max_accepts, len(self._backlog))):
            connection = self._backlog.popleft()
            self._work(self.costs.accept)
            connection.accepted = True
            self._readable.append(connection)
        if self.controller.waiting and not behind:
            until = self.now + self.reads_budget_s
            while self.now < until and (request := self.controller.next_admitted(self.now)) is not None:
                assert isinstance(request, Request)
                self._start(request)
        self._flush()
        busy_s = self.now - began_at
        self.controller.record_iteration(busy_s, self.now)
        self._note(busy_s)

    def _note(self, busy_s: float) -> None:
        second = self._second(self.now)
        second.busy_s += busy_s
        second.longest_iteration_s = max(second.longest_iteration_s, busy_s)
        second.rate_limit = self.controller.rate_limit(self.now)
        slot = int(self.now)
        if slot != self._lag_slot:
            self._lag_slot = slot
            self._lag = [self._lag[1], 0.0]
        self._lag[1] = max(self._lag[1], busy_s)

    def _read_answers(self, polled_at: float) -> None:
        answers, until = self._answers, polled_at + self.answers_budget_s
        while answers and answers[0][0] <= polled_at and self.now < until:
            _, _, request, pieces_left = heappop(answers)
            if pieces_left:
                self._handshake(request, pieces_left)
                continue
            self._work(self.costs.judge)
            self.idle_connections += 1
            request.pending -= 1
            if request.is_done:
                continue
            if self.random.random() >= self.failing_share:
                self._answer(request, "good")
            elif request.is_hedged and not request.pending:
                self._answer(request, "failed")

    def _handshake(self, request: Request, pieces_left: int) -> None:
        self._work(self.costs.handshake / 3)
        self._number += 1
        wait_s = ROUND_TRIP_S if pieces_left > 1 else self.random.uniform(*self.latency_s)
        heappush(self._answers, (self.now + wait_s, self._number, request, pieces_left - 1))

    def _send(self, request: Request) -> None:
        request.pending += 1
        self._number += 1
        if self.idle_connections:
            self.idle_connections -= 1
        else:
            self._work(self.costs.connect)
            if self.costs.handshake:
                heappush(self._answers, (self.now + ROUND_TRIP_S, self._number, request, 3))
                return
        heappush(self._answers, (self.now + self.random.uniform(*self.latency_s), self._number, request, 0))

    def _set(self, at: float, kind: int, of: object) -> None:
        self._number += 1
        heappush(self._timers, (at, self._number, kind, of))

    def _run_timers(self, polled_at: float) -> None:
        timers, unread = self._timers, bool(self._answers) and self._answers[0][0] <= polled_at
        deferred: list[tuple[float, int, int, object]] = []
        due_by = self.now
        hedges_until = due_by + self.hedges_budget_s
        while timers and timers[0][0] <= due_by:
            timer = heappop(timers)
            _, _, kind, of = timer
            if kind == HEDGE and (unread or self.now > hedges_until):
                deferred.append(timer)
                continue
            if isinstance(of, Connection):
                of.is_paused = False
                if of.queued:
                    self._readable.append(of)
                continue
            assert isinstance(of, Request)
            if of.is_done:
                continue
            if kind == DEADLINE:
                self._answer(of, "expired")
            elif kind == HEDGE:
                of.is_hedged = True
                self._work(self.costs.hedges)
                for _ in range(HEDGES):
                    self._send(of)
            elif of.is_waiting:
                self._answer(of, "rejected")
        for timer in deferred:
            heappush(timers, timer)

    def _read_client(self, connection: Connection) -> None:
        margin_s = min(max(self._lag) + self.margin_s, 0.025)
        request = Request(connection, connection.queued.popleft(), margin_s)
        self._work(self.costs.read)
        self._set(request.deadline, DEADLINE, request)
        if self.controller.admit_or_queue(request, self.now):
            self._start(request)
        else:
            request.is_waiting = True
            self._set(request.wait_until, WAIT_OVER, request)

    def _start(self, request: Request) -> None:
        request.is_waiting = False
        request.is_started = True
        self._work(self.costs.start)
        self._set(self.now + HEDGE_DELAY_S, HEDGE, request)
        self._send(request)

    def _answer(self, request: Request, outcome: str) -> None:
        request.is_done = True
        request.is_waiting = False
        self._work(self.costs.answer if request.is_started else self.costs.reject)
        if request.is_started:
            self.controller.release()
        self._flushes.append((request, outcome))

    def _flush(self) -> None:
        for request, outcome in self._flushes:
            second = self._second(self.now)
            is_late = self.now > request.arrived_at + request.connection.timeout_s
            second.late += is_late
            if outcome == "good" and is_late:
                outcome = "expired"
            setattr(second, outcome, getattr(second, outcome) + 1)
            connection = request.connection
            if outcome == "rejected":
                connection.is_paused = True
                self._set(self.now + self.backpressure_s, RESUME, connection)
            elif connection.queued:
                self._readable.append(connection)
            if connection.closed_loop:
                self._arrive(self.now + ROUND_TRIP_S, connection)
            else:
                self.open_pool.append(connection)
        self._flushes.clear()
