"""What a test must give back: sockets of this process."""

import os
import socket
from pathlib import Path


def open_sockets() -> set[int]:
    """Return this process' TCP sockets by descriptor; the event loop's own pair is none.

    By asking the descriptors: the kernel's list of connections is that of the whole machine, and may be long.
    """
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        if link.is_socket():
            with socket.socket(fileno=os.dup(int(link.name))) as sock:
                if sock.family in (socket.AF_INET, socket.AF_INET6):
                    found.add(int(link.name))
    return found
