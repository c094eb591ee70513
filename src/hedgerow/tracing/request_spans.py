"""The spans of recorded requests. Imported only if requests are to be recorded: it loads OpenTelemetry."""

from collections.abc import Callable
from time import time_ns

from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.util.types import AttributeValue
from structlog.typing import FilteringBoundLogger

from hedgerow.core.outcomes import (
    AllFailed,
    Attempt,
    AttemptPlace,
    Failure,
    Outcome,
    RaceEnd,
    RequestTrace,
    Won,
    outcome_name,
)
from hedgerow.core.request import Request
from hedgerow.core.request_path import shown_path
from hedgerow.core.response import status_of
from hedgerow.core.trace_context import TraceContext, trace_headers
from hedgerow.tracing.exporter import SpanPipeline
from hedgerow.tracing.exporter_settings import BatchLimits, disabled
from hedgerow.tracing.sampler import Sampler
from hedgerow.tracing.span_factory import SAMPLED_AND_RANDOM, SpanFactory


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
    """The spans of one request: its own, and one for each attempt (`outcomes.RequestTrace`).

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
        self._to_utc_ns = time_ns() - _ns(clock())
        self._method = request.method.decode("ascii")
        self._request_id = request.request_id.decode("ascii")
        self._arrived_at = request.arrived_at
        self._timeout_ms = request.timeout_ms
        context = request.trace if isinstance(request.trace, TraceContext) else None
        self._tracestate = context.tracestate if context is not None else b""
        self._parent = _span_context(context) if context is not None else None
        self._context = factory.context(self._parent)
        self._attempts: list[_AttemptSpan] = []
        self.trace_id = f"{self._context.trace_id:032x}"

    def attempt_started(self, attempt: Attempt) -> "_AttemptSpan":
        """Start the span of an attempt; the upstream gets its ids."""
        passed_on = self._passed_on
        span = _AttemptSpan(
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
            self._end(code, ended_at, None, {}, _UNSET)
            return
        winner = end.winner.number if isinstance(end, Won) else None
        status = self._status(code, end)
        extra: dict[str, AttributeValue] = {"http.response.status_code": status}
        span_status = _UNSET
        if winner is not None:
            extra["hedgerow.winner"] = winner
        if status >= 500:
            extra["error.type"] = code
            span_status = _ERROR
        self._end(code, ended_at, winner, extra, span_status)

    def _status(self, code: str, end: RaceEnd) -> int:
        """Return the status of the response: of the answer that was passed on, if one was."""
        answer = (
            end.winner.outcome.answer if isinstance(end, Won) and end.winner.outcome is not None else None
        )
        if answer is not None:
            return answer.status
        kept: list[_AttemptSpan] = []
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
            start_ns=_ns(self._arrived_at) + self._to_utc_ns,
            end_ns=_ns(ended_at) + self._to_utc_ns,
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


class _AttemptSpan:
    """The span of one attempt (`AttemptSpan`). It refers to no attempt or trace: that would be a reference cycle."""

    __slots__ = (
        "_attributes",
        "_context",
        "_factory",
        "_launched_ns",
        "_outcome",
        "_parent",
        "_path",
        "_to_utc_ns",
        "ended_ns",
        "headers",
        "method",
        "number",
        "status",
    )

    def __init__(
        self,
        attempt: Attempt,
        *,
        factory: SpanFactory,
        parent: SpanContext,
        tracestate: bytes,
        method: str,
        path: str,
        upstream: str,
        to_utc_ns: int,
    ) -> None:
        """`path` is what of the endpoint's base URL follows; empty: the URL is whole."""
        self._factory = factory
        self._parent = parent
        self._path = path
        self._to_utc_ns = to_utc_ns
        self.method = method
        self.number = attempt.number
        self._attributes: dict[str, AttributeValue] = {
            "http.request.method": method,
            "hedgerow.upstream": upstream,
        }
        self._launched_ns = _ns(attempt.launched_at) + to_utc_ns
        self._outcome: Outcome | None = None
        """None before its end, and after its span was made."""
        self.ended_ns = 0
        self.status = 0
        """Of an answer that may be passed on."""
        self._context = context = factory.context(parent)
        traceparent = b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, context.trace_flags)
        self.headers = trace_headers(traceparent, tracestate)

    def sent_to(self, place: AttemptPlace) -> None:
        """Record where it is sent (`outcomes.AttemptSpan`)."""
        url, host, port, address, address_port = place.described()
        self._attributes |= {
            "server.address": host,
            "server.port": port,
            "network.peer.address": address,
            "network.peer.port": address_port,
            "url.full": url.rstrip("/") + self._path if self._path else url,
        }

    def attempt_finished(self, attempt: Attempt) -> None:
        """Record the outcome; the race of a loser is over, so its span ends here."""
        self._outcome = attempt.outcome
        self.ended_ns = _ns(attempt.ended_at) + self._to_utc_ns
        answer = None if attempt.outcome is None else attempt.outcome.answer
        if answer is not None:
            self.status = answer.status
        if attempt.is_loser:
            self._end(won=False, loser=True)

    def race_ended(self, winner: int | None) -> None:
        """End the span, unless the attempt still runs or has ended as a loser."""
        if self._outcome is not None:
            self._end(won=self.number == winner, loser=False)

    def _end(self, *, won: bool, loser: bool) -> None:
        outcome, self._outcome = self._outcome, None
        name = str(outcome_name(outcome))
        attributes: dict[str, AttributeValue] = {
            **self._attributes,
            "hedgerow.attempt.number": self.number,
            "hedgerow.attempt.outcome": name,
            "hedgerow.attempt.winner": won,
            "hedgerow.attempt.loser": loser,
        }
        if self.status:
            attributes["http.response.status_code"] = self.status
        status = _UNSET
        if isinstance(outcome, Failure) and not loser:  # a loser is neither a failure nor a success
            attributes["error.type"] = name
            status = Status(StatusCode.ERROR, outcome.detail or None)
        self._factory.end(
            self.method,
            SpanKind.CLIENT,
            context=self._context,
            parent=self._parent,
            start_ns=self._launched_ns,
            end_ns=self.ended_ns,
            status=status,
            attributes=attributes,
        )


_UNSET = Status(StatusCode.UNSET)
_ERROR = Status(StatusCode.ERROR)


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


def _span_context(client: TraceContext) -> SpanContext:
    return SpanContext(
        int(client.trace_id, 16),
        int(client.parent_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(client.flags & SAMPLED_AND_RANDOM),
        trace_state=TraceState.from_header([client.tracestate.decode("ascii")] if client.tracestate else []),
    )
