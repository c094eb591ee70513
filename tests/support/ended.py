"""Waiting for the end of processes that have another parent."""

import os
import select
import time
from collections.abc import Sequence

import psutil


def still_running(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait until they have ended; return those that have not after `timeout_s`.

    A zombie has ended. The children of a parent that was killed are reaped by PID 1: in a container a second or two
    later, or never. `psutil.wait_procs` waits for that too.
    """
    give_up_at = time.monotonic() + timeout_s
    return [process for process in processes if not _ends(process, give_up_at - time.monotonic())]


def _ends(process: psutil.Process, timeout_s: float) -> bool:
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if not process.is_running():  # the number is another's by now
            return True
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)  # readable when it ends: pidfd_open(2)
        return bool(poller.poll(max(0.0, timeout_s) * 1000))
    finally:
        os.close(descriptor)
