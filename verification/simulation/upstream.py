"""The upstream of a simulation: does what is drawn for each request, and remembers it."""

import re
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from errno import EINPROGRESS, ENETUNREACH
from math import inf
from random import Random
from typing import Any

from verification.simulation.behaviour import (
    AddressKind,
    Behaviour,
    Connect,
    Then,
    draw_address,
    draw_behaviour,
    draw_connect,
)
from verification.simulation.endpoints import PeerEnd
from verification.simulation.network import Network
from verification.simulation.scenario import Scenario
from verification.simulation.sockets import SimulatedSocket

_REQUEST = re.compile(rb"\r\nX-Request-Id: ([^\r]+)\r\nHedgerow-Attempt: ([0-9]+)\r\n\r\n")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)\r\n")


@dataclass(frozen=True, slots=True)
class Received:
    """One attempt as the upstream received it."""

    number: int
    message: bytes
    behaviour: Behaviour
    """What it was answered, or would have been."""
    at: float
    address: str
    sock: SimulatedSocket


@dataclass(frozen=True, slots=True)
class Delivered:
    """A success that was sent in full, and will have arrived at the gateway's kernel at `at`."""

    request_id: bytes
    number: int
    at: float
    by_end: bool = False
    """It is whole only when its connection ends: reading that takes two polls."""


class SimulatedUpstream:
    """All connections of the upstream."""

    def __init__(
        self, network: Network, scenario: Scenario, seed: str, history: list[tuple[object, ...]]
    ) -> None:
        self.network = network
        self.received: defaultdict[bytes, list[Received]] = defaultdict(list)
        """By request."""
        self.delivered: defaultdict[bytes, list[Delivered]] = defaultdict(list)
        self.received_too_early = 0
        """Requests that came before the one before them was answered."""
        self.sent_after_junk: list[tuple[float, bytes, int]] = []
        """When unrequested bytes came on a connection, and the attempt whose last byte was sent on it after that."""
        self.history = history
        self.kinds: dict[str, AddressKind] = {}
        """Of the addresses that were connected to."""
        self.connects: list[tuple[float, str, Connect]] = []
        """When, to which address, and what became of it."""
        self.slow_to_connect: set[str] = set()
        """Addresses that may have been taken for such as do not answer."""
        self._addresses = scenario.addresses * len(scenario.names)
        self._settings = scenario.settings
        self._seed = seed
        self._connects = 0
        self._token = 0
        self._open: list[SimulatedSocket] = []
        network.connect_upstream = self._connect
        if scenario.mute_at is not None:
            network.timeline.at(scenario.mute_at, self._go_mute)

    def _go_mute(self, at: float) -> None:
        """Have a middlebox forget all connections that are open now."""
        self.history.append((at, "mute"))
        for sock in self._open:
            sock.cut()

    def kind_of(self, host: str) -> AddressKind:
        """Return what an address is like."""
        if host not in self.kinds:
            self.kinds[host] = draw_address(Random(f"{self._seed}/address/{host}"), self._addresses)
        return self.kinds[host]

    def _connect(self, sock: SimulatedSocket, sockaddr: Any) -> int:
        timeline = self.network.timeline
        at = timeline.now
        self._connects += 1
        chance = Random(f"{self._seed}/connect/{self._connects}")
        how, latency_s = draw_connect(chance, self.kind_of(sockaddr[0]))
        self.connects.append((at, sockaddr[0], how))
        self.history.append((at, "connect", self._connects, how.name))
        if how is Connect.UNREACHABLE:
            return ENETUNREACH
        if how is Connect.REFUSED:
            timeline.at(at + 2 * latency_s, sock.failed)
        elif how is Connect.ACCEPTED:
            connection = UpstreamConnection(self, self._connects, sockaddr[0], sock)
            peer = PeerEnd(timeline, connection, latency_s=latency_s, seed=chance.getrandbits(48))
            connection.end = peer
            timeline.at(at + latency_s, self._accept, sock, peer, connection)
        return EINPROGRESS

    def _accept(
        self, at: float, sock: SimulatedSocket, peer: PeerEnd, connection: "UpstreamConnection"
    ) -> None:
        self._open.append(sock)
        took_s = self.network.establish(sock, peer, at) - connection.began_at
        if took_s > self._settings.upstream_limits.happy_eyeballs_delay_s / 2:
            self.slow_to_connect.add(connection.address)

    def receive(
        self, at: float, connection: "UpstreamConnection", request_id: bytes, number: int, message: bytes
    ) -> Behaviour:
        """Draw what becomes of an attempt."""
        earlier = self.received[request_id]
        self._token += 1
        chance = Random(b"%b/%b/%d/%d" % (self._seed.encode(), request_id, number, len(earlier)))
        kind = self.kind_of(connection.address)
        behaviour = draw_behaviour(
            chance,
            self._settings,
            request_id,
            number,
            self._token,
            kind,
            is_head=message.startswith(b"HEAD "),
        )
        earlier.append(Received(number, message, behaviour, at, connection.address, connection.sock))
        return behaviour


