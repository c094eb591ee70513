"""A socket that a connect has opened, until TCP is established."""

import socket
from errno import EINPROGRESS, ENOSPC
from typing import TYPE_CHECKING

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.eventloop.poller import WRITABLE
from hedgerow.upstream.endpoint import Endpoint

if TYPE_CHECKING:
    from hedgerow.upstream.connecting import Connecting


class TcpSocket(EventHandler):
    """One socket of a `Connecting`; it reports how its connect has ended."""

    __slots__ = ("_connecting", "endpoint", "sock")

    def __init__(self, connecting: "Connecting", sock: socket.socket, endpoint: Endpoint) -> None:
        self._connecting = connecting
        self.sock = sock
        self.endpoint = endpoint

    def connect(self, loop: EventLoop) -> int:
        """Begin to connect, watched by `loop`. Return the number of the error, or 0."""
        error_number = self.sock.connect_ex(self.endpoint.address[4])
        if error_number not in (0, EINPROGRESS):
            return error_number
        try:
            loop.register(self.sock.fileno(), self, WRITABLE)
        except OSError as error:  # ENOSPC: as many descriptors are watched as may be (epoll_ctl(2))
            return error.errno or ENOSPC
        return 0

    def on_ready(self, _mask: int) -> None:
        """Report that it has connected or failed."""
        self._connecting.tcp_ended(self, self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def abort(self) -> None:
        """Give up, since `on_ready` has raised."""
        self._connecting.abort()
