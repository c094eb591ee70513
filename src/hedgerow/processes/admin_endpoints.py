"""What the admin port answers: readiness, metrics, status; and the loop that samples the counts each second.

Each answer is a function of now: it asks the workers, and takes of a worker that does not answer what it last reported.
"""

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic, time
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qs

import msgspec

from hedgerow.admin.routes import AdminRoutes, Readiness
from hedgerow.core.request import Request
from hedgerow.core.response import JSON, Response, problem_response
from hedgerow.processes.control_channel import (
    ControlReply,
    ControlRequest,
    Failed,
    GetRecent,
    GetSnapshot,
    RecentReply,
)
from hedgerow.processes.worker_channel import WorkerChannel
from hedgerow.processes.worker_manager import WorkerManager
from hedgerow.settings import Settings
from hedgerow.settings.effective_routing import max_hedges, redacted_endpoints
from hedgerow.status_page import pages
from hedgerow.telemetry.health import UNRESPONSIVE_S, Shares, Watch, Workers, assess_upstream, what_succeeded
from hedgerow.telemetry.history import SAMPLE_S, History
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.recent_requests import KEPT_REQUESTS
from hedgerow.telemetry.request_record import RequestRecord
from hedgerow.telemetry.snapshot import Snapshot, add
from hedgerow.telemetry.status import RECENT, About, ConfigurationStatus

REPLY_WAIT_S: Final = 0.1
"""How long an answer waits for a worker; one that is stalled is counted as it last was."""
LOOKUPS: Final = 4
"""Requests for the records of one id that are passed to a worker at the same time; it finds them in some 0.1 ms."""
CLOCK_WAS_SET_S: Final = 0.05
"""The time of day moves against our clock by more than this only when it was set."""
PAUSE_S: Final = 2 * SAMPLE_S
"""From one sample to the next: if it takes longer, this process was stopped, and no worker was asked meanwhile."""

T = TypeVar("T")


