"""How a connection to the upstream comes about: name lookup, TCP on two address families, TLS."""

import asyncio
import os
import socket
import ssl
import traceback
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence

from aiohappyeyeballs import AddrInfoType, start_connection

from hedgerow.outcomes import Failure, Reason
from hedgerow.settings import Target, UpstreamLimits
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


class Dialer:
    """Opens connections to one upstream."""

    def __init__(
        self, target: Target, limits: UpstreamLimits, loop: AbstractEventLoop, clock: Callable[[], float]
    ) -> None:
        self._target = target
        self._limits = limits
        self._loop = loop
        self._clock = clock
        self._tls = tls_context() if target.tls else None
        self._addresses: Sequence[AddrInfoType] = ()
        self._looked_up_at = -limits.dns_ttl_s
        self._lookup: asyncio.Task[None] | None = None

    async def dial(self, connection: Connection) -> None:
        """Connect `connection` to the upstream, within `connect_timeout_s`; raises DialError.

        Cancelling closes whatever has been opened so far.
        """
        try:
            async with asyncio.timeout(self._limits.connect_timeout_s):
                await self._dial(connection)
        except TimeoutError:
            detail = f"no connection within {self._limits.connect_timeout_s:g} s"
            raise DialError(Failure(Reason.CONNECT, detail)) from None

    async def _dial(self, connection: Connection) -> None:
        try:
            sock = await start_connection(
                await self._look_up(),
                happy_eyeballs_delay=self._limits.happy_eyeballs_delay_s,
                interleave=1,
                loop=self._loop,
            )
        except OSError as error:
            # aiohappyeyeballs 2.6 lets a frame and the exception in it hold each other, and us with them.
            traceback.clear_frames(error.__traceback__)
            self._looked_up_at = -self._limits.dns_ttl_s  # the name may have moved
            raise DialError(Failure(Reason.CONNECT, _told(error))) from None
        connection.sock = None if self._tls else sock
        try:
            transport, _ = await self._loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=self._tls,
                server_hostname=self._target.host if self._tls else None,
            )
        except (OSError, EOFError) as error:  # ssl.SSLError is an OSError
            sock.close()
            reason = Reason.TLS if self._tls else Reason.CONNECT
            raise DialError(Failure(reason, _told(error))) from None
        except BaseException:
            sock.close()
            raise
        if transport.is_closing():
            # uvloop 0.22 closes what is aborted within `connection_made`, yet lets the socket keep its number. That is
            # another connection's by the time the socket is freed, which would close it (cf. uvloop#645, #738).
            sock.detach()

    async def _look_up(self) -> Sequence[AddrInfoType]:
        """Tell the upstream's addresses. One lookup at a time, shared: a resolver that hangs costs one thread."""
        if self._clock() - self._looked_up_at >= self._limits.dns_ttl_s:
            if self._lookup is None:
                self._lookup = self._loop.create_task(self._ask_resolver())
            await asyncio.shield(self._lookup)
        return self._addresses

    async def _ask_resolver(self) -> None:
        try:
            self._addresses = await self._loop.getaddrinfo(
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
