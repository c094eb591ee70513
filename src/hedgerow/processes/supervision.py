"""Which worker processes there should be, and what is done about them. Decides only: no process, clock or log.

Each method that takes `now` reports an event, at an instant of one clock in seconds, and returns what is to be done
about it, in order. What happens at the same time has a defined result, whichever event comes first:

- A worker that is no longer wanted is never started: not after its back-off, not after a SIGTERM.
- SIGHUP raises the generation; each worker whose process is of an earlier one is replaced, one after the other, and
  drained once its successor serves. A SIGHUP during a SIGHUP raises it again. One that waits to be started is not
  replaced, for it will be of the newest generation. One that dies while its successor starts has been replaced.
- SIGTERM ends a rolling restart and every back-off. After it SIGHUP does nothing.
- A second SIGTERM ends everything at once, unless it comes within `ONE_SIGNAL_S` of the first.
"""

from collections.abc import Sequence
from math import inf
from signal import SIGTERM
from typing import Final

from hedgerow.processes.rolling_restart import RollingRestart
from hedgerow.processes.worker_state import STARTUP_KILL_S, Action, Kill, Report, State, Wanted, WorkerState

UNRESPONSIVE_KILL_S: Final = 10.0
"""A worker that leaves a request unanswered for this long is unresponsive and is killed. Under the heaviest load that
was tried, event loop iterations took 5 s."""
KILL_AFTER_S: Final = 2.0
"""A worker that has not ended this long after the end of its drain is killed."""
ONE_SIGNAL_S: Final = 0.5
"""SIGTERMs this soon after the first count as one: a process group, a terminal and a script may each send it."""
START_ATTEMPTS: Final = 5
"""The start of the gateway has failed when each worker failed this often and none has served: after 2 s or more."""
TICK_S: Final = 1.0
"""The longest time from one event to the next."""
STALL_S: Final = 2.0
"""A longer time between two events is a stall of the supervisor itself (it was stopped, or the container paused). The
workers' deadlines are extended by as much."""


