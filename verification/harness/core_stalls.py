"""When the machine took a core from a server: a process of real-time priority sleeps there, and looks when it wakes up.

It comes before every other process (sched(7), SCHED_FIFO), so a server that has much to do does not delay it. If it
wakes up late, the host took the core, for another guest, or the kernel itself. What other programs took, of a higher
priority than the server's for instance, is the time for which the server was ready and did not run. The kernel counts
it (`/proc/PID/schedstat`, the second number, in nanoseconds; Documentation/scheduler/sched-stats.rst).
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from hedgerow.eventloop.deadlines import MAX_MARGIN_S

SLEEP_S = 0.002
"""Between two wake-ups, which take the core for some 30 us each: 1.5 % of it."""
LATE_S = 0.002
"""A wake-up that is this late ends a stall."""
KEPT_S = 0.00025
"""A stall is what keeps a server from its core for more than this between two wake-ups: the watcher takes 0.03 ms."""
ACCOUNT_BYTES = 100
"""More than three numbers of 64 bits have."""
GATEWAY_PRIORITY = 1
"""For a gateway that no ordinary process may delay: the lowest of real time."""
PRIORITY = GATEWAY_PRIORITY + 1
"""The watcher's own: a gateway of that priority must not delay it."""


@dataclass
class CoreStalls:
    """When a server did not have its core, as spans of Unix time in nanoseconds, in the order of their ends."""

    spans: list[tuple[int, int]] = field(default_factory=list)
    watched: bool = False
    """False where a process may not have real-time priority: then nothing is known of stalls."""

    def taken_by(self, since: int, until: int) -> int:
        """Return how long the stalls that reached into a span of time had lasted up to its end."""
        return sum(min(end, until) - begin for begin, end in self.spans if end > since and begin < until)

    def unexplained(self, late: Sequence[Sequence[int]]) -> list[int]:
        """Return by how many nanoseconds answers were late, where neither core's stalls account for it.

        Each of `late` is when it came, by how much it was late, and the load generator's own lag (`bench/load`).
        Answers leave up to `MAX_MARGIN_S` early, to make up for stalls: one that was over before explains nothing.
        """
        margin = int(MAX_MARGIN_S * 1e9)
        beyond = (
            by - max(own_lag, self.taken_by(came_at - by - margin, came_at)) for came_at, by, own_lag in late
        )
        return [by for by in beyond if by > 0]


@contextlib.contextmanager
def watching(core: int, processes: Sequence[int]) -> Iterator[CoreStalls]:
    """Watch a core and a server's processes on it during the block; the stalls are there after it."""
    stalls = CoreStalls()
    watcher = subprocess.Popen(
        [sys.executable, __file__, str(core), *map(str, processes)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        stalls.watched = watcher.stdout is not None and watcher.stdout.readline() == "watching\n"
        yield stalls
    finally:
        watcher.terminate()
        seen, _ = watcher.communicate()
        stalls.spans += [(int(begin), int(end)) for begin, end in map(str.split, seen.splitlines())]


def judge(stalls: CoreStalls, step: dict[str, Any]) -> None:
    """Add to a step of `bench/load` what of its late answers and rejections the server's core does not account for."""
    step["late"]["core_watched"] = stalls.watched
    beyond = step["late"]["beyond_own_lag"]
    beyond["unexplained"] = _judged(stalls, beyond.pop("each", None) or [], beyond["count"])
    rejected = step["rejected_after_a_quarter"]
    each = step.pop("each_rejected_after_a_quarter", None) or []
    rejected["unexplained"] = _judged(stalls, each, rejected["count"])


def _judged(stalls: CoreStalls, each: Sequence[Sequence[int]], count: int) -> dict[str, float]:
    """Return what is unexplained of answers that were late; of `count` not all may have been kept."""
    late = stalls.unexplained(each)
    return {"count": len(late) + count - len(each), "worst_ms": max(late, default=0) / 1e6}


def watch(core: int, processes: Sequence[int]) -> None:
    """Watch a core until SIGTERM, and print its stalls then: a pipe that is not read meanwhile is full soon."""
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    ended = Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    accounts = [os.open(f"/proc/{process}/schedstat", os.O_RDONLY) for process in processes]
    print("watching", flush=True)
    spans: list[tuple[int, int]] = []
    delays_ns = [run_delay_ns(account) for account in accounts]
    while not ended.is_set():
        asleep_at = time.monotonic_ns()
        time.sleep(SLEEP_S)
        slept_ns = time.monotonic_ns() - asleep_at
        before, delays_ns = delays_ns, [run_delay_ns(account) for account in accounts]
        kept_ns = max((now - then for then, now in zip(before, delays_ns, strict=True)), default=0)
        if slept_ns > (SLEEP_S + LATE_S) * 1e9:
            kept_ns = max(kept_ns, slept_ns)
        if kept_ns > KEPT_S * 1e9:
            now = time.time_ns()
            spans.append((now - kept_ns, now))
    for begin, end in spans:
        print(begin, end)


def run_delay_ns(account: int) -> int:
    """Return how long the process was ready and did not run whose `schedstat` this descriptor is of; 0 once it is gone.

    The kernel adds a wait when it is over. The file is kept open: a look takes 1 µs.
    """
    try:
        return int(os.pread(account, ACCOUNT_BYTES, 0).split()[1])
    except ProcessLookupError:
        return 0


if __name__ == "__main__":
    watch(int(sys.argv[1]), [int(process) for process in sys.argv[2:]])
