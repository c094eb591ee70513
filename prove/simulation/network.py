"""The network: events outside the gateway, in the order of their instants.

The gateway's time may jump (a stall); the events that lie in between then happen at their own instants all the same,
and what they bring lies unread.
"""

from collections.abc import Callable
from errno import ENETUNREACH
from functools import partial
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import Any

from prove.world.ends import PeerEnd, SimulatedSocket

BEGIN_S = 7.0
"""The clock's reading as a world begins: not zero, so that an instant cannot pass for a span."""


class Network:
    """The events that are to come, and the sockets of the gateway."""

    def __init__(self, chance: Random) -> None:
        self.now = BEGIN_S
        """The gateway's time; it is the loop that lets it go on."""
        self.chance = chance
        self.waits: Callable[[SimulatedSocket], Callable[[], None] | None] = lambda _: None
        self.sockets: dict[SimulatedSocket, None] = {}
        """Those of the gateway that are open."""
        self.listener: SimulatedSocket | None = None
        self.upstream: Callable[[float, SimulatedSocket], int] = lambda _, __: ENETUNREACH
        """Told of each attempt to connect; what it returns, `connect` does."""
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self._touched: dict[SimulatedSocket, None] = {}

    def at(self, at: float, callback: Callable[..., None], *args: Any) -> None:
        """Have something happen: `callback(at, *args)`."""
        self._number += 1
        heappush(self._events, (at, self._number, callback, args))

    @property
    def next_due_at(self) -> float:
        return self._events[0][0] if self._events else inf

    def catch_up(self) -> None:
        """Let happen what lies before the gateway's time."""
        happened = self._events
        while happened and happened[0][0] <= self.now:
            at, _, callback, args = heappop(happened)
            callback(at, *args)

    def wait(self, until: float) -> bool:
        """Let time go on until a socket is ready that the gateway waits for; False if that will never be."""
        self.catch_up()
        while not self._is_any_ready():
            if self.next_due_at >= until:
                if until == inf:
                    return False
                self.now = max(self.now, until)
                return True
            self.now = max(self.now, self.next_due_at)
            self.catch_up()
        return True

    def touched(self, sock: SimulatedSocket) -> None:
        """Something about it has changed: look whether it is ready."""
        self._touched[sock] = None

    def _is_any_ready(self) -> bool:
        for sock in list(self._touched):
            if self.waits(sock) is not None:
                return True
            del self._touched[sock]
        return False

    def take_ready(self) -> list[Callable[[], None]]:
        """Tell what is to be called now. A socket that is no longer ready when its turn comes is left alone."""

        def call(sock: SimulatedSocket) -> None:
            if (callback := self.waits(sock)) is not None:
                callback()

        ready: list[Callable[[], None]] = []
        for sock in list(self._touched):
            if self.waits(sock) is None:
                del self._touched[sock]
            else:
                ready.append(partial(call, sock))
        return ready

    def socket(self, *_: Any, **__: Any) -> SimulatedSocket:
        """Stand in for `socket.socket`."""
        return SimulatedSocket(self)

    def listen(self) -> SimulatedSocket:
        """Make the socket on which the gateway listens."""
        self.listener = SimulatedSocket(self)
        return self.listener

    def reach(self, at: float, peer: PeerEnd) -> None:
        """A caller connects: its SYN arrives."""
        if peer.closed:  # it has left before
            return
        if self.listener is None or self.listener.closed:
            peer.refused(at)
            return
        sock = SimulatedSocket(self)
        sock.join(peer)
        self.listener.backlog.append(sock)
        self.touched(self.listener)

    def establish(self, sock: SimulatedSocket, peer: PeerEnd, at: float) -> None:
        """The SYN has reached the upstream, which accepts; the gateway hears of it a little later."""
        sock.pair(peer)
        self.at(peer.arrives_at(at), sock.established)
