"""The supervision of workers, played in virtual time: processes that a seed lets fail in every way, and signals."""

import heapq
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Final

from hedgerow.processes.supervision import KILL_AFTER_S, ONE_SIGNAL_S, Supervision
from hedgerow.processes.worker_state import Action, Kill, Report, Start, State, Terminate, Wanted, WorkerState

CHAOS_S: Final = 15.0
"""Processes fail, and the system rejects, until this long after the start."""
SETTLE_S: Final = 75.0
"""After that all must be as it should: a start that hangs takes 20 s, then drains and back-off, one by one."""
ASK_EVERY_S: Final = 2.0
DRAIN_S: Final = 3.0
LONGEST_START_S: Final = 6.0
MAX_STARTS: Final = 4
"""Of one worker that fails, in a second."""
LATENCY_S: Final = 0.005
"""The longest time from a signal to the end that it brings, and from an end to its report."""

FATES: Final = (
    "dies before it serves", "hangs before it serves", "dies", "hangs", "sends junk", "closes its channel",
    "hangs in its drain",
)  # fmt: skip


@dataclass(slots=True)
class Process:
    """A worker's process as the system has it."""

    number: int
    slot: int
    started_at: float
    fate: str
    is_alive: bool = True
    is_serving: bool = False
    is_hanging: bool = False
    is_draining: bool = False
    has_closed: bool = False
    is_asked: bool = False
    has_reported: bool = False
    """The supervisor knows that it serves, or served."""


