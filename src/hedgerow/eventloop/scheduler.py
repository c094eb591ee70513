"""The work of one event loop iteration, in the order in which it was scheduled."""

from collections.abc import Callable
from typing import Final

from hedgerow.eventloop.deadlines import DeadlineQueue
from hedgerow.eventloop.event_handler import EventHandler

STEP_S: Final = 0.001
"""After this long in one step, due deadlines run and written data is sent; then the step continues."""


class Scheduler:
    """Deadlines, tasks and writers. Instants are seconds of `clock`."""

    def __init__(self, clock: Callable[[], float], on_internal_error: Callable[[], None]) -> None:
        self.clock = clock
        self.deadlines = DeadlineQueue()
        self._on_internal_error = on_internal_error
        self._ready: list[EventHandler] = []
        self._next: list[EventHandler] = []
        self._after_reading: list[EventHandler] = []
        self._writers: list[EventHandler] = []
        self._step_ends_at = 0.0

    # -- what is to be done in this iteration

    def wake(self, task: EventHandler) -> None:
        """Resume `task` in this iteration."""
        self._ready.append(task)

    def wake_in_next_iteration(self, task: EventHandler) -> None:
        """Resume `task` in the next iteration, which begins at once: for work that is done in bounded pieces."""
        self._next.append(task)

    def wake_after_reading(self, task: EventHandler) -> None:
        """Resume `task` once the answers that have come were read, in this iteration or a later one."""
        self._after_reading.append(task)

    def flush_later(self, writer: EventHandler) -> None:
        """Have `writer` send what it holds in this iteration."""
        self._writers.append(writer)

    def call_at(self, at: float, waiter: EventHandler) -> int:
        """Call `waiter.on_deadline` at the instant `at`. Return what `cancel` needs."""
        return self.deadlines.set(at, waiter)

    def cancel(self, tick: int, waiter: EventHandler) -> None:
        """Forget a deadline; one that has fired is forgotten already."""
        self.deadlines.cancel(tick, waiter)

    def internal_error(self) -> None:
        """Report the exception that is being handled; it ends one connection, and not the iteration."""
        self._on_internal_error()

    def run_due_work(self) -> float:
        """Have due work go first where a step has lasted for `STEP_S`; return the instant of the call.

        Called between two pieces of work of one step.
        """
        now = self.clock()
        if now >= self._step_ends_at:
            self._step_ends_at = now + STEP_S
            self._note_unread()
            self._run_due()
            self._run_ready()
            self._flush()
        return now

    def _note_unread(self) -> None:
        """Note what was polled and is not handled yet: tasks may resume now."""

    # -- called by the event loop

    def _run_due(self) -> None:
        now = self.clock()
        if now < self.deadlines.next_due_at:
            return
        while True:
            waiter = self.deadlines.pop_due(now)
            if waiter is None:
                return
            try:
                waiter.on_deadline()
            except Exception:  # noqa: BLE001 (the same border)
                self._on_internal_error()
            read_at = self.clock()
            if read_at >= self._step_ends_at:  # a burst of hedges is due at once
                self._step_ends_at = read_at + STEP_S
                self._flush()

    def _run_ready(self) -> None:
        while self._ready:
            ready, self._ready = self._ready, []
            for task in ready:
                try:
                    task.resume()
                except Exception:  # noqa: BLE001 (the same border)
                    self._on_internal_error()
                now = self.clock()
                if now >= self._step_ends_at:  # a lookup that ends may start thousands of connects
                    self._step_ends_at = now + STEP_S
                    self._run_due()
                    self._flush()

    def _run_after_reading(self, for_s: float) -> None:
        """Resume tasks of `wake_after_reading` for this long; the others stay."""
        ends_at = self.clock() + for_s
        tasks = self._after_reading
        resumed = 0
        for task in tasks:
            resumed += 1
            try:
                task.resume()
            except Exception:  # noqa: BLE001 (the same border)
                self._on_internal_error()
            if self.clock() >= ends_at:
                break
        self._after_reading = tasks[resumed:]

    def _flush(self) -> None:
        while self._writers:
            writers, self._writers = self._writers, []
            for writer in writers:
                writer.flush()
