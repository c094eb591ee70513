"""A rolling restart: after SIGHUP each worker of an earlier generation is replaced, one after the other.

Decides only, as does `supervision.py`, whose rules say what becomes of it when something else happens.
"""

from hedgerow.processes.worker_state import Action, Report, State, Wanted, WorkerState


class RollingRestart:
    """Which worker is being replaced, and by which."""

    def __init__(self) -> None:
        self.generation = 0
        """Of the processes that are started now: how many SIGHUPs were received."""
        self.is_running = False
        self._outgoing: WorkerState | None = None
        self._incoming: WorkerState | None = None
        """The successor of `_outgoing`."""

    def begin(self) -> None:
        """Have every process that has been started until now replaced."""
        self.generation += 1
        self.is_running = True

    def replaces(self, worker: WorkerState) -> bool:
        """Return whether this worker's successor has been started."""
        return worker is self._outgoing

    def proceed(self, workers: list[WorkerState], now: float, kill_at: float) -> list[Action]:
        """Continue as far as possible now, adding to `workers` and removing from them.

        `kill_at` is when a worker that is drained now has drained for too long.
        """
        actions: list[Action] = []
        while True:
            if self._outgoing is None:
                old = next((worker for worker in workers if self._is_old(worker)), None)
                if old is None:
                    self.is_running = False
                    count = sum(worker.wanted is Wanted.RUN for worker in workers)
                    return [*actions, Report("info", "workers replaced", {"workers": count})]
                self._outgoing, self._incoming = old, WorkerState(_free_slot(workers))
                workers.append(self._incoming)
                return [*actions, self._incoming.start(self.generation, now)]
            if self._incoming is not None and self._incoming.state is State.SERVING:
                self._outgoing.wanted = Wanted.RETIRE
                actions += self._outgoing.drain(kill_at)
            if self._outgoing.wanted is Wanted.RUN or self._outgoing.state is not State.GONE:
                return actions
            workers.remove(self._outgoing)
            self._outgoing = self._incoming = None

    def _is_old(self, worker: WorkerState) -> bool:
        return worker.generation < self.generation and worker.state in (State.STARTING, State.SERVING)


def _free_slot(workers: list[WorkerState]) -> int:
    taken = {worker.slot for worker in workers}
    return next(slot for slot in range(len(taken) + 1) if slot not in taken)
