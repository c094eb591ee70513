"""One connection to the upstream while it is being established: TCP to one of several endpoints, then TLS.

Endpoints are tried as RFC 8305 section 5 has it: the next one when one fails, or has not answered within its head
start; the first that connects is taken. All of it has one deadline.
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.poller import READABLE
from hedgerow.net.stream import Stream
from hedgerow.net.tcp import LOCAL_ERRORS
from hedgerow.net.tls import error_text
from hedgerow.upstream.endpoint import Endpoint
from hedgerow.upstream.endpoints import take_untried
from hedgerow.upstream.handshakes import Handshake
from hedgerow.upstream.tcp_socket import TcpSocket

if TYPE_CHECKING:
    from hedgerow.upstream.connector import Connector

MAX_SOCKETS: Final = 3
"""Sockets that one connect may have open: where more endpoints than this do not answer, it waits for these."""

OnDone: TypeAlias = Callable[[Stream | Failure, Endpoint | None], None]

_NO_ADDRESS: Final = Failure(FailureReason.CONNECT, "name lookup: no address")


class Connecting(EventHandler):
    """One connect: its sockets, and its deadline."""

    __slots__ = (
        "_connector", "_due_at", "_ends_at", "_first", "_handshake", "_is_parallel", "_left", "_newest", "_on_done",
        "_sockets", "_tick", "_tried", "endpoint", "failure", "is_handshaking", "is_needed",
    )  # fmt: skip

    def __init__(
        self, connector: "Connector", first: Endpoint | None, tried: list[Endpoint], on_done: OnDone
    ) -> None:
        self.endpoint: Endpoint | None = None
        """The one that it tries now; None while the name is looked up."""
        self.failure = _NO_ADDRESS
        """Why there is no connection so far."""
        self.is_handshaking = False
        """TCP is connected: what is left is the TLS handshake."""
        self.is_needed = True
        """An attempt waits for it; else a handshake that has not been started yet is not."""
        self._handshake: Handshake | None = None
        self._connector = connector
        self._first = first
        self._tried = tried
        self._on_done: OnDone | None = on_done
        self._left: list[Endpoint] = []
        """Endpoints that were not tried yet."""
        self._sockets: list[TcpSocket] = []
        """Those that may still connect."""
        self._is_parallel = False
        """It may have more than one of them at a time (`MAX_PARALLEL_CONNECTS`)."""
        self._newest: TcpSocket | None = None
        """The one whose head start is not over."""
        self._due_at = self._ends_at = connector.loop.clock() + connector.limits.connect_timeout_s
        self._tick = connector.loop.call_at(self._due_at, self)

    @property
    def has_started_handshake(self) -> bool:
        """Return whether the TLS handshake was started; until then its delay is ours, not the upstream's."""
        return self._handshake is not None and self._handshake.is_started

    # -- called by the connector

    def start(self) -> bool:
        """Connect to the first endpoint. Return False if every one has failed at once: `resume` reports it."""
        endpoints, now = self._connector.endpoints, self._connector.loop.clock()
        if endpoints.all:
            self._left = endpoints.in_order(self._first or endpoints.choose(self._tried, now), now)
        return self._open_next()

    def need(self) -> None:
        """Have the handshake started, since an attempt waits for it again."""
        self.is_needed = True
        if self._handshake is not None:
            self._connector.handshakes.add(self._handshake)

    def cancel(self) -> None:
        """Close what is open, and do not report. Does nothing once `on_done` has been called."""
        if self._on_done is not None:
            self._on_done = None
            self._connector.forget(self)
            self._release()

    # -- called by the event loop

    def resume(self) -> None:
        """Go on: a lookup has ended, or `start` has failed."""
        if self._on_done is None:
            return
        if self.endpoint is None:
            self.start()
        if not self._sockets:
            self._fail(self.failure)

    def on_deadline(self) -> None:
        """Try the next endpoint or give up: a head start is over, or all the time."""
        if self._newest is not None:
            self._connector.connect_failed(self._newest.endpoint)
        elif self.has_started_handshake and self.endpoint is not None:
            self._connector.connect_failed(self.endpoint)
        if self._due_at >= self._ends_at:
            waits_for = "TLS handshake" if self.is_handshaking else "TCP" if self.endpoint else "name lookup"
            limit_s = self._connector.limits.connect_timeout_s
            self._fail(Failure(FailureReason.CONNECT, f"no connection within {limit_s:g} s ({waits_for})"))
        else:
            self._newest = None
            if not self._open_next():
                self._set_due(self._ends_at)

    def abort(self) -> None:
        """Give up, since `on_ready` has raised, perhaps within `on_done`, which may have gone any part of its way."""
        self._on_done = None
        with suppress(KeyError):  # not registered any more
            self._release()

    # -- TCP

    def _open_next(self) -> bool:
        """Connect to the next endpoint that does not fail at once. Return whether there is one."""
        loop = self._connector.loop
        while self._left and len(self._sockets) < MAX_SOCKETS:
            if self.endpoint is None:
                endpoint = self._left.pop(0)
            else:
                endpoint = take_untried(self._left, self._tried, loop.clock())
            self.endpoint = endpoint
            try:
                sock = self._connector.open_socket(endpoint.address)
            except OSError as error:
                self._note_failure(endpoint, error_text(error), is_ours=error.errno in LOCAL_ERRORS)
                if error.errno in LOCAL_ERRORS:  # no descriptor, for another neither
                    break
                continue  # a family that this machine does not have
            newest = TcpSocket(self, sock, endpoint)
            error_number = newest.connect(loop)
            if not error_number:
                self._newest = newest
                self._sockets.append(newest)
                if len(self._sockets) > 1 and not self._is_parallel:
                    self._is_parallel = self._connector.budget.begin_parallel_connect()
                    if not self._is_parallel:  # its head start is over
                        self._close(self._sockets.pop(0).sock)
                head_start_ends_at = loop.clock() + self._connector.limits.happy_eyeballs_delay_s
                self._set_due(min(head_start_ends_at, self._ends_at) if self._left else self._ends_at)
                return True
            sock.close()
            self._note_failure(endpoint, os.strerror(error_number), is_ours=error_number in LOCAL_ERRORS)
        return False

    def tcp_ended(self, tcp: TcpSocket, error: int) -> None:
        """Take the socket that has connected; else try the next endpoint, unless another still has its head start."""
        if not error:
            self._tcp_connected(tcp)
            return
        self._sockets.remove(tcp)
        if tcp is self._newest:
            self._newest = None
        self._close(tcp.sock)
        self._note_failure(tcp.endpoint, os.strerror(error))
        if self._newest is None and not self._open_next():
            if self._sockets:
                self._set_due(self._ends_at)
            else:
                self._fail(self.failure)

    def _tcp_connected(self, tcp: TcpSocket) -> None:
        self._sockets.remove(tcp)
        self._close_sockets()
        self._sockets = [tcp]
        self.endpoint = endpoint = tcp.endpoint
        connector, sock = self._connector, tcp.sock
        if connector.tls is None or not endpoint.target.tls:
            connector.loop.modify(sock.fileno(), READABLE)
            self.succeed(sock, endpoint)
        else:
            self._set_due(self._ends_at)
            connector.loop.unregister(sock.fileno())
            self._sockets = []
            self._handshake = Handshake(self, connector, connector.tls, sock, endpoint)
            self.is_handshaking = True
            connector.handshakes.add(self._handshake)

    # -- the end

    def handshake_failed(self, endpoint: Endpoint, error: OSError) -> None:
        """Report that TLS has failed. No other endpoint is tried: the attempt has failed, and says why."""
        is_ours = error.errno in LOCAL_ERRORS
        if not is_ours:
            endpoint.tls_session.discard()
            self._connector.connect_failed(endpoint)
        self._fail(Failure(FailureReason.CONNECT if is_ours else FailureReason.TLS, error_text(error)))

    def succeed(self, sock: socket.socket, endpoint: Endpoint) -> None:
        """Report a socket that is connected, TLS and all, and registered for READABLE."""
        on_done, self._on_done = self._on_done, None
        self._connector.loop.cancel(self._tick, self)
        self._connector.endpoints.connected(endpoint)
        if on_done is not None:
            on_done(Stream(self._connector.loop, sock), endpoint)
        self._sockets = []  # not before: where it raises, `abort` closes the socket

    def _fail(self, failure: Failure) -> None:
        on_done, self._on_done = self._on_done, None
        self._connector.forget(self)
        self._release()
        if on_done is not None:
            on_done(failure, self.endpoint)

    def _release(self) -> None:
        self._connector.loop.cancel(self._tick, self)
        self._close_sockets()
        if self._handshake is not None:
            self._handshake.cancel()

    def _close_sockets(self) -> None:
        if self._is_parallel:
            self._is_parallel = False
            self._connector.budget.end_parallel_connect()
        sockets, self._sockets = self._sockets, []
        self._newest = None
        for each in sockets:
            self._close(each.sock)

    def _close(self, sock: socket.socket) -> None:
        self._connector.loop.unregister(sock.fileno())
        sock.close()

    def _note_failure(self, endpoint: Endpoint, text: str, *, is_ours: bool = False) -> None:
        self.failure = Failure(FailureReason.CONNECT, text)
        if not is_ours:
            self._connector.connect_failed(endpoint)

    def _set_due(self, at: float) -> None:
        if at != self._due_at:
            self._connector.loop.cancel(self._tick, self)
            self._due_at = at
            self._tick = self._connector.loop.call_at(at, self)
