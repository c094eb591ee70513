"""Scenarios with routes that pass requests on: several endpoints, bodies, headers for both ends."""

from random import Random

from msgspec.structs import replace

from hedgerow.settings import Settings, Target
from hedgerow.settings.routes import (
    HedgeRule,
    OutlierDetection,
    RouteRule,
    SuccessRule,
    TimeoutRule,
    UpstreamRule,
)
from verification.simulation.requests import PassedRequest, PlannedRequest, draw_pause_s, granted_ms

ROUTED = 0.4
"""Share of simulations with routes."""
BASE_PATH = "/base"
MAX_BODY_BYTES = 1_500

_FIELDS = (
    (b"Cookie", b"a=b"), (b"X-Many", b"1"), (b"x-many", b"2"), (b"X-Many", b""), (b"Accept-Encoding", b"gzip"),
    (b"Authorization", b"Basic x"), (b"X-Letters", b"\xe4\xff"), (b"Content-Type", b"text/x"), (b"Via", b"1.1 before"),
    (b"!#$%&'*+-.^`|~0", b"token"),
)  # fmt: skip
_HOP_BY_HOP = (
    b"Connection: X-Hop\r\nX-Hop: secret\r\n", b"Connection: keep-alive, x-hop\r\nX-HOP: secret\r\n",
    b"Keep-Alive: secret\r\n", b"TE: trailers, secret\r\n", b"Trailer: X-secret\r\n",
    b"Hedgerow-Attempt: 777secret\r\n",
    b"Proxy-Authorization: secret\r\n", b"Proxy-Connection: secret\r\n", b"X_Forwarded_For: secret\r\n",
    b"Content_Length: 77secret\r\n", b"Transfer_Encoding: secret\r\n",
)  # fmt: skip
"""Each has the word `secret` in it, which the upstream may not see."""


def with_routes(chance: Random, settings: Settings) -> Settings:
    """Draw routes and an upstream with several endpoints. Hedges are as the settings say, for all routes."""
    upstream = UpstreamRule(
        name="shop",
        endpoints=tuple(
            Target("http", f"{name}.test", 80, BASE_PATH) for name in "abc"[: chance.choice((1, 2, 3))]
        ),
        lb_policy=chance.choice(("least_request", "round_robin")),
        outlier_detection=chance.choice(
            (None, OutlierDetection(consecutive_failures=chance.choice((1, 2, 5)), ejection_time_s=0.3))
        ),
        losers=settings.losers.value,
        loser_grace_s=settings.loser_grace_ms / 1000,
    )
    success = SuccessRule(json=chance.choice((None, "time")))
    on_all_failed = chance.random() < 0.5
    hedge = HedgeRule(
        after=settings.hedge_after_ms / 1000,
        max_hedges=settings.hedges,
        retry_on_failure=settings.hedge_on_failure,
        hold="off",
    )
    timeout = TimeoutRule(
        default_ms=settings.default_timeout_ms, max_ms=settings.max_timeout_ms, query="timeout"
    )

    common = RouteRule(
        name="reads",
        path="/v1/read",
        upstream="shop",
        timeout=timeout,
        success=success,
        hedge=hedge,
        on_all_failed="last_response" if on_all_failed else "problem",
        max_request_body=MAX_BODY_BYTES,
    )
    methods = ("GET", "HEAD", "POST", "PUT", "OPTIONS")
    routes = (
        common,
        replace(common, name="all", path=None, path_prefix="/v1", methods=methods, idempotent=True),
    )
    return replace(settings, routes=routes, upstreams=(upstream,))


