"""The network around the gateway: clients reach its listening socket, it reaches the upstream."""

from collections.abc import Callable
from errno import ENETUNREACH
from random import Random
from socket import AF_INET, IPPROTO_TCP, SOCK_STREAM
from typing import Any, cast

from hedgerow.net.tcp import Address
from verification.simulation.endpoints import PeerEnd
from verification.simulation.poller import Kernel
from verification.simulation.sockets import Operation, SimulatedSocket
from verification.simulation.timeline import Timeline

ADDRESSES_OF_NAME = 10_000
"""More than lookups return in a simulation."""


class Network:
    """All sockets of the gateway, and the way to them."""

    def __init__(self, kernel: Kernel, chance: Random, on_operation: Operation) -> None:
        self.timeline: Timeline = kernel.timeline
        self.listener: SimulatedSocket | None = None
        self.connect_upstream: Callable[[SimulatedSocket, Any], int] = _unreachable
        """Called for each connect; returns what `connect_ex` does."""
        self._kernel = kernel
        self._chance = chance
        self._on_operation = on_operation

    def open_socket(self, _: Address) -> Any:
        """Stand in for `net.tcp.open_outgoing_socket`."""
        sock = self._socket("upstream")
        sock.connect = self.connect_upstream
        return sock

    def listen(self) -> Any:
        """Return the socket on which the gateway listens."""
        self.listener = self._socket("listener")
        return self.listener

    def _socket(self, role: str) -> SimulatedSocket:
        return SimulatedSocket(self._kernel, self._chance, self._on_operation, role=role)

    def connect_client(self, at: float, peer: PeerEnd) -> None:
        """Have a client connect: its SYN leaves."""
        arrives_at = peer.arrives_at(at)
        self.timeline.at(arrives_at, self._reach, peer)
        self.timeline.at(arrives_at + peer.latency_s, peer.connected)

    def _reach(self, at: float, peer: PeerEnd) -> None:
        if peer.closed:  # it has left before
            return
        if self.listener is None or self.listener.closed:
            self.timeline.at(at + peer.latency_s, peer.refused)
            return
        sock = self._socket("client")
        sock.accept_from(peer)
        self.listener.backlog.append(sock)
        self.listener.changed()

    def establish(self, sock: SimulatedSocket, peer: PeerEnd, at: float) -> float:
        """Have the upstream accept; return when the gateway's kernel hears of it."""
        sock.pair(peer)
        established_at = peer.arrives_at(at)
        self.timeline.at(established_at, sock.established)
        return established_at


def address(number: int, port: int = 80) -> Address:
    """Return the nth address of the upstream. Each name has `ADDRESSES_OF_NAME` of its own."""
    name, nth = divmod(number, ADDRESSES_OF_NAME)
    return cast(
        "Address", (int(AF_INET), int(SOCK_STREAM), IPPROTO_TCP, "", (f"192.0.{name + 2}.{nth}", port))
    )


def _unreachable(_: SimulatedSocket, __: Any) -> int:
    return ENETUNREACH
