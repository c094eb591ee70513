"""One port: from listening to the last connection's end."""

import socket
from collections.abc import Callable
from math import inf
from typing import Final

from hedgerow.core.request import Handler, Request, RequestIdGenerator
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.server.context import ServerContext
from hedgerow.server.listener import AcceptBalancer, ClientSharing, Listener
from hedgerow.server.timeouts import REAP_AGAIN_S, REAP_INTERVAL_S
from hedgerow.settings import ClientLimits, DescriptorBudget

IDLE_GRACE_S: Final = 1.0
"""A drain leaves idle connections open for this long: a request may be on its way, and closing loses it. It is
answered with `Connection: close`."""


class HttpServer(EventHandler):
    """Serves one listening socket on an event loop."""

    def __init__(
        self,
        handler: Handler,
        limits: ClientLimits,
        loop: EventLoop,
        *,
        max_clients: int,
        max_rejected: int = DescriptorBudget.REJECTED_IN_RESERVE,
        on_rejected: Callable[[str, str, Request | None], None],
        balancer: AcceptBalancer | None = None,
        sharing: ClientSharing | None = None,
        passes_headers: bool = False,
    ) -> None:
        """`on_rejected` is called for each response that did not come from the handler, with its code and its reason.

        And with its request, if the head of that had come whole.

        `passes_headers`: the handler needs the headers of requests, and may want their bodies.
        """
        self._loop = loop
        self._context = ServerContext(
            handler,
            limits,
            loop,
            next_id=RequestIdGenerator().next,
            on_rejected=on_rejected,
            on_closed=self._on_closed,
            passes_headers=passes_headers,
        )
        self._max_clients = max_clients
        self._max_rejected = max_rejected
        self._balancer = balancer
        self._sharing = sharing
        self._listener: Listener | None = None
        self._on_empty: Callable[[], None] | None = None
        self._closes_idle_at = inf
        self._reap_tick = 0

    @property
    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._context.connections)

    def start(self, sock: socket.socket) -> None:
        """Listen on a bound socket, which belongs to the server from now on; raises OSError."""
        self._listener = Listener(
            sock,
            self._context,
            max_clients=self._max_clients,
            max_rejected=self._max_rejected,
            balancer=self._balancer,
            sharing=self._sharing,
        )
        self._reap_tick = self._loop.call_at(self._loop.clock() + REAP_INTERVAL_S, self)

    def drain(self, on_empty: Callable[[], None], idle_grace_s: float = IDLE_GRACE_S) -> None:
        """Accept what the kernel has queued, then nothing more; close each connection after its last response.

        Idle connections get a grace in which to bring one more request. `on_empty` is called when no connection is
        left, never before this returns.
        """
        self._context.draining = True
        if self._listener is not None:
            self._listener.accept_all()
            self._listener.close()
        self._on_empty = on_empty
        self._closes_idle_at = self._loop.clock() + idle_grace_s
        if not self._context.connections:
            self._loop.call_at(self._loop.clock(), self)

    def close(self) -> None:
        """Stop listening, and close every connection at once."""
        if self._listener is not None:
            self._listener.close()
        self._on_empty = None
        self._loop.cancel(self._reap_tick, self)
        for connection in list(self._context.connections):
            connection.abort()

    def on_deadline(self) -> None:
        """End overdue connections, and in a drain idle ones."""
        loop, context = self._loop, self._context
        loop.cancel(self._reap_tick, self)
        self._reap_tick = loop.call_at(loop.clock() + REAP_INTERVAL_S, self)  # whatever happens below
        # Not by the clock: what a client sent in time is read before its time is over, however long we were stopped.
        read_until = loop.clients.read_at
        crowded = self._sharing is not None and self._sharing.is_crowded()
        draining = read_until >= self._closes_idle_at
        if context.timeouts.reap(context.connections, read_until, crowded=crowded, draining=draining):
            loop.cancel(self._reap_tick, self)
            self._reap_tick = loop.call_at(loop.clock() + REAP_AGAIN_S, self)
        if self._on_empty is not None and not context.connections:
            on_empty, self._on_empty = self._on_empty, None
            loop.cancel(self._reap_tick, self)
            on_empty()

    def _on_closed(self) -> None:
        if self._listener is not None:
            self._listener.count_connections()
        if self._on_empty is not None and not self._context.connections:
            self._loop.call_at(self._loop.clock(), self)
