"""State notifications to systemd (sd_notify(3)).

A notification is a datagram of `KEY=value` lines to the Unix socket in `NOTIFY_SOCKET`. A name that begins with `@` is
in the abstract namespace. Without the variable nothing is sent.
"""

import os
import socket
from contextlib import suppress

READY = "READY=1\nSTATUS=answering"
RELOADING = "RELOADING=1\nSTATUS=replacing the workers"
STOPPING = "STOPPING=1\nSTATUS=answering what is in flight"


def notify(state: str) -> None:
    """Send a state. Errors are ignored: the gateway serves without a service manager, too."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto(state.encode(), address)
