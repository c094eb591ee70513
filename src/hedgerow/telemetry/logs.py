"""Log lines: JSON for machines, a readable line on a terminal; UTC, on stderr.

Logging never blocks (`line_writer.py`). Repeated events are rate-limited: ten per second, then one line with a
`suppressed` count.
"""

import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic
from types import TracebackType
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from hedgerow.settings import LogFormat
from hedgerow.telemetry.line_writer import MAX_LINE_CHARACTERS, LineWriter

ALIKE_PER_S = 10
"""Lines of one event and one code that are written per second; the others are only counted."""
MAX_KINDS = 100
"""Events, by code, that are counted separately per second: libraries may log any number of different texts."""
MAX_KIND_CHARACTERS = 100
"""Of an event, to distinguish it from others."""
OTHER_KINDS = "other events"

_UNLIMITED = "unlimited"


@dataclass(slots=True)
class _Window:
    """The lines of one kind in one second."""

    ends_at: float
    level: str
    written: int = 0
    suppressed: int = 0


class RateLimiter:
    """A structlog processor that limits the rate of each event, and counts suppressed lines."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, str], _Window] = {}

    def __call__(self, _: WrappedLogger, level: str, event: EventDict) -> EventDict:
        if event.pop(_UNLIMITED, False):
            return event
        now = self._clock()
        kind = str(event.get("event"))[:MAX_KIND_CHARACTERS], str(event.get("code", ""))
        if kind not in self._windows and len(self._windows) >= MAX_KINDS:
            kind = OTHER_KINDS, ""
        window = self._windows.get(kind)
        if window is None:
            window = self._windows[kind] = _Window(now + 1.0, level)
        elif window.ends_at <= now:  # not reported yet: the suppressed lines are kept until then
            window.ends_at, window.written = now + 1.0, 0
        if window.written < ALIKE_PER_S:
            window.written += 1
            return event
        window.suppressed += 1
        raise structlog.DropEvent

    def pop_ended(self, *, at_the_end: bool = False) -> list[tuple[str, str, _Window]]:
        """Remove the windows that have ended, or all; return those with suppressed lines."""
        now = inf if at_the_end else self._clock()
        ended = [(event, code) for (event, code), window in self._windows.items() if window.ends_at <= now]
        windows = [(event, code, self._windows.pop((event, code))) for event, code in ended]
        return [(event, code, window) for event, code, window in windows if window.suppressed]


class Logs:
    """The log of one process."""

    def __init__(self, log_format: LogFormat, level: str, descriptor: int = 2) -> None:
        """`level` is a level name of `logging`, in upper or lower case."""
        self._sink = LineWriter(descriptor)
        self._limiter = RateLimiter()
        self._reported_dropped = 0
        terminal = os.isatty(descriptor)
        as_json = log_format is LogFormat.JSON or (log_format is LogFormat.AUTO and not terminal)
        self._unformatted = 0
        processors: list[Processor] = [
            self._limiter,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(
                (structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_to_json))
                if as_json
                else (structlog.dev.ConsoleRenderer(colors=terminal),)
            ),
        ]
        self._processors = processors
        wrapper = structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()])
        self.log: FilteringBoundLogger = wrapper(_Lines(self._sink), processors=[self._make_line], context={})  # type: ignore[call-arg]

    @property
    def dropped(self) -> int:
        """Return the number of dropped lines."""
        return self._sink.dropped + self._unformatted

    def _make_line(self, logger: WrappedLogger, level: str, event: EventDict) -> Any:
        """Run the processors. An exception costs the line, never the request that it is about."""
        line: Any = event
        try:
            for processor in self._processors:
                line = processor(logger, level, line)
        except structlog.DropEvent:
            raise
        except Exception:  # noqa: BLE001 (a value whose `repr` raises, no memory)
            self._unformatted += 1
            raise structlog.DropEvent from None
        return line

    def summarise(self, *, at_the_end: bool = False) -> None:
        """Log how many lines were suppressed or dropped. Called about once a second."""
        dropped = self.dropped - self._reported_dropped
        if dropped and self._sink.is_idle:
            self._reported_dropped += dropped
            self.log.warning("log lines dropped", lines=dropped)
        for event, code, window in self._limiter.pop_ended(at_the_end=at_the_end):
            fields = {"code": code} if code else {}
            write = getattr(self.log, window.level)
            write(event, **fields, suppressed=window.suppressed, **{_UNLIMITED: True})

    def close(self) -> None:
        """Write the waiting lines, for at most `FLUSH_S`; then the process may end."""
        self.summarise(at_the_end=True)
        self._sink.flush()

    def flush(self, timeout_s: float) -> None:
        """Wait until the waiting lines are written, for at most `timeout_s`."""
        self._sink.flush(timeout_s)

    def catch_all(self) -> None:
        """Also write what libraries log with `logging`, and uncaught exceptions."""
        logging.basicConfig(handlers=[_FromLogging(self.log)], level=logging.WARNING, force=True)
        sys.excepthook = self._log_uncaught

    def _log_uncaught(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        self.log.critical("unhandled exception ends the process", exc_info=(kind, error, trace))
        self.close()


def unlimited(log: FilteringBoundLogger) -> FilteringBoundLogger:
    """Return a logger without rate limit: for the access log, which has a line for each request."""
    return log.bind(**{_UNLIMITED: True})


def _to_json(event: EventDict, default: Callable[[object], object]) -> str:
    """Return an event as JSON that fits a line: its texts are cut as far as needed."""
    line, longest = _encoded(event, default), MAX_LINE_CHARACTERS
    while len(line) > MAX_LINE_CHARACTERS and longest:
        longest //= 2
        event = {name: value[:longest] if isinstance(value, str) else value for name, value in event.items()}
        line = _encoded(event, default)
    return line


def _encoded(event: EventDict, default: Callable[[object], object]) -> str:
    """Return an event as JSON. msgspec takes a quarter less of a line's CPU than `json`, which it leaves one case."""
    try:
        return msgspec.json.encode(event, enc_hook=default).decode()
    except UnicodeEncodeError:  # bytes that were no UTF-8, of a file's name for instance
        return json.dumps(event, default=default)


class _Lines:
    """The logger that structlog wraps: each of its methods writes a line."""

    def __init__(self, sink: LineWriter) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.exception = sink.write


class _FromLogging(logging.Handler):
    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        more: dict[str, Any] = {"exc_info": record.exc_info} if record.exc_info else {}
        self._log.log(record.levelno, record.getMessage(), logger=record.name, **more)
