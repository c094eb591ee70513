"""The listening sockets of the server, and their URL."""

import os
import socket

from hedgerow_simulator.limits import LISTEN_BACKLOG


def listen(host: str, port: int, *, count: int) -> list[socket.socket]:
    """Open `count` listening sockets on one address; port 0 chooses a free one. Raises OSError.

    Several share the port by SO_REUSEPORT, and the kernel spreads connections over them. With that option
    alone a second server would silently share the port of a first one, so the port is first bound without
    it, which fails if it is in use, and then bound again.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    alone = socket.socket(family, kind, protocol)
    try:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(address)
        alone.listen(LISTEN_BACKLOG)
        taken = alone.getsockname()
    except OSError:
        alone.close()
        raise
    if count == 1:
        return [alone]
    alone.close()
    return _listen_shared(family, taken, count)


def inherit_listener(descriptor: int) -> socket.socket:
    """Return the listening socket that the parent process has opened. Raises OSError."""
    os.set_inheritable(descriptor, False)
    inherited = socket.socket(fileno=descriptor)
    inherited.listen(LISTEN_BACKLOG)
    return inherited


def _listen_shared(family: int, address: tuple[str, int], count: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            shared = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(shared)
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            shared.bind(address)
            shared.listen(LISTEN_BACKLOG)
    except OSError:
        for shared in sockets:
            shared.close()
        raise
    return sockets


def work_url(listener: socket.socket) -> str:
    """Return the URL of `/api/work` on this socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/api/work" if ":" in host else f"http://{host}:{port}/api/work"