class Simulation:
    """One play: `run`, then `broken` has what it violated."""

    def __init__(self, seed: str) -> None:
        self.draw = Random(seed)
        draw = self.draw.random
        self.workers = 1 + int(draw() * 3)
        self.now = 0.0
        self.plan = Supervision(self.workers, DRAIN_S, 0.0)
        self.broken: Counter[str] = Counter()
        self.did: Counter[str] = Counter()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._processes: dict[int, Process] = {}
        self._starts: dict[int, deque[float]] = {}
        self._failed_starts = 0
        self._deaths = 0
        self._reports: Counter[str] = Counter()
        self._stalled_until = 0.0
        self._last_hangup = -1
        self._stopping_at: float | None = None
        self._is_killed = False
        self._failure_share = draw() ** 2
        self._reject_share = draw() ** 3
        self._calm_at = CHAOS_S * draw()

    def run(self) -> None:
        """Play until all must have settled, or the gateway has ended."""
        draw = self.draw.random
        for _ in range(int(draw() * 4)):
            self._at(self._calm_at * draw(), self._hangup)
        for _ in range(int(draw() * 3)):
            self._at(self._calm_at * draw(), self._kill_any)
        if draw() < 0.2:
            self._at(self._calm_at * draw(), self._stall)
        if draw() < 0.5:
            self._terminate_at((self._calm_at + LONGEST_START_S) * draw())
        if draw() < 0.95:
            self._do(self.plan.start(0.0))  # else SIGTERM came even before
        else:
            self._terminate()
            self._do(self.plan.start(0.0))
        self._at(ASK_EVERY_S, self._ask)
        end_at = self._calm_at + SETTLE_S
        while self.now < end_at and not self.plan.has_ended:
            if self.plan.has_failed:
                self._end_with_3()
                break
            if self.now > self._calm_at and self._has_settled():
                break
            self._next()
        self._judge()

    # -- time

    def _at(self, at: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at, next(self._numbers), call))

    def _next(self) -> None:
        """Go to what comes next: an event, or what the plan has due."""
        plan_at = max(self.plan.next_due_at, self._stalled_until)
        if self._due and self._due[0][0] <= plan_at:
            at, _, call = heapq.heappop(self._due)
            self.now = max(self.now, at)
            call()
        else:
            self.now = max(self.now, plan_at)
            self._do(self.plan.tick(self.now))

    def _report(self, report: Callable[[], list[Action]]) -> None:
        """Report an event to the plan; while the supervisor is stalled, once it goes on."""
        if self.now < self._stalled_until:
            self._at(self._stalled_until + self.draw.random() * 1e-4, lambda: self._report(report))
        else:
            self._do(report())

    # -- what the plan decides

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Start():
                    self._start(action.slot)
                case Terminate():
                    self._sigterm(action.slot)
                case Kill():
                    self._sigkill(action.slot)
                case Report():
                    self._reports[action.event] += 1
        if not self.plan.is_stopping:
            wanted = sum(worker.wanted is Wanted.RUN for worker in self.plan.workers)
            self._check(wanted >= self.workers, "as many workers as asked for are wanted")

    def _start(self, slot: int) -> None:
        self._check(self._stopping_at is None, "a worker that is no longer wanted is not started")
        self._check(slot not in self._processes, "a worker has one process at a time")
        self._check(0 <= slot <= self.workers, "there is room for each worker's count")
        starts = self._starts.setdefault(slot, deque(maxlen=MAX_STARTS + 1))
        starts.append(self.now)
        if len(starts) > MAX_STARTS:
            self._check(
                self.now - starts[0] > 0.999, "a worker that fails is started four times a second at most"
            )
        draw = self.draw.random
        chaos = self.now < self._calm_at
        if chaos and draw() < self._reject_share:
            self._failed_starts += 1
            self.did["the system rejects"] += 1
            self._do(self.plan.start_failed(slot, "OSError: no", self.now))
            return
        fate = self.draw.choice(FATES) if chaos and draw() < self._failure_share else "serves"
        self.did[fate] += 1
        process = Process(next(self._numbers), slot, self.now, fate)
        self._processes[slot] = process
        if fate == "dies before it serves":
            self._at(self.now + draw(), lambda: self._exit(process, 1))
        elif fate != "hangs before it serves":
            self._at(self.now + 0.02 + draw() ** 4 * LONGEST_START_S, lambda: self._serve(process))

    def _sigterm(self, slot: int) -> None:
        process = self._processes.get(slot)
        if process is None:
            self._check(False, "signals go to processes that exist")
            return
        planned = self._planned(slot)
        if planned.wanted is Wanted.RETIRE and not process.has_closed:
            newer = any(
                each.has_reported and each.number > process.number for each in self._processes.values()
            )
            self._check(newer, "no worker is replaced before its successor serves")
        self._drain(process)

    def _sigkill(self, slot: int) -> None:
        process = self._processes.get(slot)
        if process is None:
            self._check(False, "signals go to processes that exist")
            return
        is_healthy = process.fate == "serves" and not self._is_killed
        self._check(not is_healthy, "no worker is killed that does what it should")
        self._at(self.now + self.draw.random() * LATENCY_S, lambda: self._exit(process, -9))

    # -- what processes do

    def _serve(self, process: Process) -> None:
        if not process.is_alive or process.is_draining:
            return
        process.is_serving = True

        def report() -> list[Action]:
            process.has_reported = True
            return self.plan.serving(process.slot, self.now)

        self._report(lambda: self._if_alive(process, report))
        later = self.now + self.draw.random() * 8
        if process.fate == "dies":
            self._at(later, lambda: self._exit(process, self.draw.choice((1, -9, -11, 0))))
        elif process.fate == "hangs":
            self._at(later, lambda: self._hang(process))
        elif process.fate == "sends junk":
            self._at(later, lambda: self._close(process, "it sent an invalid reply"))
        elif process.fate == "closes its channel":
            self._at(later, lambda: self._close(process, ""))

    def _hang(self, process: Process) -> None:
        process.is_hanging = True

    def _close(self, process: Process, reason: str) -> None:
        """The channel closes; the process drains, or not."""
        if not process.is_alive or process.has_closed:
            return
        process.has_closed = True
        process.is_serving = False
        if self.draw.random() < 0.5:
            process.is_hanging = True
        self._report(
            lambda: self._if_alive(process, lambda: self.plan.channel_closed(process.slot, reason, self.now))
        )

    def _drain(self, process: Process) -> None:
        if (
            process.is_draining
            or process.is_hanging
            or process.fate in ("hangs in its drain", "hangs before it serves")
        ):
            return
        process.is_draining = True
        ends_at = self.now + self.draw.random() * (DRAIN_S if process.is_serving else LATENCY_S)
        code = 0 if process.is_serving else -15
        process.is_serving = False
        self._at(ends_at, lambda: self._exit(process, code))

    def _exit(self, process: Process, code: int) -> None:
        if not process.is_alive:
            return
        process.is_alive = False
        process.is_serving = False

        def report() -> list[Action]:
            slot = process.slot
            del self._processes[slot]
            actions = [] if process.has_closed else self.plan.channel_closed(slot, "", self.now)
            if any(isinstance(action, Start | Kill) for action in actions):
                self._check(False, "a channel that closes starts and kills nothing")
            if self._planned(slot).wanted is Wanted.RUN:
                self._deaths += 1
            else:
                self._starts.pop(slot, None)
            rest = [action for action in actions if not isinstance(action, Terminate)]
            ended = self.plan.exited(slot, code, "", self.now)
            if any(isinstance(each, Report) and each.fields.get("restart_in_s", 0) is None for each in ended):
                self._starts.pop(slot, None)  # it was being replaced: what starts there now is another
            return [*rest, *ended]

        self._at(self.now + self.draw.random() * LATENCY_S, lambda: self._report(report))

    def _if_alive(self, process: Process, report: Callable[[], list[Action]]) -> list[Action]:
        return report() if self._processes.get(process.slot) is process else []

    def _ask(self) -> None:
        if self.now >= self._stalled_until:
            for process in list(self._processes.values()):
                if self._planned(process.slot).state is State.SERVING and not process.is_asked:
                    process.is_asked = True
                    self._do(self.plan.request_sent(process.slot, self.now))
                    self._at(self.now + self.draw.random() * 2, lambda process=process: self._answer(process))  # type: ignore[misc]
        self._at(max(self.now, self._stalled_until) + ASK_EVERY_S, self._ask)

    def _answer(self, process: Process) -> None:
        if process.is_alive and not process.is_hanging and not process.has_closed:
            process.is_asked = False
            self._report(
                lambda: self._if_alive(
                    process, lambda: self.plan.reply_received(process.slot, self.now, all_requests=True)
                )
            )

    # -- signals

    def _hangup(self) -> None:
        if self._stopping_at is None:
            self.did["SIGHUP"] += 1

            def report() -> list[Action]:
                if self._stopping_at is None:
                    self._last_hangup = next(self._numbers)
                return self.plan.hangup(self.now)

            self._report(report)

    def _kill_any(self) -> None:
        if self._processes:
            self.did["SIGKILL of a worker"] += 1
            self._exit(self.draw.choice(list(self._processes.values())), -9)

    def _stall(self) -> None:
        self.did["the supervisor is stopped"] += 1
        self._stalled_until = self.now + self.draw.random() ** 2 * 40
        self._calm_at += self._stalled_until - self.now

    def _terminate_at(self, at: float) -> None:
        self._at(at, self._terminate)
        if self.draw.random() < 0.5:
            self._at(at + self.draw.random() * 2, self._terminate)

    def _terminate(self) -> None:
        self.did["SIGTERM"] += 1

        def report() -> list[Action]:
            if self._stopping_at is None:
                self._stopping_at = self.now
            elif self.now - self._stopping_at >= ONE_SIGNAL_S:
                self._is_killed = True
                self._at(self.now + 3 * LATENCY_S, self._must_have_ended)
            return self.plan.terminate(self.now)

        self._report(report)

    def _must_have_ended(self) -> None:
        if self.now >= self._stalled_until:
            self._check(self.plan.has_ended, "a second SIGTERM ends all at once")

    # -- judging

    def _planned(self, slot: int) -> WorkerState:
        return next(worker for worker in self.plan.workers if worker.slot == slot)

    def _check(self, holds: bool, invariant: str) -> None:
        if not holds:
            self.broken[invariant] += 1

    def _has_settled(self) -> bool:
        if self._stopping_at is not None or self.plan.is_rolling or len(self._processes) != self.workers:
            return False
        return all(
            process.is_serving
            and process.fate in ("serves", "hangs in its drain")
            and process.number > self._last_hangup
            for process in self._processes.values()
        )

    def _end_with_3(self) -> None:
        """Exit code 3: what `WorkerManager.close` does then."""
        self.did["exit 3"] += 1
        self._check(
            self._failed_starts + self._deaths >= 5 * self.workers, "a start fails after five attempts each"
        )
        self._is_killed = True
        self._stopping_at = self.now
        self._do(self.plan.kill_all())
        while self._due and not self.plan.has_ended:
            self._next()

    def _judge(self) -> None:
        if self._stopping_at is not None:
            self._check(self.plan.has_ended, "a gateway that is stopped ends")
            self._check(not self._processes, "a gateway that has ended leaves no process")
            took_s = self.now - self._stopping_at
            bound_s = DRAIN_S + KILL_AFTER_S + 3 * LATENCY_S
            if self._stalled_until < self._stopping_at:
                self._check(took_s <= bound_s, "a stop ends within the drain's time and 2 s")
            if self._is_killed or self.did["exit 3"]:
                self.did["ended at once"] += 1
        else:
            self._check(
                self._has_settled(),
                "as many workers as asked for serve again, all started after the last SIGHUP",
            )
            self._check(not self.plan.has_failed, "what serves is not given up")
        reported = self._reports["worker cannot be started"]
        self._check(reported == self._failed_starts, "each start that failed is logged once")
        self._check(self._reports["worker died"] == self._deaths, "each death is logged once")
        self._check(self.plan.restarts == self._deaths, "each death is counted once")
