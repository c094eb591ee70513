"""Tuning of the process by a worker before it serves: descriptors, garbage collection."""

import gc
import os
import resource
import sys
from contextlib import suppress
from fcntl import F_DUPFD, fcntl
from typing import Final

GC_THRESHOLD: Final = 500_000
"""More live containers than any load makes that the sockets allow (20 per request in flight): about 100 MB."""
PREALLOCATED_DESCRIPTORS: Final = 65_536
"""The kernel's descriptor table is allocated for this many at the start, which takes 512 KiB of kernel memory; a higher
limit (a million in many containers) is rarely used."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def preallocate_descriptor_table(number: int) -> None:
    """Grow the kernel's descriptor table of this process to its final size, while there are no threads yet.

    It doubles the table when it is full, and in a process with threads the next socket then waits until all CPUs have
    let go of the old table (`expand_fdtable` in Linux's fs/file.c): 7 to 20 ms, six times from 256 descriptors to
    10 000, in which no answer leaves (decision 0012).
    """
    with suppress(OSError):  # the limit is lower
        os.close(fcntl(sys.stderr.fileno(), F_DUPFD, min(number, PREALLOCATED_DESCRIPTORS) - 1))


def configure_gc() -> None:
    """Make collections rare: each one stops the loop, for 60 ms with 4 000 requests in flight, and finds nothing.

    What exists now is kept for good, so no collection looks at it again. What a request leaves behind is free of
    cycles and goes by itself; a collection is due when `GC_THRESHOLD` more objects live than did after the last one.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 10, 10)
