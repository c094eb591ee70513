"""The worker processes: spawned, restarted, replaced one by one, killed. `supervision.py` decides; this carries out.

All of it is callbacks of the event loop, no task of which the end could pass unseen.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import monotonic
from typing import Final

import msgspec
from structlog.typing import FilteringBoundLogger

from hedgerow.processes.accept_balancer import ConnectionCounts
from hedgerow.processes.child_processes import ChildProcess, ChildProcesses, OutputTail
from hedgerow.processes.control_channel import WorkerConfig
from hedgerow.processes.supervision import Supervision
from hedgerow.processes.worker_channel import ChannelListener, WorkerChannel
from hedgerow.processes.worker_state import Action, Kill, Report, Start, Terminate
from hedgerow.service_manager import READY, RELOADING, notify
from hedgerow.settings import Settings, Target
from hedgerow.telemetry.snapshot import Snapshot, add

MODULE: Final = "hedgerow.processes.worker"
STANDARD_ERROR: Final = 2


class StartupError(Exception):
    """Nothing could be served; one line for people."""


class WorkerProcess(ChannelListener):
    """One process of a worker: its channel, its last words, its end."""

    def __init__(self, manager: "WorkerManager", config: WorkerConfig, passed: Sequence[int]) -> None:
        """Start it. `passed` are descriptors: listening socket, counts, log. Raises whatever the system rejects."""
        self._manager = manager
        self._slot = config.slot
        listening, counts, log = passed
        with ExitStack() as on_failure:
            ours, theirs = socket.socketpair()
            on_failure.callback(ours.close)
            with theirs:
                self._tail = OutputTail()
                on_failure.callback(self._tail.close)
                try:
                    self._child: ChildProcess = manager.children.spawn(
                        MODULE, (listening, theirs.fileno(), counts, log), self._on_exit,
                        pass_fds=(listening, theirs.fileno(), counts, log), stderr=self._tail.writer,
                    )  # fmt: skip
                finally:
                    self._tail.close_writer()
            on_failure.pop_all()
        self.channel = WorkerChannel(ours, self)
        self._config = config

    def configure(self) -> None:
        """Send its configuration, which it waits for."""
        self.channel.send(msgspec.json.encode(self._config) + b"\n")

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        self._child.send_signal(number)

    def on_serving(self) -> None:
        self._manager.do(self._manager.plan.serving(self._slot, monotonic()))

    def on_asked(self) -> None:
        self._manager.do(self._manager.plan.asked(self._slot, monotonic()))

    def on_answered(self, *, all_requests: bool) -> None:
        self._manager.do(self._manager.plan.answered(self._slot, monotonic(), all_requests=all_requests))

    def on_closed(self, reason: str) -> None:
        self._manager.do(self._manager.plan.channel_closed(self._slot, reason, monotonic()))

    def _on_exit(self, code: int | None) -> None:
        self.channel.read_rest()
        self._manager.ended(self._slot, self.channel.last)
        self._manager.do(self._manager.plan.exited(self._slot, code, self._tail.close(), monotonic()))


class WorkerManager:
    """All workers of one gateway: `start`, then signals, then `close`."""

    def __init__(self, settings: Settings, log: FilteringBoundLogger, children: ChildProcesses) -> None:
        self._settings = settings
        self._log = log
        self.children = children
        self.plan = Supervision(settings.workers, settings.drain_ms / 1000, monotonic())
        """What is to be done; each event is reported to it, and what it returns is passed to `do`."""
        self._retired = Snapshot()
        self._processes: dict[int, WorkerProcess] = {}
        self._board = ConnectionCounts.create(settings.workers + 1)
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._is_rolling = False
        self._log_descriptor = os.dup(STANDARD_ERROR)

    # -- what the admin port reports

    @property
    def count(self) -> int:
        """The number of workers, whether they serve or not."""
        return len(self.plan.workers)

    @property
    def draining(self) -> bool:
        """The gateway stops."""
        return self.plan.is_stopping

    @property
    def channels(self) -> list[WorkerChannel]:
        """The channels to all workers that have one."""
        return [process.channel for process in self._processes.values()]

    @property
    def serving(self) -> list[WorkerChannel]:
        """The channels to the workers that serve."""
        return [channel for channel in self.channels if channel.ready]

    @property
    def retired(self) -> Snapshot:
        """The counts of the workers that have ended."""
        return add(self._retired, Snapshot(worker_restarts=self.plan.restarts))

    # -- events

    def start(self, sock: socket.socket, target: Target) -> None:
        """Start all workers, unless the gateway stops already."""
        self._sock = sock
        self._target = target
        self.do(self.plan.start(monotonic()))

    def replace(self, settings: Settings, target: Target) -> None:
        """SIGHUP: put a new process in the place of each worker, one after the other, by these settings."""
        self._settings, self._target = settings, target
        self.do(self.plan.hangup(monotonic()))

    def terminate(self) -> None:
        """SIGTERM: let the workers drain (B13); a second one kills them."""
        self.do(self.plan.terminate(monotonic()))

    async def wait_until_one_serves(self) -> None:
        """Wait until a worker serves, or the gateway stops. Raises StartupError if none can be started."""
        await self._wait_until(lambda: self.plan.has_served or self.plan.is_stopping or self.plan.has_failed)
        if self.plan.has_failed:
            raise StartupError(f"no worker can be started: {self.plan.last_failure}")

    async def wait_until_stopping(self) -> None:
        """Wait until SIGTERM was received."""
        await self._wait_until(lambda: self.plan.is_stopping)

    async def wait_until_ended(self) -> None:
        """Wait until SIGTERM was received and no worker is left."""
        await self._wait_until(lambda: self.plan.has_ended)

    async def close(self) -> None:
        """Kill what is left, and wait for it."""
        self.do(self.plan.kill_all())
        await self.wait_until_ended()
        if self._timer is not None:
            self._timer.cancel()
        self._board.close()
        os.close(self._log_descriptor)

    async def _wait_until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    # -- carrying out

    def do(self, actions: list[Action]) -> None:
        """Carry out what was decided. The one place that starts and signals workers, and logs what became of them."""
        for action in actions:
            match action:
                case Report():
                    getattr(self._log, action.level)(action.event, **action.fields)
                case Start():
                    self._spawn(action.slot)
                case Terminate():
                    self._signal(action.slot, signal.SIGTERM)
                case Kill():
                    self._signal(action.slot, signal.SIGKILL)
        self._note_changes()

    def ended(self, slot: int, last: Snapshot) -> None:
        """Called before the end of a worker's process is reported to the plan; `last` are its last counts."""
        del self._processes[slot]
        self._retired = add(self._retired, last.without_gauges())
        self._board.withdraw(slot)

    def _signal(self, slot: int, number: signal.Signals) -> None:
        process = self._processes.get(slot)
        if process is not None:
            process.send_signal(number)

    def _spawn(self, slot: int) -> None:
        config = WorkerConfig(self._settings, self._target, self._settings.workers + 1, slot)
        passed = (self._sock.fileno(), self._board.descriptor, self._log_descriptor)
        try:
            process = WorkerProcess(self, config, passed)
        except Exception as error:  # noqa: BLE001 (whatever the system rejects, it is tried again)
            text = f"{type(error).__name__}: {error}"
            self.do(self.plan.start_failed(slot, text, monotonic()))
        else:
            self._processes[slot] = process
            process.configure()

    def _note_changes(self) -> None:
        self._changed.set()
        if self._is_rolling != self.plan.is_rolling:
            self._is_rolling = self.plan.is_rolling
            if not self.draining:
                notify(RELOADING if self._is_rolling else READY)
        due_at = self.plan.next_due_at
        if self._timer is None or due_at != self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = due_at
            self._timer = asyncio.get_running_loop().call_later(due_at - monotonic(), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.children.reap()  # whatever became of a SIGCHLD
        self.do(self.plan.tick(monotonic()))
