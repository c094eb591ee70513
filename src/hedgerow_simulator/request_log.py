"""The newest requests, so that a test can join what a gateway sent with what arrived."""

from collections import deque
from itertools import islice
from typing import NamedTuple

from hedgerow_simulator.limits import LOG_ENTRIES


class LogEntry(NamedTuple):
    """One request for work, recorded on arrival. Absent headers and bodies are None, `null` in JSON.

    `body` is the good body, for a fault that delivers one in a valid 200; a client may accept it as a
    success.
    """

    n: int
    request_id: str | None
    attempt: int | None
    fault: str
    body: str | None


class RequestLog:
    """The last LOG_ENTRIES requests of one worker, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[LogEntry] = deque(maxlen=LOG_ENTRIES)

    def add(self, entry: LogEntry) -> None:
        """Add an entry; `entry.n` is one more than that of the entry before it."""
        self._entries.append(entry)

    def after(self, n: int) -> list[LogEntry]:
        """Return the entries numbered above `n` that are still kept."""
        if not self._entries:
            return []
        skipped = max(0, n + 1 - self._entries[0].n)
        return list(islice(self._entries, skipped, None))
