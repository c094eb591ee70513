"""The callers of a world: they come, ask, read their answers, and go."""

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from math import inf
from random import Random

from prove.world.ends import PeerEnd, SimulatedSocket
from prove.world.network import Network
from prove.world.scenario import Ask, Leaving, Script

_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n")
MOST_PIECES = 3
"""Of a head that trickles in."""


@dataclass(slots=True)
class Answer:
    """What a caller read: `sent_at` is when the gateway handed its last byte to the kernel."""

    status: int
    head: bytes
    body: bytes
    at: float
    sent_at: float


@dataclass(slots=True)
class Asked:
    """One request: instants are those at which it, and what became of it, reached the gateway's kernel."""

    ask: Ask
    first_at: float
    begins_by: float
    """Its first byte has come by then; `first_at` may be that of a request before it, with which it was sent."""
    whole_at: float
    answers: list[Answer] = field(default_factory=list)
    left_at: float | None = None
    follows: "Asked | None" = None
    """The request before it on its connection."""


class Caller:
    """Plays one script."""

    def __init__(
        self, network: Network, script: Script, name: int, history: list[tuple[object, ...]]
    ) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.gone = False
        self.ended_at: float | None = None
        """The gateway ended the connection."""
        self.unasked = b""
        """What came without being asked for."""
        self.end = PeerEnd(network, self, latency_s=script.latency_s, seed=script.seed, window=script.window)
        self._chance = Random(script.seed + 1)
        self._network = network
        self._name = name
        self._history = history
        self._read = b""
        self._read_bytes = 0
        self._to_ask = list(script.asks)
        self._left = False
        network.at(script.comes_at, self._come)

    @property
    def reads_at_once(self) -> bool:
        """It does not let answers wait in the gateway."""
        return not self.script.deaf_s and self.script.window >= 64 * 1024

    def _come(self, at: float) -> None:
        self.end.connect(at)
        if self.script.deaf_s:
            self.end.deaf = True
            if self.script.deaf_s < inf:
                self._network.at(at + self.script.deaf_s, self._listen)
        if self.script.leaves is not None:
            self._network.at(at + self.script.leaves_after_s, self._leave)

    def _listen(self, at: float) -> None:
        self.end.deaf = False
        if not self.end.closed:
            self.end.read(at)

    def on_connected(self, at: float) -> None:
        self._ask(at)

    def _ask(self, at: float) -> None:
        """Send the next request, and those that go together with it."""
        if self._left or self.end.closed or not self._to_ask:
            return
        together = [self._to_ask.pop(0)]
        while self._to_ask and self._to_ask[0].waits_s < 0:
            together.append(self._to_ask.pop(0))
        data = b"".join(ask.head for ask in together)
        if self.script.trickles_s and not self.asked and len(together) == 1:
            self._trickle(at, together[0], data)
            return
        first_at, last_at = self.end.transmit(at, data)
        for nth, ask in enumerate(together):
            self._note(ask, first_at, last_at if nth else first_at, last_at)

    def _note(self, ask: Ask, first_at: float, begins_by: float, whole_at: float) -> None:
        before = self.asked[-1] if self.asked else None
        self.asked.append(Asked(ask, first_at, begins_by, whole_at, follows=before))

    def _trickle(self, at: float, ask: Ask, data: bytes) -> None:
        cuts = sorted(self._chance.sample(range(1, len(data)), MOST_PIECES - 1))
        first_at, _ = self.end.transmit(at, data[: cuts[0]])
        self._note(ask, first_at, first_at, inf)
        pieces = [data[cuts[0] : cuts[1]], data[cuts[1] :]]
        for nth, piece in enumerate(pieces, start=1):
            self._network.at(at + nth * self.script.trickles_s, self._trickle_on, piece, nth == len(pieces))

    def _trickle_on(self, at: float, piece: bytes, last: bool) -> None:
        if not self.end.closed and not self._left:
            _, last_at = self.end.transmit(at, piece)
            if last:
                self.asked[0].whole_at = last_at

    def on_data(self, at: float, data: bytes) -> None:
        self._read += data
        while self._read:
            waiting = next((asked for asked in self.asked if not asked.answers), None)
            head, found, rest = self._read.partition(b"\r\n\r\n")
            if not found:
                return
            if waiting is None:
                self.unasked += self._read
                self._read = b""
                return
            length = _LENGTH.search(head + b"\r\n")
            status = _STATUS.match(head)
            if length is None or status is None:
                self.unasked += self._read
                return
            size = 0 if waiting.ask.is_head else int(length[1])
            if len(rest) < size:
                return
            self._read_bytes += len(head) + 4 + size
            assert isinstance(self.end.peer, SimulatedSocket)
            sent = self.end.peer.sent
            sent_at = sent[bisect_left(sent, (self._read_bytes, 0.0))][1]
            answer = Answer(int(status[1]), head, rest[:size], at, sent_at)
            self._history.append(
                (at, "answer", self._name, waiting.ask.request_id, sent_at, answer.head, answer.body)
            )
            waiting.answers.append(answer)
            self._read = rest[size:]
            self._go_on(at)

    def _go_on(self, at: float) -> None:
        if any(not asked.answers for asked in self.asked):
            return
        if self._to_ask:
            self._network.at(at + max(self._to_ask[0].waits_s, 0.0), self._ask)
        elif self.script.leaves is None:
            self._network.at(at + self.script.leaves_after_s, self._go)

    def _go(self, at: float) -> None:
        if not self.end.closed:
            self.end.close(at)
            self._is_gone(at)

    def _leave(self, at: float) -> None:
        how = self.script.leaves
        if self.end.closed or how is None:
            return
        self._left = True
        if self.end.peer is None:  # it is not even connected
            self.end.closed = True
            self._is_gone(at)
            return
        if how is Leaving.HALF_CLOSE:
            left_at = self.end.end(at)
        else:
            left_at = self.end.close(at, reset=how is Leaving.RST)
            self._is_gone(at)
        for asked in self.asked:
            if not asked.answers:
                asked.left_at = left_at

    def on_end(self, at: float, *, reset: bool) -> None:
        self._history.append((at, "ended", self._name, reset))
        self.ended_at = at
        if not self.end.closed:
            self.end.close(at)
        self._is_gone(at)

    def _is_gone(self, at: float) -> None:
        self.gone = True
        self._history.append((at, "gone", self._name))
