"""The gateway's sockets: what of `socket.socket` it calls, and what its kernel does."""

from collections import deque
from collections.abc import Callable
from errno import EBADF, ECONNREFUSED, ECONNRESET, EINPROGRESS, ENOTCONN, EPIPE
from random import Random
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from socket import AF_INET, SO_ERROR, SO_LINGER
from struct import Struct
from typing import Any

from verification.simulation.endpoints import End, PeerEnd
from verification.simulation.poller import File, Kernel

LAST_DATA_RECV = Struct("@52xI")
"""What the gateway reads of `struct tcp_info`."""
SHORT_SENDS = 0.03
"""Share of sends of which the kernel takes only a part."""
RECV_S = 4e-6
SEND_S = 8e-6
ACCEPT_S = 8e-6
CONNECT_S = 20e-6
OPTION_S = 1e-6
"""What system calls take of the process's time."""

CLIENT_ADDRESS = "198.51.100.7"

Operation = Callable[[str, "SimulatedSocket"], None]


class SimulatedSocket(File, End):
    """A socket of the gateway."""

    family = AF_INET

    def __init__(self, kernel: Kernel, chance: Random, on_operation: Operation, *, role: str) -> None:
        """`on_operation` is called with the name of each system call that reads, sends or closes."""
        End.__init__(self, kernel.timeline, 0.0, chance)
        File.__init__(self, kernel, opened=role != "client")
        self.role = role
        """`listener`, `client` or `upstream`."""
        self.backlog: deque[SimulatedSocket] = deque()
        self.window = 64 * 1024
        self.connect: Callable[[SimulatedSocket, Any], int] = _not_connectable
        self.sent: list[tuple[int, float]] = []
        """How many bytes had been sent when."""
        self.received: list[tuple[float, int]] = []
        """When how many bytes were read."""
        self.aborted = False
        """It was closed by RST: what it had sent may be lost."""
        self.ended_at: float | None = None
        """When its FIN was sent."""
        self.closed_at: float | None = None
        self.saw_end = False
        """The peer had ended or broken the connection before this was closed."""
        self.accepted = False
        self.max_offered = 0
        """The most bytes that a send was given."""
        self._on_operation = on_operation
        self._connected = self._shut = self._eof = self._lingers_not = self._dead = False
        self._error = 0
        self._inbox = b""
        self._last_at = self.timeline.now
        self._outstanding = 0
        self._sent_bytes = 0

    def pair(self, peer: End) -> None:
        super().pair(peer)
        assert isinstance(peer, PeerEnd)
        self._latency_s, self._chance = peer.latency_s, Random(peer.seed)
        self.window = peer.window

    def accept_from(self, peer: PeerEnd) -> None:
        """Be the server's end of a connection that a client has opened."""
        self.pair(peer)
        self._connected = True

    # -- what happens to it

    def established(self, at: float) -> None:
        if self.closed:
            self.transmit_reset(at)
        elif not self._dead:
            self._connected = True
            self.changed()

    def failed(self, _: float, error: int = ECONNREFUSED) -> None:
        """Called when connecting has failed."""
        self._error, self._dead = error, True
        self.changed()

    def arrived(self, at: float, data: bytes) -> None:
        if self.closed or self._dead:
            self.transmit_reset(at)
            return
        self._inbox += data
        self._last_at = at
        self.changed()

    def ended(self, _: float) -> None:
        self._eof = True
        self.changed()

    def was_reset(self, _: float) -> None:
        self.failed(_, ECONNRESET)

    def consumed(self, size: int) -> None:
        self._outstanding -= size
        self.changed()

    def readiness(self) -> int:
        """As tcp_poll() of Linux."""
        if self.role == "listener":
            return EPOLLIN if self.backlog else 0
        if self._dead:
            error = EPOLLERR if self._error else 0
            return EPOLLHUP | EPOLLIN | EPOLLOUT | EPOLLRDHUP | error
        if not self._connected:
            return 0
        mask = 0
        if self._inbox:
            mask |= EPOLLIN
        if self._eof:
            mask |= EPOLLIN | EPOLLRDHUP
            if self._shut:
                mask |= EPOLLHUP
        if self._shut or self._outstanding < self.window:
            mask |= EPOLLOUT
        return mask

    # -- the methods of `socket.socket`

    def setblocking(self, _: bool) -> None:
        """It never blocks."""

    def listen(self, _: int) -> None:
        """It does."""

    def setsockopt(self, _: int, option: int, __: object) -> None:
        self._call("setsockopt", OPTION_S)
        if option == SO_LINGER:
            self.set_rst_on_close()

    def set_rst_on_close(self) -> None:
        self._lingers_not = True

    def getpeername(self) -> tuple[str, int]:
        return CLIENT_ADDRESS, 50_000

    def getsockopt(self, _: int, option: int, size: int = 0) -> int | bytes:
        self._call("getsockopt", OPTION_S)
        if size:  # TCP_INFO
            return LAST_DATA_RECV.pack(int((self.timeline.now - self._last_at) * 1000))
        assert option == SO_ERROR
        return self._take_error()

    def connect_ex(self, address: object) -> int:
        self._call("connect", CONNECT_S)
        return self.connect(self, address)

    def accept(self) -> "tuple[SimulatedSocket, object]":
        self._call("accept", ACCEPT_S)
        if not self.backlog:
            raise BlockingIOError
        sock = self.backlog.popleft()
        sock.open()
        sock.accepted = True
        return sock, ("192.0.2.9", 9)

    def recv(self, size: int) -> bytes:
        self._call("recv", RECV_S)
        if self._inbox:
            data, self._inbox = self._inbox[:size], self._inbox[size:]
            self.received.append((self.timeline.now, len(data)))
            return data
        if self._error:
            raise OSError(self._take_error(), "recv")
        if self._eof or self._dead:
            return b""
        raise BlockingIOError

    def send(self, data: bytes | memoryview) -> int:
        self._call("send", SEND_S)
        self.max_offered = max(self.max_offered, len(data))
        if self._error:
            raise OSError(self._take_error(), "send")
        if self._dead or self._shut:
            raise BrokenPipeError(EPIPE, "send")
        room = self.window - self._outstanding
        if not self._connected or room <= 0:
            raise BlockingIOError
        size = min(len(data), room)
        if self._chance.random() < SHORT_SENDS:
            size = self._chance.randint(1, size)
        self.transmit(self.timeline.now, bytes(data[:size]))
        self._outstanding += size
        self._sent_bytes += size
        self.sent.append((self._sent_bytes, self.timeline.now))
        return size

    def shutdown(self, _: int) -> None:
        self._call("shutdown", OPTION_S)
        if self._dead or not self._connected:
            raise OSError(ENOTCONN, "shutdown")
        if not self._shut:
            self._shut = True
            self.ended_at = self.timeline.now
            self.transmit_end(self.timeline.now)
            self.changed()

    def close(self) -> None:
        if self.closed:
            return
        self._call("close", OPTION_S)
        self.release()
        self.closed_at = self.timeline.now
        self.saw_end = self._eof or self._dead
        for waiting in self.backlog:
            waiting.set_rst_on_close()
            waiting.close()
        if self._connected and not self._dead:
            if self._inbox or self._lingers_not:
                self.aborted = True
                self.transmit_reset(self.timeline.now)
            elif not self._shut:
                self.transmit_end(self.timeline.now)

    @property
    def sent_bytes(self) -> int:
        return self._sent_bytes

    def _call(self, name: str, takes_s: float) -> None:
        if self.closed:
            raise OSError(EBADF, name)
        self._on_operation(name, self)
        self.timeline.charge(takes_s)
        self.timeline.run_due()

    def _take_error(self) -> int:
        error, self._error = self._error, 0
        return error


def _not_connectable(_: SimulatedSocket, __: Any) -> int:
    return EINPROGRESS
