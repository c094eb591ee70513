"""The work of one worker without a kernel, for profilers: `python -m bench.replay N [--hedged]`.

A real worker answers N requests, each by its first attempt, or each by a hedge and with two losers. Its sockets,
transports, clock and event loop are stand-ins that do nothing, so what is left is our own code and its libraries.
"""

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import click

from hedgerow import worker as worker_module
from hedgerow.core.outcomes import Attempt
from hedgerow.http_front.client import ClientConnection
from hedgerow.settings import AccessLog, Settings, parse_target
from hedgerow.upstream.connection import Connection, State
from hedgerow.worker import Worker, tame_garbage_collection

REQUEST = b"GET /api/smart?timeout=10000 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
"""As wrk writes it."""
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 26 Nov 2026 14:40:00 GMT\r\n"
    b'Content-Type: application/json\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\n{"time": 160}'
)
CALLERS = 16
"""Their requests come in one turn of the loop, and so do their answers."""
ATTEMPTS = 3


class Loop:
    """Runs what is due soon; what is due later never comes. Tells the time, too."""

    def __init__(self) -> None:
        self.now = 1.0
        self._soon: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def clock(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        self._soon.append((callback, args))

    def call_later(self, _: float, __: Callable[..., object], *___: Any) -> "Loop":
        return self

    def cancel(self) -> None:
        """Stand in for a timer, too."""

    def turn(self) -> None:
        while self._soon:
            callback, args = self._soon.popleft()
            callback(*args)


class Line:
    """A socket and its transport."""

    family = 2
    sent = b""

    def send(self, data: bytes) -> int:
        self.sent = data
        return len(data)

    def getsockopt(self, _: int, __: int, size: int) -> bytes:
        return bytes(size)  # nothing has lain unread

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, *, high: int) -> None:
        """Take any."""


class Replay:
    """A worker, its callers and its upstream."""

    def __init__(self) -> None:
        self.loop = Loop()
        worker_module.CLOCK = self.loop.clock
        self.worker = Worker(
            Settings(access_log=AccessLog.OFF),
            parse_target("http://127.0.0.1:1/api/work"),
            cast("AbstractEventLoop", self.loop),
        )
        self.connections = [self._connection() for _ in range(CALLERS * ATTEMPTS)]
        self.callers = [self._caller() for _ in range(CALLERS)]
        tame_garbage_collection()

    def _connection(self) -> Connection:
        connection = Connection(self.worker.upstream)
        line: Any = Line()
        connection.sock = line
        connection.attempt = Attempt(1, 0.0, lambda: None, b"x", 1e9)
        connection.connection_made(line)
        self.worker.upstream.connections.add(connection)
        connection.data_received(ANSWER)
        return connection

    def _caller(self) -> tuple[ClientConnection, Line]:
        line: Any = Line()
        caller = ClientConnection(self.worker.front, line)
        caller.connection_made(line)
        self.loop.turn()
        return caller, line

    def answer(self, number: int | None = None) -> None:
        """Let the upstream answer all attempts, or all of one number."""
        for connection in self.connections:
            attempt = connection.attempt
            if connection.state is State.BUSY and attempt is not None and number in (None, attempt.number):
                connection.data_received(ANSWER)
        self.loop.turn()

    def batch(self, *, hedged: bool) -> None:
        """Have each caller ask and be answered once. Raises if one is not."""
        for caller, line in self.callers:
            line.sent = b""
            caller.data_received(REQUEST)
        self.loop.turn()
        self.loop.now += 0.05
        if hedged:
            self.loop.now += 0.3
            self.worker.trampoline.wake_due(self.loop.now)
            self.loop.turn()
            self.answer(2)
        self.answer()
        for _, line in self.callers:
            if not line.sent.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"this is no answer: {line.sent!r}")


@click.command()
@click.argument("requests", type=int)
@click.option("--hedged", is_flag=True)
def main(requests: int, *, hedged: bool) -> None:
    """Answer so many requests."""
    replay = Replay()
    for _ in range(requests // CALLERS):
        replay.batch(hedged=hedged)


if __name__ == "__main__":
    main()
