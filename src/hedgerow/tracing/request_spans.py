"""The spans of recorded requests. Imported only if requests are to be recorded: it loads OpenTelemetry."""

from collections.abc import Callable
from time import time_ns

from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import SpanContext, SpanKind, Status, TraceFlags, TraceState
from opentelemetry.util.types import AttributeValue
from structlog.typing import FilteringBoundLogger

from hedgerow.core.outcomes import AllFailed, Attempt, RaceEnd, Won
from hedgerow.core.request import Request
from hedgerow.core.request_path import shown_path
from hedgerow.core.response import status_of
from hedgerow.core.trace_context import TraceContext
from hedgerow.core.traces import RequestTrace
from hedgerow.tracing.attempt_span import RecordedAttempt
from hedgerow.tracing.exporter import SpanPipeline
from hedgerow.tracing.exporter_settings import BatchLimits, disabled
from hedgerow.tracing.sampler import Sampler
from hedgerow.tracing.span_factory import ERROR, SAMPLED_AND_RANDOM, UNSET, SpanFactory, to_ns


def check() -> None:
    """Raise InvalidSetting, or the SDK's ValueError, for OTEL_* variables with which no worker can start."""
    BatchLimits()
    SpanLimits()


class Tracing(SpanPipeline):
    """Traces of one worker."""

    def __init__(self, share: float, clock: Callable[[], float], log: FilteringBoundLogger) -> None:
        super().__init__(log)

        def record(request: Request) -> RequestTrace | None:
            try:
                return RecordedTrace(request, factory=self.factory, clock=clock)
            except Exception:  # an error of the SDK costs a trace, not the request
                log.exception("a trace cannot be recorded")
                return request.trace

        self.sampler = Sampler(share, record)


def start_tracing(share: float, clock: Callable[[], float], log: FilteringBoundLogger) -> Tracing | None:
    """Start tracing; None if OTEL_SDK_DISABLED is set, or the exporter's thread cannot be started."""
    if disabled():
        return None
    try:
        return Tracing(share, clock, log)
    except (RuntimeError, MemoryError) as error:
        log.warning("traces are not recorded", reason=str(error) or "out of memory")
        return None


class RecordedTrace:
    """The spans of one request: its own, and one for each attempt (`traces.RequestTrace`).

    While a request runs, facts are recorded and nothing else. A span is made at its end, from the parts that are
    exported: the SDK's live spans, which any thread may change, cost four times as much.
    """

    def __init__(
        self,
        request: Request,
        *,
        factory: SpanFactory,
        clock: Callable[[], float],
    ) -> None:
        self._factory = factory
        route, message = request.route, request.message
        self._route = route.name
        self._template = route.template
        self._path = shown_path(request.path)
        self._upstream = route.upstream_name
        self._passed_on = None if message is None else message.forwarded
        self._to_utc_ns = time_ns() - to_ns(clock())
        self._method = request.method.decode("ascii")
        self._request_id = request.request_id.decode("ascii")
        self._arrived_at = request.arrived_at
        self._timeout_ms = request.timeout_ms
        context = request.trace if isinstance(request.trace, TraceContext) else None
        self._tracestate = context.tracestate if context is not None else b""
        self._parent = _span_context(context) if context is not None else None
        self._context = factory.context(self._parent)
        self._attempts: list[RecordedAttempt] = []
        self.trace_id = f"{self._context.trace_id:032x}"

    def attempt_started(self, attempt: Attempt) -> RecordedAttempt:
        """Start the span of an attempt; the upstream gets its ids."""
        passed_on = self._passed_on
        span = RecordedAttempt(
            attempt,
            factory=self._factory,
            parent=self._context,
            tracestate=self._tracestate,
            method="GET" if passed_on is None else self._method,
            path="" if passed_on is None else shown_path(passed_on.target.partition(b"?")[0]),
            upstream=self._upstream,
            to_utc_ns=self._to_utc_ns,
        )
        self._attempts.append(span)
        return span

    def request_finished(self, code: str, ended_at: float, end: RaceEnd) -> None:
        """End the span, and those of attempts that have ended; losers end theirs later."""
        if code == "abandoned":
            self._end(code, ended_at, None, {}, UNSET)
            return
        winner = end.winner.number if isinstance(end, Won) else None
        status = self._status(code, end)
        extra: dict[str, AttributeValue] = {"http.response.status_code": status}
        span_status = UNSET
        if winner is not None:
            extra["hedgerow.winner"] = winner
        if status >= 500:
            extra["error.type"] = code
            span_status = ERROR
        self._end(code, ended_at, winner, extra, span_status)

    def _status(self, code: str, end: RaceEnd) -> int:
        """Return the status of the response: of the answer that was passed on, if one was."""
        answer = (
            end.winner.outcome.answer if isinstance(end, Won) and end.winner.outcome is not None else None
        )
        if answer is not None:
            return answer.status
        kept: list[RecordedAttempt] = []
        if isinstance(end, AllFailed):  # as `core.response` chooses
            kept = [one for one in self._attempts if one.status and not 200 <= one.status < 300]
        return max(kept, key=lambda one: one.ended_ns).status if kept else status_of(code)

    def _end(
        self, code: str, ended_at: float, winner: int | None, extra: dict[str, AttributeValue], status: Status
    ) -> None:
        for attempt in self._attempts:
            attempt.race_ended(winner)
        method = self._method
        self._factory.end(
            f"{method} {self._template}",
            SpanKind.SERVER,
            context=self._context,
            parent=self._parent,
            start_ns=to_ns(self._arrived_at) + self._to_utc_ns,
            end_ns=to_ns(ended_at) + self._to_utc_ns,
            status=status,
            attributes={
                "http.request.method": method,
                "http.route": self._template,
                "url.path": self._path,
                "url.scheme": "http",
                "hedgerow.route": self._route,
                "hedgerow.request_id": self._request_id,
                "hedgerow.timeout_ms": self._timeout_ms,
                "hedgerow.outcome": code,
                "hedgerow.attempts": len(self._attempts),
                **extra,
            },
        )


def _span_context(client: TraceContext) -> SpanContext:
    return SpanContext(
        int(client.trace_id, 16),
        int(client.parent_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(client.flags & SAMPLED_AND_RANDOM),
        trace_state=TraceState.from_header([client.tracestate.decode("ascii")] if client.tracestate else []),
    )
