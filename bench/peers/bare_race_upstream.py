"""The bare race's connections to the upstream: HTTP/1.1, plain or by TLS."""

from __future__ import annotations

import select
import socket
import ssl
from typing import TYPE_CHECKING, Final

import httptools

if TYPE_CHECKING:
    from bare_race import EventLoop, Request

READ_BYTES: Final = 65536
NO_RESPONSE: Final = 0  # in place of a status: the connection broke


class UpstreamConnection:
    """A connection to the upstream: connecting, carrying one attempt, or idle."""

    __slots__ = ("body", "connecting", "loop", "parser", "request", "socket")

    def __init__(self, loop: EventLoop, opened: socket.socket, request: Request) -> None:
        self.loop = loop
        self.socket = opened
        self.request: Request | None = request
        self.connecting = True
        self.body = b""
        self.parser = httptools.HttpResponseParser(self)

    def ready(self) -> None:
        if self.connecting:
            self.connect()
            return
        try:
            data = self.socket.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            data = b""
        if data:
            self.parser.feed_data(data)
        else:
            self.lose()

    def connect(self) -> None:
        """Go on with opening the connection; it may take several calls."""
        if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.lose()
            return
        self.loop.poller.modify(self.socket.fileno(), select.EPOLLIN)
        self.established()

    def established(self) -> None:
        self.connecting = False
        self.loop.unsent.append((self.socket, self.loop.message))

    def on_body(self, body: bytes) -> None:
        self.body = self.body + body if self.body else body

    def on_message_complete(self) -> None:
        parser, body, request = self.parser, self.body, self.request
        self.body, self.request = b"", None
        if parser.should_keep_alive():
            self.loop.idle.append(self)
        else:
            self.close()
        if request is not None:
            request.take(parser.get_status_code(), body)

    def lose(self) -> None:
        request, self.request = self.request, None
        if request is None and self in self.loop.idle:
            self.loop.idle.remove(self)
        self.close()
        if request is not None:
            request.take(NO_RESPONSE, b"")

    def close(self) -> None:
        self.loop.upstream_connections.pop(self.socket.fileno(), None)
        self.socket.close()


class TlsUpstreamConnection(UpstreamConnection):
    """The same by TLS, on a non-blocking `ssl.SSLSocket`."""

    __slots__ = ()

    def connect(self) -> None:
        loop = self.loop
        try:
            if not isinstance(self.socket, ssl.SSLSocket):
                assert loop.tls is not None
                descriptor = self.socket.fileno()
                loop.poller.unregister(descriptor)
                del loop.upstream_connections[descriptor]
                self.socket = loop.tls.wrap_socket(
                    self.socket, server_hostname=loop.hostname, do_handshake_on_connect=False
                )
                loop.upstream_connections[self.socket.fileno()] = self
                loop.poller.register(self.socket.fileno(), select.EPOLLIN)
            assert isinstance(self.socket, ssl.SSLSocket)
            self.socket.do_handshake()
        except ssl.SSLWantReadError:
            return
        except OSError:
            self.lose()
            return
        self.established()
