"""Requests and answers that are passed on, by real sockets on both sides."""

import json
from typing import Any

import pytest

from hedgerow.settings import ClientLimits
from hedgerow.settings.routes import HeaderRule, HedgeRule, RouteRule, SuccessRule, TimeoutRule
from integration.conftest import Serve
from support.passing import ONCE, exchange, passing_upstream, routing
from support.raw_http import UpstreamSide, ok, scripted


def lines(*headers: str) -> bytes:
    return "".join(f"{header}\r\n" for header in headers).encode("latin-1")


def request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    return f"{method} {target} HTTP/1.1\r\n".encode() + lines("Host: shop.example", *headers) + b"\r\n" + body


def values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for found, value in headers if found.lower() == name]


async def test_r02_method_path_query_and_headers_reach_the_upstream(serve: Serve) -> None:
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url))
        client = await served.client()
        status, _, body = await exchange(
            client,
            request("GET", "/a%20b/c?x=1&&y=%2f&", "Cookie: a=1", "X-Two: 1", "Cookie: b=2", "x-two: 2"),
        )
        client.close()
    assert (status, body) == (200, b"hello")
    (got,) = upstream.received
    assert (got.method, got.target) == (b"GET", b"/a%20b/c?x=1&&y=%2f&")
    port = upstream.url.rpartition(":")[2].encode()
    assert got.values(b"host") == [b"127.0.0.1:" + port]
    assert got.values(b"cookie") == [b"a=1", b"b=2"]
    assert got.values(b"x-two") == [b"1", b"2"]
    assert got.values(b"x-forwarded-for") == [b"127.0.0.1"]
    assert got.values(b"x-forwarded-proto") == [b"http"]
    assert got.values(b"x-forwarded-host") == [b"shop.example"]
    assert got.values(b"via") == [b"1.1 hedgerow"]
    assert got.values(b"hedgerow-attempt") == [b"1"]
    assert len(got.values(b"x-request-id")) == 1


@pytest.mark.parametrize("cookies", [1, 4])
async def test_r02_r03_large_headers_pass_either_way(serve: Serve, cookies: int) -> None:
    """Cookies and tokens of some kilobytes each are common; 8 KiB in all was too little."""
    limits = ClientLimits()
    cookie = "c" * (30_000 // cookies)
    target = "/?" + "q" * (limits.max_target_bytes - 2)
    sent = [f"Set-Cookie: {cookie}"] * cookies
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + lines(*sent) + b"\r\n"
    async with passing_upstream(answer) as upstream:
        served = await serve(upstream.url, **routing(upstream.url))
        client = await served.client()
        for _ in range(2):
            status, headers, _ = await exchange(
                client, request("GET", target, *[f"Cookie: {cookie}"] * cookies)
            )
            assert (status, values(headers, b"set-cookie")) == (200, [cookie.encode()] * cookies)
        client.close()
    for got in upstream.received:
        assert (got.target, got.values(b"cookie")) == (target.encode(), [cookie.encode()] * cookies)


async def test_a_response_head_beyond_the_limit_is_a_failure(serve: Serve) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + lines(f"Set-Cookie: {'c' * 32_768}") + b"\r\n"
    async with passing_upstream(answer) as upstream:
        served = await serve(upstream.url, **routing(upstream.url))
        client = await served.client()
        status, _, body = await exchange(client, request("GET", "/"))
        client.close()
    assert (status, json.loads(body)["attempts"][0]["outcome"]) == (502, "too_large")


async def test_r02_hop_by_hop_headers_and_those_that_connection_names_do_not_pass(serve: Serve) -> None:
    dropped = [
        "Connection: keep-alive, X-Named", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers",
        "Proxy-Authorization: Basic x", "X-Named: 1", "Hedgerow-Attempt: 9", "X_Forwarded_For: 6.6.6.6",
        "Trailer: x", "traceparent: invalid",
    ]  # fmt: skip
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url))
        client = await served.client()
        await exchange(client, request("GET", "/", *dropped, "X-Kept: 1", "X-Forwarded-For: 1.2.3.4"))
        client.close()
    (got,) = upstream.received
    names = {name.lower() for name, _ in got.headers}
    assert names == {
        b"host", b"x-kept", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"via", b"x-request-id",
        b"hedgerow-attempt",
    }  # fmt: skip
    assert got.values(b"hedgerow-attempt") == [b"1"]
    assert got.values(b"x-forwarded-for") == [b"1.2.3.4, 127.0.0.1"]


