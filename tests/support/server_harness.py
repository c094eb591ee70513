"""A server whose event loop is iterated by the test, by a clock that the test sets, with real sockets."""

import select
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hedgerow.core.request import Cancellable, Handler, Request, Responder
from hedgerow.core.response import JSON, Response
from hedgerow.eventloop.loop import EventLoop
from hedgerow.eventloop.poller import Poller
from hedgerow.server.connection import ClientConnection
from hedgerow.server.listener import AcceptBalancer, ClientSharing
from hedgerow.server.request_pipeline import RequestPipeline
from hedgerow.server.server import HttpServer
from hedgerow.server.timeouts import REAP_INTERVAL_S
from hedgerow.settings import ClientLimits
from support.faulty_sockets import Faults, ListeningSocket

START = 1_000.0005
"""The clock's first reading: not zero, so that an instant cannot pass for a span, and not a whole millisecond, so that
what is to be done at once is done in the next iteration."""

POLL_S = 0.02
"""An iteration waits this long for bytes that a test has sent: loopback may hand them over a moment later."""

DEFAULT_TIMEOUT_MS = 10_000
MAX_BODY_BYTES = 100

GET = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"


class FakeClock:
    """Instants that move when the test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Asked:
    """One request, as the handler got it."""

    def __init__(self, request: Request, responder: Responder) -> None:
        self.request = request
        self.cancelled = 0
        self._responder = responder

    def cancel(self) -> None:
        self.cancelled += 1

    def respond(self, response: Response | None = None) -> None:
        self._responder.respond(response or answer())


class FakeHandler(Handler):
    """Keeps what it is asked, and answers at once if it has a response for that."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.on_request: Callable[[Asked], None] = lambda _: None
        self.body_timeout_ms = 0
        """The timeout of requests where bodies are read; 0: none is."""
        self.body_bytes = MAX_BODY_BYTES
        """The most that a body may have."""

    def handle(self, request: Request, responder: Responder) -> Cancellable | None:
        request.timeout_ms = self.timeout_ms(request)
        asked = Asked(request, responder)
        self.asked.append(asked)
        self.on_request(asked)
        return asked

    def timeout_ms(self, request: Request) -> int:
        """Return the number that is the query, if it is one."""
        if request.query.isdigit():
            return int(request.query)
        return self.body_timeout_ms or DEFAULT_TIMEOUT_MS

    def max_body_bytes(self, request: Request) -> int:
        request.timeout_ms = self.timeout_ms(request)
        return self.body_bytes if self.body_timeout_ms else -1

    def answer_at_once(self, response: Response | None = None) -> None:
        """Answer each request before `handle` returns."""
        self.on_request = lambda asked: asked.respond(response)


def answer(size: int = 12) -> Response:
    """Return a success with a body of this size."""
    return Response(200, b"%*s" % (size, b"{}"), content_type=JSON)


OVERLOADED = Response(503, b"{}", code="overloaded")


