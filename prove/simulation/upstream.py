"""The upstream of a world: plays what is drawn for each request, and remembers it."""

import re
from collections import defaultdict
from dataclasses import dataclass
from errno import EINPROGRESS, ENETUNREACH
from random import Random

from hedgerow.settings import Settings
from prove.world.ends import PeerEnd, SimulatedSocket
from prove.world.network import Network
from prove.world.scenario import JUNK, Connecting, Played, Then, connecting, play

_ASKED = re.compile(rb"X-Request-Id: ([^\r]+)\r\nHedgerow-Attempt: ([0-9]+)\r\n\r\n")


@dataclass(frozen=True, slots=True)
class Delivered:
    """A success that was sent in full, and will have arrived at the gateway's kernel at `at`."""

    request_id: bytes
    number: int
    at: float
    by_end: bool = False
    """It is whole only when its connection ends: a loop needs two turns to read that."""


class SimulatedUpstream:
    """All connections of the upstream."""

    def __init__(
        self, network: Network, settings: Settings, seed: str, history: list[tuple[object, ...]]
    ) -> None:
        self.network = network
        self.asked: defaultdict[bytes, list[tuple[int, bytes]]] = defaultdict(list)
        """By request: the number of the attempt and the body that it got, or would have got."""
        self.delivered: list[Delivered] = []
        self.asked_too_early = 0
        """Requests that came before the one before them was answered."""
        self.history = history
        self._settings = settings
        self._seed = seed
        self._connects = 0
        self._token = 0
        network.upstream = self._connect

    def _connect(self, at: float, sock: SimulatedSocket) -> int:
        self._connects += 1
        chance = Random(f"{self._seed}/connect/{self._connects}")
        how, latency_s = connecting(chance)
        self.history.append((at, "connect", self._connects, how.name))
        if how is Connecting.UNREACHABLE:
            return ENETUNREACH
        if how is Connecting.REFUSED:
            self.network.at(at + 2 * latency_s, sock.failed)
        elif how is Connecting.ACCEPTED:
            connection = UpstreamConnection(self, self._connects)
            peer = PeerEnd(self.network, connection, latency_s=latency_s, seed=chance.getrandbits(48))
            connection.end = peer
            self.network.at(at + latency_s, self._accept, sock, peer)
        return EINPROGRESS

    def _accept(self, at: float, sock: SimulatedSocket, peer: PeerEnd) -> None:
        self.network.establish(sock, peer, at)

    def play(self, request_id: bytes, number: int) -> Played:
        """Draw what becomes of an attempt."""
        asked = self.asked[request_id]
        self._token += 1
        chance = Random(b"%b/%b/%d/%d" % (self._seed.encode(), request_id, number, len(asked)))
        played = play(chance, self._settings, request_id, number, self._token)
        asked.append((number, played.body))
        return played


class UpstreamConnection:
    """One connection: reads requests, sends what was drawn for them."""

    end: PeerEnd

    def __init__(self, upstream: SimulatedUpstream, name: int) -> None:
        self._upstream = upstream
        self._name = name
        self._read = b""
        self._turn = 0
        """Grows with each request, so that what was to happen after the one before no longer does."""
        self._answering = False
        self._tainted = False
        """What nobody asked for is under way on it, and will be taken for the next answer."""

    def on_connected(self, at: float) -> None:
        """It is the gateway that connects."""

    def on_data(self, at: float, data: bytes) -> None:
        self._read += data
        asked = _ASKED.search(self._read)
        if asked is None:
            return
        self._read = self._read[asked.end() :]
        upstream = self._upstream
        request_id, number = asked[1], int(asked[2])
        upstream.history.append((at, "asked", self._name, request_id, number))
        upstream.asked_too_early += self._answering and not self._tainted
        played = upstream.play(request_id, number)
        self._turn += 1
        self._answering = bool(played.pieces) or played.then is not Then.STAYS
        if played.pieces:
            self._in(at, played.pieces[0].after_s, 0, played, request_id, number)
        elif played.then is not Then.STAYS:
            upstream.network.at(at + played.then_after_s, self._end, self._turn, played.then)

    def _in(
        self, at: float, after_s: float, nth: int, played: Played, request_id: bytes, number: int
    ) -> None:
        self._upstream.network.at(at + after_s, self._send, self._turn, nth, played, request_id, number)

    def _send(self, at: float, turn: int, nth: int, played: Played, request_id: bytes, number: int) -> None:
        junk = nth > 0 and not _belongs(played, nth)
        if self.end.closed or (turn != self._turn and not junk):
            return
        _, arrives_at = self.end.transmit(at, played.pieces[nth].data)
        if junk:  # who sends this is about to close
            self._tainted = True
            self._turn += 1
            self._end(at, self._turn, played.then)
            return
        last = nth + 1 == len(played.pieces)
        if last or not _belongs(played, nth + 1):
            self._answering = False
            if played.succeeds and not played.ends_at_close:
                self._upstream.delivered.append(Delivered(request_id, number, arrives_at))
        if not last:
            self._in(at, played.pieces[nth + 1].after_s, nth + 1, played, request_id, number)
        elif played.then is not Then.STAYS:
            if played.ends_at_close and not played.then_after_s:
                self._upstream.delivered.append(
                    Delivered(request_id, number, self.end.close(at), by_end=True)
                )
            else:
                self._upstream.network.at(at + played.then_after_s, self._end, turn, played.then)

    def _end(self, at: float, turn: int, then: Then) -> None:
        if turn == self._turn and not self.end.closed:
            self.end.close(at, reset=then is Then.RESETS)

    def on_end(self, at: float, *, reset: bool) -> None:
        self._upstream.history.append((at, "closed", self._name, reset))
        self._turn += 1
        if not self.end.closed:
            self.end.close(at)


def _belongs(played: Played, nth: int) -> bool:
    """Tell whether a piece is a part of the answer, or comes uncalled-for after it."""
    return played.pieces[nth].data not in JUNK
