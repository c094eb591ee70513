"""The two ends of a connection: a socket of the gateway's with its kernel, and the peer at the other end.

Between them are streams of bytes with latency, cut at any byte, ended by FIN or RST.
"""

from collections import deque
from collections.abc import Callable
from errno import EBADF, ECONNREFUSED, ECONNRESET, EPIPE
from random import Random
from socket import AF_INET, SO_ERROR, SO_LINGER
from struct import Struct
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from prove.world.network import Network

LAST_DATA_RECV = Struct("@52xI")
"""What the gateway reads of `struct tcp_info`."""
CUTS = 0.15
"""Share of what is sent that arrives in several pieces."""
SPIKES = 0.02
SPIKE_S = 0.04
"""Share of pieces that take up to so much longer."""
SHORT_SENDS = 0.03
"""Share of sends of which the kernel takes only a part."""


class End:
    """One end of a connection."""

    def __init__(self, network: "Network", latency_s: float, chance: Random) -> None:
        self.network = network
        self.closed = False
        self.peer: End | None = None
        self._latency_s = latency_s
        self._chance = chance
        self._out_at = 0.0

    def pair(self, peer: "End") -> None:
        self.peer, peer.peer = peer, self

    def arrives_at(self, at: float) -> float:
        """Draw when what leaves now arrives: never before what left earlier."""
        chance = self._chance
        latency_s = self._latency_s * (0.8 + 0.4 * chance.random())
        if chance.random() < SPIKES:
            latency_s += chance.random() * SPIKE_S
        self._out_at = max(self._out_at + 1e-9, at + latency_s)
        return self._out_at

    def transmit(self, at: float, data: bytes) -> tuple[float, float]:
        """Send bytes, perhaps in several pieces; tells when the first and the last of them arrive."""
        chance, peer = self._chance, self.peer
        assert peer is not None
        first_at = last_at = 0.0
        pieces = [data]
        if len(data) > 1 and chance.random() < CUTS:
            cuts = sorted({chance.randrange(1, len(data)) for _ in range(chance.randint(1, 3))})
            pieces = [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        for piece in pieces:
            last_at = self.arrives_at(at)
            first_at = first_at or last_at
            self.network.at(last_at, peer.arrived, piece)
        return first_at, last_at

    def transmit_end(self, at: float) -> float:
        assert self.peer is not None
        ends_at = self.arrives_at(at)
        self.network.at(ends_at, self.peer.ended)
        return ends_at

    def transmit_reset(self, at: float) -> float:
        assert self.peer is not None
        ends_at = self.arrives_at(at)
        self.network.at(ends_at, self.peer.was_reset)
        return ends_at

    def arrived(self, at: float, data: bytes) -> None:
        raise NotImplementedError

    def ended(self, at: float) -> None:
        raise NotImplementedError

    def was_reset(self, at: float) -> None:
        raise NotImplementedError


class SimulatedSocket(End):
    """A socket of the gateway: what of `socket.socket` it uses, and what its kernel does."""

    family = AF_INET

    def __init__(self, network: "Network") -> None:
        super().__init__(network, 0.0, network.chance)
        self.reader: Callable[[], None] | None = None
        self.writer: Callable[[], None] | None = None
        self.backlog: deque[SimulatedSocket] = deque()
        self.window = 64 * 1024
        self.sent: list[tuple[int, float]] = []
        """How many bytes had been sent when."""
        self._connected = self._shut = self._eof = self._lingers_not = False
        self._error = 0
        self._inbox = b""
        self._last_at = network.now
        self._outstanding = 0
        self._sent_bytes = 0
        network.sockets[self] = None

    def join(self, peer: "PeerEnd") -> None:
        """Be connected."""
        self.pair(peer)
        self._connected = True

    def pair(self, peer: End) -> None:
        super().pair(peer)
        assert isinstance(peer, PeerEnd)
        self._latency_s, self._chance = peer.latency_s, Random(peer.seed)
        self.window = peer.window

    # -- what happens to it

    def established(self, at: float) -> None:
        if self.closed:
            self.transmit_reset(at)
        else:
            self._connected = True
            self.network.touched(self)

    def failed(self, _: float, error: int = ECONNREFUSED) -> None:
        """Connecting has failed."""
        self._error = error
        self.network.touched(self)

    def arrived(self, at: float, data: bytes) -> None:
        if self.closed:
            self.transmit_reset(at)
            return
        self._inbox += data
        self._last_at = at
        self.network.touched(self)

    def ended(self, _: float) -> None:
        self._eof = True
        self.network.touched(self)

    def was_reset(self, _: float) -> None:
        self._error = ECONNRESET
        self.network.touched(self)

    def consumed(self, size: int) -> None:
        """Its peer has read so much."""
        self._outstanding -= size
        self.network.touched(self)

    # -- what the loop asks

    @property
    def readable(self) -> bool:
        return not self.closed and bool(
            self.backlog or self._inbox or self._eof or (self._error and self._connected)
        )

    @property
    def writable(self) -> bool:
        return not self.closed and (self._error != 0 or (self._connected and self._outstanding < self.window))

    # -- the methods of sockets

    def setblocking(self, _: bool) -> None:
        """It never blocks."""

    def listen(self, _: int) -> None:
        """It does."""

    def setsockopt(self, _: int, option: int, __: object) -> None:
        if option == SO_LINGER:
            self._lingers_not = True

    def getsockopt(self, _: int, option: int, size: int = 0) -> int | bytes:
        if size:  # TCP_INFO
            return LAST_DATA_RECV.pack(int((self.network.now - self._last_at) * 1000))
        assert option == SO_ERROR
        error, self._error = self._error, 0
        return error

    def connect_ex(self, _: object) -> int:
        return self.network.upstream(self.network.now, self)

    def accept(self) -> "tuple[SimulatedSocket, object]":
        if self.closed:
            raise OSError(EBADF, "closed")
        if not self.backlog:
            raise BlockingIOError
        return self.backlog.popleft(), ("192.0.2.9", 9)

    def recv(self, size: int) -> bytes:
        if self._inbox:
            data, self._inbox = self._inbox[:size], self._inbox[size:]
            return data
        if self._error:
            raise OSError(self._error, "recv")
        return b""

    def send(self, data: bytes) -> int:
        if self.closed or self._shut or self._error:
            raise OSError(EBADF if self.closed else self._error or EPIPE, "send")
        room = self.window - self._outstanding
        if not self._connected or room <= 0:
            raise BlockingIOError
        size = min(len(data), room)
        if self._chance.random() < SHORT_SENDS:
            size = self._chance.randint(1, size)
        self.transmit(self.network.now, data[:size])
        self._outstanding += size
        self._sent_bytes += size
        self.sent.append((self._sent_bytes, self.network.now))
        return size

    def shut(self) -> None:
        """`shutdown(SHUT_WR)`."""
        if not (self.closed or self._shut or self._error):
            self._shut = True
            self.transmit_end(self.network.now)

    def detach(self) -> int:
        """Its transport closes it."""
        return 0

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.reader = self.writer = None
        del self.network.sockets[self]
        for waiting in self.backlog:
            waiting.close()
        if self._connected and not self._error:
            if self._inbox or self._lingers_not:
                self.transmit_reset(self.network.now)
            elif not self._shut:
                self.transmit_end(self.network.now)


class Actor(Protocol):
    """Who is at the other end: a caller, or the upstream."""

    def on_connected(self, at: float) -> None: ...
    def on_data(self, at: float, data: bytes) -> None: ...
    def on_end(self, at: float, *, reset: bool) -> None: ...


class PeerEnd(End):
    """The end that is not the gateway's."""

    def __init__(
        self, network: "Network", actor: Actor, *, latency_s: float, seed: int, window: int = 64 * 1024
    ) -> None:
        super().__init__(network, latency_s, Random(seed))
        self.latency_s = latency_s
        self.seed = seed ^ 1
        self.window = window
        """So much may be under way to it, or unread."""
        self.deaf = False
        """It does not read what arrives."""
        self.actor: Actor = actor
        self._unread = b""

    def connect(self, at: float) -> None:
        """Connect to the gateway; `on_connected` or `on_end` is told."""
        arrives_at = self.arrives_at(at)
        self.network.at(arrives_at, self.network.reach, self)
        self.network.at(arrives_at + self.latency_s, self._connected)

    def _connected(self, at: float) -> None:
        if self.peer is not None and not self.closed:
            self.actor.on_connected(at)

    def refused(self, at: float) -> None:
        self.closed = True
        self.network.at(at + self.latency_s, self._told_refused)

    def _told_refused(self, at: float) -> None:
        self.actor.on_end(at, reset=True)

    def arrived(self, at: float, data: bytes) -> None:
        if self.closed:
            self.transmit_reset(at)
            return
        self._unread += data
        if not self.deaf:
            self.read(at)

    def read(self, at: float) -> None:
        """Read what has arrived."""
        data, self._unread = self._unread, b""
        if data:
            assert isinstance(self.peer, SimulatedSocket)
            self.peer.consumed(len(data))
            self.actor.on_data(at, data)

    def ended(self, at: float) -> None:
        if not self.closed:
            self.read(at)
            self.actor.on_end(at, reset=False)

    def was_reset(self, at: float) -> None:
        if not self.closed:
            self.read(at)
            self.closed = True
            self.actor.on_end(at, reset=True)

    def end(self, at: float) -> float:
        """Send FIN and read on; tells when it arrives."""
        return self.transmit_end(at)

    def close(self, at: float, *, reset: bool = False) -> float:
        """Close by FIN, or RST; tells when that arrives. With bytes unread it is a RST, as in any kernel."""
        self.closed = True
        return self.transmit_reset(at) if reset or self._unread else self.transmit_end(at)
