"""One connection to the upstream while it is being established: TCP to one of several addresses, then TLS.

Addresses are tried as RFC 8305 section 5 has it: the next one when one fails, or has not answered within its head
start; the first that connects is taken. All of it has one deadline.
"""

import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from errno import EINPROGRESS
from typing import Final, Protocol, TypeAlias

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.eventloop.deadlines import Waiter
from hedgerow.eventloop.loop import READABLE, WRITABLE, EventSource, Task
from hedgerow.net.stream import Stream
from hedgerow.net.tcp import Address, OpenSocket
from hedgerow.net.tls import error_text, start_tls
from hedgerow.settings import UpstreamLimits
from hedgerow.upstream.addresses import AddressList

MAX_SOCKETS: Final = 3
"""Sockets that one connect may have open: where more addresses than this do not answer, it waits for these. In a burst
each connect that is under way counts against the worker's limit of descriptors."""

OnDone: TypeAlias = Callable[[Stream | Failure, Address | None], None]


class Loop(Protocol):
    """What connecting needs of the event loop."""

    @property
    def clock(self) -> Callable[[], float]: ...
    def register(self, fd: int, source: EventSource, mask: int) -> None: ...
    def replace_source(self, fd: int, source: EventSource) -> None: ...
    def modify(self, fd: int, mask: int) -> None: ...
    def unregister(self, fd: int) -> None: ...
    def wake(self, task: Task) -> None: ...
    def call_at(self, at: float, waiter: Waiter) -> int: ...
    def cancel(self, tick: int, waiter: Waiter) -> None: ...
    def close_later(self, sock: socket.socket) -> None: ...
    def flush_later(self, writer: Stream) -> None: ...


class Destination(Protocol):
    """What is connected to: a `Connector`."""

    addresses: AddressList
    limits: UpstreamLimits
    loop: Loop
    open_socket: OpenSocket
    server_name: bytes
    tls: ssl.SSLContext | None

    def schedule_lookup(self) -> None: ...
    def forget(self, connecting: "Connecting") -> None: ...


_NO_ADDRESS: Final = Failure(FailureReason.CONNECT, "name lookup: no address")


