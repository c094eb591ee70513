"""The work of one worker without a kernel, for profilers: `python -m bench.replay N`, or with an option for a case.

A real worker answers N requests, each by its first attempt, or each by a hedge and with two losers. Its sockets,
pollers and clock are stand-ins that do nothing, so what is left is our own code and its libraries.
"""

from dataclasses import replace
from functools import partial
from socket import AF_INET
from typing import Any, cast

import click
from msgspec.structs import replace as replace_settings

from hedgerow.core.outcomes import Attempt
from hedgerow.core.request import Request
from hedgerow.eventloop.poller import READABLE
from hedgerow.net.stream import Stream
from hedgerow.processes.process_tuning import configure_gc
from hedgerow.processes.worker import LINUX, Worker
from hedgerow.server.connection import ClientConnection
from hedgerow.settings import AccessLog, Settings, parse_target
from hedgerow.settings.routes import RouteRule, SuccessRule, UpstreamRule
from hedgerow.upstream.connection import ACTIVE, UpstreamConnection

REQUEST = b"GET /api/smart?timeout=10000 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
"""As wrk writes it."""
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 26 Nov 2026 14:40:00 GMT\r\n"
    b'Content-Type: application/json\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\n{"time": 160}'
)
HEADERS = b"".join(b"X-Header-%d: a value of usual length %d\r\n" % (number, number) for number in range(20))
PASSED_ON_REQUEST = REQUEST[:-2] + HEADERS + b"\r\n"
PASSED_ON_ANSWER = (
    b"HTTP/1.1 200 OK\r\n"
    + HEADERS
    + b'Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{"hits": [1]}'
)
SCHEMA = {"type": "object", "required": ["hits"], "properties": {"hits": {"type": "array"}}}
CLIENTS = 16
"""Their requests come in one iteration of the event loop, and so do their answers."""
ATTEMPTS = 3
UPSTREAM = "http://127.0.0.1:1/api/work"


class FakePoller:
    """Reports what it is given."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.ready: list[tuple[int, int]] = []

    def register(self, fd: int, eventmask: int) -> None:
        """Register nothing."""

    def modify(self, fd: int, eventmask: int) -> None:
        """Modify nothing."""

    def unregister(self, fd: int) -> None:
        """Unregister nothing."""

    def poll(self, _timeout: float, _maxevents: int) -> list[tuple[int, int]]:
        ready, self.ready = self.ready, []
        return ready

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Close nothing."""


class FakeSocket:
    """Receives what it was given, and keeps what was sent."""

    family = AF_INET

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.received = b""
        self.sent = b""

    def fileno(self) -> int:
        return self._fd

    def recv(self, _size: int) -> bytes:
        return self.received

    def send(self, data: bytes) -> int:
        self.sent = data
        return len(data)

    def close(self) -> None:
        """Close nothing."""

    def getpeername(self) -> tuple[str, int]:
        return "127.0.0.1", self._fd

    def getsockopt(self, _: int, __: int, size: int) -> bytes:
        return bytes(size)  # nothing has waited


class Owner:
    """Waits for no attempt."""

    def on_attempt_finished(self) -> None:
        """Do nothing."""


def passing(routes: int) -> dict[str, Any]:
    """Return settings by which the last of some routes passes requests on, and checks answers by a schema."""
    success = SuccessRule(json_schema=SCHEMA)
    paths = [f"/other/{number}" for number in range(1, routes)] + ["/api"]
    rules = [RouteRule(name=path, path_prefix=path, upstream="u", success=success) for path in paths]
    return {
        "routes": tuple(rules),
        "upstreams": (UpstreamRule(name="u", endpoints=(parse_target(UPSTREAM),)),),
    }


def with_number(message: bytes) -> bytes:
    """Return a template for messages of which each has a header with a number of its own."""
    return message.replace(b"\r\n\r\n", b"\r\nX-Number: %d\r\n\r\n")