def plan_routed_request(
    chance: Random, settings: Settings, request_id: bytes, *, pipelines: str
) -> PlannedRequest:
    """Draw any request for such routes; `pipelines` as for `plan_request`."""
    waits_s = draw_pause_s(chance, pipelines)
    pipelined = pipelines == "later"
    own = b"Host: x\r\nX-Request-Id: %b\r\n" % request_id
    if chance.random() < 0.1:
        wire, status, closes = chance.choice(_REJECTED)
        return PlannedRequest(request_id, wire % own, None, status, closes, waits_s, pipelined=pipelined)
    hedge_ms = settings.hedge_after_ms
    timeout_ms = chance.choice(
        (None, chance.randint(1, 10), hedge_ms + chance.randint(-5, 12), chance.randint(10, 900), 600, 900, 5_000)
    )  # fmt: skip
    method = chance.choice((b"GET", b"GET", b"GET", b"HEAD", b"POST", b"POST", b"PUT", b"OPTIONS"))
    path = chance.choice(
        (b"/v1/read", b"/v1/other", b"/v1", b"/v1/a%20b")
        if method in (b"GET", b"HEAD")
        else (b"/v1/other", b"/v1/;x=y")
    )  # fmt: skip
    parameters = [b"q=%b" % request_id, b"q="][: chance.randint(0, 2)]
    passed = path + (b"?%b" % b"&".join(parameters) if parameters else b"")
    if timeout_ms is not None:
        parameters.insert(chance.randint(0, len(parameters)), b"timeout=%d" % max(timeout_ms, 1))
    target = path + (b"?%b" % b"&".join(parameters) if parameters else b"")
    has_body = method in (b"POST", b"PUT") or (path != b"/v1/read" and chance.random() < 0.2)
    body = chance.randbytes(chance.choice((0, 1, 30, 400, MAX_BODY_BYTES))) if has_body else b""
    fields = tuple(chance.sample(_FIELDS, chance.randint(0, len(_FIELDS))))
    lines = [b"%b: %b\r\n" % field for field in fields]
    for _ in range(chance.choice((0, 0, 1, 2))):
        lines.insert(chance.randint(0, len(lines)), chance.choice(_HOP_BY_HOP))
    closes = chance.random() < 0.1
    if closes:
        lines.append(b"Connection: close\r\n")
    if has_body and chance.random() < 0.1:
        lines.append(b"Expect: 100-continue\r\n")
    framing, content = _framed(chance, body) if has_body else (b"", b"")
    lines.insert(chance.randint(0, len(lines)), framing)
    wire = b"%b %b HTTP/1.1\r\n%b%b\r\n%b" % (method, target, own, b"".join(lines), content)
    return PlannedRequest(
        request_id,
        wire,
        granted_ms(settings, timeout_ms),
        200,
        closes,
        waits_s,
        method == b"HEAD",
        pipelined,
        PassedRequest(b"%b %b%b HTTP/1.1" % (method, BASE_PATH.encode(), passed), fields, body),
    )


def _framed(chance: Random, body: bytes) -> tuple[bytes, bytes]:
    """Return the header that announces a body, and the body as it goes over the wire."""
    if chance.random() < 0.6:
        return b"Content-Length: %d\r\n" % len(body), body
    cut = chance.randint(0, len(body))
    chunks = [part for part in (body[:cut], body[cut:]) if part]
    extension = chance.choice((b"", b";x=y"))
    trailer = chance.choice((b"", b"X-Trailer: secret\r\n", b"Host: secret\r\nTE: secret\r\n"))
    content = b"".join(b"%X%b\r\n%b\r\n" % (len(part), extension, part) for part in chunks)
    return b"Transfer-Encoding: chunked\r\n", b"%b0\r\n%b\r\n" % (content, trailer)


_REJECTED = (
    (b"GET /nothing HTTP/1.1\r\n%b\r\n", 404, False),
    (b"GET /v10 HTTP/1.1\r\n%b\r\n", 404, False),
    (b"DELETE /v1/read HTTP/1.1\r\n%b\r\n", 405, False),
    (b"GET /v1/x?timeout=0 HTTP/1.1\r\n%b\r\n", 400, False),
    (b"GET /v1//x HTTP/1.1\r\n%b\r\n", 400, False),
    (b"GET /v1/%%2e%%2e/x HTTP/1.1\r\n%b\r\n", 400, False),
    (b"GET /v1/read HTTP/1.1\r\n%bContent-Length: 3\r\n\r\nabc", 400, True),
    (b"POST /v1/read HTTP/1.1\r\n%bContent-Length: 3\r\n\r\nabc", 405, True),
    (b"POST /v1/x HTTP/1.1\r\n%bContent-Length: 1501\r\n\r\nabc", 413, True),
    (b"POST /v1/x HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\nffff\r\n" + b"x" * 1_501, 413, True),
    (b"POST /v1/x HTTP/1.1\r\n%bTransfer-Encoding: gzip, chunked\r\n\r\n", 501, True),
    (b"POST /v1/x HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400, True),
    (b"POST /v1/x HTTP/1.1\r\n%bExpect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 417, True),
)
