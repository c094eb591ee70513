"""Which requests are recorded as spans, and what their spans say.

The one module, beside `spans`, that knows OpenTelemetry; imported only where something is to be recorded.
"""

from collections.abc import Callable
from random import random
from time import time_ns

from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue
from structlog.typing import FilteringBoundLogger

from hedgerow.outcomes import Attempt, Failure, Outcome, Trace, Verdict, Won
from hedgerow.replies import status_of
from hedgerow.requests import Request
from hedgerow.settings import Target
from hedgerow.telemetry.spans import BatchLimits, Spans, disabled
from hedgerow.traces import TraceContext, trace_headers


def check() -> None:
    """Raise BadSetting for OTEL_* variables that a worker could not begin with."""
    BatchLimits()


_KNOWN_FLAGS = 0x03
"""Sampled, and that the trace id is random; the others are for a later version to define."""


class Tracing(Spans):
    """Traces of one worker."""

    def __init__(
        self, share: float, target: Target, clock: Callable[[], float], log: FilteringBoundLogger
    ) -> None:
        super().__init__(log)

        def record(request: Request, timeout_ms: int) -> Trace:
            return Recording(request, timeout_ms, tracer=self.tracer, target=target, clock=clock)

        self.sampler = Sampler(share, record)


def begin(
    share: float, target: Target, clock: Callable[[], float], log: FilteringBoundLogger
) -> Tracing | None:
    """Begin to record, unless OTEL_SDK_DISABLED says not to."""
    return None if disabled() else Tracing(share, target, clock, log)


class Sampler:
    """Decides which requests are recorded, before any work is done for it (`gateway.Tracer`).

    A caller who records its part of a trace, or does not, has decided for us too.
    """

    def __init__(
        self,
        share: float,
        record: Callable[[Request, int], Trace],
        chance: Callable[[], float] = random,
    ) -> None:
        self._share = share
        self._record = record
        self._chance = chance

    def begin(self, request: Request, timeout_ms: int) -> Trace | None:
        """Tell the trace of an admitted request."""
        caller = request.trace
        if caller is not None:
            return self._record(request, timeout_ms) if caller.sampled else caller
        return self._record(request, timeout_ms) if self._chance() < self._share else None


class Recording:
    """The spans of one request: its own, and one for each attempt (`outcomes.Trace`)."""

    def __init__(
        self,
        request: Request,
        timeout_ms: int,
        *,
        tracer: Tracer,
        target: Target,
        clock: Callable[[], float],
    ) -> None:
        self._tracer = tracer
        self._to_utc_ns = time_ns() - int(clock() * 1e9)
        self._caller = request.trace
        self._span = tracer.start_span(
            "GET /api/smart" if request.method == b"GET" else "HEAD /api/smart",
            context=set_span_in_context(NonRecordingSpan(_span_context(self._caller)))
            if self._caller
            else None,
            kind=SpanKind.SERVER,
            start_time=self._utc_ns(request.arrived_at),
            attributes={
                "http.request.method": request.method.decode("ascii"),
                "http.route": "/api/smart",
                "url.path": "/api/smart",
                "url.scheme": "http",
                "hedgerow.request_id": request.request_id.decode("ascii"),
                "hedgerow.timeout_ms": timeout_ms,
            },
        )
        self._within = set_span_in_context(self._span)
        self._target = target
        self._attempts: list[_AttemptSpan] = []
        self.trace_id = f"{self._span.get_span_context().trace_id:032x}"

    def attempt_began(self, attempt: Attempt) -> "_AttemptSpan":
        """Begin the span of an attempt; the upstream is told of it."""
        target = self._target
        span = self._tracer.start_span(
            "GET",
            context=self._within,
            kind=SpanKind.CLIENT,
            start_time=self._utc_ns(attempt.launched_at),
            attributes={
                "http.request.method": "GET",
                "server.address": target.host,
                "server.port": target.port,
                # Without the query: it is the operator's, and may hold what is to be kept secret.
                "url.full": f"{target.scheme}://{target.authority}{target.path.partition('?')[0]}",
                "hedgerow.attempt.number": attempt.number,
            },
        )
        tracestate = self._caller.tracestate if self._caller is not None else b""
        self._attempts.append(_AttemptSpan(span, attempt.number, tracestate, self._to_utc_ns))
        return self._attempts[-1]

    def request_ended(self, code: str, ended_at: float, verdict: Verdict | None) -> None:
        """End the span, and those of the attempts that ended before; losers end theirs themselves."""
        winner = verdict.winner.number if isinstance(verdict, Won) else None
        status = status_of(code)
        told: dict[str, AttributeValue] = {"http.response.status_code": status}
        if winner is not None:
            told["hedgerow.winner"] = winner
        if status >= 500:
            told["error.type"] = code
            self._span.set_status(Status(StatusCode.ERROR))
        self._end(code, ended_at, winner, told)

    def request_abandoned(self, ended_at: float) -> None:
        """End the span; the attempts that still run are losers."""
        self._end("abandoned", ended_at, None, {})

    def _end(self, code: str, ended_at: float, winner: int | None, told: dict[str, AttributeValue]) -> None:
        for attempt in self._attempts:
            attempt.race_ended(winner)
        # All at once: the SDK takes a lock for each call, and 1 µs.
        self._span.set_attributes(told | {"hedgerow.outcome": code, "hedgerow.attempts": len(self._attempts)})
        self._span.end(self._utc_ns(ended_at))

    def _utc_ns(self, at: float) -> int:
        return int(at * 1e9) + self._to_utc_ns


