"""Log lines: JSON for machines, a readable line on a terminal; UTC, on stderr."""

import logging
import sys

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from hedgerow.settings import LogFormat


def logger(log_format: LogFormat, level: str) -> FilteringBoundLogger:
    """Make the logger of this process. `level` is one of logging's own names, in any case."""
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.EventRenamer("event"),
    ]
    as_json = log_format is LogFormat.JSON or (log_format is LogFormat.AUTO and not sys.stderr.isatty())
    if as_json:
        processors = [*shared, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        processors = [*shared, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    wrapper = structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()])
    return wrapper(structlog.PrintLogger(sys.stderr), processors=processors, context={})  # type: ignore[call-arg]
