"""The worker processes: spawned, restarted, replaced one by one, killed. `supervision.py` decides; this module acts.

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
from hedgerow.processes.systemd import READY, RELOADING, notify
from hedgerow.processes.worker_channel import ChannelListener, WorkerChannel
from hedgerow.processes.worker_state import Action, Kill, Report, Start, Terminate, Wanted
from hedgerow.settings import Settings, Target
from hedgerow.settings.routes import MAX_ROUTES
from hedgerow.telemetry.snapshot import Snapshot, add

MODULE: Final = "hedgerow.processes.worker_main"
STANDARD_ERROR: Final = 2


class StartupError(Exception):
    """The gateway could not start; the message is one line."""


class WorkerProcess(ChannelListener):
    """One process of a worker: its channel, its last output, its exit."""

    def __init__(self, manager: "WorkerManager", config: WorkerConfig, passed: Sequence[int]) -> None:
        """Start it. `passed` are descriptors: listening socket, counts, log. Raises whatever the system rejects."""
        self._manager = manager
        self._slot = config.slot
        listening, counts, log = passed
        with ExitStack() as on_failure:
            own_end, worker_end = socket.socketpair()
            on_failure.callback(own_end.close)
            with worker_end:
                self._tail = OutputTail()
                on_failure.callback(self._tail.close)
                try:
                    self._child: ChildProcess = manager.children.spawn(
                        MODULE, (listening, worker_end.fileno(), counts, log), self._on_exit,
                        pass_fds=(listening, worker_end.fileno(), counts, log), stderr=self._tail.writer,
                    )  # fmt: skip
                finally:
                    self._tail.close_writer()
            on_failure.pop_all()
        self.channel = WorkerChannel(own_end, self)
        self._config = config

    def configure(self) -> None:
        """Send its configuration, which it waits for."""
        self.channel.send(msgspec.json.encode(self._config) + b"\n")

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        self._child.send_signal(number)

    def on_serving(self) -> None:
        self._manager.do(self._manager.plan.serving(self._slot, monotonic()))

    def on_request_sent(self) -> None:
        self._manager.do(self._manager.plan.request_sent(self._slot, monotonic()))

    def on_reply(self, *, all_requests: bool) -> None:
        self._manager.do(
            self._manager.plan.reply_received(self._slot, monotonic(), all_requests=all_requests)
        )

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
        """Decides what to do: events are reported to it, and the actions that it returns are passed to `do`."""
        self._retired = Snapshot()
        self._processes: dict[int, WorkerProcess] = {}
        self._connection_counts = ConnectionCounts.create(settings.workers + 1)
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._is_rolling = False
        self._log_descriptor = os.dup(STANDARD_ERROR)

    # -- what the admin port reports

    @property
    def draining(self) -> bool:
        """Return whether the gateway is stopping."""
        return self.plan.is_stopping

    @property
    def channels(self) -> list[WorkerChannel]:
        """Return the channels of all workers that have one."""
        return [process.channel for process in self._processes.values()]

    @property
    def serving(self) -> list[WorkerChannel]:
        """Return the channels of the workers that serve."""
        return [channel for channel in self.channels if channel.ready]

    @property
    def staying(self) -> list[WorkerChannel]:
        """Return the channels of the workers that serve and have not been replaced."""
        replaced = {worker.slot for worker in self.plan.workers if worker.wanted is Wanted.RETIRE}
        processes = [process for slot, process in self._processes.items() if slot not in replaced]
        return [process.channel for process in processes if process.channel.ready]

    @property
    def retired(self) -> Snapshot:
        """Return the counts of the workers that have ended."""
        return add(self._retired, Snapshot(worker_restarts=self.plan.restarts))

    # -- events

    def start(self, sock: socket.socket, target: Target) -> None:
        """Start all workers, unless the gateway is stopping."""
        self._sock = sock
        self._target = target
        self.do(self.plan.start(monotonic()))

    def replace(self, settings: Settings, target: Target) -> None:
        """Replace the process of each worker, one after the other, by these settings (SIGHUP)."""
        self._settings, self._target = settings, target
        self.do(self.plan.hangup(monotonic()))

    def terminate(self) -> None:
        """Drain the workers (SIGTERM, B13); a second call kills them."""
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
        """Kill the remaining workers, and wait until they are reaped."""
        self.do(self.plan.kill_all())
        await self.wait_until_ended()
        if self._timer is not None:
            self._timer.cancel()
        self._connection_counts.close()
        os.close(self._log_descriptor)

    async def _wait_until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    # -- actions

    def do(self, actions: list[Action]) -> None:
        """Perform the actions. The only place that starts and signals workers, and logs their ends."""
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
        """Handle the end of a worker's process, before it is reported to the plan; `last` are its last counts."""
        del self._processes[slot]
        self._retired = add(self._retired, last.without_gauges())
        if len(self._retired.routes) > MAX_ROUTES + 1:  # each reload may name them differently
            self._retired.drop_routes_but(last.routes)
        self._connection_counts.withdraw(slot)

    def _signal(self, slot: int, number: signal.Signals) -> None:
        process = self._processes.get(slot)
        if process is not None:
            process.send_signal(number)

    def _spawn(self, slot: int) -> None:
        config = WorkerConfig(self._settings, self._target, slot)
        passed = (self._sock.fileno(), self._connection_counts.descriptor, self._log_descriptor)
        try:
            process = WorkerProcess(self, config, passed)
        except Exception as error:  # noqa: BLE001 (whatever the system rejects, the start is retried)
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
        self.children.reap()  # in case a SIGCHLD was lost
        self.do(self.plan.tick(monotonic()))
