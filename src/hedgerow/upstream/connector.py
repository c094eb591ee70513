"""Opens the connections to one upstream, and keeps its addresses up to date beside the traffic."""

import ssl
from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Final, Protocol

from hedgerow.core.outcomes import Failure
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.net.resolver import OnResult, numeric_addresses
from hedgerow.net.tcp import Address, OpenSocket, open_outgoing_socket
from hedgerow.net.tls import server_name
from hedgerow.net.tls_sessions import TlsSessions
from hedgerow.settings import Target, UpstreamLimits
from hedgerow.upstream.addresses import AddressList
from hedgerow.upstream.connecting import Connecting, OnDone

HANDSHAKES_PER_ITERATION: Final = 16
"""TLS handshakes that are started in one iteration of the event loop. Each needs 40 KiB until it is done, which leaves
holes between what stays: of 1 000 connections opened at once each takes 43 KiB without this bound, 36 with 64, 32.5
with 16 or 4; CPU and time are the same (4: 5 % more)."""
HANDSHAKES_S: Final = 0.002
"""And for at most this long: each takes 0.2 to 0.4 ms."""


class PendingLookup(Protocol):
    """`net.resolver.Lookup`, or its replacement in a test."""

    def cancel(self) -> None: ...


class NameLookup(Protocol):
    """`net.resolver.Resolver`, or its replacement in a test."""

    def look_up(self, host: str, port: int, on_result: OnResult) -> PendingLookup: ...


class Connector(EventHandler):
    """Opens connections to one upstream, and keeps its addresses up to date."""

    def __init__(
        self,
        target: Target,
        limits: UpstreamLimits,
        loop: EventLoop,
        resolver: NameLookup,
        tls: ssl.SSLContext | None,
        *,
        open_socket: OpenSocket = open_outgoing_socket,
    ) -> None:
        """`tls` is None for an upstream in clear text; `open_socket` returns a non-blocking socket."""
        self.limits = limits
        self.loop = loop
        self.open_socket = open_socket
        self.tls = tls
        self.tls_sessions = TlsSessions()
        self.server_name = server_name(target.host)
        self._target = target
        self._resolver = resolver
        literal = numeric_addresses(target.host, target.port)
        self.addresses = AddressList(inf if literal else limits.dns_ttl_s)
        if literal:
            self.addresses.set(literal, loop.clock())
        self._lookup: PendingLookup | None = None
        self._lookup_tick = 0
        self._lookup_due_at = inf
        self._waiting: dict[Connecting, None] = {}
        self._closed = False
        self._handshakes: deque[Connecting] = deque()

    def is_current(self, address: Address) -> bool:
        """Return whether the upstream's name still has `address`: can change when `addresses.generation` does."""
        return self.addresses.is_current(address)

    def start(self) -> None:
        """Look the name up before the first connect, and from then on each `dns_ttl_s`."""
        self.schedule_lookup()

    def connect(self, tried: Sequence[Address], on_done: OnDone) -> "Connecting":
        """Open a connection, rather not to one of the addresses `tried`.

        `on_done` is called once, not before this has returned: with a failure, or with a stream whose descriptor is
        registered with the loop for READABLE; its owner takes it over by `EventLoop.replace_source`.
        """
        connecting = Connecting(self, tried, on_done)
        if self.addresses.all:
            if not connecting.start():
                self.loop.wake(connecting)
        else:
            self._waiting[connecting] = None
            self.schedule_lookup()
        return connecting

    def forget(self, connecting: "Connecting") -> None:
        """Have `connecting` wait for the lookup no longer."""
        self._waiting.pop(connecting, None)

    def close(self) -> None:
        """Look the name up no more. Connects that are under way are their owner's to cancel."""
        self._closed = True
        self._set_lookup_deadline(inf)
        if self._lookup is not None:
            self._lookup.cancel()
            self._lookup = None

    def queue_handshake(self, connecting: "Connecting") -> None:
        """Have `connecting` start its TLS handshake in its turn."""
        if not self._handshakes:
            self.loop.wake_in_next_iteration(self)
        self._handshakes.append(connecting)

    def resume(self) -> None:
        """Start some handshakes, those that have waited for longest."""
        ends_at = self.loop.clock() + HANDSHAKES_S
        started = 0
        while self._handshakes and started < HANDSHAKES_PER_ITERATION and self.loop.clock() < ends_at:
            started += 1
            self._handshakes.popleft().start_handshake()
        if self._handshakes:
            self.loop.wake_in_next_iteration(self)

    def connect_failed(self, address: Address) -> None:
        """Have the next connects go elsewhere, and look the name up soon: it may have moved."""
        self.addresses.failed(address)
        self.schedule_lookup()

    # -- name lookup, beside the traffic

    def schedule_lookup(self) -> None:
        """Have the name looked up when it is due; at once, if it is due."""
        if self._closed or self._lookup is not None:
            return
        due_at = self.addresses.next_lookup_at
        if due_at <= self.loop.clock():
            self._set_lookup_deadline(inf)
            self._lookup = self._resolver.look_up(self._target.host, self._target.port, self._on_lookup)
        else:
            self._set_lookup_deadline(due_at)

    def _set_lookup_deadline(self, due_at: float) -> None:
        if due_at != self._lookup_due_at:
            if self._lookup_due_at != inf:
                self.loop.cancel(self._lookup_tick, self)
            self._lookup_due_at = due_at
            if due_at != inf:
                self._lookup_tick = self.loop.call_at(due_at, self)

    def on_deadline(self) -> None:
        """Called when the name is to be looked up again."""
        self._lookup_due_at = inf
        self.schedule_lookup()

    def _on_lookup(self, result: Sequence[Address] | Failure) -> None:
        self._lookup = None
        now = self.loop.clock()
        if isinstance(result, Failure):
            self.addresses.keep(now)
        else:
            self.addresses.set(result, now)
        waiting, self._waiting = self._waiting, {}
        for connecting in waiting:
            if isinstance(result, Failure):
                connecting.failure = result
            self.loop.wake(connecting)
        self.schedule_lookup()
