"""The bare race on an event loop of its own: a yardstick, not a server to use.

`python bare_race.py PORT UPSTREAM_URL`, where the URL is `http://HOST:PORT/path`, or `https://…`: then it verifies the
upstream as Python does by default (`SSL_CERT_FILE`). It has no limits, no telemetry and next to no error handling: what
hedgerow takes beyond it is the price of those. `bare_race_admission.py` adds admission.

One iteration: poll; upstream responses; due timers; clients; accepts; admission; flush. Needs httptools and msgspec.
"""

import select
import socket
import ssl
import sys
from heapq import heappop, heappush
from time import monotonic
from typing import ClassVar, Final
from urllib.parse import urlsplit

import httptools
import msgspec
from bare_race_upstream import NO_RESPONSE, READ_BYTES, TlsUpstreamConnection, UpstreamConnection

HEDGE_DELAY_S: Final = 0.3
HEDGES: Final = 2
BACKLOG: Final = 4096
MAX_EVENTS: Final = 1024
ACCEPTS: Final = 64  # in one iteration
NEVER: Final = 1e18  # a deadline that does not come
OK: Final = b"200 OK"
FAILED: Final = (b"502 Bad Gateway", b'{"error":"failed"}')
TIMED_OUT: Final = (b"504 Gateway Timeout", b'{"error":"timeout"}')


class EventLoop:
    """Clients on one port before one upstream."""

    request_type: ClassVar[type["Request"]]

    def __init__(self, port: int, upstream_url: str) -> None:
        url = urlsplit(upstream_url)
        assert url.hostname
        assert url.port
        self.upstream = (socket.gethostbyname(url.hostname), url.port)
        self.hostname = url.hostname
        self.message = (
            f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: application/json\r\n\r\n".encode()
        )
        self.tls = ssl.create_default_context() if url.scheme == "https" else None
        self.connection_type = UpstreamConnection if self.tls is None else TlsUpstreamConnection
        self.poller = select.epoll()
        self.upstream_connections: dict[int, UpstreamConnection] = {}
        self.clients: dict[int, Client] = {}
        self.idle: list[UpstreamConnection] = []
        self.unsent: list[tuple[socket.socket, bytes]] = []
        self.failed: list[Request] = []  # attempts for which there was no descriptor
        self.timers: dict[int, list[Request]] = {}  # by millisecond
        self.ticks: list[int] = []  # a heap of the keys of `timers`
        self.now = monotonic()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        self.listener.setblocking(False)
        self.poller.register(self.listener.fileno(), select.EPOLLIN)

    def run(self) -> None:
        """Serve until a signal ends the process."""
        while True:
            events = self.poller.poll(self.wait_s(), MAX_EVENTS)
            self.now = monotonic()
            self.iterate(events)

    def wait_s(self) -> float:
        return max(0.0, self.ticks[0] / 1000 - monotonic()) if self.ticks else 1.0

    def iterate(self, events: list[tuple[int, int]]) -> None:
        upstream_connections, clients = self.upstream_connections, self.clients
        readable: list[Client] = []
        accept = False
        for descriptor, _ in events:
            connection = upstream_connections.get(descriptor)
            if connection is not None:
                connection.ready()
            elif (client := clients.get(descriptor)) is not None:
                readable.append(client)
            else:
                accept = True
        self.run_due_timers()
        for client in readable:
            client.ready()
        if accept:
            self.accept()
        self.admit()
        if self.failed:
            failed, self.failed = self.failed, []
            for request in failed:
                request.take(NO_RESPONSE, b"")
        self.flush()

    def set_timer(self, at: float, request: "Request") -> None:
        tick = int(at * 1000) + 1
        due = self.timers.get(tick)
        if due is None:
            self.timers[tick] = [request]
            heappush(self.ticks, tick)
        else:
            due.append(request)

    def run_due_timers(self) -> None:
        tick = int(self.now * 1000)
        while self.ticks and self.ticks[0] <= tick:
            for request in self.timers.pop(heappop(self.ticks)):
                request.on_timer(self.now)

    def send_attempt(self, request: "Request") -> None:
        if self.idle:
            connection = self.idle.pop()
            connection.request = request
            self.unsent.append((connection.socket, self.message))
            return
        try:
            opened = socket.socket()
        except OSError:
            self.failed.append(request)
            return
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.connect_ex(self.upstream)
        self.upstream_connections[opened.fileno()] = self.connection_type(self, opened, request)
        self.poller.register(opened.fileno(), select.EPOLLOUT)

    def accept(self) -> None:
        for _ in range(ACCEPTS):
            try:
                accepted, _ = self.listener.accept()
            except OSError:
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.clients[accepted.fileno()] = Client(self, accepted)
            self.poller.register(accepted.fileno(), select.EPOLLIN)

    def admit(self) -> None:
        """Send waiting requests: none wait here."""

    def flush(self) -> None:
        unsent, self.unsent = self.unsent, []
        for connection, message in unsent:
            try:  # noqa: SIM105 (`contextlib.suppress` takes 0.3 µs of 20)
                connection.send(message)
            except OSError:
                pass


class Request:
    """One client's request and its race."""

    __slots__ = ("client", "deadline_at", "done", "hedged", "pending")

    def __init__(self, client: "Client", timeout_ms: int) -> None:
        loop = client.loop
        self.client = client
        self.pending = 1
        self.hedged = self.done = False
        loop.set_timer(loop.now + HEDGE_DELAY_S, self)
        self.deadline_at = loop.now + timeout_ms / 1000 if timeout_ms else NEVER
        if timeout_ms:
            loop.set_timer(self.deadline_at, self)
        loop.send_attempt(self)

    def on_timer(self, now: float) -> None:
        if self.done:
            return
        if now >= self.deadline_at:
            self.finish(*TIMED_OUT)
        elif not self.hedged:
            self.hedge()

    def hedge(self) -> None:
        self.hedged = True
        self.pending += HEDGES
        for _ in range(HEDGES):
            self.client.loop.send_attempt(self)

    def take(self, status: int, body: bytes) -> None:
        """Judge the response of one attempt."""
        if self.done:
            return
        self.pending -= 1
        if status == 200:
            try:
                is_success = type(msgspec.json.decode(body)["time"]) is int
            except (ValueError, KeyError, TypeError):
                is_success = False
            if is_success:
                self.finish(OK, body)
                return
        if self.hedged and not self.pending:
            self.finish(*FAILED)

    def finish(self, status: bytes, body: bytes) -> None:
        self.done = True
        self.client.respond(status, body)


class Client:
    """A client's connection, with one request at a time."""

    __slots__ = ("loop", "parser", "socket", "url")

    def __init__(self, loop: EventLoop, accepted: socket.socket) -> None:
        self.loop = loop
        self.socket = accepted
        self.url = b""
        self.parser = httptools.HttpRequestParser(self)

    def ready(self) -> None:
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.parser.feed_data(data)
        else:
            self.loop.clients.pop(self.socket.fileno(), None)
            self.socket.close()

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_message_complete(self) -> None:
        query = httptools.parse_url(self.url).query
        timeout_ms = int(query[8:]) if query and query.startswith(b"timeout=") else 0
        self.loop.request_type(self, timeout_ms)

    def respond(self, status: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        self.loop.unsent.append((self.socket, head % (status, len(body), body)))


EventLoop.request_type = Request

if __name__ == "__main__":
    EventLoop(int(sys.argv[1]), sys.argv[2]).run()