async def test_r02_headers_are_set_and_removed_and_the_host_is_kept(serve: Serve) -> None:
    rule = HeaderRule(set={"X-Api-Key": "secret"}, remove=("cookie",))
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url, headers=rule, preserve_host=True))
        client = await served.client()
        await exchange(client, request("GET", "/", "Cookie: a=1", "x-api-key: mine"))
        client.close()
    (got,) = upstream.received
    assert got.values(b"x-api-key") == [b"secret"]
    assert got.values(b"cookie") == []
    assert got.values(b"host") == [b"shop.example"]


@pytest.mark.parametrize(
    ("rule", "target", "base", "expected"),
    [
        ({"path_prefix": "/v1", "strip_prefix": "/v1"}, "/v1/a?q", "/base/", "/base/a?q"),
        ({"path_prefix": "/v1", "strip_prefix": "/v1"}, "/v1", "", "/"),
        ({"path_prefix": "/v1", "rewrite": "/w"}, "/v1/a", "", "/w/a"),
        ({"path_prefix": "/", "rewrite": "/w"}, "/v1", "", "/w/v1"),
        ({"path": "/a", "rewrite": "/b/c"}, "/a?", "", "/b/c?"),
        ({"path": "/a", "timeout": TimeoutRule(query="t")}, "/a?t=900", "", "/a"),
        ({"path": "/a", "timeout": TimeoutRule(query="t")}, "/a?x=%20&t=900&&z", "", "/a?x=%20&&z"),
    ],
)
async def test_r02_the_target_is_rewritten(
    serve: Serve, rule: dict[str, object], target: str, base: str, expected: str
) -> None:
    chosen = RouteRule(name="r", upstream="u", hedge=ONCE, **rule)  # type: ignore[arg-type]
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url, chosen, base=base))
        client = await served.client()
        await exchange(client, request("GET", target))
        client.close()
    assert upstream.received[0].target == expected.encode()


