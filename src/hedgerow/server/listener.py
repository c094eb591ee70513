"""The listening socket: accepts connections, leaves them to less loaded workers, rejects those beyond the limit."""

import socket
from errno import ECONNABORTED
from typing import Final, Protocol

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.server.connection import ClientConnection
from hedgerow.server.context import ServerContext
from hedgerow.server.request_rejected import RequestRejected

ACCEPT_BATCH: Final = 128
"""Connections that are accepted in one iteration of the event loop; due work goes on meanwhile. In two seconds after a
jump from 6 000 to 36 000 requests a second, on new connections, 9 770/s were good with 128 and 8 830 with 256 (means of
eight), and no rejection was too late; with 64 five of eight had 595 to 1 769 too late, for connections waited in the
kernel's queue. After a jump to 42 000, 7 000/s were good with 128, 5 290 with 256, 760 and 1 750 too late (of six)."""
ACCEPT_YIELD_S: Final = 0.001
"""A worker with more connections than its peers stops accepting for this long."""
MAX_ACCEPT_YIELDS: Final = 4
"""Then it takes what no other worker has taken: they may be busy, or stopped."""
ACCEPT_PAUSE_S: Final = 0.05
"""How long nothing is accepted when the kernel has no descriptor for us, or after an internal error."""
MIN_LINGER_S: Final = 0.05
"""A rejected connection lingers for this long at least; longer only while the next one finds room."""
REJECT_PAUSE_S: Final = 0.01
"""How long nothing is accepted when `max_rejected` connections linger; the kernel keeps the others waiting."""

TOO_MANY_CONNECTIONS: Final = RequestRejected(
    "overloaded",
    "more connections than can be served",
    headers=b"Retry-After: 1\r\n",
    reason="connections",
)


class ClientSharing(Protocol):
    """What of a worker's descriptors is left for clients."""

    def max_clients(self) -> int:
        """Return how many may be connected now."""

    def set_clients(self, connected: int) -> None:
        """Learn how many are."""

    def client_rejected(self, now: float) -> None:
        """Learn that a client beyond `max_clients` was rejected."""

    def is_crowded(self) -> bool:
        """Return whether requests lack the descriptors of clients that are idle."""


class AcceptBalancer(Protocol):
    """A worker's place among those that accept from the same socket."""

    def set_count(self, connections: int) -> None: ...
    def withdraw(self) -> None: ...
    def may_accept(self) -> bool: ...


class Listener(EventHandler):
    """Accepts from one listening socket, which belongs to it."""

    def __init__(
        self,
        sock: socket.socket,
        context: ServerContext,
        *,
        max_clients: int,
        max_rejected: int,
        balancer: AcceptBalancer | None,
        sharing: ClientSharing | None = None,
    ) -> None:
        """`max_rejected` connections beyond `max_clients` may be in their lingering close, answered 503.

        `sharing` may say that there may be fewer for now.
        """
        self._sock = sock
        self._fd = sock.fileno()
        self._context = context
        self._max_clients = max_clients
        self._max_rejected = max_rejected
        self._balancer = balancer
        self._sharing = sharing
        self._yields = 0
        self._watched = False
        self.closed = False
        # What it accepts inherits this.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, context.limits.send_buffer_bytes)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.listen(context.limits.listen_backlog)
        sock.setblocking(False)
        self.count_connections()
        self._watch()

    def on_ready(self, _mask: int) -> None:
        """Accept some of the connections that wait."""
        for _ in range(ACCEPT_BATCH):
            if self.closed or self._yield_to_less_loaded_worker() or not self._accept():
                return
            self._context.loop.run_due_work()
        self._yields = 0

    def on_deadline(self) -> None:
        """Accept again, after a pause."""
        if not self.closed:
            try:
                self._watch()
            except OSError:  # ENOSPC, as in `_accept`
                self._call_again(ACCEPT_PAUSE_S)

    def abort(self) -> None:
        """Continue after an internal error, which has ended at most one connection."""
        self._pause(ACCEPT_PAUSE_S)

    def accept_all(self) -> None:
        """Accept what the kernel has queued: the socket will be closed. Due work goes on meanwhile."""
        while not self.closed and self._accept():
            self._context.loop.run_due_work()

    def count_connections(self) -> None:
        """Publish how many connections this worker has."""
        connected = len(self._context.connections)
        if self._sharing is not None:
            self._sharing.set_clients(connected)
        if self._balancer is not None and not self.closed:
            self._balancer.set_count(connected)

    def close(self) -> None:
        """Accept no further connection. Idempotent."""
        if not self.closed:
            self.closed = True
            if self._watched:
                self._context.loop.unregister_listener(self._fd)
            self._sock.close()
            if self._balancer is not None:
                self._balancer.withdraw()

    def _accept(self) -> bool:
        """Accept one connection; return whether there may be more."""
        context = self._context
        most = self._max_clients
        if self._sharing is not None:
            most = min(most, self._sharing.max_clients())
        beyond = len(context.connections) - most
        if beyond >= self._max_rejected:
            # The next one that is rejected must not wait for the second that each lingering close may take.
            context.timeouts.end_lingering(context.loop.clock(), MIN_LINGER_S)
            self._pause(REJECT_PAUSE_S)
            return False
        try:
            sock, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError):
            self._yields = 0
            return False
        except OSError as error:
            if error.errno == ECONNABORTED:  # gone again
                return True
            self._pause(ACCEPT_PAUSE_S)  # EMFILE and its like: the socket would stay readable
            return False
        sock.setblocking(False)
        try:
            connection = ClientConnection(context, sock)
        except OSError:  # ENOSPC: as many descriptors are watched as may be (epoll_ctl(2))
            sock.close()
            self._pause(ACCEPT_PAUSE_S)
            return False
        self.count_connections()
        if beyond >= 0:
            connection.reject(TOO_MANY_CONNECTIONS)
            if self._sharing is not None:
                self._sharing.client_rejected(context.loop.clock())
        return True

    def _yield_to_less_loaded_worker(self) -> bool:
        """Return whether another worker has fewer connections; then accept nothing for a moment."""
        if self._balancer is None or self._yields >= MAX_ACCEPT_YIELDS or self._balancer.may_accept():
            return False
        self._yields += 1
        self._pause(ACCEPT_YIELD_S)
        return True

    def _pause(self, for_s: float) -> None:
        if self._watched:
            self._watched = False
            self._context.loop.unregister_listener(self._fd)
            self._call_again(for_s)

    def _call_again(self, after_s: float) -> None:
        loop = self._context.loop
        loop.call_at(loop.clock() + after_s, self)

    def _watch(self) -> None:
        if not self._watched:
            self._context.loop.register_listener(self._fd, self)
            self._watched = True
