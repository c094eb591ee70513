"""One caller's connection: requests in, answers out, in order and one at a time."""

import asyncio
import socket
from collections.abc import Callable
from http import HTTPStatus
from math import inf
from struct import pack
from typing import Final, Protocol, cast

from hedgerow.core.request import Request
from hedgerow.core.response import Response
from hedgerow.http_front.heads import HeadReader, KnownHeads, Refused
from hedgerow.settings import ClientLimits
from hedgerow.sockets import Outbox

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}

_LINGER_ZERO: Final = pack("ii", 1, 0)
"""`SO_LINGER`, on, 0 seconds: closing sends RST and drops what is unsent (socket(7))."""


class Cancellable(Protocol):
    """An answer that is being worked on."""

    def cancel(self) -> object:
        """The caller has left."""


Handler = Callable[[Request, Callable[[Response], None]], Cancellable | None]
"""Answers a request by one call of the callable it is given, now or later; see `Gateway.handle`."""


class Server(Protocol):
    """What a connection needs of the server that owns it."""

    limits: ClientLimits
    clock: Callable[[], float]
    handler: Handler
    draining: bool
    on_refusal: Callable[[str, str], None]
    outbox: Outbox
    next_id: Callable[[], bytes]
    known_heads: KnownHeads

    def wake_due(self, now: float) -> None: ...
    def arrival(self, sock: socket.socket, now: float, *, first: bool) -> float: ...
    def date(self, now: float) -> bytes: ...
    def connected(self, client: "ClientConnection") -> bool: ...
    def disconnected(self, client: "ClientConnection") -> None: ...
    def slow_head(self, client: "ClientConnection", *, begins: bool) -> None: ...
    def deaf(self, client: "ClientConnection", *, begins: bool) -> None: ...
    def lingers(self, client: "ClientConnection") -> None: ...


def written(
    reply: Response, request_id: bytes, took_s: float, date: bytes, connection: bytes, body: bytes
) -> bytes:
    """Write an answer as it goes over the wire; `connection` is its header line, or nothing."""
    tenths = int(took_s * 10_000 + 0.5)  # of a millisecond: mypyc leaves %.1f to Python
    return (
        b"%bContent-Type: %b\r\nContent-Length: %d\r\nCache-Control: no-store\r\nX-Request-Id: %b\r\n"
        b"Server-Timing: total;dur=%d.%d%b\r\nDate: %b\r\n%b%b\r\n%b"
        % (
            _STATUS_LINES[reply.status],
            reply.content_type,
            len(reply.body),
            request_id,
            tenths // 10,
            tenths % 10,
            reply.timing,
            date,
            reply.headers,
            connection,
            body,
        )
    )


