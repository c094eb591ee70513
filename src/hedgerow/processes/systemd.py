"""Telling the service manager how we are doing, by systemd's notification protocol (sd_notify(3)).

A datagram of `KEY=value` lines to the Unix socket that `NOTIFY_SOCKET` names. A name that begins with `@` is of the
abstract namespace. Without the variable nobody wants to know, and nothing is sent.
"""

import os
import socket
from contextlib import suppress

READY = "READY=1\nSTATUS=answering"
RELOADING = "RELOADING=1\nSTATUS=replacing the workers"
STOPPING = "STOPPING=1\nSTATUS=answering what is in flight"


def notify(state: str) -> None:
    """Send a state; a service manager that cannot be reached is no reason to stop serving."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto(state.encode(), address)
