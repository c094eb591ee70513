"""The clients of a simulation: they come, ask, read their answers, and go."""

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from math import inf
from random import Random

from verification.simulation.endpoints import PeerEnd
from verification.simulation.network import Network
from verification.simulation.requests import PlannedRequest
from verification.simulation.scenario import Leaving, Script
from verification.simulation.sockets import SimulatedSocket

_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n")
_DATE = re.compile(rb"\r\nDate: [^\r]+\r\n")
TOO_MANY_CONNECTIONS = b"more connections than can be served"
MAX_PIECES = 3
"""Of a request that trickles in."""
STOPS = 0.5
"""Share of those whose body does not come whole, if it may."""


@dataclass(slots=True)
class Answer:
    """What a client read: `sent_at` is when the gateway handed its last byte to the kernel."""

    status: int
    head: bytes
    body: bytes
    at: float
    sent_at: float


@dataclass(slots=True)
class Asked:
    """One request: instants are those at which it, and what became of it, reached the gateway's kernel."""

    plan: PlannedRequest
    first_at: float
    begins_by: float
    """Its first byte has come by then; `first_at` may be that of a request before it, with which it was sent."""
    whole_at: float
    """Infinite: it never comes whole."""
    answers: list[Answer] = field(default_factory=list)
    left_at: float | None = None
    follows: "Asked | None" = None
    """The request before it on its connection."""
    offset: int = 0
    """Bytes before it on its connection."""


