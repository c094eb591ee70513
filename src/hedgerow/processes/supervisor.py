"""The supervisor: binds the ports, starts the workers and the embedded upstream, watches over them, ends them.

Workers share one listening socket, so connections that the kernel has queued are not lost when one of them ends
(with SO_REUSEPORT they would be).
"""

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from time import monotonic, time
from typing import Any
from urllib.parse import parse_qs

import msgspec

from hedgerow.admin import Admin, Readiness
from hedgerow.core.request import Request
from hedgerow.core.response import JSON, Response, problem_response
from hedgerow.eventloop.loop import EventLoop
from hedgerow.processes.accept_balancer import ConnectionCounts
from hedgerow.processes.control_channel import (
    MAX_LINE_BYTES,
    ControlReply,
    ControlRequest,
    GetRecent,
    GetSnapshot,
    RecentReply,
    WorkerConfig,
)
from hedgerow.processes.embedded_simulator import EmbeddedSimulator
from hedgerow.processes.loop_bridge import LoopBridge
from hedgerow.processes.worker_channel import WorkerChannel
from hedgerow.server.server import HttpServer
from hedgerow.service_manager import READY, RELOADING, STOPPING, notify
from hedgerow.settings import EMBEDDED, LoserPolicy, Settings, Target, parse_target
from hedgerow.settings.redaction import redacted_url
from hedgerow.status_page import pages
from hedgerow.telemetry.health import UNTOLD_S, Watch, Workers, what_succeeded
from hedgerow.telemetry.history import SAMPLE_S, History
from hedgerow.telemetry.logs import Logs, Sink
from hedgerow.telemetry.recent_requests import KEPT_REQUESTS
from hedgerow.telemetry.snapshot import Snapshot, add
from hedgerow.telemetry.status import RECENT, About

