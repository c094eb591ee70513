"""The worker processes: spawned, restarted, replaced one by one, killed."""

import asyncio
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic

import msgspec
from structlog.typing import FilteringBoundLogger

from hedgerow.processes.accept_balancer import ConnectionCounts
from hedgerow.processes.control_channel import MAX_LINE_BYTES, WorkerConfig
from hedgerow.processes.worker_channel import WorkerChannel
from hedgerow.service_manager import READY, RELOADING, notify
from hedgerow.settings import Settings, Target
from hedgerow.telemetry.snapshot import Snapshot, add

RESTART_BACKOFF_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Waits before a worker is replaced that keeps dying; a worker that stood for `STABLE_S` starts at the first."""
STABLE_S = 10.0
HUNG_S = 10.0
"""A worker that serves and says nothing for so long (it is asked each second) hangs: it is killed and replaced. Turns
of the event loop under the heaviest load that was tried took 5 s."""
KILL_AFTER_S = 2.0
"""A worker that has not ended this long after its drain was over is killed."""


class _Worker:
    """A worker's process, as the supervisor sees it."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        """Its place on the scoreboard."""
        self.retiring = False
        """Another has taken over; it is not started again."""
        self.watch: asyncio.Task[None] | None = None
        self.process: asyncio.subprocess.Process | None = None
        self.link: WorkerChannel | None = None

    @property
    def ready(self) -> bool:
        """Tell whether it serves."""
        return self.link is not None and self.link.ready


class WorkerManager:
    """All workers of one gateway."""

    def __init__(self, settings: Settings, log: FilteringBoundLogger) -> None:
        self._settings = settings
        self._log = log
        self.retired = Snapshot()
        """The counts of the workers that have ended."""
        self.draining = False
        self._workers: list[_Worker] = []
        self._watches: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        """A worker has begun to serve, or has ended."""
        self._board = ConnectionCounts.create(settings.workers + 1)
        self._replacing: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """The number of workers, whether they serve or not."""
        return len(self._workers)

    @property
    def channels(self) -> list[WorkerChannel]:
        """The channels to all workers that have one."""
        return [worker.link for worker in self._workers if worker.link is not None]

    @property
    def serving(self) -> list[WorkerChannel]:
        """The channels to the workers that serve."""
        return [channel for channel in self.channels if channel.ready]

    def start(self, sock: socket.socket, target: Target) -> None:
        """Start all workers."""
        for slot in range(self._settings.workers):
            self._start_worker(slot, sock, target)

    async def wait_until_one_serves(self) -> None:
        """Wait until a worker serves."""
        await self._until(lambda: bool(self.serving))

    async def close(self) -> None:
        """Kill what is left."""
        if self._replacing is not None:
            self._replacing.cancel()
            await asyncio.wait([self._replacing])
        for task in set(self._watches):
            task.cancel()
        if self._watches:
            await asyncio.wait(set(self._watches))
        for worker in self._workers:
            _signal(worker.process, signal.SIGKILL)
        self._board.close()

    def _start_worker(self, slot: int, sock: socket.socket, target: Target) -> _Worker:
        worker = _Worker(slot)
        self._workers.append(worker)
        order = (
            msgspec.json.encode(WorkerConfig(self._settings, target, self._settings.workers + 1, slot))
            + b"\n"
        )
        worker.watch = asyncio.get_running_loop().create_task(self._keep_running(worker, sock, order))
        self._watches.add(worker.watch)
        worker.watch.add_done_callback(self._watches.discard)
        return worker

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that a worker's beginning or end brings about."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    def replace(self, sock: socket.socket, target: Target) -> None:
        """SIGHUP: put a new process in the place of each worker, one after the other."""
        if not self.draining and (self._replacing is None or self._replacing.done()):
            self._replacing = asyncio.get_running_loop().create_task(self._replace_each(sock, target))

    async def _replace_each(self, sock: socket.socket, target: Target) -> None:
        notify(RELOADING)
        for old in list(self._workers):
            free = set(range(self._settings.workers + 1)) - {worker.slot for worker in self._workers}
            new = self._start_worker(free.pop(), sock, target)
            await self._until(lambda new=new: new.ready)  # type: ignore[misc] # mypy knows no defaults here
            old.retiring = True
            _signal(old.process, signal.SIGTERM)
            assert old.watch is not None  # noqa: S101 (for mypy)
            drain_s = self._settings.drain_ms / 1000 + KILL_AFTER_S
            await asyncio.wait([old.watch], timeout=drain_s)
            _signal(old.process, signal.SIGKILL)
            await asyncio.wait([old.watch])
            self._workers.remove(old)
        notify(READY)
        self._log.info("workers replaced", workers=len(self._workers))

    async def _keep_running(self, worker: _Worker, sock: socket.socket, order: bytes) -> None:
        deaths = 0
        while True:
            began_at = monotonic()
            await self._run_worker(worker, sock, order)
            if self.draining or worker.retiring:
                return
            deaths = 1 if monotonic() - began_at > STABLE_S else deaths + 1
            wait_s = RESTART_BACKOFF_S[min(deaths, len(RESTART_BACKOFF_S)) - 1]
            code = worker.process.returncode if worker.process else None
            self._log.error("worker died", exit_code=code, restart_in_s=wait_s)
            self.retired = add(self.retired, Snapshot(worker_restarts=1))
            await asyncio.sleep(wait_s)

    async def _run_worker(self, worker: _Worker, sock: socket.socket, order: bytes) -> None:
        """Start one worker and listen to it until it has ended."""
        ours, theirs = socket.socketpair()
        with theirs:
            passed = (sock.fileno(), theirs.fileno(), self._board.descriptor)
            worker.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "hedgerow.processes.worker", *map(str, passed),
                pass_fds=passed, stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE_BYTES)
        writer.write(order)
        worker.link = WorkerChannel(reader, writer, self._changed.set)
        try:
            await worker.link.listen()
        finally:
            self.retired = add(self.retired, worker.link.last.without_gauges())
            worker.link = None
            self._board.withdraw(worker.slot)
            self._changed.set()
            await worker.process.wait()

    async def stop(self, sock: socket.socket, at_once: asyncio.Event) -> None:
        """Let the workers drain (B13); a second signal, or too long a drain, ends them."""
        self.draining = True
        if self._replacing is not None:
            self._replacing.cancel()
        sock.close()
        for worker in self._workers:
            _signal(worker.process, signal.SIGTERM)
        if self._watches:
            loop = asyncio.get_running_loop()
            hurry = loop.create_task(_awaited(at_once.wait()))
            everyone = loop.create_task(_awaited(asyncio.wait(self._watches)))
            await asyncio.wait(
                [hurry, everyone],
                timeout=self._settings.drain_ms / 1000 + KILL_AFTER_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            hurry.cancel()
            for worker in self._workers:
                _signal(worker.process, signal.SIGKILL)
            await everyone

    @staticmethod
    def _is_silent(link: WorkerChannel, for_s: float) -> bool:
        return asyncio.get_running_loop().time() - link.last_heard_at > for_s

    def kill_unresponsive(self) -> None:
        """Kill the workers that have said nothing for `HUNG_S`."""
        for worker in self._workers:
            if worker.link is not None and worker.link.ready and self._is_silent(worker.link, HUNG_S):
                self._log.error("worker hangs", silent_s=HUNG_S)
                _signal(worker.process, signal.SIGKILL)


async def _awaited(awaitable: Awaitable[object]) -> None:
    await awaitable


def _signal(process: asyncio.subprocess.Process | None, number: signal.Signals) -> None:
    if process is not None and process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(number)