class Client:
    """Plays one script."""

    def __init__(
        self, network: Network, script: Script, name: int, history: list[tuple[object, ...]]
    ) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.gone = False
        self.ended_at: float | None = None
        """The gateway ended the connection."""
        self.left = False
        """It has closed the connection itself."""
        self.rejected_at_accept = False
        """There were too many connections; it was rejected before its request, or in place of an answer to it."""
        self.unasked = b""
        """What came without being asked for."""
        self.end = PeerEnd(
            network.timeline, self, latency_s=script.latency_s, seed=script.seed, window=script.window
        )
        self._chance = Random(script.seed + 1)
        self._network = network
        self._timeline = network.timeline
        self._name = name
        self._history = history
        self._read = b""
        self._read_bytes = 0
        self._to_send = list(script.requests)
        self._unanswered: list[Asked] = []
        self._timeline.at(script.comes_at, self._come)

    @property
    def reads_at_once(self) -> bool:
        """It does not let answers wait in the gateway."""
        return not self.script.reads_after_s and self.script.window >= 64 * 1024

    @property
    def sock(self) -> SimulatedSocket | None:
        """The gateway's end of its connection."""
        peer = self.end.peer
        return peer if isinstance(peer, SimulatedSocket) else None

    def _come(self, at: float) -> None:
        script = self.script
        self._network.connect_client(at, self.end)
        if script.reads_after_s:
            self.end.reads = False
            if script.reads_after_s < inf:
                self._timeline.at(at + script.reads_after_s, self._begin_reading)
        if script.leaves is not None:
            self._timeline.at(at + script.leaves_after_s, self._leave)

    def _begin_reading(self, at: float) -> None:
        self.end.reads = True
        if not self.end.closed:
            self.end.read(at)

    # -- requests

    def on_connected(self, at: float) -> None:
        self._send_next(at)

    def _send_next(self, at: float) -> None:
        """Send the next request, those that go together with it, and later those that do not wait for answers."""
        if self.left or self.end.closed or not self._to_send:
            return
        together = [self._to_send.pop(0)]
        while self._to_send and self._to_send[0].waits_s < 0:
            together.append(self._to_send.pop(0))
        data = b"".join(plan.wire for plan in together)
        if self.script.trickles_s and not self.asked and len(together) == 1:
            self._trickle(at, together[0], data)
            return
        first_at, last_at = self.end.transmit(at, data)
        for nth, plan in enumerate(together):
            self._note(plan, first_at, last_at if nth else first_at, last_at)
        self._pipeline_next(at)

    def _pipeline_next(self, at: float) -> None:
        if self._to_send and self._to_send[0].pipelined:
            self._timeline.at(at + self._to_send[0].waits_s, self._send_next)

    def _note(self, plan: PlannedRequest, first_at: float, begins_by: float, whole_at: float) -> None:
        before = self.asked[-1] if self.asked else None
        offset = before.offset + len(before.plan.wire) if before is not None else 0
        asked = Asked(plan, first_at, begins_by, whole_at, follows=before, offset=offset)
        self.asked.append(asked)
        self._unanswered.append(asked)

    def _trickle(self, at: float, plan: PlannedRequest, data: bytes) -> None:
        cuts = sorted(self._chance.sample(range(1, len(data)), MAX_PIECES - 1))
        first_at, _ = self.end.transmit(at, data[: cuts[0]])
        self._note(plan, first_at, first_at, inf)
        pieces = [data[cuts[0] : cuts[1]], data[cuts[1] :]]
        if plan.passed is not None and plan.head_bytes <= cuts[1] and self._chance.random() < STOPS:
            pieces.pop()
        for nth, piece in enumerate(pieces, start=1):
            at_s = at + nth * self.script.trickles_s
            self._timeline.at(at_s, self._trickle_on, piece, nth == MAX_PIECES - 1)

    def _trickle_on(self, at: float, piece: bytes, last: bool) -> None:
        if not self.end.closed and not self.left:
            _, last_at = self.end.transmit(at, piece)
            if last:
                self.asked[0].whole_at = last_at
                self._pipeline_next(at)

    # -- answers

    def on_data(self, at: float, data: bytes) -> None:
        self._read += data
        while self._read:
            head, found, rest = self._read.partition(b"\r\n\r\n")
            if not found:
                return
            length = _LENGTH.search(head + b"\r\n")
            status = _STATUS.match(head)
            if status is not None and status[1] == b"100" and self._unanswered:
                self._read_bytes += len(head) + 4
                self._read = rest
                continue
            if not self._unanswered and length is not None and len(rest) < int(length[1]):
                return
            self.rejected_at_accept = self.rejected_at_accept or TOO_MANY_CONNECTIONS in rest
            if self.rejected_at_accept and not self._unanswered:
                self._read = b""
                return
            bodiless = bool(self._unanswered) and self._unanswered[0].plan.is_head
            bodiless = bodiless or (status is not None and status[1] == b"204")
            if not self._unanswered or status is None or (length is None and not bodiless):
                self.unasked += self._read
                self._read = b""
                return
            size = 0 if bodiless or length is None else int(length[1])
            if len(rest) < size:
                return
            self._read_bytes += len(head) + 4 + size
            self._on_answer(at, self._unanswered.pop(0), int(status[1]), head, rest[:size])
            self._read = rest[size:]
            self._go_on(at)

    def _on_answer(self, at: float, asked: Asked, status: int, head: bytes, body: bytes) -> None:
        assert isinstance(self.end.peer, SimulatedSocket)
        sent = self.end.peer.sent
        sent_at = sent[bisect_left(sent, (self._read_bytes, 0.0))][1]
        answer = Answer(status, head, body, at, sent_at)
        same = _DATE.sub(b"\r\n", head + b"\r\n")
        self._history.append((at, "answer", self._name, asked.plan.request_id, sent_at, same, body))
        asked.answers.append(answer)

    def _go_on(self, at: float) -> None:
        if self._unanswered:
            return
        if self._to_send:
            if not self._to_send[0].pipelined:
                self._timeline.at(at + max(self._to_send[0].waits_s, 0.0), self._send_next)
        elif self.script.leaves is None:
            self._timeline.at(at + self.script.leaves_after_s, self._go)

    # -- the end

    def _go(self, at: float) -> None:
        if not self.end.closed:
            self.left = True
            self.end.close(at)
            self._is_gone(at)

    def _leave(self, at: float) -> None:
        how = self.script.leaves
        if self.end.closed or how is None:
            return
        self.left = True
        if self.end.peer is None:  # it is not even connected
            self.end.closed = True
            self._is_gone(at)
            return
        if how is Leaving.HALF_CLOSE:
            left_at = self.end.end(at)
        else:
            left_at = self.end.close(at, reset=how is Leaving.RST)
            self._is_gone(at)
        for asked in self._unanswered:
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
