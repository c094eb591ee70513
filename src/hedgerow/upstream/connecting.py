"""One connection to the upstream while it is being established: TCP to one of several addresses, then TLS.

Addresses are tried as RFC 8305 section 5 has it: the next one when one fails, or has not answered within its head
start; the first that connects is taken. All of it has one deadline.
"""

import os
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from errno import EINPROGRESS
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.poller import READABLE, WRITABLE
from hedgerow.net.stream import Stream
from hedgerow.net.tcp import Address
from hedgerow.net.tls import continue_handshake, error_text, start_tls

if TYPE_CHECKING:
    from hedgerow.upstream.connector import Connector

MAX_SOCKETS: Final = 3
"""Sockets that one connect may have open: where more addresses than this do not answer, it waits for these. In a burst
each connect that is under way counts against the worker's limit of descriptors."""

OnDone: TypeAlias = Callable[[Stream | Failure, Address | None], None]

_NO_ADDRESS: Final = Failure(FailureReason.CONNECT, "name lookup: no address")


class Connecting(EventHandler):
    """One connect: its newest socket, and its deadline."""

    __slots__ = (
        "_candidates", "_connector", "_due_at", "_earlier", "_ends_at", "_is_queued", "_next", "_on_done", "_sock",
        "_tick", "_tls_mask", "_tried", "address", "failure", "is_handshaking",
    )  # fmt: skip

    def __init__(self, connector: "Connector", tried: Sequence[Address], on_done: OnDone) -> None:
        self.address: Address | None = None
        """The address that it tries now; None while the name is looked up."""
        self.failure = _NO_ADDRESS
        """Why there is no connection so far."""
        self.is_handshaking = False
        """TCP is connected: what is left is the TLS handshake."""
        self._is_queued = False
        """The handshake waits for its turn."""
        self._connector = connector
        self._tried = tried
        self._on_done: OnDone | None = on_done
        self._candidates: Sequence[Address] = ()
        self._next = 0
        self._sock: socket.socket | None = None
        self._earlier: list[EarlierSocket] | None = None
        """Sockets whose head start is over and that may still connect."""
        self._tls_mask = 0
        """What the handshake waits for; 0 before it."""
        self._ends_at = connector.loop.clock() + connector.limits.connect_timeout_s
        self._due_at = self._ends_at
        self._tick = connector.loop.call_at(self._due_at, self)

    # -- called by the connector

    def start(self) -> bool:
        """Connect to the first address. Return False if every address has failed at once: `resume` reports it."""
        self._candidates = self._connector.addresses.candidates(self._tried)
        self._tried = ()
        return self._open_next()

    def cancel(self) -> None:
        """Close what is open, and do not report. Does nothing once `on_done` has been called."""
        if self._on_done is not None:
            self._on_done = None
            self._connector.forget(self)
            self._release()

    # -- called by the event loop

    def resume(self) -> None:
        """Called when a lookup has ended, or when `start` has failed."""
        if self._on_done is None:
            return
        if not self._candidates:
            self.start()
        if self._sock is None:
            self._fail(self.failure)

    def on_ready(self, _mask: int) -> None:
        """Called when TCP has connected or failed, and when the TLS handshake can continue."""
        sock = self._sock
        if sock is None or self.address is None:
            return
        if self._tls_mask:
            self._go_on_with_tls(cast("ssl.SSLSocket", sock), self.address)
        elif error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._sock = None
            self._close(sock)
            self._tcp_failed(self.address, os.strerror(error))
        else:
            self._tcp_connected(sock, self.address)

    def abort(self) -> None:
        """Called when `on_ready` has raised, perhaps within `on_done`, which may have gone any part of its way."""
        self._on_done = None
        with suppress(KeyError):  # not registered any more
            self._release()

    def on_deadline(self) -> None:
        """Called when the head start of an address is over, or all the time."""
        sock, address = self._sock, self.address
        if address is not None:
            self._connector.connect_failed(address)
        if self._due_at >= self._ends_at:
            self._fail(Failure(FailureReason.CONNECT, self._timeout_text()))
        elif sock is not None and address is not None:
            earlier = EarlierSocket(self, sock, address)
            if self._earlier is None:
                self._earlier = []
            self._earlier.append(earlier)
            self._connector.loop.replace_source(sock.fileno(), earlier)
            self._sock = None
            if not self._open_next():
                self._set_due(self._ends_at)

    def earlier_ended(self, earlier: "EarlierSocket", error: int) -> None:
        """Called when a socket whose head start was over has connected or failed."""
        if self._earlier is None:
            return
        self._earlier.remove(earlier)
        if error:
            self._close(earlier.sock)
            self._tcp_failed(earlier.address, os.strerror(error))
            return
        if self._sock is not None:
            self._close(self._sock)
        self._sock = earlier.sock
        self.address = earlier.address
        self._connector.loop.replace_source(earlier.sock.fileno(), self)
        self._tcp_connected(earlier.sock, earlier.address)

    # -- TCP

    def _open_next(self) -> bool:
        """Connect to the next address that does not fail at once. Return whether there is one."""
        while self._next < len(self._candidates):
            self.address = address = self._candidates[self._next]
            self._next += 1
            try:
                sock = self._connector.open_socket(address)
            except OSError as error:  # no descriptor, or a family that this machine does not have
                self._note_failure(address, error_text(error))
                continue
            error_number = sock.connect_ex(address[4])
            if error_number in (0, EINPROGRESS):
                self._sock = sock
                self._connector.loop.register(sock.fileno(), self, WRITABLE)
                self._set_due(self._head_start_ends_at())
                return True
            sock.close()
            self._note_failure(address, os.strerror(error_number))
        return False

    def _head_start_ends_at(self) -> float:
        """Return when the next address is to be tried, or everything ends."""
        earlier = 0 if self._earlier is None else len(self._earlier)
        if self._next >= len(self._candidates) or earlier + 1 >= MAX_SOCKETS:
            return self._ends_at
        connector = self._connector
        return min(connector.loop.clock() + connector.limits.happy_eyeballs_delay_s, self._ends_at)

    def _tcp_failed(self, address: Address, text: str) -> None:
        """Try the next address at once, unless another socket still waits for the newest one."""
        self._note_failure(address, text)
        if self._sock is None and not self._open_next():
            if self._earlier:
                self._set_due(self._ends_at)
            else:
                self._fail(self.failure)

    def _tcp_connected(self, sock: socket.socket, address: Address) -> None:
        self._close_earlier()
        connector = self._connector
        if connector.tls is None:
            connector.loop.modify(sock.fileno(), READABLE)
            self._succeed(sock, address)
            return
        self._set_due(self._ends_at)
        self.is_handshaking = self._is_queued = True
        connector.loop.unregister(sock.fileno())
        connector.queue_handshake(self)

    # -- TLS

    def start_handshake(self) -> None:
        """Called by the connector when it is this one's turn; it may have been cancelled."""
        sock, address, connector = self._sock, self.address, self._connector
        if not self._is_queued or sock is None or address is None or connector.tls is None:
            return
        self._is_queued = False
        self._sock = None  # if the upstream has gone already, wrapping it closes it
        try:
            session = connector.tls_sessions.get(address, connector.loop.clock())
            tls_sock = start_tls(connector.tls, sock, connector.server_name, session)
        except OSError as error:
            self._fail_tls(address, error)
            return
        self._sock = tls_sock
        self._tls_mask = READABLE
        connector.loop.register(tls_sock.fileno(), self, READABLE)
        self._go_on_with_tls(tls_sock, address)

    def _go_on_with_tls(self, sock: ssl.SSLSocket, address: Address) -> None:
        try:
            mask = continue_handshake(sock)
        except OSError as error:
            self._fail_tls(address, error)
            return
        done = mask == 0
        if done:
            mask = READABLE
        if mask != self._tls_mask:
            self._tls_mask = mask
            self._connector.loop.modify(sock.fileno(), mask)
        if done:
            self._succeed(sock, address)

    def _fail_tls(self, address: Address, error: OSError) -> None:
        self._connector.tls_sessions.discard(address)
        self._connector.connect_failed(address)
        self._fail(Failure(FailureReason.TLS, error_text(error)))

    # -- the end

    def _succeed(self, sock: socket.socket, address: Address) -> None:
        on_done, loop = self._on_done, self._connector.loop
        self._on_done = None
        loop.cancel(self._tick, self)
        self._connector.addresses.connected(address)
        if on_done is not None:
            on_done(Stream(loop, sock), address)
        self._sock = None

    def _fail(self, failure: Failure) -> None:
        on_done = self._on_done
        self._on_done = None
        self._connector.forget(self)
        self._release()
        if on_done is not None:
            on_done(failure, self.address)

    def _release(self) -> None:
        self._connector.loop.cancel(self._tick, self)
        self._close_earlier()
        sock, self._sock = self._sock, None
        if self._is_queued and sock is not None:  # it is not registered then
            self._is_queued = False
            self._connector.loop.close_later(sock)
        elif sock is not None:
            self._close(sock)

    def _close_earlier(self) -> None:
        earlier, self._earlier = self._earlier, None
        for each in earlier or ():
            self._close(each.sock)

    def _close(self, sock: socket.socket) -> None:
        self._connector.loop.unregister(sock.fileno())
        self._connector.loop.close_later(sock)

    def _note_failure(self, address: Address, text: str) -> None:
        self.failure = Failure(FailureReason.CONNECT, text)
        self._connector.connect_failed(address)

    def _set_due(self, at: float) -> None:
        if at != self._due_at:
            self._connector.loop.cancel(self._tick, self)
            self._due_at = at
            self._tick = self._connector.loop.call_at(at, self)

    def _timeout_text(self) -> str:
        stage = "name lookup" if not self._candidates else "TLS handshake" if self.is_handshaking else "TCP"
        return f"no connection within {self._connector.limits.connect_timeout_s:g} s ({stage})"


class EarlierSocket(EventHandler):
    """A socket of a `Connecting` whose address has had its head start."""

    __slots__ = ("_connecting", "address", "sock")

    def __init__(self, connecting: Connecting, sock: socket.socket, address: Address) -> None:
        self._connecting = connecting
        self.sock = sock
        self.address = address

    def on_ready(self, _mask: int) -> None:
        """Called when it has connected or failed."""
        self._connecting.earlier_ended(self, self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def abort(self) -> None:
        """Called when `on_ready` has raised."""
        self._connecting.abort()