async def test_r03_the_answer_passes_byte_for_byte(serve: Serve) -> None:
    body = bytes(range(256)) * 4_000
    answer = (
        b"HTTP/1.1 206 Whatever\r\nSet-Cookie: a=1\r\nContent-Encoding: gzip\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
        b"Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nset-cookie: b=2\r\nX-Request-Id: theirs\r\n"
        b"Server-Timing: db;dur=1\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body
    async with passing_upstream(answer) as upstream:
        served = await serve(upstream.url, **routing(upstream.url))
        client = await served.client()
        status, headers, got = await exchange(client, request("GET", "/", "X-Request-Id: ours"))
        client.close()
    assert (status, got) == (206, body)
    assert [name.lower() for name, _ in headers] == [
        b"set-cookie", b"content-encoding", b"date", b"set-cookie", b"server-timing", b"content-length",
        b"x-request-id", b"server-timing",
    ]  # fmt: skip
    assert values(headers, b"set-cookie") == [b"a=1", b"b=2"]
    assert values(headers, b"x-request-id") == [b"ours"]
    assert values(headers, b"date") == [b"Thu, 01 Jan 1970 00:00:00 GMT"]


async def test_r03_answers_without_a_body(serve: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: x\r\n\r\n"
    none = b"HTTP/1.1 204 No Content\r\n\r\n"
    early = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + ok(b"then", b"X-Final: 1")
    async with passing_upstream(head, none, early) as upstream:
        served = await serve(upstream.url, **routing(upstream.url))
        client = await served.client()
        status, headers, body = await exchange(client, request("HEAD", "/"), head_only=True)
        assert (status, body, values(headers, b"content-length")) == (200, b"", [b"1000"])
        status, headers, body = await exchange(client, request("GET", "/"))
        assert (status, body, values(headers, b"content-length")) == (204, b"", [])
        status, headers, body = await exchange(client, request("GET", "/2"))
        assert (status, body, values(headers, b"link"), values(headers, b"x-final")) == (
            200,
            b"then",
            [],
            [b"1"],
        )
        client.close()
    assert [got.method for got in upstream.received] == [b"HEAD", b"GET", b"GET"]


@pytest.mark.parametrize(
    ("answer", "rule", "status", "detail"),
    [
        (ok(b"data: 1\n\n", b"Content-Type: Text/Event-Stream; charset=utf-8"), {}, 502, "streaming"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", {}, 502, "101"),
        (ok(b"x" * 2_000), {"max_response_body": 1_000}, 502, "more than 1000 bytes"),
        (ok(b"[1]"), {"success": SuccessRule(json="object")}, 502, "no object"),
        (ok(b"{]"), {"success": SuccessRule(json="any")}, 502, "malformed"),
        (ok(b"{}", b"Content-Encoding: gzip"), {"success": SuccessRule(json="any")}, 502, "coding"),
        (ok(b'{"a":1}'), {"success": SuccessRule(json_schema={"required": ["hits"]})}, 502, "required"),
        (b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", {}, 502, "status 500"),
    ],
)
async def test_r03_r04_answers_that_do_not_pass(
    serve: Serve, answer: bytes, rule: dict[str, Any], status: int, detail: str
) -> None:
    async with passing_upstream(answer) as upstream:
        served = await serve(upstream.url, **routing(upstream.url, **rule))
        client = await served.client()
        got, headers, body = await exchange(client, request("GET", "/"))
        client.close()
    assert got == status
    assert detail in json.loads(body)["attempts"][0]["detail"]
    assert values(headers, b"content-type") == [b"application/problem+json"]


@pytest.mark.parametrize("body", [b'{"hits":[]}', b' {"hits": 1, "more": "\xc3\xa9"}'])
async def test_r04_a_body_that_the_schema_accepts_passes(serve: Serve, body: bytes) -> None:
    success = SuccessRule(json="object", json_schema={"type": "object", "required": ["hits"]})
    async with passing_upstream(ok(body)) as upstream:
        served = await serve(upstream.url, **routing(upstream.url, success=success))
        client = await served.client()
        status, _, got = await exchange(client, request("GET", "/", "Accept-Encoding: gzip"))
        client.close()
    assert (status, got) == (200, body)
    assert upstream.received[0].values(b"accept-encoding") == [b"identity"]


@pytest.mark.parametrize(
    ("head", "header", "value", "sent"),
    [
        (b"401 Unauthorized\r\nContent-Length: 2", b"WWW-Authenticate", b"Basic", b"no"),
        (b"302 Found\r\nContent-Length: 0", b"Location", b"http://elsewhere/", b""),
        (b"304 Not Modified\r\nContent-Length: 1000", b"ETag", b'"x"', b""),
    ],
)
async def test_r05_a_final_answer_ends_the_race_at_once(
    serve: Serve, head: bytes, header: bytes, value: bytes, sent: bytes
) -> None:
    answer = b"HTTP/1.1 " + head + b"\r\n" + header + b": " + value + b"\r\n\r\n" + sent
    async with passing_upstream(answer) as upstream:
        served = await serve(upstream.url, **routing(upstream.url, hedge=HedgeRule(after=60.0, max_hedges=2)))
        client = await served.client()
        status, headers, body = await exchange(client, request("GET", "/", 'If-None-Match: "x"'))
        client.close()
        assert len(upstream.received) == 1
    assert upstream.received[0].values(b"if-none-match") == [b'"x"']
    assert (status, body, values(headers, header.lower())) == (int(head[:3]), sent, [value])


async def test_r06_the_last_response_passes_where_everything_failed(serve: Serve) -> None:
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy"
    hedge = HedgeRule(after=60.0, max_hedges=1, retry_on_failure="immediate")
    async with passing_upstream(answer) as upstream:
        served = await serve(
            upstream.url, **routing(upstream.url, hedge=hedge, on_all_failed="last_response")
        )
        client = await served.client()
        status, headers, body = await exchange(client, request("GET", "/"))
        client.close()
    assert (status, body, values(headers, b"retry-after")) == (503, b"busy", [b"7"])
    assert len(upstream.received) == 2


POST = RouteRule(
    name="post", path="/post", methods=("POST", "GET"), idempotent=True, upstream="u", max_request_body=1_000,
    hedge=HedgeRule(after=60.0, max_hedges=2, retry_on_failure="immediate"),
)  # fmt: skip
FAILS = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        request("POST", "/post", "Content-Length: 11", "Idempotency-Key: k", body=b"hello\0world"),
        request("POST", "/post", "Transfer-Encoding: chunked", "Idempotency-Key: k", "Trailer: t",
                body=b"6;a=b\r\nhello\0\r\n5\r\nworld\r\n0\r\nt: 1\r\nhost: y\r\n\r\n"),
        request("GET", "/post", "Content-Length: 11", "Idempotency-Key: k", body=b"hello\0world"),
    ],
)  # fmt: skip
async def test_r07_a_body_is_sent_whole_and_the_same_by_each_attempt(serve: Serve, sent: bytes) -> None:
    async with passing_upstream(FAILS) as upstream:
        served = await serve(upstream.url, **routing(upstream.url, POST))
        client = await served.client()
        for at in range(0, len(sent), 7):
            client.send(sent[at : at + 7])
            await client.writer.drain()
        status, _, _ = await exchange(client, b"")
        client.close()
        assert served.call(lambda: served.server._context.bodies.used) == 0
    assert status == 502
    assert len(upstream.received) == 3
    for got in upstream.received:
        assert got.body == b"hello\0world"
        assert got.values(b"content-length") == [b"11"]
        assert got.values(b"transfer-encoding") == []
        assert got.values(b"idempotency-key") == [b"k"]
        assert got.values(b"t") == []


@pytest.mark.parametrize(
    ("sent", "status", "detail"),
    [
        (request("POST", "/post", "Content-Length: 1001"), 413, "longer than 1000 bytes"),
        (
            request("POST", "/post", "Transfer-Encoding: chunked", body=b"3e9\r\n" + b"x" * 1001 + b"\r\n"),
            413,
            "1000",
        ),
        (request("PUT", "/post", "Content-Length: 1", body=b"x"), 405, "use POST or GET"),
        (request("POST", "/none", "Content-Length: 1", body=b"x"), 404, "no route"),
        (request("POST", "/get", "Content-Length: 1", body=b"x"), 405, "use GET or HEAD"),
        (request("GET", "/get", "Content-Length: 1", body=b"x"), 400, "a body is not accepted"),
        (request("POST", "/post", "Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501, "chunked"),
        (request("POST", "/post", "Content-Length: 1", "Expect: more", body=b"x"), 417, "100-continue"),
        (request("POST", "/post", "Transfer-Encoding: chunked", body=b"1;" + b"e" * 12_000), 400, "framing"),
    ],
)
async def test_r07_bodies_that_are_not_accepted(serve: Serve, sent: bytes, status: int, detail: str) -> None:
    get = RouteRule(name="get", path="/get", upstream="u")
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url, POST, get))
        client = await served.client()
        got, headers, body = await exchange(client, sent)
        assert await client.closed() == b""
        client.close()
        assert served.call(lambda: served.server._context.bodies.used) == 0
    assert got == status
    assert detail in json.loads(body)["detail"]
    assert (b"Connection", b"close") in headers
    assert upstream.received == []


async def test_r07_a_client_that_waits_for_100_gets_it_before_it_sends_its_body(serve: Serve) -> None:
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url, POST))
        client = await served.client()
        client.send(request("POST", "/post", "Content-Length: 2", "Expect: 100-Continue"))
        assert await client.reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        status, _, _ = await exchange(client, b"ab")
        client.close()
    assert status == 200
    assert upstream.received[0].body == b"ab"
    assert upstream.received[0].values(b"expect") == []