class _AttemptSpan:
    """The span of one attempt (`outcomes.Span`). It knows neither attempt nor request: that would be a cycle."""

    __slots__ = ("_ended_ns", "_number", "_outcome", "_span", "_to_utc_ns", "headers")

    def __init__(self, span: Span, number: int, tracestate: bytes, to_utc_ns: int) -> None:
        self._span: Span | None = span
        self._number = number
        self._to_utc_ns = to_utc_ns
        self._outcome: Outcome | None = None
        self._ended_ns = 0
        context = span.get_span_context()
        traceparent = b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, context.trace_flags)
        self.headers = trace_headers(traceparent, tracestate)

    def attempt_ended(self, attempt: Attempt, *, lost: bool) -> None:
        """Note the outcome; a loser's race has been decided, so its span ends here."""
        self._outcome = attempt.outcome
        ended_at = attempt.ended_at if attempt.ended_at is not None else attempt.launched_at
        self._ended_ns = int(ended_at * 1e9) + self._to_utc_ns
        if lost:
            self._end(won=False, lost=True)

    def race_ended(self, winner: int | None) -> None:
        """End the span, unless the attempt runs on or has ended as a loser."""
        if self._outcome is not None:
            self._end(won=self._number == winner, lost=False)

    def _end(self, *, won: bool, lost: bool) -> None:
        span, outcome = self._span, self._outcome
        self._span = self._outcome = None
        if span is None:
            return
        told = outcome.reason.value if isinstance(outcome, Failure) else "success"
        attributes: dict[str, AttributeValue] = {
            "hedgerow.attempt.outcome": told,
            "hedgerow.attempt.winner": won,
            "hedgerow.attempt.lost": lost,
        }
        if isinstance(outcome, Failure) and not lost:  # a loser is neither a failure nor a success
            attributes["error.type"] = told
            span.set_status(Status(StatusCode.ERROR, outcome.detail or None))
        span.set_attributes(attributes)
        span.end(self._ended_ns)


def _span_context(caller: TraceContext) -> SpanContext:
    return SpanContext(
        int(caller.trace_id, 16),
        int(caller.parent_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(caller.flags & _KNOWN_FLAGS),
        trace_state=TraceState.from_header([caller.tracestate.decode("ascii")] if caller.tracestate else []),
    )
