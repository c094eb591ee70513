"""A socket that a connect has opened, until TCP is established."""

import socket
from typing import TYPE_CHECKING

from hedgerow.eventloop.event_handler import EventHandler
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

    def on_ready(self, _mask: int) -> None:
        """Report that it has connected or failed."""
        self._connecting.tcp_ended(self, self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def abort(self) -> None:
        """Give up, since `on_ready` has raised."""
        self._connecting.abort()
