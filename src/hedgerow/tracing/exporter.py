"""Spans on their way out: a bounded queue, a thread of the SDK's that exports them, and what became of each.

Whatever is wrong with the receiver, it costs spans and nothing else; those are counted. docs/decisions/0010-tracing.md
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from threading import Lock, Thread
from typing import Any

import requests
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, TraceFlags
from opentelemetry.util.types import AttributeValue
from structlog.typing import FilteringBoundLogger

from hedgerow import __version__
from hedgerow.settings import InvalidSetting
from hedgerow.settings.redaction import redacted_text

FLUSH_S = 0.5
"""How long the end of a worker waits for its last spans to be exported: a receiver that works takes milliseconds."""

MAX_ANSWER_BYTES = 64 * 1024
"""Of the receiver's answer: OTLP's own has some 100 bytes."""

SAMPLED_AND_RANDOM = TraceFlags(0x03)
"""Both flags that W3C Trace Context level 2 defines: recorded, and with a trace id drawn by chance."""

MOST_ATTRIBUTES = 16
"""No span of ours has more; a limit that is not below needs no looking after."""


def _whole(variable: str, default: int) -> int:
    given = os.environ.get(variable, "")
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= 10_000_000):
        raise InvalidSetting(variable, given, "a whole number from 1 to 10000000")
    return int(given)


class BatchLimits:
    """The batch exporter's settings, by the standard's variables and with its defaults.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#batch-span-processor
    """

    def __init__(self) -> None:
        """Read the environment; raises InvalidSetting."""
        self.queue = _whole("OTEL_BSP_MAX_QUEUE_SIZE", 2048)
        """Spans that wait or are being exported; more are dropped. A span has about 3 KB."""
        self.batch = _whole("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", min(512, self.queue))
        self.delay_ms = _whole("OTEL_BSP_SCHEDULE_DELAY", 5_000)
        if self.batch > self.queue:
            accepted = f"at most OTEL_BSP_MAX_QUEUE_SIZE ({self.queue})"
            raise InvalidSetting("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", self.batch, accepted)


def disabled() -> bool:
    """Tell whether the standard's variable says to record nothing."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


class _Counts:
    """What became of the spans; the exporter's thread counts too."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pending = self._exported = self._failed = self._dropped = 0
        self._over = False

    def admit(self, most: int) -> bool:
        """Count one more span that waits; or drop it, when as many wait as may."""
        with self._lock:
            if self._over or self._pending >= most:
                self._dropped += 1
                return False
            self._pending += 1
            return True

    def leave(self, spans: int, *, exported: bool) -> None:
        """Count what the receiver took, or did not."""
        with self._lock:
            if self._over:
                return
            self._pending -= spans
            if exported:
                self._exported += spans
            else:
                self._failed += spans

    def end(self) -> None:
        """Count what still waits as dropped: nothing is exported from now on."""
        with self._lock:
            self._over = True
            self._dropped += self._pending
            self._pending = 0

    def told(self) -> dict[str, int]:
        with self._lock:
            return {"exported": self._exported, "failed": self._failed, "dropped": self._dropped}


class _BoundedSession(requests.Session):
    """Keeps a bounded part of what the receiver answers; an answer without end filled the memory by 100 MB a second."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send, and read at most `MAX_ANSWER_BYTES` of the answer."""
        response = super().send(request, **{**options, "stream": True})
        body = response.raw.read(MAX_ANSWER_BYTES)
        response.close()
        response.raw = BytesIO(body)
        return response

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Follow no redirect: before it does, `requests` reads the answer to its end."""
        del resp
        return None


class _CountingExporter(SpanExporter):
    """The OTLP exporter; notes whether it works. Its methods are called by the SDK's thread."""

    def __init__(self, counts: _Counts, words: "_LastLogMessage") -> None:
        self._exporter = OTLPSpanExporter(session=_BoundedSession())
        self._counts = counts
        self._words = words
        self.trouble: str | None = None
        """Why the last batch was not exported; None if it was."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            exported = result is SpanExportResult.SUCCESS
            self.trouble = None if exported else self._words.last or "for no stated reason"
            self._counts.leave(len(spans), exported=exported)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call] # the SDK's


class _LastLogMessage(logging.Handler):
    """Keeps the last thing that the SDK logged: its thread does not write to our log, the event loop does."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = redacted_text(record.getMessage())  # it may quote the receiver's URL


