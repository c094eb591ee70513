"""What the test process itself has: descriptors and children."""

import os
from pathlib import Path


def open_descriptors() -> set[int]:
    """Return the numbers of the open descriptors."""
    return {int(each.name) for each in Path("/proc/self/fd").iterdir() if each.exists()}


def has_children() -> bool:
    """Return whether there is a child, be it a zombie. Takes the exit code of one."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def take_exit_code(pid: int) -> int:
    """Wait for the end of a child."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