class _Shared(Generic[T]):
    """One computation for all clients that ask for the same at the same time."""

    def __init__(self, compute: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._compute = compute
        self._task: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Return the result of the computation that runs, or of a new one. Cancelling leaves it to the others."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._compute())
        return await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Cancel the computation."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])


def _about(settings: Settings, configuration: ConfigurationStatus) -> About:
    return About(
        upstream=redacted_endpoints(settings),
        hedge_after_ms=settings.hedge_after_ms,
        hedges=max_hedges(settings),
        configuration=configuration,
    )


class AdminEndpoints:
    """Answers by what the workers report, and keeps the history of it."""

    def __init__(
        self,
        settings: Settings,
        workers: WorkerManager,
        logs: Logs,
        *,
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time,
    ) -> None:
        """`clock` is the event loop's; the time of day is only shown."""
        self._settings = settings
        self._workers = workers
        self._logs = logs
        self._log = logs.log
        self._clock = clock
        self._wall_clock = wall_clock
        self._utc_offset_s = 0.0
        self._ever_ready = False
        self._sampled_at: float | None = None
        self._sampling: asyncio.Task[None] | None = None
        self._counts = _Shared(self._ask_counts)
        self._recent = _Shared(self._ask_recent)
        self._metrics_page = _Shared(self._render_metrics)
        self._lookups = asyncio.Semaphore(LOOKUPS)
        self._upstream_watch = Watch()
        self._history = History(_about(settings, ConfigurationStatus()))

    def configured(self, settings: Settings, configuration: ConfigurationStatus) -> None:
        """Called when the configuration was read, or was rejected."""
        self._settings = settings
        self._history.about = _about(settings, configuration)

    def routes(self, port: int) -> AdminRoutes:
        """Return what answers the admin port of a gateway whose main port is `port`."""

        async def document(_: Request) -> Response:
            from hedgerow import openapi  # noqa: PLC0415 (50 ms of each start, for what few ask for)

            return Response(200, openapi.document(self._settings, port), content_type=JSON)

        return AdminRoutes(
            self._readiness,
            {b"/metrics": self._metrics, b"/status.json": self._status, b"/openapi.json": document},
            pages(),
            self._log,
        )

    def start(self) -> None:
        """Sample the counts each second from now on."""
        self._sampling = asyncio.get_running_loop().create_task(self._sample_each_second())

    async def stop(self) -> None:
        """Cancel the sampling and the answers under way."""
        if self._sampling is not None:
            self._sampling.cancel()
            await asyncio.wait([self._sampling])
        for shared in (self._metrics_page, self._counts, self._recent):
            await shared.stop()

    # -- what the workers report

    async def _ask(self, question: ControlRequest) -> tuple[list[ControlReply], bool]:
        """Ask every worker; return what came within `REPLY_WAIT_S`, and whether all that serve have replied."""
        asked = [channel.ask(question) for channel in self._workers.serving]
        replies = [reply for reply in asked if reply is not None]
        if not replies:
            return [], not asked
        done, _ = await asyncio.wait(replies, timeout=REPLY_WAIT_S)
        come = [reply.result() for reply in done if not reply.cancelled()]
        sound: list[ControlReply] = [reply for reply in come if not isinstance(reply, Failed)]
        return sound, len(sound) == len(asked)

    async def _ask_counts(self) -> Snapshot:
        """Add up all workers, those that do not answer as they last reported, and those that are no more."""
        await self._ask(GetSnapshot())
        total = self._workers.retired
        for channel in self._workers.channels:
            total = add(total, channel.last)
        return add(total, Snapshot(log_lines_dropped=self._logs.dropped))

    async def _ask_recent(self) -> list[RequestRecord]:
        records, _ = await self._ask_records(None)
        return records[:RECENT]

    async def _ask_records(self, request_id: str | None) -> tuple[list[RequestRecord], bool]:
        """Return records of all workers, newest first, and whether all that serve have replied."""
        replies, complete = await self._ask(GetRecent(self._utc_offset(), RECENT, request_id))
        records = [record for reply in replies if isinstance(reply, RecentReply) for record in reply.requests]
        records.sort(key=lambda record: record.at, reverse=True)
        return records, complete

    def _utc_offset(self) -> float:
        """Return what makes UTC of the clock, in seconds; the same each time, unless the time of day was set."""
        offset_s = self._wall_clock() - self._clock()
        if abs(offset_s - self._utc_offset_s) > CLOCK_WAS_SET_S:
            self._utc_offset_s = offset_s
        return self._utc_offset_s

    def _worker_counts(self) -> Workers:
        serving = self._workers.serving
        self._ever_ready = self._ever_ready or bool(serving)
        return Workers(
            wanted=self._settings.workers,
            ready=len(serving),
            untold=sum(map(self._is_silent, serving)),
            ever_ready=self._ever_ready,
        )

    def _is_silent(self, channel: WorkerChannel) -> bool:
        return self._clock() - channel.last_heard_at > UNRESPONSIVE_S

    # -- answers

    async def _readiness(self) -> Readiness:
        if self._workers.draining:
            return Readiness(ready=False, reason="draining")
        await self._counts.get()
        known = self._worker_counts()
        if not known.ready:
            return Readiness(ready=False, reason="no worker serves" if known.ever_ready else "starting")
        reporting = [channel for channel in self._workers.serving if not self._is_silent(channel)]
        if not reporting:
            return Readiness(ready=False, reason="no worker answers")
        if all(channel.last.shedding for channel in reporting):
            return Readiness(ready=False, reason="shedding: more is asked than can be answered in time")
        return Readiness(ready=True, reason=f"{len(reporting)} of {self._workers.count} workers serve")

    async def _metrics(self, _: Request) -> Response:
        return await self._metrics_page.get()

    async def _render_metrics(self) -> Response:
        from hedgerow.telemetry.prometheus import CONTENT_TYPE, render  # noqa: PLC0415 (30 ms of each start)

        return Response(200, render(await self._counts.get()), content_type=CONTENT_TYPE)

    async def _status(self, request: Request) -> Response:
        wanted = parse_qs(request.query.decode("latin-1")).get("request_id")
        if wanted:
            return await self._find(wanted[0], request)
        counts, recent = await asyncio.gather(self._counts.get(), self._recent.get())
        status = self._history.status(
            self._worker_counts(), recent, counts, now=self._clock(), utc_offset_s=self._utc_offset()
        )
        return Response(200, msgspec.json.encode(status), content_type=JSON)

    async def _find(self, request_id: str, request: Request) -> Response:
        async with self._lookups:
            found, complete = await self._ask_records(request_id)
        if found:
            return Response(200, msgspec.json.encode({"requests": found}), content_type=JSON)
        if not complete:
            detail = f"not every worker answered within {REPLY_WAIT_S:g} s; try again later"
            return problem_response("overloaded", detail, request.request_id)
        detail = f"it is not among the last {KEPT_REQUESTS} admitted requests of a worker"
        return problem_response("not_found", detail, request.request_id)

    # -- each second

    async def _sample_each_second(self) -> None:
        due_at = self._clock()
        while True:
            try:
                await self._sample()
            except Exception:  # noqa: BLE001 (a border: one sample pays for an internal error, the next are taken)
                self._log.exception("unhandled exception while the counts were sampled")
            due_at = max(due_at + SAMPLE_S, self._clock())
            await asyncio.sleep(due_at - self._clock())

    async def _sample(self) -> None:
        """Take one sample, some 0.3 ms, and do what follows from it."""
        now = self._clock()
        if self._sampled_at is not None and now - self._sampled_at > PAUSE_S:
            for channel in self._workers.channels:  # silence in which no worker was asked is none
                channel.last_heard_at = min(channel.last_heard_at + now - self._sampled_at - SAMPLE_S, now)
        self._sampled_at = now
        counts = await self._ask_counts()
        self._history.sample(counts, self._clock())
        self._worker_counts()
        self._log_health_transitions(counts)
        self._logs.summarise()

    def _log_health_transitions(self, counts: Snapshot) -> None:
        """Log when the upstream turns bad, and when it is well again."""
        now, bad_since = self._clock(), self._upstream_watch.bad_since
        window = self._history.window(counts, now)
        shares = Shares.of(window.counts)
        turned = self._upstream_watch.look(shares, now)
        if turned == "unhealthy":
            self._log.warning("upstream unhealthy", reason=assess_upstream(window).reason)
        elif turned == "recovered" and bad_since is not None:
            reason = what_succeeded(shares, window.span_s)
            self._log.warning("upstream recovered", reason=reason, unhealthy_for_s=round(now - bad_since))