async def test_r08_the_smallest_timeout_counts_and_the_upstream_learns_what_is_left(serve: Serve) -> None:
    timeout = TimeoutRule(query="t", headers=("grpc-timeout", "x-request-timeout-ms"), max_ms=50_000)
    async with passing_upstream() as upstream:
        served = await serve(
            upstream.url, **routing(upstream.url, timeout=timeout, deadline_header="x-request-timeout-ms")
        )
        client = await served.client()
        await exchange(
            client, request("GET", "/?t=40000", "grpc-timeout: 30S", "X-Request-Timeout-Ms: 45000")
        )
        status, _, body = await exchange(client, request("GET", "/", "grpc-timeout: 30"))
        client.close()
    (got,) = upstream.received
    (left_ms,) = got.values(b"x-request-timeout-ms")
    assert 0 < int(left_ms) <= 30_000
    assert (status, json.loads(body)["code"]) == (400, "bad_timeout")


@pytest.mark.parametrize(
    "target", ["/a//b", "/a/../b", "/a/%2e%2E/b", "/a%2fb", "/a%00", "/a/..;/b", "http://other.example/a"]
)
async def test_paths_that_are_read_in_two_ways_are_rejected(serve: Serve, target: str) -> None:
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url))
        client = await served.client()
        status, _, body = await exchange(client, request("GET", target))
        client.close()
    assert (status, json.loads(body)["code"]) == (400, "bad_request")
    assert upstream.received == []