class ClientConnection(asyncio.Protocol):
    """Reads heads, has each answered, writes each answer with one write.

    Bytes that come while a request is being answered are held unparsed, up to a bound; then the socket is not
    read. So pipelining costs a caller's own patience and none of our memory (aio-libs/aiohttp CVE-2026-54273).
    """

    __slots__ = (
        "_advancing", "_deaf", "_ended", "_fresh", "_held", "_held_at", "_reader", "_reading_paused", "_request",
        "_run", "_server", "_slow", "_sock", "_transport", "_waiting", "idle_since",
    )  # fmt: skip

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self._server = server
        self._sock = sock
        self._fresh = True
        """Nothing has been read from it yet."""
        self._waiting: list[Request | Refused] = []  # a deque, empty, takes 760 bytes of each connection
        self._reader = HeadReader(server.limits, self._waiting.append, server.next_id, server.known_heads)
        self._transport: asyncio.Transport | None = None
        self._request: Request | None = None
        """The request that is being answered."""
        self._run: Cancellable | None = None
        self._held = b""
        self._held_at = 0.0
        self._advancing = False
        self.idle_since = inf
        """No request has been under way since this instant; infinite while there is one."""
        self._slow = False
        self._deaf = False
        self._ended = False
        """Nothing further is read or answered."""
        self._reading_paused = False

    # -- what the event loop tells it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's, not the base class.
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=self._server.limits.write_buffer_bytes)
        self._server.wake_due(self._server.clock())  # a flood of connections begins hundreds in a row
        if self._server.connected(self):
            self._become_idle()
        else:
            self._ended = True

    def data_received(self, data: bytes) -> None:
        now = self._server.clock()
        self._server.wake_due(now)
        if self._ended:
            return
        if self._held:
            self._held += data
        else:
            self._held = data
            self._held_at = self._server.arrival(self._sock, now, first=self._fresh)
            self._fresh = False
        if self._request is None and not self._deaf:
            self._advance()
        elif (
            len(self._held) > self._server.limits.held_bytes and self._transport and not self._reading_paused
        ):
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        # FIN: the caller has left, or will not wait. A half-closed caller cannot be told from one that is gone
        # before we write to it; nginx and Go's net/http take it as gone, too.
        self._leave()
        self._bound_the_rest()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's)
        self._transport = None
        self._leave()
        self._reader.close()
        self._server.disconnected(self)
        self._server.wake_due(self._server.clock())  # thousands may leave in a row, and each takes 40 µs

    def pause_writing(self) -> None:
        self._deaf = True
        self._server.deaf(self, begins=True)

    def resume_writing(self) -> None:
        if self._ended:  # the rest has to go, too, and within the time that began
            return
        self._deaf = False
        self._server.deaf(self, begins=False)
        if self._request is None:
            self._advance()

    # -- what the server asks of it

    @property
    def is_answering(self) -> bool:
        """Tell whether a request waits for its answer."""
        return self._request is not None

    def close(self) -> None:
        """Close once all that was written has been sent."""
        self._ended = True
        if self._transport is not None:
            self._server.outbox.flush()
            self._bound_the_rest()
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._ended = True
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """Close at once by RST: otherwise the kernel keeps what is unread for minutes, and offers it on and on."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.abort()

    def refuse(self, refused: Refused) -> None:
        """Answer out of turn, and close: a head that took too long, or a connection too many."""
        if self._request is None and not self._ended:
            self._refuse(refused)

    # -- its own

    def _bound_the_rest(self) -> None:
        """Give the caller no more than `write_timeout_s` to read what is left: closing waits for it, however long."""
        if self._transport is not None and self._transport.get_write_buffer_size() and not self._deaf:
            self._deaf = True
            self._server.deaf(self, begins=True)

    def _leave(self) -> None:
        self._ended = True
        self._waiting.clear()
        self._held = b""
        self._request = None
        run, self._run = self._run, None
        if run is not None:
            run.cancel()

    def _advance(self) -> None:
        """Answer what has been read and read what is held, until a request has to wait or nothing is left."""
        self._advancing = True
        try:
            while self._request is None and not self._deaf and not self._ended:
                if self._waiting:
                    self._answer(self._waiting.pop(0))
                elif self._held:
                    self._read()
                else:
                    self._become_idle()
                    break
        finally:
            self._advancing = False

    def _read(self) -> None:
        data, self._held = self._held, b""
        size = self._server.limits.slice_bytes
        if len(data) > size:
            data, self._held = data[:size], data[size:]
        try:
            self._reader.feed(data, self._held_at)
        except Refused as refused:
            self._held = b""
            self._waiting.append(refused)
        if self._reading_paused and len(self._held) <= self._server.limits.held_bytes and self._transport:
            self._reading_paused = False
            self._transport.resume_reading()

    def _answer(self, item: Request | Refused) -> None:
        if isinstance(item, Refused):
            self._refuse(item)
            return
        self.idle_since = inf
        if self._slow:  # this head is whole; the next one has a clock of its own
            self._slow = False
            self._server.slow_head(self, begins=False)
        self._request = item
        run = self._server.handler(item, self._respond)
        if self.is_answering:
            self._run = run

    def _respond(self, reply: Response) -> None:
        request = self._request
        if request is None or self._transport is None:
            return
        self._request = self._run = None
        keep_alive = request.keep_alive and not self._server.draining
        if not keep_alive:
            connection = b"Connection: close\r\n"
        else:
            connection = b"Connection: keep-alive\r\n" if request.announce_keep_alive else b""
        body = b"" if request.method == b"HEAD" else reply.body
        self._write(reply, request.request_id, request.arrived_at, connection, body)
        if not keep_alive:
            self.close()
        elif not self._advancing:
            self._advance()

    def _refuse(self, refused: Refused) -> None:
        """Answer for the last time; then read on for a moment, so that closing does not take the answer back."""
        self._ended = True
        reply = self._reader.refusal(refused)
        self._server.on_refusal(reply.code, refused.reason)
        body = b"" if self._reader.is_head else reply.body
        self._write(reply, self._reader.request_id, self._held_at, b"Connection: close\r\n", body)
        if self._transport is not None and self._transport.can_write_eof():
            self._server.outbox.flush()
            self._transport.write_eof()
        self._server.lingers(self)

    def _write(
        self, reply: Response, request_id: bytes, arrived_at: float, connection: bytes, body: bytes
    ) -> None:
        server = self._server
        now = server.clock()
        if self._transport is not None:
            message = written(reply, request_id, now - arrived_at, server.date(now), connection, body)
            server.outbox.put(self._sock, self._transport, message)

    def _become_idle(self) -> None:
        """No request is under way; perhaps a part of a head is."""
        if self._reader.partial != self._slow:
            self._slow = self._reader.partial
            self._server.slow_head(self, begins=self._slow)
        if self.idle_since == inf:
            self.idle_since = self._server.clock()
