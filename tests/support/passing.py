"""A worker that passes requests on to an upstream, which keeps what it gets and answers as the test says."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import h11
from msgspec.structs import replace

from hedgerow.settings import parse_target
from hedgerow.settings.routes import HedgeRule, RouteRule, UpstreamRule
from support.raw_http import UpstreamSide, ok, scripted

ONCE = HedgeRule(mode="off")
MAX_HEAD_BYTES = 64 * 1024
"""That h11 takes; more than the gateway does."""


class Received:
    """One request as the upstream got it, by h11."""

    def __init__(self, request: h11.Request, body: bytes) -> None:
        self.method = request.method
        self.target = request.target
        self.headers = request.headers.raw_items()
        self.body = body

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of a header, in their order."""
        return [value for found, value in self.headers if found.lower() == name]


class PassingUpstream:
    """What the upstream got, and what it answers."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[bytes] = []
        """One for each request, in their order; then always the last of them."""
        self.url = ""

    async def converse(self, side: UpstreamSide) -> None:
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        request: Any = None
        body = b""
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                data = await side.reader.read(65_536)
                if not data:
                    return
                parser.receive_data(data)
            elif isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self.received.append(Received(request, body))
                side.writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
                parser.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                parser.send(h11.EndOfMessage())
                parser.start_next_cycle()
            else:
                return


@asynccontextmanager
async def passing_upstream(*answers: bytes) -> AsyncIterator[PassingUpstream]:
    """Run an upstream."""
    upstream = PassingUpstream()
    upstream.answers = list(answers) or [ok(b"hello")]
    async with scripted(upstream.converse) as server:
        upstream.url = server.url.removesuffix("/work")
        yield upstream


def routing(url: str, *rules: RouteRule, base: str = "", **of_first: Any) -> dict[str, Any]:
    """Return the settings of a worker with these routes; by default one that has every path."""
    upstream = UpstreamRule(name="u", endpoints=(parse_target(url + (base or "/")),))
    chosen = rules or (RouteRule(name="all", path_prefix="/", upstream="u", hedge=ONCE),)
    first = replace(chosen[0], **of_first)
    return {"routes": (first, *chosen[1:]), "upstreams": (upstream,)}


Headers = Callable[[str], list[str]]


async def exchange(
    client: Any, data: bytes, *, head_only: bool = False
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Send bytes on a client's connection, and return status, headers and body of the answer, by h11."""
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    method = b"HEAD" if head_only else b"GET"
    parser.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    parser.send(h11.EndOfMessage())
    client.send(data)
    body = b""
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            parser.receive_data(await client.reader.read(65_536))
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return response.status_code, response.headers.raw_items(), body