class UpstreamConnection:
    """One connection: reads requests, sends what was drawn for them."""

    end: PeerEnd

    def __init__(self, upstream: SimulatedUpstream, name: int, address: str, sock: SimulatedSocket) -> None:
        self.address = address
        self.sock = sock
        self.began_at = upstream.network.timeline.now
        self._upstream = upstream
        self._timeline = upstream.network.timeline
        self._name = name
        self._read = b""
        self._taken = 0
        """Bytes of the requests so far."""
        self._turn = 0
        """Grows with each request, so that what was to happen after the one before no longer does."""
        self._answering = False
        self._in_answer = False
        """A piece of an answer is sent, and others are to follow, or its end is that of the connection."""
        self._tainted = False
        """What was not asked for is under way on it, and will be taken for the next answer."""
        self._junk_at = inf
        """When that arrives at the gateway."""

    def on_connected(self, at: float) -> None:
        """It is the gateway that connects."""

    def on_data(self, at: float, data: bytes) -> None:
        self._read += data
        found = _REQUEST.search(self._read)
        if found is None:
            return
        length = _LENGTH.search(self._read[: found.end()])
        end = found.end() + (int(length[1]) if length is not None else 0)
        if len(self._read) < end:
            return
        message, self._read = self._read[:end], self._read[end:]
        self._taken += end
        upstream = self._upstream
        request_id, number = found[1], int(found[2])
        upstream.history.append((at, "received", self._name, request_id, number))
        sent = self.sock.sent
        sent_at = sent[bisect_left(sent, (self._taken, 0.0))][1]
        if sent_at > self._junk_at:
            upstream.sent_after_junk.append((self._junk_at, request_id, number))
        self._junk_at = inf  # else it is taken for the answer to this request
        upstream.received_too_early += self._answering and not self._tainted
        behaviour = upstream.receive(at, self, request_id, number, message)
        self._turn += 1
        self._answering = bool(behaviour.pieces) or behaviour.then is not Then.STAYS
        if behaviour.pieces:
            self._send_later(at, behaviour.pieces[0].after_s, 0, behaviour, request_id, number)
        elif behaviour.then is not Then.STAYS:
            self._timeline.at(at + behaviour.then_after_s, self._end, self._turn, behaviour.then)

    def _send_later(
        self, at: float, after_s: float, nth: int, behaviour: Behaviour, request_id: bytes, number: int
    ) -> None:
        self._timeline.at(at + after_s, self._send, self._turn, nth, behaviour, request_id, number)

    def _send(
        self, at: float, turn: int, nth: int, behaviour: Behaviour, request_id: bytes, number: int
    ) -> None:
        junk = nth > 0 and not behaviour.belongs(nth)
        if self.end.closed or (turn != self._turn and not junk):
            return
        if junk and self._in_answer:  # no server writes into the middle of an answer
            return
        _, arrives_at = self.end.transmit(at, behaviour.pieces[nth].data)
        if junk:  # a server that sends this is about to close, most often
            self._tainted = True
            self._junk_at = arrives_at if turn == self._turn else inf
            self._turn += 1
            if behaviour.then is not Then.STAYS:
                self._end(at, self._turn, behaviour.then)
            return
        last = nth + 1 == len(behaviour.pieces)
        is_whole = last or not behaviour.belongs(nth + 1)
        self._in_answer = not is_whole or behaviour.ends_at_close
        if is_whole:
            self._answering = False
            if behaviour.succeeds and not behaviour.ends_at_close:
                self._note_success(request_id, number, arrives_at)
        if not last:
            self._send_later(at, behaviour.pieces[nth + 1].after_s, nth + 1, behaviour, request_id, number)
        elif behaviour.then is not Then.STAYS:
            if behaviour.ends_at_close and not behaviour.then_after_s:
                self._note_success(request_id, number, self.end.close(at), by_end=True)
            else:
                self._timeline.at(at + behaviour.then_after_s, self._end, turn, behaviour.then)

    def _note_success(self, request_id: bytes, number: int, at: float, *, by_end: bool = False) -> None:
        if not self.end.is_cut:
            self._upstream.delivered[request_id].append(Delivered(request_id, number, at, by_end))

    def _end(self, at: float, turn: int, then: Then) -> None:
        if turn == self._turn and not self.end.closed:
            self.end.close(at, reset=then is Then.RESETS)

    def on_end(self, at: float, *, reset: bool) -> None:
        self._upstream.history.append((at, "closed", self._name, reset))
        self._turn += 1
        if not self.end.closed:
            self.end.close(at)
