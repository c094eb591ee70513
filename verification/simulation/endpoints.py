"""The ends of simulated connections: what both have in common, and the end that is not the gateway's.

Between the two ends of a connection are streams of bytes with latency, cut at any byte, ended by FIN or RST.
"""

from random import Random
from typing import Protocol

from verification.simulation.timeline import Timeline

CUTS = 0.15
"""Share of what is sent that arrives in several pieces."""
SPIKES = 0.02
"""Share of pieces that take up to `SPIKE_S` longer."""
SPIKE_S = 0.04


class End:
    """One end of a connection."""

    def __init__(self, timeline: Timeline, latency_s: float, chance: Random) -> None:
        self.timeline = timeline
        self.closed = False
        self.peer: End | None = None
        self.is_cut = False
        """A middlebox has forgotten the connection: what is sent is lost."""
        self.arrivals: list[float] = []
        """When the pieces that it has sent arrive."""
        self._latency_s = latency_s
        self._chance = chance
        self._out_at = 0.0

    def pair(self, peer: "End") -> None:
        self.peer, peer.peer = peer, self

    def cut(self) -> None:
        """Lose what either end sends from now on."""
        self.is_cut = True
        if self.peer is not None:
            self.peer.is_cut = True

    def arrives_at(self, at: float) -> float:
        """Draw when what leaves now arrives: never before what left earlier."""
        chance = self._chance
        latency_s = self._latency_s * (0.8 + 0.4 * chance.random())
        if chance.random() < SPIKES:
            latency_s += chance.random() * SPIKE_S
        self._out_at = max(self._out_at + 1e-9, at + latency_s)
        return self._out_at

    def transmit(self, at: float, data: bytes) -> tuple[float, float]:
        """Send bytes, perhaps in several pieces; return when the first and the last of them arrive."""
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
            self.arrivals.append(last_at)
            if not self.is_cut:
                self.timeline.at(last_at, peer.arrived, piece)
        return first_at, last_at

    def transmit_end(self, at: float) -> float:
        """Send FIN; return when it arrives."""
        assert self.peer is not None
        ends_at = self.arrives_at(at)
        if not self.is_cut:
            self.timeline.at(ends_at, self.peer.ended)
        return ends_at

    def transmit_reset(self, at: float) -> float:
        """Send RST; return when it arrives."""
        assert self.peer is not None
        ends_at = self.arrives_at(at)
        if not self.is_cut:
            self.timeline.at(ends_at, self.peer.was_reset)
        return ends_at

    def arrived(self, at: float, data: bytes) -> None:
        raise NotImplementedError

    def ended(self, at: float) -> None:
        raise NotImplementedError

    def was_reset(self, at: float) -> None:
        raise NotImplementedError

    def consumed(self, size: int) -> None:
        """Called when the peer has read bytes that this end has sent."""
        raise NotImplementedError


class Actor(Protocol):
    """What acts at the other end: a client, or a connection of the upstream."""

    def on_connected(self, at: float) -> None: ...
    def on_data(self, at: float, data: bytes) -> None: ...
    def on_end(self, at: float, *, reset: bool) -> None: ...


class PeerEnd(End):
    """The end that is not the gateway's."""

    def __init__(
        self, timeline: Timeline, actor: Actor, *, latency_s: float, seed: int, window: int = 64 * 1024
    ) -> None:
        super().__init__(timeline, latency_s, Random(seed))
        self.latency_s = latency_s
        self.seed = seed ^ 1
        self.window = window
        """This many bytes may be under way to it, or unread."""
        self.reads = True
        """False: it does not read what arrives."""
        self.received = 0
        """Bytes that it has read."""
        self._actor: Actor = actor
        self._unread = b""

    def arrived(self, at: float, data: bytes) -> None:
        if self.closed:
            self.transmit_reset(at)
            return
        self._unread += data
        if self.reads:
            self.read(at)

    def read(self, at: float) -> None:
        """Read what has arrived."""
        data, self._unread = self._unread, b""
        if data:
            assert self.peer is not None
            self.received += len(data)
            self.peer.consumed(len(data))
            self._actor.on_data(at, data)

    def connected(self, at: float) -> None:
        """Called when the gateway's kernel has taken the connection."""
        if self.peer is not None and not self.closed:
            self._actor.on_connected(at)

    def refused(self, at: float) -> None:
        """Called when nothing listens."""
        self.closed = True
        self._actor.on_end(at, reset=True)

    def ended(self, at: float) -> None:
        if not self.closed:
            self.read(at)
            self._actor.on_end(at, reset=False)

    def was_reset(self, at: float) -> None:
        """What it has not read yet is lost (RFC 9112 section 9.6)."""
        if not self.closed:
            self.closed = True
            self._unread = b""
            self._actor.on_end(at, reset=True)

    def end(self, at: float) -> float:
        """Send FIN and read on; return when it arrives."""
        return self.transmit_end(at)

    def close(self, at: float, *, reset: bool = False) -> float:
        """Close by FIN, or RST; return when that arrives. With bytes unread it is a RST, as in any kernel."""
        self.closed = True
        return self.transmit_reset(at) if reset or self._unread else self.transmit_end(at)
