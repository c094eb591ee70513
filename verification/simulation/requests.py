"""What simulated clients send."""

from dataclasses import dataclass
from random import Random

from hedgerow.settings import Settings

FLOOD_REQUESTS = (100, 500)


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request of a client."""

    request_id: bytes
    wire: bytes
    timeout_ms: int | None
    """None: it never gets as far as a race."""
    status: int
    """Of its answer, where no race is run."""
    closes: bool
    """Its answer is the last on its connection."""
    waits_s: float
    """After the answer before it; with `pipelined`, after the request before it. Negative: sent together with it."""
    is_head: bool = False
    pipelined: bool = False
    """It does not wait for the answer before it."""
    passed: "PassedRequest | None" = None
    """What the upstream has to get, on a route that passes requests on."""

    @property
    def head_bytes(self) -> int:
        return self.wire.index(b"\r\n\r\n") + 4

    @property
    def has_body(self) -> bool:
        """Return whether anything follows the head: a body without content has the framing of a last chunk."""
        return self.head_bytes < len(self.wire)


@dataclass(frozen=True, slots=True)
class PassedRequest:
    """A request as a route passes it on."""

    line: bytes
    """Method and target, without the base path."""
    fields: tuple[tuple[bytes, bytes], ...]
    """Its end-to-end headers, in their order."""
    body: bytes


def plan_simple_request(chance: Random, settings: Settings, request_id: bytes) -> PlannedRequest:
    """Draw a GET that the gateway can answer."""
    timeout_ms = chance.choice((settings.hedge_after_ms + 200, 600, 900))
    path, passed = b"/api/smart", None
    if settings.routes:
        path, passed = b"/v1/read", PassedRequest(b"GET /base/v1/read HTTP/1.1", (), b"")
    wire = b"GET %b?timeout=%d HTTP/1.1\r\nHost: x\r\nX-Request-Id: %b\r\n\r\n" % (
        path,
        timeout_ms,
        request_id,
    )
    return PlannedRequest(request_id, wire, timeout_ms, 200, False, 0.0, passed=passed)


def flood(chance: Random, client: int) -> tuple[PlannedRequest, ...]:
    """Draw hundreds of requests that are written at once, and cost nothing but work."""
    return tuple(
        PlannedRequest(
            b"%d.%d" % (client, nth),
            b"GET /x HTTP/1.1\r\nHost: x\r\nX-Request-Id: %d.%d\r\n\r\n" % (client, nth),
            None,
            404,
            False,
            -1.0 if nth else 0.0,
        )
        for nth in range(chance.randint(*FLOOD_REQUESTS))
    )


def draw_pause_s(chance: Random, pipelines: str) -> float:
    """Draw `waits_s` of a request."""
    return -1.0 if pipelines == "together" else chance.choice((0.0, 0.0, 0.01, 0.3)) * chance.random()


def granted_ms(settings: Settings, timeout_ms: int | None) -> int:
    """Return the timeout that the gateway gives a request that asks for `timeout_ms`, or for none."""
    return (
        settings.default_timeout_ms
        if timeout_ms is None
        else min(max(timeout_ms, 1), settings.max_timeout_ms)
    )


def plan_request(chance: Random, settings: Settings, request_id: bytes, *, pipelines: str) -> PlannedRequest:
    """Draw any request; `pipelines` is `no`, `together` (with the one before) or `later` (after it)."""
    waits_s = draw_pause_s(chance, pipelines)
    pipelined = pipelines == "later"
    fields = b"Host: x\r\nX-Request-Id: %b\r\n" % request_id
    if chance.random() < 0.1:
        head, status, closes = chance.choice(_REJECTED)
        return PlannedRequest(request_id, head % fields, None, status, closes, waits_s, pipelined=pipelined)
    hedge_ms = settings.hedge_after_ms
    timeout_ms = chance.choice(
        (
            None, chance.randint(1, 10), hedge_ms + chance.randint(-5, 12), 2 * hedge_ms + chance.randint(-5, 5),
            chance.randint(10, 900), chance.randint(10, 900), 600, 5_000,
        )
    )  # fmt: skip
    query = b"" if timeout_ms is None else b"?timeout=%d" % max(timeout_ms, 1)
    version, more, closes = chance.choice(
        (*[(b"1.1", b"", False)] * 6, (b"1.0", b"", True), (b"1.1", b"Connection: close\r\n", True))
    )
    method = chance.choice((b"GET",) * 9 + (b"HEAD",))
    return PlannedRequest(
        request_id,
        b"%b /api/smart%b HTTP/%b\r\n%b%b\r\n" % (method, query, version, fields, more),
        granted_ms(settings, timeout_ms),
        200,
        closes,
        waits_s,
        method == b"HEAD",
        pipelined,
    )


_REJECTED = (
    (b"GET /nothing HTTP/1.1\r\n%b\r\n", 404, False),
    (b"POST /api/smart HTTP/1.1\r\n%bContent-Length: 0\r\n\r\n", 405, False),
    (b"GET /api/smart?timeout=0 HTTP/1.1\r\n%b\r\n", 400, False),
    (b"GET /api/smart HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n", 400, True),
    (b"GET /api/smart HTTP/1.1\r\n%bHost: y\r\n\r\n", 400, True),
)
