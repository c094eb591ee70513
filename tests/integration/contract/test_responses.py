"""What every answer has, whatever it is: the common headers, a request id, and no body for HEAD."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import format_datetime, parsedate_to_datetime

import pytest

from hedgerow.settings import ClientLimits, UpstreamLimits
from integration.conftest import Serve
from support.raw_http import Client, hanging, ok, scripted, sending

HOST = b"Host: x\r\nX-Request-Id: mine-1\r\n"


@dataclass
class Kind:
    """One kind of error: how it comes about, and what the response is."""

    status: int
    code: str
    rest: bytes
    """The request behind its method."""
    settings: dict[str, object] = field(default_factory=dict)
    method: bytes = b"GET"
    closes: bool = False

    async def ask(self, serve: Serve, upstream: str, method: bytes) -> Client:
        served = await serve(upstream, **self.settings)
        client = await served.client()
        client.send(method + b" " + self.rest)
        return client


def smart(query: bytes = b"", headers: bytes = b"") -> bytes:
    return b"/api/smart" + query + b" HTTP/1.1\r\n" + HOST + headers + b"\r\n"


KINDS = [
    Kind(400, "bad_timeout", smart(b"?timeout=0")),
    Kind(400, "bad_request", b"/ HTTP/1.1\r\nX-Request-Id: mine-1\r\n\r\n", closes=True),
    Kind(400, "bad_request", smart(headers=b"Content-Length: 1\r\n") + b"x", closes=True),
    Kind(404, "not_found", b"/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    Kind(405, "method_not_allowed", smart(), method=b"POST"),
    Kind(
        408,
        "bad_request",
        b"/api/smart HTTP/1.1\r\n" + HOST + b"X: y",
        {"client_limits": ClientLimits(head_timeout_s=0.01)},
        closes=True,
    ),
    Kind(414, "too_large", smart(b"?" + b"x" * 9_000), closes=True),
    Kind(417, "bad_request", smart(headers=b"Expect: more\r\n"), closes=True),
    Kind(431, "too_large", smart(headers=b"X: " + b"x" * 33_000 + b"\r\n"), closes=True),
    Kind(
        502, "all_failed", smart(), {"hedges": 0, "upstream_limits": UpstreamLimits(connect_timeout_s=0.01)}
    ),
    Kind(503, "overloaded", smart(b"?timeout=200"), {"max_in_flight": 0}),  # it waits a quarter of that
    Kind(504, "out_of_time", smart(b"?timeout=300")),
    Kind(505, "bad_request", b"/api/smart HTTP/2.0\r\n" + HOST + b"\r\n", closes=True),
]


@pytest.fixture
def silence() -> Iterator[str]:
    """An upstream that does not even take connections."""
    with hanging("127.0.0.1") as (host, port):
        yield f"http://{host}:{port}/"


def name(kind: Kind) -> str:
    return f"{kind.status}-{kind.code}"


def check_common_headers(headers: dict[str, str]) -> None:
    assert headers["cache-control"] == "no-store"
    assert re.match(r"total;dur=[0-9]+\.[0-9](, |$)", headers["server-timing"])
    assert format_datetime(parsedate_to_datetime(headers["date"]), usegmt=True) == headers["date"]


@pytest.mark.parametrize("kind", KINDS, ids=name)
async def test_every_error_has_the_common_headers_and_is_a_problem(
    serve: Serve, silence: str, kind: Kind
) -> None:
    client = await kind.ask(serve, silence, kind.method)
    status, headers, body = await client.response()
    problem = json.loads(body)
    assert (status, problem["status"], problem["code"]) == (kind.status, kind.status, kind.code)
    check_common_headers(headers)
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"] == problem["request_id"]
    if kind.status != 414:  # the headers were not read any more
        assert headers["x-request-id"] == "mine-1"
    assert (headers.get("connection") == "close") is kind.closes
    if kind.closes:
        assert await client.closed() == b""
    client.close()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.method == b"GET"], ids=name)
async def test_head_has_the_headers_of_get_and_no_body(serve: Serve, silence: str, kind: Kind) -> None:
    client = await kind.ask(serve, silence, b"HEAD")
    status, headers, _ = await client.response(head_only=True)
    assert status == kind.status
    check_common_headers(headers)
    assert int(headers["content-length"]) > 0, "as GET would have it"
    if not kind.closes:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await client.response())[0] == 404, "nothing came in between"
    assert await client.closed() == b""
    client.close()


async def test_a_success_has_the_common_headers_and_none_of_the_upstreams(serve: Serve) -> None:
    answer = ok(
        b'{"time":1}', b"Cache-Control: public", b"X-Request-Id: theirs", b"Set-Cookie: a=b", b"Date: x"
    )
    async with scripted(sending(answer)) as upstream:
        _, headers, _ = await (await serve(upstream.url)).get(X_Request_Id="mine-1")
        check_common_headers(headers)
        assert headers["x-request-id"] == "mine-1"
        assert "set-cookie" not in headers


OURS = re.compile(r"[0-9a-f]{12}-[0-9a-f]+")


@pytest.mark.parametrize(
    "given", ["", " ", "a b", "a,b", "\xe4", "a/b", "<x>", '"a"', "a\tb", "a%20b", "x" * 129], ids=ascii
)
async def test_an_invalid_request_id_is_replaced_towards_client_and_upstream(
    serve: Serve, given: str
) -> None:
    async with scripted(sending(ok())) as upstream:
        served = await serve(upstream.url)
        ids = [(await served.get(X_Request_Id=given))[1]["x-request-id"] for _ in range(2)]
        assert all(OURS.fullmatch(each) for each in ids)
        assert ids[0] != ids[1]
        assert [request_id(head) for head in upstream.requests] == ids


@pytest.mark.parametrize("given", ["a", "A.b_c-9", "x" * 128, "-", "..."])
async def test_a_valid_request_id_is_kept(serve: Serve, given: str) -> None:
    async with scripted(sending(ok())) as upstream:
        served = await serve(upstream.url)
        assert (await served.get(X_Request_Id=f"  {given} "))[1]["x-request-id"] == given
        assert request_id(upstream.requests[0]) == given


async def test_a_request_id_counts_for_its_own_request_alone(serve: Serve, silence: str) -> None:
    served = await serve(silence)
    client = await served.client()
    assert (await client.get("/", X_Request_Id="mine-1"))[1]["x-request-id"] == "mine-1"
    assert OURS.fullmatch((await client.get("/"))[1]["x-request-id"])
    client.close()


def request_id(head: bytes) -> str:
    found = re.search(rb"\r\nX-Request-Id: ([^\r]*)\r\n", head)
    assert found is not None
    return found[1].decode("ascii")
