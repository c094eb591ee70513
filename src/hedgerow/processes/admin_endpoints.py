"""What the admin port answers: readiness, metrics, status; and the loop that samples the counts each second."""

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic, time
from typing import Any
from urllib.parse import parse_qs

import msgspec

from hedgerow.admin import Admin, Readiness
from hedgerow.core.request import Request
from hedgerow.core.response import JSON, Response, problem_response
from hedgerow.processes.control_channel import (
    ControlReply,
    ControlRequest,
    GetRecent,
    GetSnapshot,
    RecentReply,
)
from hedgerow.processes.worker_channel import WorkerChannel
from hedgerow.processes.worker_manager import WorkerManager
from hedgerow.settings import LoserPolicy, Settings
from hedgerow.settings.redaction import redacted_url
from hedgerow.status_page import pages
from hedgerow.telemetry.health import UNTOLD_S, Watch, Workers, what_succeeded
from hedgerow.telemetry.history import SAMPLE_S, History
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.recent_requests import KEPT_REQUESTS
from hedgerow.telemetry.snapshot import Snapshot, add
from hedgerow.telemetry.status import RECENT, About

ANSWER_WAIT_S = 0.1
"""How long the admin port waits for a worker; one that is stalled is counted as it last was."""
TIME_WAS_SET_S = 0.05
"""The time of day moves against our clock by more than this only when somebody has set it."""


class AdminEndpoints:
    """Answers by what the workers report, and keeps the history of it."""

    def __init__(
        self, settings: Settings, workers: WorkerManager, logs: Logs, on_answered: Callable[[], None]
    ) -> None:
        """`on_answered` is called when an answer that took a moment is written, for it to be sent."""
        self._settings = settings
        self._workers = workers
        self._logs = logs
        self._log = logs.log
        self._on_answered = on_answered
        self._upstream_watch = Watch()
        self._tasks: set[asyncio.Task[None]] = set()
        self._utc_offset_s = 0.0
        self._history = History(
            About(
                upstream=redacted_url(settings.upstream),
                hedge_after_ms=settings.hedge_after_ms,
                hedges=settings.hedges,
                losers_cut=settings.losers is LoserPolicy.CANCEL,
            )
        )

    def handler(self, port: int) -> Admin:
        """Return what answers the admin port of a gateway whose main port is `port`."""

        async def document(_: Request) -> Response:
            from hedgerow import openapi  # noqa: PLC0415 (50 ms of each start, for what few ask for)

            return Response(200, openapi.document(self._settings, port), content_type=JSON)

        return Admin(
            self._readiness,
            answers={b"/metrics": self._metrics, b"/status.json": self._status, b"/openapi.json": document},
            pages=pages(),
            later=self._spawn,
        )

    def start(self) -> None:
        """Sample the counts each second from now on."""
        self._spawn(self._keep_history())

    async def stop(self) -> None:
        """Cancel the sampling and the answers under way."""
        cancelled = set(self._tasks)
        for task in cancelled:
            task.cancel()
        if cancelled:
            await asyncio.wait(cancelled)

    def _readiness(self) -> Readiness:
        if self._workers.draining:
            return Readiness(ready=False, reason="draining")
        serving = self._workers.serving
        if not serving:
            return Readiness(ready=False, reason="starting")
        answering = [channel for channel in serving if not _is_silent(channel)]
        if not answering:
            return Readiness(ready=False, reason="no worker answers")
        if all(channel.last.shedding for channel in answering):
            return Readiness(ready=False, reason="shedding: more is asked than can be answered in time")
        return Readiness(ready=True, reason=f"{len(answering)} of {self._workers.count} workers serve")

    async def _ask(self, question: ControlRequest) -> list[ControlReply]:
        """Ask every worker, and tell what came within `ANSWER_WAIT_S`."""
        answers = [
            answer for channel in self._workers.channels if (answer := channel.ask(question)) is not None
        ]
        if not answers:
            return []
        done, _ = await asyncio.wait(answers, timeout=ANSWER_WAIT_S)
        return [answer.result() for answer in done if not answer.cancelled()]

    async def _counts(self) -> Snapshot:
        """Add up all workers, those that do not answer as they last told, and those that are no more."""
        await self._ask(GetSnapshot())
        total = self._workers.retired
        for channel in self._workers.channels:
            total = add(total, channel.last)
        return add(total, Snapshot(log_lines_dropped=self._logs.dropped))

    async def _metrics(self, _: Request) -> Response:
        from hedgerow.telemetry.prometheus import CONTENT_TYPE, render  # noqa: PLC0415 (30 ms of each start)

        return Response(200, render(await self._counts()), content_type=CONTENT_TYPE)

    async def _keep_history(self) -> None:
        """Look at the counts each second; a second's work is 0.3 ms."""
        due_at = monotonic()
        while True:
            self._history.sample(await self._counts(), monotonic(), time())
            self._log_health_transitions()
            self._logs.summarise()
            due_at = max(due_at + SAMPLE_S, monotonic())
            await asyncio.sleep(due_at - monotonic())

    def _log_health_transitions(self) -> None:
        """Log when the upstream turns bad, and when it is well again."""
        now, bad_since = monotonic(), self._upstream_watch.bad_since
        shares, span_s = self._history.shares()
        turned = self._upstream_watch.look(shares, now)
        if turned == "unhealthy":
            reason = self._history.verdict(self._worker_counts()).reason
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
        status = self._history.status(self._worker_counts(), recent[:RECENT], time())
        return Response(200, msgspec.json.encode(status), content_type=JSON)

    def _utc_offset(self) -> float:
        """Tell what makes UTC of the clock, in seconds; the same each time, unless the time of day was set."""
        offset_s = time() - monotonic()
        if abs(offset_s - self._utc_offset_s) > TIME_WAS_SET_S:
            self._utc_offset_s = offset_s
        return self._utc_offset_s

    def _worker_counts(self) -> Workers:
        serving = self._workers.serving
        untold = sum(map(_is_silent, serving))
        return Workers(wanted=self._settings.workers, ready=len(serving), untold=untold)

    def _spawn(self, answering: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(answering)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._on_answered()


def _is_silent(channel: WorkerChannel) -> bool:
    return asyncio.get_running_loop().time() - channel.last_heard_at > UNTOLD_S