class RawSocket:
    """A client's socket; reading never waits for the server, which does not run meanwhile."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.sock = socket.socket()
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.sock.connect(("127.0.0.1", port))
        except OSError:
            self.sock.close()
            raise
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.received = b""
        self.ended = False
        """The server has sent FIN."""
        self.was_reset = False

    def send(self, data: bytes) -> int:
        """Send what the kernel takes, and return how much that was."""
        return self.sock.send(data)

    def read(self) -> bytes:
        """Take what has come, and return all that has come so far."""
        while not (self.ended or self.was_reset):
            try:
                data = self.sock.recv(65_536)
            except BlockingIOError:
                break
            except ConnectionResetError:
                self.was_reset = True
            else:
                self.received += data
                self.ended = not data
        return self.received

    def statuses(self) -> list[int]:
        """Return the status codes of the responses that have come so far."""
        return [int(part[:3]) for part in self.read().split(b"HTTP/1.1 ")[1:]]

    def is_ended(self) -> bool:
        """Read, and return whether the server has sent FIN."""
        self.read()
        return self.ended

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()


class ServerHarness:
    """An `HttpServer` on an event loop of its own; iterate it by `step` and `until`."""

    def __init__(
        self,
        *,
        limits: ClientLimits | None = None,
        max_clients: int = 100,
        balancer: AcceptBalancer | None = None,
        sharing: ClientSharing | None = None,
        sock: socket.socket | None = None,
        make_poller: Callable[[], Poller] = select.epoll,
        body_timeout_ms: int = 0,
    ) -> None:
        """With `body_timeout_ms` it reads bodies of requests, which have this timeout."""
        self.clock = FakeClock()
        self.handler = FakeHandler()
        self.internal_errors: list[BaseException | None] = []
        self.rejected: list[tuple[str, str]] = []
        self.loop = EventLoop(
            self.clock,
            on_internal_error=lambda: self.internal_errors.append(sys.exception()),
            make_poller=make_poller,
        )
        self.server = HttpServer(
            self.handler,
            limits or ClientLimits(),
            self.loop,
            max_clients=max_clients,
            on_rejected=lambda code, reason, _: self.rejected.append((code, reason)),
            balancer=balancer,
            sharing=sharing,
            passes_headers=body_timeout_ms > 0,
        )
        self.handler.body_timeout_ms = body_timeout_ms
        self.faults = Faults()
        sock = sock or ListeningSocket(self.faults)
        self.port: int = sock.getsockname()[1]
        self.server.start(sock)
        self._clients: list[RawSocket] = []

    @property
    def connections(self) -> list[ClientConnection]:
        return list(self.server._context.connections)

    def connection_of(self, client: RawSocket) -> ClientConnection:
        """Return the server's side of a client's connection."""
        here = client.sock.getsockname()
        (found,) = [one for one in self.connections if one._stream.sock.getpeername() == here]
        return found

    def pipeline_of(self, client: RawSocket) -> RequestPipeline:
        """Return what answers a client, whose connection is open."""
        pipeline = self.connection_of(client)._pipeline
        assert pipeline is not None
        return pipeline

    def connect(self, *, receive_buffer: int | None = None) -> RawSocket:
        """Connect, without iterating."""
        client = RawSocket(self.port, receive_buffer=receive_buffer)
        self._clients.append(client)
        return client

    def client(self, *, receive_buffer: int | None = None) -> RawSocket:
        """Connect, and have the connection accepted."""
        before = self.server.connections
        client = self.connect(receive_buffer=receive_buffer)
        self.until(lambda: self.server.connections > before)
        return client

    def step(self, after_s: float = 0.0, *, wait_s: float = POLL_S) -> None:
        """Move the clock, and run an iteration that takes no time by it."""
        self.clock.now += after_s
        self.loop.run_once(wait_s)

    def pass_time(self, seconds: float) -> None:
        """Let the time pass in small steps, an iteration after each, until what is overdue then was looked for."""
        ends_at = self.clock.now + seconds + 2 * REAP_INTERVAL_S
        while self.clock.now < ends_at:
            self.clock.now += REAP_INTERVAL_S / 4
            self.loop.run_once(0)

    def until(self, holds: Callable[[], bool]) -> None:
        """Iterate until something holds, the clock standing still; pytest-timeout bounds it."""
        while not holds():
            self.loop.run_once(POLL_S)

    def until_asked(self, number: int) -> Asked:
        """Iterate until the handler was asked so many times; return the last of them."""
        self.until(lambda: len(self.handler.asked) >= number)
        assert len(self.handler.asked) == number
        return self.handler.asked[-1]

    def until_responses(self, client: RawSocket, number: int) -> None:
        """Iterate until so many responses have come."""
        self.until(lambda: len(client.statuses()) >= number)

    def close(self) -> None:
        """Close, and assert that nothing is left."""
        for client in self._clients:
            client.close()
        self.server.close()
        assert self.connections == []
        assert not self.loop.clients._sources
        assert not self.loop._listeners
        assert self.internal_errors == []
        self.loop.close()


@contextmanager
def server_harness(**arguments: object) -> Iterator[ServerHarness]:
    """Run a server; afterwards nothing of it may be left, and no internal error may have come."""
    harness = ServerHarness(**arguments)  # type: ignore[arg-type]
    try:
        yield harness
    finally:
        harness.close()
