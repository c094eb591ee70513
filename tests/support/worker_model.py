"""A worker in virtual time: its event loop's work costs time, and what it does not read waits in the kernel.

Each iteration does what the worker's loop does, in its order and for as long: upstream answers, due timers, TLS
handshakes, hedges, clients, accepts, admission, flush; due timers and flushes go on within long steps. There is no I/O
and no real clock, and the same seed gives the same run. Of the gateway only the admission controller is used.
"""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from hedgerow.admission.controller import AdmissionController
from hedgerow.admission.waiting import Waiting
from hedgerow.eventloop.client_sockets import CLIENTS_S
from hedgerow.eventloop.loop import ANSWERS_S, HEDGES_S
from hedgerow.eventloop.scheduler import STEP_S
from hedgerow.server.listener import ACCEPT_BATCH
from hedgerow.settings import ClientLimits
from hedgerow.upstream.handshakes import HANDSHAKES_S
from support.clients import ROUND_TRIP_S, Clients, Connection
from support.machine import COMPILED, Costs, Disturbance, Machine

HEDGE_DELAY_S = 0.3
HEDGES = 2
LATENCY_S = (0.1, 0.6)
FAILING_SHARE = 0.12
BEGAN_AT = 100.0


@dataclass(frozen=True)
class Budgets:
    """For how long each step of an iteration works before the next step has its turn, in seconds."""

    answers: float = ANSWERS_S
    hedges: float = HEDGES_S
    handshakes: float = HANDSHAKES_S
    clients: float = CLIENTS_S
    accepts: int = ACCEPT_BATCH
    margin_s: float = 0.006
    """How long before its deadline a request is answered, beside the longest iteration of the last second."""


class Request(Waiting):
    """One request, as admission and the loop's timers see the gateway's."""

    __slots__ = (
        "arrived_at", "connection", "deadline", "is_done", "is_hedged", "is_started", "margin_s", "pending",
    )  # fmt: skip

    def __init__(self, connection: Connection, arrived_at: float, margin_s: float) -> None:
        super().__init__()
        self.connection = connection
        self.arrived_at = arrived_at
        self.deadline = arrived_at + connection.timeout_s - margin_s
        self.margin_s = margin_s
        self.is_done = self.is_hedged = self.is_started = False
        self.pending = 0


