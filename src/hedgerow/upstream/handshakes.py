"""TLS handshakes of connects whose TCP is established: a bounded number is started in each iteration."""

import socket
import ssl
from collections import deque
from typing import TYPE_CHECKING, Final

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.eventloop.poller import READABLE
from hedgerow.net.tls import continue_handshake, start_tls
from hedgerow.upstream.endpoint import Endpoint

if TYPE_CHECKING:
    from hedgerow.upstream.connecting import Connecting
    from hedgerow.upstream.connector import Connector

HANDSHAKES_PER_ITERATION: Final = 16
"""TLS handshakes that are started in one iteration of the event loop. Each needs 40 KiB until it is done, which leaves
holes between what stays: of 1 000 connections opened at once each takes 43 KiB without this bound, 36 with 64, 32.5
with 16 or 4; CPU and time are the same (4: 5 % more)."""
HANDSHAKES_S: Final = 0.002
"""And for at most this long: each takes 0.2 to 0.4 ms."""


class Handshake(EventHandler):
    """The handshake of one connect, from its place in the queue to its end."""

    __slots__ = ("_connecting", "_connector", "_context", "_endpoint", "_mask", "_tcp", "_tls", "is_queued")

    def __init__(
        self,
        connecting: "Connecting",
        connector: "Connector",
        context: ssl.SSLContext,
        tcp: socket.socket,
        endpoint: Endpoint,
    ) -> None:
        self._connecting = connecting
        self._connector = connector
        self._context = context
        self._endpoint = endpoint
        self._tcp: socket.socket | None = tcp
        """Connected, and not registered with the loop; None once it has been started or cancelled."""
        self._tls: ssl.SSLSocket | None = None
        """Registered with the loop, from its start to its end."""
        self._mask = 0
        self.is_queued = False

    @property
    def is_needed(self) -> bool:
        """Return whether an attempt waits for it."""
        return self._connecting.is_needed

    @property
    def is_started(self) -> bool:
        """Return whether it has been started, or cancelled; until then its delay is ours, not the upstream's."""
        return self._tcp is None

    def start(self) -> None:
        """Begin. Does nothing once it was cancelled."""
        tcp, connector, endpoint = self._tcp, self._connector, self._endpoint
        if tcp is None:
            return
        self._tcp = None  # if the upstream has gone already, wrapping it closes it
        try:
            session = endpoint.tls_session.get(connector.loop.clock())
            tls = start_tls(self._context, tcp, connector.server_name_of(endpoint), session)
        except OSError as error:
            self._connecting.handshake_failed(endpoint, error)
            return
        try:
            connector.loop.register(tls.fileno(), self, READABLE)
        except OSError as error:  # ENOSPC, as in `TcpSocket.connect`
            tls.close()
            self._connecting.handshake_failed(endpoint, error)
            return
        self._tls = tls
        self._mask = READABLE
        self._go_on(tls)

    def on_ready(self, _mask: int) -> None:
        """Continue the handshake."""
        tls = self._tls
        if tls is not None:
            self._go_on(tls)

    def _go_on(self, tls: ssl.SSLSocket) -> None:
        try:
            mask = continue_handshake(tls)
        except OSError as error:
            self._connecting.handshake_failed(self._endpoint, error)
            return
        is_done = mask == 0
        if is_done:
            mask = READABLE
        if mask != self._mask:
            self._mask = mask
            self._connector.loop.modify(tls.fileno(), mask)
        if is_done:
            self._connecting.succeed(tls, self._endpoint)
            self._tls = None  # not before: where it raises, `abort` closes the socket

    def abort(self) -> None:
        """Give up, since `on_ready` has raised."""
        self._connecting.abort()

    def cancel(self) -> None:
        """Close the socket, if it is still here."""
        tcp, tls = self._tcp, self._tls
        self._tcp = self._tls = None
        if tls is not None:
            self._connector.loop.unregister(tls.fileno())
            tls.close()
        elif tcp is not None:
            tcp.close()


class Handshakes(EventHandler):
    """Starts handshakes that attempts wait for, in the order in which they were added."""

    __slots__ = ("_loop", "_queue")

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._queue: deque[Handshake] = deque()

    def add(self, handshake: Handshake) -> None:
        """Have `handshake` started in its turn, unless it was or no attempt waits for it by then."""
        if handshake.is_queued or handshake.is_started:
            return
        handshake.is_queued = True
        if not self._queue:
            self._loop.wake_in_next_iteration(self)
        self._queue.append(handshake)

    def resume(self) -> None:
        """Start some, those that have waited for longest."""
        ends_at = self._loop.clock() + HANDSHAKES_S
        started = 0
        try:
            while self._queue and started < HANDSHAKES_PER_ITERATION and self._loop.clock() < ends_at:
                handshake = self._queue.popleft()
                handshake.is_queued = False
                if handshake.is_needed:
                    started += 1
                    handshake.start()
        finally:  # an internal error on the way of one does not keep the others
            if self._queue:
                self._loop.wake_in_next_iteration(self)
