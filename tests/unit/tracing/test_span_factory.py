"""Spans made at the end of what they describe."""

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanContext, SpanKind, Status, TraceFlags

from hedgerow.tracing.span_factory import SAMPLED_AND_RANDOM, SpanFactory

PARENT = SpanContext(0xA, 0xB, is_remote=True, trace_flags=TraceFlags(1))


class Processor(SpanProcessor):
    """Keeps spans, or fails."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.fails = False

    def on_end(self, span: ReadableSpan) -> None:
        if self.fails:
            raise ZeroDivisionError
        self.spans.append(span)


class Bench:
    def __init__(self) -> None:
        self.processor = Processor()
        self.admits = True
        self.errors = 0
        self.factory = SpanFactory(self.processor, Resource({}), lambda: self.admits, self._count_error)

    def _count_error(self) -> None:
        self.errors += 1

    def end(self) -> None:
        context = self.factory.context(PARENT)
        self.factory.end(
            "attempt", SpanKind.CLIENT, context=context, parent=PARENT, start_ns=1, end_ns=3, status=Status(),
            attributes={"first": "value", "second": "a longer value"},
        )  # fmt: skip


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_child_belongs_to_the_trace_of_its_parent(bench: Bench) -> None:
    child = bench.factory.context(PARENT)
    assert (child.trace_id, child.trace_flags) == (PARENT.trace_id, PARENT.trace_flags)
    assert child.span_id != PARENT.span_id


def test_a_root_begins_a_trace_of_its_own(bench: Bench) -> None:
    roots = [bench.factory.context(None) for _ in range(2)]
    assert roots[0].trace_id != roots[1].trace_id
    assert {root.trace_flags for root in roots} == {SAMPLED_AND_RANDOM}


def test_a_span_has_what_it_was_given(bench: Bench) -> None:
    bench.end()
    (span,) = bench.processor.spans
    assert (span.name, span.kind, span.parent, span.start_time, span.end_time) == (
        "attempt", SpanKind.CLIENT, PARENT, 1, 3
    )  # fmt: skip
    assert dict(span.attributes or {}) == {"first": "value", "second": "a longer value"}


def test_a_span_that_is_not_admitted_is_not_made(bench: Bench) -> None:
    bench.admits = False
    bench.end()
    assert bench.processor.spans == []
    assert bench.errors == 0


def test_an_error_costs_the_span_alone_and_is_reported(bench: Bench) -> None:
    bench.processor.fails = True
    bench.end()
    assert bench.errors == 1


def test_the_limits_of_attributes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4")
    bench = Bench()
    bench.end()
    (span,) = bench.processor.spans
    assert dict(span.attributes or {}) == {"second": "a lo"}
