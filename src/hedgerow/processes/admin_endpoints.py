"""The endpoints of the admin port: readiness, metrics, status.

Each response is computed when it is requested: the workers report their counts. For a worker that does not reply, its
last report is used.
"""

import asyncio
from collections.abc import Callable
from time import monotonic, time
from typing import Final
from urllib.parse import parse_qs

import msgspec

from hedgerow.admin.router import AdminRouter, Readiness
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
from hedgerow.processes.count_sampler import CountSampler
from hedgerow.processes.plan_endpoint import PlanEndpoint, unknown_route
from hedgerow.processes.shared_computation import Shared
from hedgerow.processes.worker_channel import WorkerChannel
from hedgerow.processes.worker_manager import WorkerManager
from hedgerow.settings import Settings
from hedgerow.status.health import UNRESPONSIVE_S, Workers
from hedgerow.status.history import History
from hedgerow.status.page import pages
from hedgerow.status.plan_status import Real
from hedgerow.status.report import RECENT, About
from hedgerow.status.report_schema import ConfigurationStatus
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.recent_requests import KEPT_REQUESTS
from hedgerow.telemetry.request_record import RequestRecord
from hedgerow.telemetry.snapshot import Snapshot, add

REPLY_WAIT_S: Final = 0.1
"""How long a response waits for a worker; for a stalled one the last report is used."""
LOOKUPS: Final = 4
"""Lookups of one request id at the same time; one takes a worker some 0.1 ms."""
CLOCK_WAS_SET_S: Final = 0.05
"""The time of day deviates from the monotonic clock by more than this only when it was set."""


