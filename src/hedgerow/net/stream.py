"""A non-blocking connection, plain or TLS, with one bounded way to read and one to send."""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from struct import pack
from typing import Final, Protocol

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.net.tls import read_and_write

READ_BYTES: Final = 16 * 1024
"""Of one read: more than a request or a usual answer has, and what the largest TLS record holds (RFC 8446 section 5.1).
OpenSSL takes one record at a time from the socket, so what one read leaves stays readable for the poller."""
_LINGER_ZERO: Final = pack("ii", 1, 0)
"""`SO_LINGER`, on, 0 seconds: closing sends RST and drops what is unsent (socket(7))."""


class StreamOwner(Protocol):
    """The connection that owns a stream."""

    def on_write_blocked(self) -> None:
        """Wait: the kernel takes no more bytes. Call `Stream.flush` once the socket is writable."""

    def on_flushed(self) -> None:
        """Go on: all bytes were sent after `on_write_blocked`."""


class Stream(EventHandler):
    """One connected socket. What is written is sent when the event loop's step ends, and in one piece if it fits.

    `sock` is a `socket.socket` or an `ssl.SSLSocket`: they read and send alike, but for the exceptions.
    """

    __slots__ = (
        "_loop", "_queued", "_receive", "_send", "_unsent", "blocked", "closed", "owner", "sock",
    )  # fmt: skip

    def __init__(self, loop: EventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self.sock = sock
        self._receive: Callable[[int], bytes] = sock.recv  # looked up once
        self._send: Callable[[bytes | memoryview], int] = sock.send
        if isinstance(sock, ssl.SSLSocket):
            self._receive, self._send = read_and_write(sock)
        self.owner: StreamOwner | None = None
        self._unsent: bytes | memoryview = b""
        self._queued = False
        self.blocked = False
        """The kernel's buffer is full."""
        self.closed = False

    @property
    def unsent_bytes(self) -> int:
        """Return how many bytes wait to be sent; the owner keeps this bounded by writing no more."""
        return len(self._unsent)

    def read(self) -> bytes | None:
        """Return some bytes, b"" at the end of the stream, or None if there are none now.

        Raises OSError where the connection is broken, and its subclass ssl.SSLError for TLS alerts and truncation.
        """
        try:
            return self._receive(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def write(self, data: bytes) -> None:
        """Have `data` sent in this iteration, or as soon as the peer takes it.

        Never raises; a broken connection is reported by the next read.
        """
        self._unsent = b"".join((self._unsent, data)) if self._unsent else data
        if not self._queued and not self.blocked:
            self._queued = True
            self._loop.flush_later(self)

    def flush(self) -> None:
        """Send what the kernel takes. Called by the event loop, and by the owner when a blocked socket is writable."""
        self._queued = False
        data = self._unsent
        if not data or self.closed:
            return
        try:
            sent = self._send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent = 0
        except OSError:  # broken: the poller reports it, and the next read raises the reason
            self._unsent = b""
            return
        if sent == len(data):
            self._unsent = b""
            if self.blocked:
                self.blocked = False
                if self.owner is not None:
                    self.owner.on_flushed()
            return
        self._unsent = memoryview(data)[sent:]  # not copied: a slow peer takes it in hundreds of parts
        if not self.blocked:
            self.blocked = True
            if self.owner is not None:
                self.owner.on_write_blocked()

    def end_writing(self) -> None:
        """Send FIN after what was sent; the peer may still send. Unsent bytes must have been flushed."""
        with suppress(OSError):  # the peer has gone
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close, dropping what is unsent. The socket is not registered any more. Idempotent."""
        if not self.closed:
            self.closed = True
            self._unsent = b""
            self.owner = None  # they hold each other: only a collection would free them, and it is rare
            self.sock.close()

    def send_rst_on_close(self) -> None:
        """Have `close` send RST and drop what is unsent: otherwise the kernel keeps what the peer does not read."""
        with suppress(OSError):  # closed by the peer already
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
