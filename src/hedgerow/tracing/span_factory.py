"""Makes finished spans for the SDK's exporter, at the end of what they describe.

It uses parts of the SDK, but not its tracer: docs/decisions/0010-tracing.md
"""

from collections.abc import Callable, Mapping
from typing import Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from hedgerow import __version__

SAMPLED_AND_RANDOM: Final = TraceFlags(0x03)
"""Both flags of W3C Trace Context level 2: sampled, and with a random trace id."""

ATTRIBUTES_USED: Final = 16
"""No span of the gateway has more; a limit of at least this many needs no check."""

UNSET: Final = Status(StatusCode.UNSET)
ERROR: Final = Status(StatusCode.ERROR)


def to_ns(seconds: float) -> int:
    """Return whole nanoseconds, as OpenTelemetry has them."""
    return int(seconds * 1e9)


class SpanFactory:
    """Makes spans and gives them to a processor."""

    def __init__(
        self,
        processor: SpanProcessor,
        resource: Resource,
        admit: Callable[[], bool],
        on_error: Callable[[], None] = lambda: None,
    ) -> None:
        """Read the limits of spans from the environment; raises the SDK's ValueError.

        `admit` is called before a span is made: False drops it. `on_error` is called for a span that cannot be made.
        """
        self._on_error = on_error
        self._processor = processor
        self._admit = admit
        self._resource = resource
        self._scope = InstrumentationScope("hedgerow", __version__)
        self._ids = RandomIdGenerator()
        limits = SpanLimits()
        self._max_attributes, self._max_length = limits.max_span_attributes, limits.max_span_attribute_length
        self._limited = self._max_length is not None or (
            self._max_attributes is not None and self._max_attributes < ATTRIBUTES_USED
        )

    def context(self, parent: SpanContext | None) -> SpanContext:
        """Return new ids for a span: a child of `parent`, or the root of a new trace."""
        span_id = self._ids.generate_span_id()
        if parent is None:
            trace_id = self._ids.generate_trace_id()
            return SpanContext(trace_id, span_id, is_remote=False, trace_flags=SAMPLED_AND_RANDOM)
        return SpanContext(
            parent.trace_id,
            span_id,
            is_remote=False,
            trace_flags=parent.trace_flags,
            trace_state=parent.trace_state,
        )

    def end(
        self,
        name: str,
        kind: SpanKind,
        *,
        context: SpanContext,
        parent: SpanContext | None,
        start_ns: int,
        end_ns: int,
        status: Status,
        attributes: Mapping[str, AttributeValue],
    ) -> None:
        """Make a span, if it is admitted; its times are nanoseconds since 1970."""
        if not self._admit():
            return
        try:
            self._processor.on_end(
                ReadableSpan(
                    name,
                    kind=kind,
                    context=context,
                    parent=parent,
                    resource=self._resource,
                    instrumentation_scope=self._scope,
                    start_time=start_ns,
                    end_time=end_ns,
                    status=status,
                    attributes=BoundedAttributes(
                        self._max_attributes, attributes, max_value_len=self._max_length
                    )
                    if self._limited  # it takes half as long again as everything else
                    else attributes,
                )
            )
        except Exception:  # noqa: BLE001 (an error of the SDK costs a span, not its request)
            self._on_error()