class Connecting:
    """One connection that is being established: its newest socket, and its deadline."""

    __slots__ = ("_address", "_candidates", "_connector", "_due_at", "_earlier", "_ends_at", "_failure", "_next",
                 "_on_done", "_sock", "_tick", "_tls_mask", "_tried", "lookup_failure")  # fmt: skip

    def __init__(self, connector: Destination, tried: Sequence[Address], on_done: OnDone) -> None:
        self._connector = connector
        self._tried = tried
        self._on_done: OnDone | None = on_done
        self._candidates: Sequence[Address] = ()
        self._next = 0
        self._sock: socket.socket | None = None
        self._address: Address | None = None
        self._earlier: list[EarlierSocket] | None = None
        """Sockets to addresses that had their head start and may still connect."""
        self._tls_mask = 0
        """What the handshake waits for; 0 before it."""
        self._failure: Failure | None = None
        self.lookup_failure: Failure | None = None
        """Why there is no address yet."""
        self._ends_at = connector.loop.clock() + connector.limits.connect_timeout_s
        self._due_at = self._ends_at
        self._tick = connector.loop.call_at(self._due_at, self)

    def cancel(self) -> None:
        """Close what is open, and do not report. Does nothing once `on_done` has been called."""
        if self._on_done is not None:
            self._on_done = None
            self._connector.forget(self)
            self._release()

    # -- called by the connector and by the event loop

    def start(self) -> None:
        """Connect to the first address; failures are reported later."""
        self._candidates = self._connector.addresses.candidates(self._tried)
        self._tried = ()
        if not self._open_next():
            self._connector.loop.wake(self)

    def resume(self) -> None:
        """Called when a lookup has ended, or when `start` has failed."""
        if self._on_done is None:
            return
        if self._failure is None:
            if not self._connector.addresses.all:
                self._fail(self.lookup_failure or _NO_ADDRESS)
                return
            self._candidates = self._connector.addresses.candidates(self._tried)
            self._open_next()
        if self._sock is None:
            self._fail(self._failure or _NO_ADDRESS)

    def on_ready(self, _mask: int) -> None:
        """Called when TCP has connected or failed, and when a TLS handshake can go on."""
        sock, address = self._sock, self._address
        if sock is None or address is None or self._on_done is None:
            return
        if self._tls_mask:
            self._go_on_with_handshake()
        elif error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._sock = None
            self._close(sock)
            self.tcp_failed(address, error)
        else:
            self._tcp_connected()

    def abort(self) -> None:
        """Called when `on_ready` has raised, perhaps within `on_done`, which may have gone any part of its way."""
        self._on_done = None
        with suppress(KeyError):  # not registered any more
            self._release()

    def on_deadline(self) -> None:
        """Called when the head start of an address is over, or all the time."""
        connector = self._connector
        address = self._address
        if address is not None:
            connector.addresses.failed(address)
            connector.schedule_lookup()
        if self._due_at >= self._ends_at:
            self._fail(Failure(FailureReason.CONNECT, self._timeout_text()))
            return
        sock = self._sock
        if sock is not None and address is not None:
            earlier = EarlierSocket(self, sock, address)
            if self._earlier is None:
                self._earlier = []
            self._earlier.append(earlier)
            connector.loop.replace_source(sock.fileno(), earlier)
            self._sock = None
        if not self._open_next() and self._earlier:
            self._set_due(self._ends_at)

    # -- TCP

    def _open_next(self) -> bool:
        """Connect to the next address that does not fail at once. Return whether there is one."""
        loop = self._connector.loop
        while self._next < len(self._candidates):
            self._address = address = self._candidates[self._next]
            self._next += 1
            try:
                sock = self._connector.open_socket(address)
            except OSError as problem:
                self._note_failure(address, problem)
                continue
            error = sock.connect_ex(address[4])
            if error in (0, EINPROGRESS):
                self._sock = sock
                loop.register(sock.fileno(), self, WRITABLE)
                self._set_due(self._head_start_ends_at())
                return True
            sock.close()
            self._note_failure(address, OSError(error, ""))
        return False

    def _head_start_ends_at(self) -> float:
        """Return when the next address is to be tried, or everything ends."""
        rivals = 0 if self._earlier is None else len(self._earlier)
        if self._next >= len(self._candidates) or rivals + 1 >= MAX_SOCKETS:
            return self._ends_at
        connector = self._connector
        return min(connector.loop.clock() + connector.limits.happy_eyeballs_delay_s, self._ends_at)

    def tcp_failed(self, address: Address, error: int) -> None:
        """Called when an address has refused: the next one has its turn at once."""
        self._note_failure(address, OSError(error, ""))
        if self._sock is None and not self._open_next():
            if self._earlier:
                self._set_due(self._ends_at)
            else:
                self._fail(self._failure or _NO_ADDRESS)

    def earlier_ended(self, earlier: "EarlierSocket", error: int) -> None:
        """Called when a socket whose head start was over has connected or failed."""
        if self._earlier is not None:
            self._earlier.remove(earlier)
        if error:
            self._close(earlier.sock)
            self.tcp_failed(earlier.address, error)
            return
        if self._sock is not None:
            self._close(self._sock)
        self._sock = earlier.sock
        self._address = earlier.address
        self._connector.loop.replace_source(earlier.sock.fileno(), self)
        self._tcp_connected()

    def _tcp_connected(self) -> None:
        sock, address = self._sock, self._address
        assert sock is not None and address is not None  # noqa: S101, PT018 (for mypy)
        self._close_earlier()
        connector = self._connector
        if connector.tls is None:
            connector.loop.modify(sock.fileno(), READABLE)
            self._succeed(sock, address)
            return
        self._set_due(self._ends_at)
        self._tls_mask = WRITABLE
        try:
            self._sock = start_tls(connector.tls, sock, connector.server_name)
        except OSError as error:  # the peer has gone already
            self._fail_tls(error)
            return
        self._go_on_with_handshake()

    # -- TLS

    def _go_on_with_handshake(self) -> None:
        sock, address = self._sock, self._address
        assert isinstance(sock, ssl.SSLSocket) and address is not None  # noqa: S101, PT018 (for mypy)
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            self._watch(READABLE)
        except ssl.SSLWantWriteError:
            self._watch(WRITABLE)
        except OSError as error:
            self._fail_tls(error)
        else:
            self._watch(READABLE)
            self._succeed(sock, address)

    def _watch(self, mask: int) -> None:
        if mask != self._tls_mask and self._sock is not None:
            self._tls_mask = mask
            self._connector.loop.modify(self._sock.fileno(), mask)

    def _fail_tls(self, error: OSError) -> None:
        if self._address is not None:
            self._connector.addresses.failed(self._address)
        self._fail(Failure(FailureReason.TLS, error_text(error)))

    # -- the end

    def _succeed(self, sock: socket.socket, address: Address) -> None:
        on_done, connector = self._on_done, self._connector
        self._on_done = None
        connector.loop.cancel(self._tick, self)
        connector.addresses.connected(address)
        if on_done is not None:
            on_done(Stream(connector.loop, sock), address)
        self._sock = None

    def _fail(self, failure: Failure) -> None:
        on_done, address = self._on_done, self._address
        self._on_done = None
        self._connector.forget(self)
        self._release()
        if on_done is not None:
            on_done(failure, address)

    def _release(self) -> None:
        self._connector.loop.cancel(self._tick, self)
        self._close_earlier()
        sock, self._sock = self._sock, None
        if sock is not None:
            self._close(sock)

    def _close_earlier(self) -> None:
        earlier, self._earlier = self._earlier, None
        for each in earlier or ():
            self._close(each.sock)

    def _close(self, sock: socket.socket) -> None:
        loop = self._connector.loop
        loop.unregister(sock.fileno())
        loop.close_later(sock)

    def _note_failure(self, address: Address, error: OSError) -> None:
        self._failure = Failure(FailureReason.CONNECT, error_text(error))
        self._connector.addresses.failed(address)
        self._connector.schedule_lookup()

    def _set_due(self, at: float) -> None:
        if at != self._due_at:
            loop = self._connector.loop
            loop.cancel(self._tick, self)
            self._due_at = at
            self._tick = loop.call_at(at, self)

    def _timeout_text(self) -> str:
        if self._candidates:
            stage = "TLS handshake" if self._tls_mask else "TCP"
        else:
            stage = "name lookup"
        return f"no connection within {self._connector.limits.connect_timeout_s:g} s ({stage})"


class EarlierSocket:
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