@pytest.mark.parametrize(
    "via", [["1.1 hedgerow"] * 10, ["1.0 a, 1.1 hedgerow" + ", 1.0 hedgerow" * 8, "1.1 hedgerow"]]
)
async def test_a_request_that_goes_in_a_loop_ends_it(serve: Serve, via: list[str]) -> None:
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url))
        client = await served.client()
        status, _, _ = await exchange(client, request("GET", "/", *(f"via: {value}" for value in via[:-1])))
        assert status == 200
        assert len(upstream.received) == 1
        status, _, body = await exchange(client, request("GET", "/", *(f"Via: {value}" for value in via)))
        client.close()
        assert len(upstream.received) == 1
    assert status == 400, "a final answer by default: no gateway of the loop sends a hedge for it"
    assert "passed through hedgerow 10 times" in json.loads(body)["detail"]


async def test_an_absolute_target_passes_in_origin_form(serve: Serve) -> None:
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url))
        client = await served.client()
        status, _, _ = await exchange(client, request("GET", "http://SHOP.example/a?b"))
        client.close()
    assert (status, upstream.received[0].target) == (200, b"/a?b")


NO_RESENDING = [("POST", ONCE, 2), ("PUT", ONCE, 2), ("GET", ONCE, 3), ("POST", HedgeRule(after=60.0), 3)]


@pytest.mark.parametrize(("method", "hedge", "sent"), NO_RESENDING)
async def test_r09_what_changes_something_is_sent_once_without_hedges(
    serve: Serve, method: str, hedge: HedgeRule, sent: int
) -> None:
    """A pooled connection that ends as it is used again: the upstream may have done what it was asked for."""
    requests = 0

    async def ends_with_the_second(side: UpstreamSide) -> None:
        nonlocal requests
        for answered in (True, False):
            await side.reader.readuntil(b"\r\n\r\n")
            requests += 1
            if answered:
                side.writer.write(ok(b"hello"))

    async with scripted(ends_with_the_second) as upstream:
        rule: dict[str, Any] = {"methods": (method,), "idempotent": True, "hedge": hedge}
        served = await serve(upstream.url, **routing(upstream.url.removesuffix("/work"), **rule))
        client = await served.client()
        first, _, _ = await exchange(client, request(method, "/a", "Content-Length: 0"))
        second, _, _ = await exchange(client, request(method, "/b", "Content-Length: 0"))
        client.close()
    assert (first, second, requests) == (200, 502 if sent == 2 else 200, sent)


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([ok(b"<html>")], 502),
        ([b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", ok(b"<html>")], 503),
        ([ok(b"<html>"), b"HTTP/1.1 429 Slow Down\r\nContent-Length: 0\r\n\r\n"], 429),
    ],
)
async def test_r06_no_answer_that_looks_like_a_success_passes_as_the_last_response(
    serve: Serve, answers: list[bytes], status: int
) -> None:
    hedge = HedgeRule(after=60.0, max_hedges=1, retry_on_failure="immediate")
    rule: dict[str, Any] = {
        "hedge": hedge,
        "on_all_failed": "last_response",
        "success": SuccessRule(json="object"),
    }
    async with passing_upstream(*answers) as upstream:
        served = await serve(upstream.url, **routing(upstream.url, **rule))
        client = await served.client()
        got, _, body = await exchange(client, request("GET", "/"))
        client.close()
        assert len(upstream.received) == 2
    assert got == status
    if status == 502:
        assert [one["outcome"] for one in json.loads(body)["attempts"]] == ["bad_json", "bad_json"]