class Replay:
    """A worker, its clients and its upstream."""

    def __init__(
        self, *, passed_on: bool = False, routes: int = 1, holds: bool = False, unlike: bool = False
    ) -> None:
        self._request, self._answer = REQUEST, ANSWER
        self._unlike = unlike
        self._number = 0
        settings = Settings(access_log=AccessLog.OFF, hedge_hold="auto" if holds else "off")
        if passed_on:
            self._request, self._answer = PASSED_ON_REQUEST, PASSED_ON_ANSWER
            settings = replace_settings(settings, **passing(routes))
        if unlike:
            self._request, self._answer = with_number(self._request), with_number(self._answer)
        self._time = {"now": 1.0}
        self.pollers: list[FakePoller] = []
        clock = partial(self._time.__getitem__, "now")  # all C, as the real one is
        system = replace(LINUX, clock=clock, make_poller=self._make_poller)
        self.worker = Worker(settings, parse_target(UPSTREAM), system=system)
        self.loop = self.worker.loop
        self.upstream: dict[int, tuple[UpstreamConnection, FakeSocket]] = {}
        for fd in range(100, 100 + CLIENTS * ATTEMPTS):
            self._connect(fd)
        self.iterate()  # the requests are sent: an answer before that ends its connection
        self.answer()
        self.clients = {fd: self._client(fd) for fd in range(1000, 1000 + CLIENTS)}
        configure_gc()

    def _make_poller(self) -> FakePoller:
        self.pollers.append(FakePoller(len(self.pollers)))
        return self.pollers[-1]

    @property
    def now(self) -> float:
        return self._time["now"]

    def _connect(self, fd: int) -> None:
        pool = self.worker.pool
        request = Request(b"GET", b"/", b"", request_id=b"x", arrived_at=self.now)
        request.route = next(iter(self.worker.routes))
        endpoint = pool.endpoints.all[0]
        connection = UpstreamConnection(pool, Attempt(1, self.now, request, Owner()), endpoint)
        sock = FakeSocket(fd)
        pool.connections.add(connection)
        self.loop.register(fd, connection, READABLE)
        connection.open(Stream(self.loop, cast("Any", sock)), endpoint)
        self.upstream[fd] = connection, sock

    def _client(self, fd: int) -> FakeSocket:
        sock = FakeSocket(fd)
        ClientConnection(self.worker.server._context, cast("Any", sock))  # noqa: SLF001
        return sock

    def iterate(self) -> None:
        self.loop.run_once(0.0)

    def _next(self, message: bytes) -> bytes:
        """Return the next request or answer: the same as the last, or with a header that none before it had."""
        if not self._unlike:
            return message
        self._number += 1
        return message % self._number

    def answer(self, number: int | None = None) -> None:
        """Have the upstream answer all attempts, or all of one number."""
        for fd, (connection, sock) in self.upstream.items():
            attempt = connection.attempt
            if connection.state == ACTIVE and attempt is not None and number in (None, attempt.number):
                sock.received = self._next(self._answer)
                self.pollers[0].ready.append((fd, READABLE))
        self.iterate()

    def reject_all(self) -> None:
        """Leave no room for requests: each waits in vain."""
        self.worker.admission.max_in_flight = 0

    def batch(self, *, hedged: bool = False, status: int = 200) -> None:
        """Have each client ask and be answered once. Raises if one is not, with this status."""
        for fd, sock in self.clients.items():
            sock.sent = b""
            sock.received = self._next(self._request)
            self.pollers[1].ready.append((fd, READABLE))
        self.pollers[0].ready.append((1, READABLE))
        self.iterate()
        self._time["now"] += 0.05
        if status != 200:
            self._time["now"] += 2.5  # a quarter of the timeout
        if hedged:
            self._time["now"] += 0.3
            self.iterate()
            self.answer(2)
        self.answer()
        if status != 200:
            self._time["now"] += 0.1  # as long as clients must wait after a 503
        for sock in self.clients.values():
            if not sock.sent.startswith(b"HTTP/1.1 %d" % status):
                raise RuntimeError(f"this is no answer: {sock.sent!r}")


@click.command()
@click.argument("requests", type=int)
@click.option("--hedged", is_flag=True)
@click.option(
    "--in-turn", is_flag=True, help="One batch hedged, one not: if all are late, --holds holds hedges."
)
@click.option("--rejected", is_flag=True)
@click.option("--passed-on", is_flag=True, help="With 20 headers each way, and a JSON Schema.")
@click.option("--holds", is_flag=True, help="With --hedge-hold auto.")
@click.option("--unlike", is_flag=True, help="No two requests have the same head, and no two answers.")
@click.option("--routes", default=1, show_default=True, help="With --passed-on.")
def main(
    requests: int,
    *,
    hedged: bool,
    in_turn: bool,
    rejected: bool,
    passed_on: bool,
    holds: bool,
    unlike: bool,
    routes: int,
) -> None:
    """Answer this many requests."""
    replay = Replay(passed_on=passed_on, routes=routes, holds=holds, unlike=unlike)
    if rejected:
        replay.reject_all()
    for number in range(requests // CLIENTS):
        replay.batch(hedged=hedged or (in_turn and number % 2 == 0), status=503 if rejected else 200)


if __name__ == "__main__":
    main()
