"""What a worker asks of the kernel and of the interpreter before it serves."""

import gc
import os
import resource
import sys
from contextlib import suppress
from fcntl import F_DUPFD, fcntl
from typing import Final

GC_THRESHOLD: Final = 500_000
"""More live containers than any load that the sockets allow makes (20 a request in flight): 100 MB or so."""
PREALLOCATED_DESCRIPTORS: Final = 65_536
"""For this many the kernel's table is made at the start, which takes 512 KiB of its memory; where more are allowed (a
million in many containers) those beyond are rarely used."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def preallocate_descriptor_table(number: int) -> None:
    """Have the kernel make its table of our descriptors as large as it will get, while we have no threads yet.

    It doubles the table when it is full, and in a process with threads the next socket then waits until all CPUs have
    let go of the old table (`expand_fdtable` in Linux's fs/file.c): 7 to 20 ms, six times from 256 descriptors to
    10 000, in which no answer leaves (decision 0012).
    """
    with suppress(OSError):  # the limit is lower than the number: there is nothing to make room for
        os.close(fcntl(sys.stderr.fileno(), F_DUPFD, min(number, PREALLOCATED_DESCRIPTORS) - 1))


def configure_gc() -> None:
    """Make collections rare: each one stops the loop, for 60 ms with 4 000 requests in flight, and finds nothing.

    What exists now is kept for good, so no collection looks at it again. What a request leaves behind is free of
    cycles and goes by itself; a collection is due when `GC_THRESHOLD` more objects live than did after the last one.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 10, 10)
