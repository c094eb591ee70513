"""How a connection to the upstream comes about: name lookup, TCP on two address families, TLS."""

import asyncio
import os
import socket
import ssl
import traceback
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from errno import EINPROGRESS
from typing import Any

from aiohappyeyeballs import start_connection

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.settings import Target, UpstreamLimits
from hedgerow.sockets import Address, socket_to_connect
from hedgerow.trampoline import Trampoline
from hedgerow.upstream.connection import Connection


class DialError(Exception):
    """No connection came about; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


def tls_context() -> ssl.SSLContext:
    """Trust what the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` are OpenSSL's own variables), TLS 1.2 on."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class Knock:
    """TCP to one address, without a task: 0.8 KiB where a task and its coroutines take 6, and a burst of hedges
    makes thousands of them at once.

    `on_end` gets the connected socket or the failure, once, and never before the constructor has returned.
    """

    __slots__ = ("_alarm_tick", "_dialer", "_on_end", "_sock")

    def __init__(
        self,
        dialer: "Dialer",
        sock: socket.socket,
        address: Any,
        on_end: Callable[[socket.socket | Failure], None],
    ) -> None:
        self._dialer = dialer
        self._sock = sock
        self._on_end = on_end
        sock.setblocking(False)
        error = sock.connect_ex(address)
        trampoline = dialer.trampoline
        self._alarm_tick = trampoline.set_alarm(trampoline.clock() + dialer.limits.connect_timeout_s, self)
        if error in (0, EINPROGRESS):
            dialer.loop.add_writer(sock, self._on_writable)
        else:
            dialer.loop.call_soon(self._fail, error)

    def cancel(self) -> None:
        """Give up; `on_end` is told soon. Does nothing after the end."""
        if self._forget():
            self._sock.close()
            self._dialer.loop.call_soon(
                self._on_end, Failure(FailureReason.CONNECT, "cancelled while connecting")
            )

    def on_deadline(self) -> None:
        """Nobody has answered in time."""
        if self._forget():
            self._sock.close()
            self._on_end(self._dialer.too_late())

    def _on_writable(self) -> None:
        trampoline = self._dialer.trampoline
        trampoline.wake_due(trampoline.clock())  # which may end this very knock
        if not self._alarm_tick:
            return
        if error := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._fail(error)
        else:
            self._forget()
            self._on_end(self._sock)

    def _fail(self, error: int) -> None:
        if self._forget():
            self._sock.close()
            self._on_end(self._dialer.no_connection(OSError(error, "")))

    def _forget(self) -> bool:
        """Leave no callback or alarm behind; tells whether this is the end, for the first time."""
        tick, self._alarm_tick = self._alarm_tick, 0
        if tick:
            self._dialer.loop.remove_writer(self._sock)
            self._dialer.trampoline.alarms.cancel(tick, self)
        return tick != 0


class Dialer:
    """Opens connections to one upstream."""

    def __init__(
        self, target: Target, limits: UpstreamLimits, loop: AbstractEventLoop, trampoline: Trampoline
    ) -> None:
        self.limits = limits
        self.loop = loop
        self.trampoline = trampoline
        self._target = target
        self._clock = trampoline.clock
        self._tls = tls_context() if target.tls else None
        self._addresses: Sequence[Address] = ()
        self._looked_up_at = -limits.dns_ttl_s
        self._lookup: asyncio.Task[None] | None = None

    def knock(self, on_end: Callable[[socket.socket | Failure], None]) -> Knock | None:
        """Connect to the only address of an upstream without TLS; None if it is not known, or has several: `dial` then.

        The socket that `on_end` gets goes to `adopt`.
        """
        if self._tls or len(self._addresses) != 1 or self._is_stale():
            return None
        address = self._addresses[0]
        try:
            sock = socket_to_connect(address)
        except OSError:  # no descriptor: `dial` meets the same, and tells
            return None
        return Knock(self, sock, address[-1], on_end)

    async def dial(self, connection: Connection) -> None:
        """Connect `connection` to the upstream, within `connect_timeout_s`; raises DialError.

        Cancelling closes whatever has been opened so far.
        """
        try:
            async with asyncio.timeout(self.limits.connect_timeout_s):
                connection.sock = await self._connect()
                await self.adopt(connection)
        except TimeoutError:
            pass
        else:
            return
        # Not within `except`: this error would hold that one, which holds this task, which holds this error.
        raise DialError(self.too_late())

    async def adopt(self, connection: Connection) -> None:
        """Give `connection.sock` a transport, and TLS; raises DialError, and cancelling closes the socket."""
        sock = connection.sock
        assert sock is not None  # noqa: S101 (for mypy)
        connection.sock = None if self._tls else sock
        self.trampoline.wake_due(self._clock())  # hundreds begin in a row, and a transport takes 60 µs
        try:
            transport, _ = await self.loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=self._tls,
                server_hostname=self._target.host if self._tls else None,
            )
        except (OSError, EOFError) as error:  # ssl.SSLError is an OSError
            sock.close()
            reason = FailureReason.TLS if self._tls else FailureReason.CONNECT
            raise DialError(Failure(reason, _told(error))) from None
        except BaseException:
            sock.close()
            raise
        if transport.is_closing():
            # uvloop 0.22 closes what is aborted within `connection_made`, yet lets the socket keep its number. That is
            # another connection's by the time the socket is freed, which would close it (cf. uvloop#645, #738).
            sock.detach()

    def too_late(self) -> Failure:
        """Tell that no connection came about in time."""
        return Failure(FailureReason.CONNECT, f"no connection within {self.limits.connect_timeout_s:g} s")

    def no_connection(self, error: OSError) -> Failure:
        """Tell why there is no connection, and look the name up again next time: it may have moved."""
        self._looked_up_at = -self.limits.dns_ttl_s
        return Failure(FailureReason.CONNECT, _told(error))

    async def _connect(self) -> socket.socket:
        try:
            return await start_connection(
                await self._look_up(),
                happy_eyeballs_delay=self.limits.happy_eyeballs_delay_s,
                interleave=1,
                loop=self.loop,
                socket_factory=socket_to_connect,
            )
        except OSError as error:
            # aiohappyeyeballs 2.6 lets frames and the exceptions in them hold each other; they shall not hold us, too.
            traceback.clear_frames(error.__traceback__)
            failure = self.no_connection(error.with_traceback(None))
        raise DialError(failure)

    async def _look_up(self) -> Sequence[Address]:
        """Tell the upstream's addresses. One lookup at a time, shared: a resolver that hangs costs one thread."""
        if self._is_stale():
            if self._lookup is None:
                self._lookup = self.loop.create_task(self._ask_resolver())
                self._lookup.add_done_callback(_heard)
            await asyncio.shield(self._lookup)
        return self._addresses

    def _is_stale(self) -> bool:
        return self._clock() - self._looked_up_at >= self.limits.dns_ttl_s

    async def _ask_resolver(self) -> None:
        try:
            self._addresses = await self.loop.getaddrinfo(
                self._target.host, self._target.port, type=socket.SOCK_STREAM
            )
            self._looked_up_at = self._clock()
        finally:
            self._lookup = None

    async def close(self) -> None:
        """Stop a lookup that is under way."""
        if self._lookup is not None:
            self._lookup.cancel()
            await asyncio.wait([self._lookup])


def _heard(lookup: asyncio.Task[None]) -> None:
    """Whoever waited for it may have been cancelled; asyncio would log its failure as a bug."""
    if not lookup.cancelled():
        lookup.exception()


def _told(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if (
        isinstance(error, OSError)
        and error.errno is not None
        and not isinstance(error, (ssl.SSLError, socket.gaierror))
    ):
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
