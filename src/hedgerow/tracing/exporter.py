"""Exports spans: a bounded queue, a thread of the SDK, and counts of what became of the spans.

A failing collector costs spans and nothing else; they are counted. docs/decisions/0010-tracing.md
"""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from threading import Lock, Thread
from typing import Any, Final

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from structlog.typing import FilteringBoundLogger

from hedgerow import __version__
from hedgerow.settings.redaction import redacted_text
from hedgerow.tracing.exporter_settings import BatchLimits
from hedgerow.tracing.span_factory import SpanFactory

FLUSH_S: Final = 0.5
"""How long a worker that ends waits for its last spans to be exported: a working collector takes milliseconds."""

MAX_RESPONSE_BYTES: Final = 64 * 1024
"""Of a collector's response: one of OTLP has about 100 bytes."""


class _SpanCounter:
    """Counts spans by outcome. Thread-safe: the exporter's thread counts, too."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pending = self._exported = self._failed = self._dropped = 0
        self._closed = False

    def admit(self, capacity: int) -> bool:
        """Count one more pending span, or a dropped one if `capacity` spans are pending."""
        with self._lock:
            if self._closed or self._pending >= capacity:
                self._dropped += 1
                return False
            self._pending += 1
            return True

    def remove(self, spans: int, *, exported: bool) -> None:
        """Count spans that the collector accepted, or did not."""
        with self._lock:
            if self._closed:
                return
            self._pending -= spans
            if exported:
                self._exported += spans
            else:
                self._failed += spans

    def close(self) -> None:
        """Count the pending spans as dropped: nothing is exported from now on."""
        with self._lock:
            self._closed = True
            self._dropped += self._pending
            self._pending = 0

    def snapshot(self) -> dict[str, int]:
        with self._lock:
            return {"exported": self._exported, "failed": self._failed, "dropped": self._dropped}


class _BoundedSession(requests.Session):
    """Reads a bounded part of each response: one without end filled the memory by 100 MB/s."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send, and read at most `MAX_RESPONSE_BYTES` of the response."""
        response = super().send(request, **{**options, "stream": True})
        body = response.raw.read(MAX_RESPONSE_BYTES)
        response.close()
        response.raw = BytesIO(body)
        return response

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Follow no redirect: `requests` would first read the response to its end."""
        del resp
        return None


class _CountingExporter(SpanExporter):
    """The OTLP exporter; records whether it works. The SDK's thread calls its methods."""

    def __init__(self, counts: _SpanCounter, messages: "_LastLogMessage") -> None:
        self._exporter = OTLPSpanExporter(session=_BoundedSession())
        self._counts = counts
        self._messages = messages
        self.error: str | None = None
        """Why the last batch was not exported; None if it was."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            exported = result is SpanExportResult.SUCCESS
            self.error = None if exported else self._messages.last or "unknown"
            self._counts.remove(len(spans), exported=exported)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call] # the SDK's


class _LastLogMessage(logging.Handler):
    """Keeps the last message that the SDK logged: the event loop writes it to the log, not the SDK's thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = redacted_text(record.getMessage())  # it may quote the collector's URL


class SpanPipeline:
    """Makes spans and exports them; one in each worker."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        """Read the OTEL_* variables; raises InvalidSetting, or the SDK's ValueError."""
        limits = BatchLimits()
        self._log = log
        messages = _LastLogMessage()
        libraries = logging.getLogger("opentelemetry")
        libraries.handlers, libraries.propagate = [messages], False
        self._counts = _SpanCounter()
        self._exporter = _CountingExporter(self._counts, messages)
        self._reported_error = False
        own = Resource.create(
            {"service.name": "hedgerow", "service.version": __version__, "process.pid": os.getpid()}
        )
        self._batches = BatchSpanProcessor(
            self._exporter,
            max_queue_size=limits.queue,
            max_export_batch_size=limits.batch,
            schedule_delay_millis=limits.delay_ms,
        )
        self.factory = SpanFactory(
            self._batches,
            own.merge(OTELResourceDetector().detect()),
            # At most what the queue can hold: it would drop spans without counting them.
            admit=lambda: self._counts.admit(limits.queue),
            on_error=lambda: self._counts.remove(1, exported=False),
        )

    def counts(self) -> dict[str, int]:
        """Return the number of spans by outcome."""
        return self._counts.snapshot()

    def report(self) -> None:
        """Log when the export fails, and when it works again. Called about once a second."""
        error = self._exporter.error
        if error is not None and not self._reported_error:
            self._log.warning("spans cannot be exported", reason=error)
        elif error is None and self._reported_error:
            self._log.info("spans are exported again")
        self._reported_error = error is not None

    def close(self, timeout_s: float = FLUSH_S) -> None:
        """Export pending spans for at most `timeout_s`, and drop the rest. Blocks: called when nothing is served."""
        closing = Thread(target=self._batches.shutdown, name="spans", daemon=True)
        with suppress(RuntimeError):  # no thread can be started
            closing.start()
            closing.join(timeout_s)
        self._counts.close()
        self.report()
