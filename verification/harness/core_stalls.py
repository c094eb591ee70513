"""When the machine took a core from all that runs there: a process of real-time priority sleeps, and wakes up late.

It comes before every other process (sched(7), SCHED_FIFO), so a server that has much to do does not delay it. What does
is the host, for another guest, or the kernel itself; no program on that core answers anything meanwhile. Nor does it
see what other programs take from a server: where that counts, the server has real-time priority, too.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

SLEEP_S = 0.002
"""Between two wake-ups, which take the core for some 30 us each: 1.5 % of it."""
LATE_S = 0.002
"""A wake-up that is this late ends a stall."""
GATEWAY_PRIORITY = 1
"""For a gateway that no ordinary process may delay: the lowest of real time."""
PRIORITY = GATEWAY_PRIORITY + 1
"""The watcher's own: a gateway of that priority must not delay it."""


@dataclass
class CoreStalls:
    """The stalls of a core, as spans of Unix time in nanoseconds, in order."""

    spans: list[tuple[int, int]] = field(default_factory=list)
    watched: bool = False
    """False where a process may not have real-time priority: then nothing is known of stalls."""

    def longest_into(self, since: int, until: int) -> int:
        """Return how long the longest stall had lasted up to `until`, of those that reached into the span before it."""
        lengths = (min(end, until) - begin for begin, end in self.spans if end > since and begin < until)
        return max(lengths, default=0)

    def unexplained(self, late: Sequence[Sequence[int]]) -> list[int]:
        """Return by how many nanoseconds answers were late, where neither core's stall accounts for it.

        Each of `late` is when it came, by how much it was late, and the load generator's own lag (`bench/load`).
        """
        beyond = (
            by - max(own_lag, self.longest_into(came_at - by, came_at)) for came_at, by, own_lag in late
        )
        return [by for by in beyond if by > 0]


@contextlib.contextmanager
def watching(core: int) -> Iterator[CoreStalls]:
    """Watch a core during the block; the stalls are there after it."""
    stalls = CoreStalls()
    watcher = subprocess.Popen(
        [sys.executable, __file__, str(core)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        stalls.watched = watcher.stdout is not None and watcher.stdout.readline() == "watching\n"
        yield stalls
    finally:
        watcher.terminate()
        seen, _ = watcher.communicate()
        stalls.spans += [(int(begin), int(end)) for begin, end in map(str.split, seen.splitlines())]


def judge(stalls: CoreStalls, step: dict[str, Any]) -> None:
    """Add to a step of `bench/load` what of its late answers the server's core does not account for, either."""
    step["late"]["core_watched"] = stalls.watched
    beyond = step["late"]["beyond_own_lag"]
    each = beyond.pop("each", None) or []
    late = stalls.unexplained(each)
    beyond["unexplained"] = {
        "count": len(late) + beyond["count"] - len(each),
        "worst_ms": max(late, default=0) / 1e6,
    }


def watch(core: int) -> None:
    """Print each stall of a core until SIGTERM."""
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    print("watching", flush=True)
    while True:
        asleep_at = time.monotonic_ns()
        time.sleep(SLEEP_S)
        slept_ns = time.monotonic_ns() - asleep_at
        if slept_ns > (SLEEP_S + LATE_S) * 1e9:
            now = time.time_ns()
            print(now - slept_ns, now, flush=True)


if __name__ == "__main__":
    watch(int(sys.argv[1]))
