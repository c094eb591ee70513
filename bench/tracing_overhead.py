"""What traces cost a request, in µs of CPU: `python -m bench.tracing_overhead`; see docs/decisions/0010-tracing.md."""

import time
from collections.abc import Callable
from timeit import repeat

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from hedgerow.core.hedging import HedgePlan
from hedgerow.core.outcomes import Attempt, AttemptSender, Success, Won
from hedgerow.core.request import Request
from hedgerow.core.route import Route
from hedgerow.core.trace_context import parse_trace_context
from hedgerow.core.traces import RequestTrace
from hedgerow.settings import parse_target
from hedgerow.tracing.request_spans import RecordedTrace
from hedgerow.tracing.sampler import Sampler
from hedgerow.tracing.span_factory import SpanFactory
from hedgerow.upstream.endpoint import Endpoint

TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
TRACESTATE = b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
ENDPOINT = Endpoint(parse_target("http://127.0.0.1:1/work"), (2, 1, 6, "", ("127.0.0.1", 1)))
ROUTE = Route("/api/smart", AttemptSender(), HedgePlan(0.3, 2), default_timeout_ms=1, max_timeout_ms=1)


def best_us(work: Callable[[], object], times: int = 200_000) -> float:
    """Return the least of nine means."""
    return min(repeat(work, number=times, repeat=9, timer=time.process_time)) / times * 1e6


def request(traceparent: bytes = b"") -> Request:
    trace = parse_trace_context(traceparent, b"")
    made = Request(b"GET", b"/api/smart", b"", request_id=b"x", arrived_at=0.0, trace=trace)
    made.route = ROUTE
    return made


def never(_: Request) -> RequestTrace:
    raise AssertionError("it is not sampled")


class Owner:
    """Waits for no attempt."""

    def on_attempt_finished(self) -> None:
        """Do nothing."""


def main() -> None:
    """Print the table."""
    sampler, plain, traced = Sampler(0.0, never), request(), request(TRACEPARENT)
    owner = Owner()
    context = traced.trace
    assert context is not None

    def attempt() -> Attempt:
        return Attempt(1, 0.0, plain, owner)

    def passed_on() -> None:
        one = attempt()
        one.span = context.attempt_started(one)
        one.span.sent_to(ENDPOINT)
        one.span.attempt_finished(one)
        context.request_finished("success", 0.0, Won(one, b"", (one,)))

    off = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("bench")
    factory = SpanFactory(SpanProcessor(), Resource.get_empty(), admit=lambda: True)

    def recorded() -> None:
        recording = RecordedTrace(plain, factory=factory, clock=time.monotonic)
        one = attempt()
        one.span = recording.attempt_started(one)
        one.span.sent_to(ENDPOINT)
        one.finish(Success(b""), 1.0)
        one.span.attempt_finished(one)
        recording.request_finished("success", 1.0, Won(one, b"", (one,)))

    nothing = best_us(lambda: None)
    for what, took in (
        ("no traceparent: decide", best_us(lambda: sampler.start(plain)) - nothing),
        ("traceparent: decide", best_us(lambda: sampler.start(traced)) - nothing),
        ("traceparent: read it", best_us(lambda: parse_trace_context(TRACEPARENT, b"")) - nothing),
        ("and tracestate", best_us(lambda: parse_trace_context(TRACEPARENT, TRACESTATE)) - nothing),
        ("pass it on with one attempt", best_us(passed_on) - best_us(attempt)),
        ("the SDK's sampler, one span", best_us(lambda: off.start_span("x"), 20_000) - nothing),
        ("recorded, with one attempt", best_us(recorded, 5_000) - nothing),
    ):
        print(f"{what:30} {took:6.2f}")


if __name__ == "__main__":
    main()