RESTART_BACKOFF_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Waits before a worker is replaced that keeps dying; a worker that stood for `STABLE_S` starts at the first."""
STABLE_S = 10.0
ANSWER_WAIT_S = 0.1
"""How long the operations port waits for a worker; a stalled one is told as it last was."""
TIME_WAS_SET_S = 0.05
"""The time of day moves against our clock by more than this only when somebody has set it."""
HUNG_S = 10.0
"""A worker that serves and says nothing for so long (it is asked each second) hangs: it is killed and replaced. Turns
of the event loop under the heaviest load that was tried took 5 s."""
KILL_AFTER_S = 2.0
"""A worker that has not ended this long after its drain was over is killed."""


STANDARD_OUTPUT = 1


class CannotStart(Exception):  # noqa: N818
    """Nothing could be served; one line for people."""


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


class Supervisor:
    """All processes of one gateway."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._logs = Logs(settings.log_format, settings.log_level)
        self._log = self._logs.log
        self._output = Sink(STANDARD_OUTPUT)
        """For the lines at the start: like the log it may have no reader, or a full disk."""
        self._upstream_watch = Watch()
        self._workers: list[_Worker] = []
        self._retired = Snapshot()
        self._draining = False
        self._watches: set[asyncio.Task[None]] = set()
        self._answers: set[asyncio.Task[None]] = set()
        embedded = settings.upstream == EMBEDDED
        self._simulator = EmbeddedSimulator(self._log) if embedded else None
        self._changed = asyncio.Event()
        """A worker has begun to serve, or has ended."""
        self._board = ConnectionCounts.create(settings.workers + 1)
        self._replacing: asyncio.Task[None] | None = None
        self._utc_offset_s = 0.0
        self._bridge: LoopBridge | None = None
        self._history = History(
            About(
                upstream=redacted_url(settings.upstream),
                hedge_after_ms=settings.hedge_after_ms,
                hedges=settings.hedges,
                losers_cut=settings.losers is LoserPolicy.CANCEL,
            )
        )

    async def run(self) -> None:
        """Serve until a signal says otherwise. Raises CannotStart."""
        settings, loop = self._settings, asyncio.get_running_loop()
        self._logs.catch_all()
        sock = _bind(settings.host, settings.port, "--port")
        admin_sock = _bind(settings.admin_host, settings.admin_port, "--admin-port")
        stop, stop_at_once = self._stops_on_signals()
        event_loop = EventLoop(
            monotonic, on_internal_error=lambda: self._log.exception("unhandled exception on the admin port")
        )
        self._bridge = LoopBridge(event_loop)
        server = self._admin_server(event_loop, port=sock.getsockname()[1])
        try:
            target = await self._target()
            for slot in range(settings.workers):
                self._start_worker(slot, sock, target)
            loop.add_signal_handler(signal.SIGHUP, self._replace_workers, sock, target)
            server.start(admin_sock)
            self._bridge.run_once()
            self._later(self._keep_history())
            ready = loop.create_task(self._until_serving(target))
            stopped = loop.create_task(stop.wait())
            await asyncio.wait([ready, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                ready.result()
                self._announce(sock, admin_sock, target)
                notify(READY)
            ready.cancel()
            await stopped
            notify(STOPPING)
            await self._stop_workers(sock, stop_at_once)
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            await self._end_all()
            server.close()
            self._bridge.run_once()
            self._bridge.close()
            event_loop.close()
            if self._simulator is not None:
                await self._simulator.stop()
            sock.close()
            admin_sock.close()
            self._board.close()
            self._logs.close()
            self._output.flush()

    async def _end_all(self) -> None:
        """End what runs beside: replacing workers, answers, and the workers themselves."""
        if self._replacing is not None:
            self._replacing.cancel()
            await asyncio.wait([self._replacing])
        cancelled = {*self._answers, *self._watches}
        for task in cancelled:
            task.cancel()
        if cancelled:
            await asyncio.wait(cancelled)
        for worker in self._workers:
            _signal(worker.process, signal.SIGKILL)

    @staticmethod
    def _stops_on_signals() -> tuple[asyncio.Event, asyncio.Event]:
        """Return what the first SIGTERM or SIGINT sets, and what the next one sets."""
        loop, stop, stop_at_once = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

        def on_signal() -> None:
            (stop_at_once if stop.is_set() else stop).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # nothing to replace yet, and no reason to die
        return stop, stop_at_once

    def _admin_server(self, event_loop: EventLoop, port: int) -> HttpServer:
        return HttpServer(
            self.operations(port),
            self._settings.client_limits,
            event_loop,
            max_clients=64,
            on_rejected=lambda *_: None,
            evicts_idle=True,  # or idle connections would have a healthy pod killed: its probes must be answered
        )

    def operations(self, port: int) -> Admin:
        """Make what answers the operations port of a gateway whose main port is `port`."""

        async def document(_: Request) -> Response:
            from hedgerow import openapi  # noqa: PLC0415 (50 ms of each start, for what few ask for)

            return Response(200, openapi.document(self._settings, port), content_type=JSON)

        return Admin(
            self._readiness,
            answers={b"/metrics": self._metrics, b"/status.json": self._status, b"/openapi.json": document},
            pages=pages(),
            later=self._later,
        )

    # -- workers

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

    def _replace_workers(self, sock: socket.socket, target: Target) -> None:
        """SIGHUP: put a new process in the place of each worker, one after the other."""
        if not self._draining and (self._replacing is None or self._replacing.done()):
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
            if self._draining or worker.retiring:
                return
            deaths = 1 if monotonic() - began_at > STABLE_S else deaths + 1
            wait_s = RESTART_BACKOFF_S[min(deaths, len(RESTART_BACKOFF_S)) - 1]
            code = worker.process.returncode if worker.process else None
            self._log.error("worker died", exit_code=code, restart_in_s=wait_s)
            self._retired = add(self._retired, Snapshot(worker_restarts=1))
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
            self._retired = add(self._retired, worker.link.last.without_gauges())
            worker.link = None
            self._board.withdraw(worker.slot)
            self._changed.set()
            await worker.process.wait()

    async def _stop_workers(self, sock: socket.socket, at_once: asyncio.Event) -> None:
        """Let the workers drain (B13); a second signal, or too long a drain, ends them."""
        self._draining = True
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

    # -- the operations port

    def _readiness(self) -> Readiness:
        if self._draining:
            return Readiness(ready=False, reason="draining")
        if not any(worker.ready for worker in self._workers):
            return Readiness(ready=False, reason="starting")
        answering = [link for link in self._links() if not self._is_silent(link, UNTOLD_S)]
        if not answering:
            return Readiness(ready=False, reason="no worker answers")
        if all(link.last.shedding for link in answering):
            return Readiness(ready=False, reason="shedding: more is asked than can be answered in time")
        return Readiness(ready=True, reason=f"{len(answering)} of {len(self._workers)} workers serve")

    def _links(self) -> list[WorkerChannel]:
        """Tell the channels to the workers that serve."""
        return [worker.link for worker in self._workers if worker.link is not None and worker.link.ready]

    @staticmethod
    def _is_silent(link: WorkerChannel, for_s: float) -> bool:
        return asyncio.get_running_loop().time() - link.last_heard_at > for_s

    def _kill_the_hung(self) -> None:
        for worker in self._workers:
            if worker.link is not None and worker.link.ready and self._is_silent(worker.link, HUNG_S):
                self._log.error("worker hangs", silent_s=HUNG_S)
                _signal(worker.process, signal.SIGKILL)

    async def _ask(self, question: ControlRequest) -> list[ControlReply]:
        """Ask every worker, and tell what came within `ANSWER_WAIT_S`."""
        links = [worker.link for worker in self._workers if worker.link is not None]
        answers = [answer for link in links if (answer := link.ask(question)) is not None]
        if not answers:
            return []
        done, _ = await asyncio.wait(answers, timeout=ANSWER_WAIT_S)
        return [answer.result() for answer in done if not answer.cancelled()]

    async def _counts(self) -> Snapshot:
        """Add up all workers, those that do not answer as they last told, and those that are no more."""
        await self._ask(GetSnapshot())
        total = self._retired
        for worker in self._workers:
            if worker.link is not None:
                total = add(total, worker.link.last)
        return add(total, Snapshot(log_lines_dropped=self._logs.dropped))

    async def _metrics(self, _: Request) -> Response:
        from hedgerow.telemetry.prometheus import CONTENT_TYPE, render  # noqa: PLC0415 (30 ms of each start)

        return Response(200, render(await self._counts()), content_type=CONTENT_TYPE)

    async def _keep_history(self) -> None:
        """Look at the counts each second; a second's work is 0.3 ms."""
        due_at = monotonic()
        while True:
            self._history.sample(await self._counts(), monotonic(), time())
            self._kill_the_hung()
            self._tell_how_the_upstream_is()
            self._logs.summarise()
            due_at = max(due_at + SAMPLE_S, monotonic())
            await asyncio.sleep(due_at - monotonic())

    def _tell_how_the_upstream_is(self) -> None:
        """Log when the upstream turns bad, and when it is well again."""
        now, bad_since = monotonic(), self._upstream_watch.bad_since
        shares, span_s = self._history.shares()
        turned = self._upstream_watch.look(shares, now)
        if turned == "unhealthy":
            reason = self._history.verdict(self._how_workers_are()).reason
            self._log.warning("upstream unhealthy", reason=reason)
        elif turned == "recovered" and bad_since is not None:
            reason = what_succeeded(shares, span_s)
            self._log.warning("upstream recovered", reason=reason, unhealthy_for_s=round(now - bad_since))

    async def _status(self, request: Request) -> Response:
        wanted = parse_qs(request.query.decode("latin-1")).get("request_id")
        answers = await self._ask(GetRecent(self._utc_offset(), RECENT, wanted[0] if wanted else None))
        recent = [
            record for answer in answers if isinstance(answer, RecentReply) for record in answer.requests
        ]
        recent.sort(key=lambda record: record.at, reverse=True)
        if wanted:
            if not recent:
                detail = (
                    f"it is not among the last {KEPT_REQUESTS} admitted requests of a worker that answers"
                )
                return problem_response("not_found", detail, request.request_id)
            return Response(200, msgspec.json.encode({"requests": recent}), content_type=JSON)
        status = self._history.status(self._how_workers_are(), recent[:RECENT], time())
        return Response(200, msgspec.json.encode(status), content_type=JSON)

    def _utc_offset(self) -> float:
        """Tell what makes UTC of the clock, in seconds; the same each time, unless the time of day was set."""
        offset_s = time() - monotonic()
        if abs(offset_s - self._utc_offset_s) > TIME_WAS_SET_S:
            self._utc_offset_s = offset_s
        return self._utc_offset_s

    def _how_workers_are(self) -> Workers:
        links = self._links()
        untold = sum(self._is_silent(link, UNTOLD_S) for link in links)
        return Workers(wanted=self._settings.workers, ready=len(links), untold=untold)

    def _later(self, answering: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(answering)
        self._answers.add(task)
        task.add_done_callback(self._answered)
        return task

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answers.discard(task)
        if self._bridge is not None:
            self._bridge.run_once()  # sends what was answered

    # -- the upstream

    async def _target(self) -> Target:
        if self._simulator is not None:
            return await self._simulator.start()
        return parse_target(self._settings.upstream)

    async def _until_serving(self, target: Target) -> None:
        """Wait until a worker serves, and the embedded simulator does. Raises CannotStart."""
        if self._simulator is not None and not await self._simulator.wait_until_ready(target.port):
            raise CannotStart("the embedded simulator did not start")
        await self._until(lambda: any(worker.ready for worker in self._workers))

    def _announce(self, sock: socket.socket, admin_sock: socket.socket, target: Target) -> None:
        kind = " (the embedded simulator)" if self._simulator is not None else ""
        self._output.write(
            f"hedgerow: answering on {_url(sock)}/api/smart\n"
            f"  upstream    {target.redacted_url}{kind}\n"
            f"  operations  {_url(admin_sock)}/metrics /livez /readyz /status /status.json /openapi.json\n"
            f"  try         curl '{_url(sock)}/api/smart?timeout=900'"
        )


async def _awaited(awaitable: Awaitable[object]) -> None:
    await awaitable


def _bind(host: str, port: int, setting: str) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotStart(f"{setting.replace('port', 'host')} {host}: {error.strerror or error}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        # Not listening yet: until a worker does, the kernel refuses connections (B14). A port on which another process
        # listens is taken all the same.
    except OSError as error:
        sock.close()
        is_host = error.errno == errno.EADDRNOTAVAIL  # it is another machine's
        what = f"{setting.replace('port', 'host')} {host}" if is_host else f"{setting} {port} on {host}"
        raise CannotStart(f"{what}: {os.strerror(error.errno or 0)}") from None
    return sock


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _signal(process: asyncio.subprocess.Process | None, number: signal.Signals) -> None:
    if process is not None and process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(number)


def run(settings: Settings) -> None:
    """Serve by these settings until a signal; raises CannotStart."""
    asyncio.run(Supervisor(settings).run())