class AdminEndpoints:
    """Answers from what the workers report, and keeps its history."""

    def __init__(
        self,
        settings: Settings,
        workers: WorkerManager,
        logs: Logs,
        *,
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time,
    ) -> None:
        """`clock` is the event loop's; `wall_clock` is only used for display."""
        self._settings = settings
        self._workers = workers
        self._logs = logs
        self._log = logs.log
        self._clock = clock
        self._wall_clock = wall_clock
        self._utc_offset_s = 0.0
        self._ever_ready = False
        self._counts = Shared(self._collect_counts)
        self._recent = Shared(self._collect_recent)
        self._metrics_page = Shared(self._render_metrics)
        self._lookups = asyncio.Semaphore(LOOKUPS)
        self._history = History(About.of(settings, ConfigurationStatus()))
        self._sampler = CountSampler(self._collect_sample, self._history, workers, logs, clock=clock)
        self._plans = PlanEndpoint(settings, self._request, self._real, clock=clock)

    def configured(self, settings: Settings, configuration: ConfigurationStatus) -> None:
        """Note whether the configuration was read, or was rejected."""
        self._settings = settings
        self._history.about = About.of(settings, configuration)
        self._plans.configured(settings)

    def routes(self, port: int) -> AdminRouter:
        """Return the router of the admin port, for a gateway whose main port is `port`."""

        async def document(_: Request) -> Response:
            from hedgerow.admin import openapi  # noqa: PLC0415 (50 ms of each start, and rarely requested)

            return Response(200, openapi.document(self._settings, port), content_type=JSON)

        return AdminRouter(
            self._readiness,
            {b"/metrics": self._metrics, b"/status.json": self._status, b"/openapi.json": document},
            pages(),
            self._log,
        )

    def start(self) -> None:
        """Start to sample the counts each second."""
        self._sampler.start()

    async def stop(self) -> None:
        """Cancel the sampling and the running computations."""
        await self._sampler.stop()
        for shared in (self._metrics_page, self._counts, self._recent, self._plans):
            await shared.stop()

    async def _real(self, route: str) -> tuple[Snapshot, Real]:
        return self._history.real(route, await self._counts.get(), self._clock())

    # -- reports of the workers

    async def _request(self, request: ControlRequest) -> tuple[list[ControlReply], bool]:
        """Send a request to each worker; return the replies within `REPLY_WAIT_S`, and whether all have replied."""
        sent = [channel.request(request) for channel in self._workers.serving]
        replies = [reply for reply in sent if reply is not None]
        if not replies:
            return [], not sent
        done, _ = await asyncio.wait(replies, timeout=REPLY_WAIT_S)
        received = [reply.result() for reply in done if not reply.cancelled()]
        valid: list[ControlReply] = [reply for reply in received if not isinstance(reply, Failed)]
        return valid, len(valid) == len(sent)

    async def _collect_counts(self) -> Snapshot:
        """Add up the counts of all workers, ended ones included."""
        await self._request(GetSnapshot())
        total = self._workers.retired
        for channel in self._workers.channels:
            total = add(total, channel.last)
        return add(total, Snapshot(log_lines_dropped=self._logs.dropped))

    async def _collect_sample(self) -> Snapshot:
        counts = await self._collect_counts()
        self._worker_counts()  # a worker that was ready for a second was ready
        return counts

    async def _collect_recent(self) -> list[RequestRecord]:
        records, _ = await self._collect_records()
        return records[:RECENT]

    async def _collect_records(
        self, *, request_id: str | None = None, route: str | None = None
    ) -> tuple[list[RequestRecord], bool]:
        """Return records of all workers, newest first, and whether all that serve have replied."""
        replies, complete = await self._request(GetRecent(self._utc_offset(), RECENT, request_id, route))
        records = [record for reply in replies if isinstance(reply, RecentReply) for record in reply.requests]
        records.sort(key=lambda record: record.at, reverse=True)
        return records, complete

    def _utc_offset(self) -> float:
        """Return UTC minus the clock, in seconds; constant unless the time of day was set."""
        offset_s = self._wall_clock() - self._clock()
        if abs(offset_s - self._utc_offset_s) > CLOCK_WAS_SET_S:
            self._utc_offset_s = offset_s
        return self._utc_offset_s

    def _worker_counts(self) -> Workers:
        serving = self._workers.staying
        self._ever_ready = self._ever_ready or bool(serving)
        return Workers(
            wanted=self._settings.workers,
            ready=len(serving),
            unresponsive=sum(map(self._is_unresponsive, serving)),
            ever_ready=self._ever_ready,
        )

    def _is_unresponsive(self, channel: WorkerChannel) -> bool:
        return self._clock() - channel.last_heard_at > UNRESPONSIVE_S

    # -- endpoints

    async def _readiness(self) -> Readiness:
        if self._workers.draining:
            return Readiness(ready=False, reason="draining")
        await self._counts.get()
        known = self._worker_counts()
        if not known.ready:
            return Readiness(ready=False, reason="no worker serves" if known.ever_ready else "starting")
        reporting = [channel for channel in self._workers.staying if not self._is_unresponsive(channel)]
        if not reporting:
            return Readiness(ready=False, reason="no worker responds")
        if all(channel.last.overloaded_workers for channel in reporting):
            return Readiness(
                ready=False, reason="overloaded: more requests arrive than can be served in time"
            )
        return Readiness(ready=True, reason=f"{len(reporting)} of {known.wanted} workers serve")

    async def _metrics(self, _: Request) -> Response:
        return await self._metrics_page.get()

    async def _render_metrics(self) -> Response:
        from hedgerow.telemetry.prometheus import CONTENT_TYPE, render  # noqa: PLC0415 (30 ms of each start)

        # Beside the event loop: a worker whose counts are not read waits, and then ends.
        body = await asyncio.to_thread(render, await self._counts.get())
        return Response(200, body, content_type=CONTENT_TYPE)

    async def _status(self, request: Request) -> Response:
        query = parse_qs(request.query.decode("latin-1"), keep_blank_values=True)
        route = query.get("route", [None])[0]
        if "plan" in query:  # first: a window that is not known is rejected beside any other parameter, too
            return await self._plans.respond(query["plan"][0], route, request)
        wanted = query.get("request_id", [""])[0]
        if wanted:
            return await self._find(wanted, request)
        counts, recent = await asyncio.gather(self._counts.get(), self._recent_of(route))
        if route is not None and not self._history.about.rules(route):  # a reload may just have taken it away
            detail = unknown_route(route, [rule.name for rule in self._history.about.routes])
            return problem_response("not_found", detail, request.request_id)
        status = self._history.status(
            self._worker_counts(),
            recent,
            counts,
            now=self._clock(),
            utc_offset_s=self._utc_offset(),
            route=route,
        )
        return Response(200, msgspec.json.encode(status), content_type=JSON)

    async def _recent_of(self, route: str | None) -> list[RequestRecord]:
        if route is None:
            return await self._recent.get()
        async with self._lookups:
            records, _ = await self._collect_records(route=route)
        return records[:RECENT]

    async def _find(self, request_id: str, request: Request) -> Response:
        async with self._lookups:
            found, complete = await self._collect_records(request_id=request_id)
        if found:
            return Response(200, msgspec.json.encode({"requests": found}), content_type=JSON)
        if not complete:
            detail = f"not every worker answered within {REPLY_WAIT_S:g} s; try again later"
            return problem_response("overloaded", detail, request.request_id)
        detail = f"it is not among the last {KEPT_REQUESTS} admitted requests of a worker"
        return problem_response("not_found", detail, request.request_id)
