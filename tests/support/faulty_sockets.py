"""A server's sockets, real ones, that date what they receive as the test says, and fail as it says."""

import socket
import struct
from collections.abc import Callable


class Faults:
    """What the sockets of one server do besides their work."""

    def __init__(self) -> None:
        self.queue_age_s: float | None = None
        """How long ago the kernel received what is read next; None leaves it to the kernel."""
        self.while_dated: Callable[[], None] | None = None
        """Called while the kernel is asked for that: what happens meanwhile."""
        self.accepting: list[int] = []
        """Error numbers with which the next calls of `accept` fail."""
        self.reading: list[Exception] = []
        """Exceptions with which the next reads of connections fail."""
        self.shutting_down: list[Exception] = []
        """Exceptions with which the next FINs fail."""


class ListeningSocket(socket.socket):
    """A listening socket on a free port of 127.0.0.1."""

    def __init__(self, faults: Faults | None = None) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.faults = faults or Faults()
        self.bind(("127.0.0.1", 0))

    def accept(self) -> "tuple[socket.socket, object]":
        if self.faults.accepting:
            raise OSError(self.faults.accepting.pop(0), "as the test wants it")
        sock, address = super().accept()
        return ServerSocket(sock, self.faults), address


class ServerSocket(socket.socket):
    """The server's end of a connection."""

    def __init__(self, sock: socket.socket, faults: Faults) -> None:
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self._faults = faults

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        if self._faults.reading:
            raise self._faults.reading.pop(0)
        return super().recv(size, flags)

    def shutdown(self, how: int, /) -> None:
        if self._faults.shutting_down:
            raise self._faults.shutting_down.pop(0)
        super().shutdown(how)

    def getsockopt(self, level: int, option: int, size: int = 0, /) -> "int | bytes":  # type: ignore[override]
        if option == socket.TCP_INFO and size and self._faults.queue_age_s is not None:
            milliseconds = round(self._faults.queue_age_s * 1000)
            if self._faults.while_dated is not None:
                self._faults.while_dated()
            return struct.pack("@52xI", milliseconds)  # `tcpi_last_data_recv`, as `net.tcp` reads it
        return super().getsockopt(level, option, size) if size else super().getsockopt(level, option)