class Supervision:
    """All workers of one gateway; see the module."""

    def __init__(self, workers: int, drain_s: float, now: float) -> None:
        """`drain_s` is the longest drain of a worker."""
        self.workers: list[WorkerState] = []
        self.restarts = 0
        """How many wanted workers have died."""
        self.has_served = False
        self.last_failure = ""
        """Why a worker was not started, or died, in words."""
        self._wanted = workers
        self._kill_after_s = drain_s + KILL_AFTER_S
        self._rolling = RollingRestart()
        self._stopping_at: float | None = None
        self._last_event_at = now

    # -- state

    @property
    def is_rolling(self) -> bool:
        """Workers are being replaced, after SIGHUP."""
        return self._rolling.is_running

    @property
    def is_stopping(self) -> bool:
        """SIGTERM was received."""
        return self._stopping_at is not None

    @property
    def has_ended(self) -> bool:
        """SIGTERM was received, and no worker is left."""
        return self.is_stopping and not self.workers

    @property
    def has_failed(self) -> bool:
        """The start of the gateway has failed: no worker has ever served, and each failed `START_ATTEMPTS` times."""
        if self.has_served or self.is_stopping or not self.workers:
            return False
        return all(worker.failures >= START_ATTEMPTS for worker in self.workers)

    @property
    def next_due_at(self) -> float:
        """The instant by which `tick` must be called if nothing else happens."""
        return min(self._last_event_at + TICK_S, min((worker.due_at for worker in self.workers), default=inf))

    # -- events

    def start(self, now: float) -> list[Action]:
        """Start all workers, unless SIGTERM was received before."""
        if not self.is_stopping:
            self.workers = [WorkerState(slot, due_at=now) for slot in range(self._wanted)]
        return self._proceed(now)

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""
        return self._proceed(now)

    def start_failed(self, slot: int, error: str, now: float) -> list[Action]:
        """Note that the process of a worker could not be started."""
        self._notice_stall(now)
        worker = self._worker(slot)
        wait_s = worker.failed(now)
        self.last_failure = error
        fields = {"error": error, "restart_in_s": wait_s}
        return [Report("error", "worker cannot be started", fields), *self._proceed(now)]

    def serving(self, slot: int, now: float) -> list[Action]:
        """Note that a worker reports that it serves."""
        self._notice_stall(now)
        worker = self._worker(slot)
        if worker.state is State.STARTING and not worker.fault:
            worker.state, worker.due_at = State.SERVING, inf
            worker.has_served = self.has_served = True
        return self._proceed(now)

    def request_sent(self, slot: int, now: float) -> list[Action]:
        """Note that a request was sent to a worker which has no unanswered one."""
        self._notice_stall(now)
        worker = self._worker(slot)
        if worker.state is State.SERVING and not worker.fault:
            worker.due_at = now + UNRESPONSIVE_KILL_S
        return self._proceed(now)

    def reply_received(self, slot: int, now: float, *, all_requests: bool) -> list[Action]:
        """Note that a worker has replied to a request, or to all."""
        self._notice_stall(now)
        worker = self._worker(slot)
        if worker.state is State.SERVING and not worker.fault:
            worker.due_at = inf if all_requests else now + UNRESPONSIVE_KILL_S
        return self._proceed(now)

    def channel_closed(self, slot: int, reason: str, now: float) -> list[Action]:
        """Note that a worker has closed its channel or ended, or has sent an invalid reply (`reason`)."""
        self._notice_stall(now)
        worker = self._worker(slot)
        actions = worker.drain(now + UNRESPONSIVE_KILL_S)
        if reason and not worker.fault:
            worker.fault = reason
        return [*actions, *self._proceed(now)]

    def exited(self, slot: int, code: int | None, last_words: str, now: float) -> list[Action]:
        """Note that a worker's process has ended and was reaped; `code` is None if another reaped it."""
        self._notice_stall(now)
        worker = self._worker(slot)
        fields: dict[str, object] = {"exit_code": code}
        if worker.fault:
            fields["reason"] = worker.fault
        if last_words:
            fields["last_words"] = last_words
        actions: list[Action] = []
        if worker.wanted is not Wanted.RUN:
            worker.state = State.GONE
            if code not in (0, -SIGTERM) and not worker.fault:
                actions.append(Report("warning", "worker died while draining", fields))
            elif last_words:
                actions.append(Report("warning", "worker wrote to standard error", fields))
        else:
            self.restarts += 1
            self.last_failure = last_words.strip().rpartition("\n")[2] or worker.fault or f"exit code {code}"
            fields["restart_in_s"] = worker.failed(now)
            if self._rolling.replaces(worker):
                worker.wanted, fields["restart_in_s"] = Wanted.RETIRE, None
            actions.append(Report("error", "worker died", fields))
        return [*actions, *self._proceed(now)]

    def hangup(self, now: float) -> list[Action]:
        """Replace each worker that has a process now (SIGHUP)."""
        self._notice_stall(now)
        if not self.is_stopping:
            self._rolling.begin()
        return self._proceed(now)

    def terminate(self, now: float) -> list[Action]:
        """Drain all workers (SIGTERM, SIGINT); a second signal, after `ONE_SIGNAL_S`, kills them."""
        self._notice_stall(now)
        if self._stopping_at is None:
            self._stopping_at = now
            self._rolling.is_running = False
            actions: list[Action] = []
            for worker in self.workers:
                worker.wanted = Wanted.STOP
                actions += worker.drain(now + self._kill_after_s)
            return [*actions, *self._proceed(now)]
        if now - self._stopping_at >= ONE_SIGNAL_S:
            return [*self._proceed(now), *self.kill_all()]
        return self._proceed(now)

    def kill_all(self) -> list[Action]:
        """Kill every process that is left."""
        if self._stopping_at is None:
            self._stopping_at, self._rolling.is_running = self._last_event_at, False
        for worker in self.workers:
            worker.wanted, worker.fault, worker.due_at = Wanted.STOP, "the gateway ends at once", inf
        self.workers = [worker for worker in self.workers if worker.state is not State.GONE]
        return [Kill(worker.slot) for worker in self.workers]

    # -- decisions

    def _worker(self, slot: int) -> WorkerState:
        return next(worker for worker in self.workers if worker.slot == slot)

    def _notice_stall(self, now: float) -> None:
        since_s = now - self._last_event_at
        self._last_event_at = now
        if since_s > STALL_S:
            for worker in self.workers:
                if worker.state is not State.GONE:
                    worker.due_at += since_s

    def _proceed(self, now: float) -> list[Action]:
        """Do what is due, and what is possible now."""
        self._notice_stall(now)
        actions: list[Action] = []
        for worker in self.workers:
            if worker.due_at <= now:
                actions += self._due(worker, now)
        if self._rolling.is_running:
            actions += self._rolling.proceed(self.workers, now, now + self._kill_after_s)
        self.workers = [
            worker for worker in self.workers if worker.wanted is Wanted.RUN or worker.state is not State.GONE
        ]
        return actions

    def _due(self, worker: WorkerState, now: float) -> Sequence[Action]:
        if worker.state is State.GONE:
            return [worker.start(self._rolling.generation, now)] if worker.wanted is Wanted.RUN else []
        if worker.state is State.STARTING:
            return worker.kill(f"it did not serve within {STARTUP_KILL_S:g} s")
        if worker.state is State.SERVING:
            return worker.kill(f"it did not answer for {UNRESPONSIVE_KILL_S:g} s")
        return worker.kill(worker.fault or "its drain took too long")