class WorkerModel:
    """A worker and its clients; instants that are passed in count from the beginning of the run."""

    def __init__(
        self,
        costs: Costs = COMPILED,
        *,
        disturbances: Sequence[Disturbance] = (),
        budgets: Budgets | None = None,
        max_in_flight: int = 1_000_000,
        adapts: bool = True,
        seed: int = 1,
    ) -> None:
        self.controller = AdmissionController(max_in_flight, adapts=adapts)
        self._costs = costs
        self._machine = Machine(BEGAN_AT, disturbances)
        self._budgets = budgets or Budgets()
        self._random = random.Random(seed)
        self.clients = Clients(BEGAN_AT, self._random)
        self._order = 0
        self._step_ends_at = 0.0
        self._handshakes: deque[Request] = deque()
        self._answers: list[tuple[float, int, Request, int]] = []
        """What comes from the upstream: instant, order, request, pieces left of the connection's handshake."""
        self._timers: list[tuple[float, int, Request | Connection, bool]] = []
        """Instant, order, what it is for, and whether it is a deadline."""
        self._hedges: deque[tuple[float, Request]] = deque()
        self._flushes: list[tuple[Request, str]] = []
        self._idle_upstream = 0
        self._lag_s = [0.0, 0.0]
        """The longest iteration of the second before, and of this one."""
        self._lag_second = 0

    @property
    def now(self) -> float:
        """Return the instant on the controller's clock."""
        return self._machine.now

    def run_until(self, end: float) -> None:
        """Run until `end`."""
        end += BEGAN_AT
        machine = self._machine
        while machine.now < end:
            machine.work(self._costs.poll)
            machine.sleep_until(min(self._next_wake_at(), end))
            if machine.now < end:
                self._iterate()

    def _next_wake_at(self) -> float:
        now, clients = self._machine.now, self.clients
        if clients.readable or clients.backlog or self._handshakes:
            return now
        at = min(self.controller.next_admission_at(now), clients.next_at())
        if self._answers:
            at = min(at, self._answers[0][0])
        if self._timers:
            at = min(at, self._timers[0][0])
        return min(at, self._hedges[0][0]) if self._hedges else at

    def _iterate(self) -> None:
        polled_at = self._machine.now
        self.clients.receive(polled_at)
        self._machine.work(self._costs.iteration)
        self._read_answers(polled_at)
        self._run_timers()
        self._start_handshakes()
        if not self._answers or self._answers[0][0] > polled_at:
            self._send_hedges()
        self._flush()
        self._read_clients()
        self._accept()
        self._admit()
        self._flush()
        busy_s = self._machine.now - polled_at
        self.controller.record_iteration(busy_s, self._machine.now)
        self._record_lag(busy_s)

    def _record_lag(self, busy_s: float) -> None:
        second = self.clients.second(self._machine.now)
        second.busy_s += busy_s
        second.longest_iteration_s = max(second.longest_iteration_s, busy_s)
        number = int(self._machine.now)
        if number != self._lag_second:
            self._lag_second = number
            self._lag_s = [self._lag_s[1], 0.0]
        self._lag_s[1] = max(self._lag_s[1], busy_s)

    def _read_answers(self, polled_at: float) -> None:
        answers, until = self._answers, polled_at + self._budgets.answers
        while answers and answers[0][0] <= polled_at and self._machine.now < until:
            self._run_due_work()
            _, _, request, pieces_left = heappop(answers)
            if pieces_left:
                self._machine.work(self._costs.handshake / 3)
                self._expect(
                    request,
                    ROUND_TRIP_S if pieces_left > 1 else self._random.uniform(*LATENCY_S),
                    pieces_left - 1,
                )
                continue
            self._machine.work(self._costs.judge)
            self._idle_upstream += 1
            request.pending -= 1
            if request.is_done:
                continue
            if self._random.random() >= FAILING_SHARE:
                self._answer(request, "good")
            elif request.is_hedged and not request.pending:
                self._answer(request, "failed")

    def _expect(self, request: Request, in_s: float, pieces_left: int) -> None:
        self._order += 1
        heappush(self._answers, (self._machine.now + in_s, self._order, request, pieces_left))

    def _send(self, request: Request) -> None:
        request.pending += 1
        if self._idle_upstream:
            self._idle_upstream -= 1
        else:
            self._machine.work(self._costs.connect)
            if self._costs.handshake:
                self._handshakes.append(request)
                return
        self._expect(request, self._random.uniform(*LATENCY_S), 0)

    def _run_due_work(self) -> None:
        """Between two pieces of work: see `EventLoop.run_due_work`."""
        if self._machine.now >= self._step_ends_at:
            self._step_ends_at = self._machine.now + STEP_S
            self._run_timers()
            self._flush()

    def _start_handshakes(self) -> None:
        until = self._machine.now + self._budgets.handshakes
        while self._handshakes and self._machine.now < until:
            self._machine.work(self._costs.handshake / 3)
            self._expect(self._handshakes.popleft(), ROUND_TRIP_S, 2)

    def _run_timers(self) -> None:
        timers, due_by = self._timers, self._machine.now
        while timers and timers[0][0] <= due_by:
            _, _, of, is_deadline = heappop(timers)
            if isinstance(of, Connection):
                self.clients.resume(of)
            elif of.is_done:
                continue
            elif is_deadline:
                self._answer(of, "expired")
            elif of.is_waiting:
                self.controller.reject(of, self._machine.now)
                self._answer(of, "rejected")

    def _set_timer(self, at: float, of: Request | Connection, *, is_deadline: bool = False) -> None:
        self._order += 1
        heappush(self._timers, (at, self._order, of, is_deadline))

    def _send_hedges(self) -> None:
        hedges, began_at = self._hedges, self._machine.now
        while hedges and hedges[0][0] <= began_at and self._machine.now < began_at + self._budgets.hedges:
            request = hedges.popleft()[1]
            if request.is_done:
                continue
            request.is_hedged = True
            self._machine.work(self._costs.hedges)
            for _ in range(HEDGES):
                self._send(request)

    def _read_clients(self) -> None:
        readable, until = self.clients.readable, self._machine.now + self._budgets.clients
        for _ in range(len(readable)):
            if self._machine.now >= until:
                return
            self._run_due_work()
            connection = readable.popleft()
            lag_s = max(self._lag_s)
            request = Request(
                connection, connection.unread.popleft(), min(lag_s + self._budgets.margin_s, 0.025)
            )
            self._machine.work(self._costs.read)
            self._set_timer(request.deadline, request, is_deadline=True)
            if self.controller.admit_or_queue(request, self._machine.now):
                self._start(request)
            else:
                now = self._machine.now
                self.controller.limit_wait(
                    request, request.arrived_at, connection.timeout_s, request.margin_s, now
                )
                self._set_timer(request.wait_until, request)

    def _accept(self) -> None:
        for _ in range(min(self._budgets.accepts, len(self.clients.backlog))):
            self._machine.work(self._costs.accept)
            self.clients.accept()
            self._run_due_work()

    def _admit(self) -> None:
        until = self._machine.now + self._budgets.clients
        while self._machine.now < until:
            self._run_due_work()
            request = self.controller.next_admitted(self._machine.now)
            if request is None:
                return
            assert isinstance(request, Request)
            self._start(request)

    def _start(self, request: Request) -> None:
        request.is_started = True
        self._machine.work(self._costs.start)
        self._hedges.append((self._machine.now + HEDGE_DELAY_S, request))
        self._send(request)

    def _answer(self, request: Request, outcome: str) -> None:
        request.is_done = True
        if request.is_waiting:
            self.controller.leave(request)
        self._machine.work(self._costs.answer if request.is_started else self._costs.reject)
        if request.is_started:
            self.controller.release()
        self._flushes.append((request, outcome))

    def _flush(self) -> None:
        now = self._machine.now
        for request, outcome in self._flushes:
            if outcome == "rejected":
                request.connection.is_paused = True
                self._set_timer(now + ClientLimits().backpressure_s, request.connection)
            self.clients.deliver(request.connection, request.arrived_at, outcome, now)
        self._flushes.clear()
