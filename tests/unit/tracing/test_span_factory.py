"""Finished spans, as the SDK's processor gets them."""

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, Status, TraceFlags, TraceState

from hedgerow.tracing.span_factory import SAMPLED_AND_RANDOM, SpanFactory

CLIENT = SpanContext(
    7, 8, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState.from_header(["rojo=1"])
)


class Failing(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        raise MemoryError


def end(factory: SpanFactory, parent: SpanContext | None = None, **attributes: str) -> SpanContext:
    context = factory.context(parent)
    factory.end(
        "GET",
        SpanKind.CLIENT,
        context=context,
        parent=parent,
        start_ns=5,
        end_ns=9,
        status=Status(),
        attributes=attributes,
    )
    return context


def made(exporter: InMemorySpanExporter, *, admit: bool = True) -> SpanFactory:
    return SpanFactory(SimpleSpanProcessor(exporter), Resource.get_empty(), admit=lambda: admit)


def test_a_root_span_has_a_trace_of_its_own() -> None:
    factory = made(InMemorySpanExporter())
    first, second = factory.context(None), factory.context(None)
    assert first.trace_id != second.trace_id
    assert first.trace_flags == SAMPLED_AND_RANDOM


def test_a_child_has_the_trace_flags_and_state_of_its_parent() -> None:
    context = made(InMemorySpanExporter()).context(CLIENT)
    assert (context.trace_id, context.trace_flags, context.trace_state) == (7, 1, CLIENT.trace_state)
    assert context.span_id != CLIENT.span_id


def test_a_span_reaches_the_processor() -> None:
    exporter = InMemorySpanExporter()
    context = end(made(exporter), CLIENT, colour="green")
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.start_time, span.end_time, span.parent) == ("GET", 5, 9, CLIENT)
    assert span.context == context
    assert dict(span.attributes or {}) == {"colour": "green"}


def test_a_span_that_is_not_admitted_is_dropped() -> None:
    exporter = InMemorySpanExporter()
    end(made(exporter, admit=False))
    assert exporter.get_finished_spans() == ()


def test_an_error_of_the_processor_is_reported_and_not_raised() -> None:
    errors: list[str] = []
    end(SpanFactory(Failing(), Resource.get_empty(), lambda: True, lambda: errors.append("error")))
    assert errors == ["error"]


def test_the_limit_on_the_length_of_attributes_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")
    exporter = InMemorySpanExporter()
    end(made(exporter), None, colour="green")
    (span,) = exporter.get_finished_spans()
    assert dict(span.attributes or {}) == {"colour": "gre"}
