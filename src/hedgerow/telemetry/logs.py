"""Log lines: JSON for machines, a readable line on a terminal; UTC, on stderr.

Logging never blocks. A thread writes the lines; if they are not read, or the disk is full, lines are dropped and
counted. Repeated events are rate-limited: ten per second, then one line with a `suppressed` count.
"""

import logging
import os
import select
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from queue import Full, Queue
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from hedgerow.settings import LogFormat

MAX_WAITING_LINES = 1_000
"""Lines that wait to be written; more are dropped. A pipe that is not read holds 64 KiB more."""
MAX_LINE_CHARACTERS = 32 * 1024
"""Of one line: a stack trace has about 4 KiB. So waiting lines take at most 32 MiB, usually 300 KiB."""
ALIKE_PER_S = 10
"""Lines of one event and one code that are written per second; the others are only counted."""
MAX_KINDS = 100
"""Events, by code, that are counted separately per second: libraries may log any number of different texts."""
MAX_KIND_CHARACTERS = 100
"""Of an event, to distinguish it from others."""
OTHER_KINDS = "other events"
FLUSH_S = 0.5
"""How long a process that ends waits for its last lines to be written."""

_UNLIMITED = "unlimited"


class LineWriter:
    """Writes lines to a descriptor from its own thread, which starts with the first line."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: Queue[str] = Queue(MAX_WAITING_LINES)
        self._thread: Thread | None = None
        self._rejected = 0
        self._unwritten = 0
        self._works = True

    @property
    def dropped(self) -> int:
        """Return the number of dropped lines: the queue was full, or writing failed."""
        return self._rejected + self._unwritten

    @property
    def is_idle(self) -> bool:
        """Return whether all lines are written, the last one successfully."""
        return self._works and not self._waiting.unfinished_tasks

    def write(self, line: str) -> None:
        """Queue a line, or drop it. Never blocks and never raises."""
        try:
            self._start_thread()
            self._waiting.put_nowait(line[:MAX_LINE_CHARACTERS])
        except (
            Full,
            RuntimeError,
            MemoryError,
        ):  # no room, or no thread to be had: the next line tries again
            self._rejected += 1

    def _start_thread(self) -> None:
        """Start the thread with the first line, or if it has ended."""
        if self._thread is None or not self._thread.is_alive():
            thread = Thread(target=self._run, name="log", daemon=True)
            thread.start()
            self._thread = thread

    def flush(self, timeout_s: float = FLUSH_S) -> None:
        """Wait until all lines are written or dropped, for at most `timeout_s`."""
        with self._waiting.all_tasks_done:
            self._waiting.all_tasks_done.wait_for(lambda: not self._waiting.unfinished_tasks, timeout_s)

    def _run(self) -> None:
        while True:
            line = self._waiting.get()
            try:
                self._write((line + "\n").encode(errors="backslashreplace"))
                self._works = True
            except Exception:  # noqa: BLE001 (a full disk, a closed pipe, no memory: the next line may succeed)
                self._works = False
                self._unwritten += 1
            finally:
                self._waiting.task_done()

    def _write(self, data: bytes) -> None:
        """Write one line in one call where possible, so that lines of several processes do not interleave."""
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # a process that shares stderr has made it non-blocking
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()


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
                (structlog.processors.format_exc_info, structlog.processors.JSONRenderer())
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