class SpanFactory:
    """Makes spans of what is known of them at their end, and gives them to a processor.

    Of parts of the SDK's, but not by its tracer: docs/decisions/0014-spans-made-at-their-end.md.
    """

    def __init__(
        self,
        processor: SpanProcessor,
        resource: Resource,
        admit: Callable[[], bool],
        on_error: Callable[[], None] = lambda: None,
    ) -> None:
        """Read the limits that the standard's variables set; raises ValueError, the SDK's.

        `admit` is asked before a span is made: False drops it. `on_error` is called for one that could not be made.
        """
        self._on_error = on_error
        self._processor = processor
        self._admit = admit
        self._resource = resource
        self._scope = InstrumentationScope("hedgerow", __version__)
        self._ids = RandomIdGenerator()
        limits = SpanLimits()
        self._most, self._longest = limits.max_span_attributes, limits.max_span_attribute_length
        self._limited = self._longest is not None or (self._most is not None and self._most < MOST_ATTRIBUTES)

    def context(self, parent: SpanContext | None) -> SpanContext:
        """Make the ids of a span: the child of a parent, or the root of a new trace."""
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
        """Make a span, if it is admitted; its times are ns since the epoch."""
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
                    attributes=BoundedAttributes(self._most, attributes, max_value_len=self._longest)
                    if self._limited  # it takes half as long again as all the rest
                    else attributes,
                )
            )
        except Exception:  # noqa: BLE001 (an error of the SDK costs a span, not the request that it is about)
            self._on_error()


class SpanPipeline:
    """Makes spans and exports them; one for each worker."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        """Begin by the OTEL_* variables; raises InvalidSetting, and ValueError from the SDK for its own."""
        limits = BatchLimits()
        self._log = log
        words = _LastLogMessage()
        libraries = logging.getLogger("opentelemetry")
        libraries.handlers, libraries.propagate = [words], False
        self._counts = _Counts()
        self._exporter = _CountingExporter(self._counts, words)
        self._told_trouble = False
        ours = Resource.create(
            {"service.name": "hedgerow", "service.version": __version__, "process.pid": os.getpid()}
        )
        self._batches = BatchSpanProcessor(
            self._exporter,
            max_queue_size=limits.queue,
            max_export_batch_size=limits.batch,
            schedule_delay_millis=limits.delay_ms,
        )
        self.maker = SpanFactory(
            self._batches,
            ours.merge(OTELResourceDetector().detect()),
            # No more than the queue can hold: it would drop them without counting.
            admit=lambda: self._counts.admit(limits.queue),
            on_error=lambda: self._counts.leave(1, exported=False),
        )

    def counts(self) -> dict[str, int]:
        """Tell what became of the spans so far."""
        return self._counts.told()

    def report(self) -> None:
        """Log when the receiver fails, and when it is well again; called about once a second."""
        trouble = self._exporter.trouble
        if trouble is not None and not self._told_trouble:
            self._log.warning("spans cannot be exported", reason=trouble)
        elif trouble is None and self._told_trouble:
            self._log.info("spans are exported again")
        self._told_trouble = trouble is not None

    def close(self, timeout_s: float = FLUSH_S) -> None:
        """Export what waits, for at most `timeout_s`; the rest is dropped. Blocks: called when nothing is served."""
        closing = Thread(target=self._batches.shutdown, name="spans", daemon=True)
        with suppress(RuntimeError):  # no thread can be started
            closing.start()
            closing.join(timeout_s)
        self._counts.end()
        self.report()
