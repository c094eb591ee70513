from collections.abc import Iterable

from hedgerow_simulator.limits import LOG_ENTRIES
from hedgerow_simulator.request_log import LogEntry, RequestLog


def logged(numbers: Iterable[int]) -> RequestLog:
    log = RequestLog()
    for n in numbers:
        log.add(LogEntry(n, None, None, "ok", None))
    return log


def test_after_gives_the_newer_ones() -> None:
    log = logged(range(1, 11))
    assert [entry.n for entry in log.after(7)] == [8, 9, 10]
    assert [entry.n for entry in log.after(0)] == list(range(1, 11))
    assert log.after(10) == []
    assert log.after(99) == []
    assert RequestLog().after(0) == []


def test_only_the_newest_are_kept() -> None:
    log = logged(range(1, LOG_ENTRIES + 6))
    assert len(log.after(0)) == LOG_ENTRIES
    assert log.after(0)[0].n == 6
    assert log.after(LOG_ENTRIES)[0].n == LOG_ENTRIES + 1
