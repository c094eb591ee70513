"""Each row of the table of bad requests in docs/reference/routing-rules.md, on real sockets."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from docs.markdown import ROOT, table
from hedgerow.settings.routes import HedgeRule, RouteRule, TimeoutRule
from integration.conftest import Serve
from support.passing import exchange, passing_upstream, routing
from support.raw_http import Client
from support.routing_files import message_of

ROWS = [row[0] for row in table(ROOT / "docs/reference/routing-rules.md", "Bad requests")]
HOST = "Host: x\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
LENGTH = "Content-Length: 1\r\n"
OFFER = "Connection: upgrade\r\nUpgrade: h2c\r\n"
OFF = HedgeRule(mode="off")
RULES = (
    RouteRule(
        name="posts", path_prefix="/p", methods=("GET", "POST"), idempotent=True, upstream="u", hedge=OFF,
        max_request_body=10, timeout=TimeoutRule(query="t", headers=("x-request-timeout-ms", "grpc-timeout")),
    ),
    RouteRule(name="reads", path_prefix="/", upstream="u", hedge=OFF),
)  # fmt: skip


def get(target: str, headers: str = HOST, *, method: str = "GET") -> str:
    return f"{method} {target} HTTP/1.1\r\n{headers}\r\n"


def post(headers: str, body: str = "x", *, target: str = "/p", version: str = "1.1") -> str:
    return f"POST {target} HTTP/{version}\r\n{HOST}{headers}\r\n{body}"


NOT_HERE = ("a body that is not whole", "more than 64 MiB")
"""The first has tests of its own, below; the second is in `tests/unit/server/test_request_body.py`."""

EXAMPLES: dict[str, list[tuple[int, str]]] = {
    "`//` in": [(400, get("/a//b")), (400, get("//a"))],
    "a segment `.`": [(400, get(path)) for path in ("/a/../b", "/./a", "/%2e%2E", "/a/..;/b", "/a/.")],
    "`%2f`": [(400, get(f"/a{escape}b")) for escape in ("%2f", "%5C", "%00", "%1f", "%7F")],
    "`%` in": [(400, get(f"/a{escape}")) for escape in ("%", "%z1", "%2")],
    "characters that": [(400, get(f"/a{character}b")) for character in '"<>[]\\^`{|}'],
    "a target in": [(400, get("http://y/a")), (400, get("http://x:81/a"))],
    "`*` as": [(404, get("*", method="OPTIONS"))],
    "CONNECT": [(404, get("x:80", method="CONNECT")), (405, get("/a", method="TRACE"))],
    "a method that": [(400, get("/a", method=method)) for method in ("FROB", "get", "LABEL")],
    "a fragment": [(400, get(target)) for target in ("/a#b", "/a?b#c", "/\xe4")],
    "no `Host`": [(400, get("/a", "")), (400, get("/a", HOST * 2)), (400, get("/a", "Host: a b\r\n"))],
    "a target of": [(414, get("/" + "a" * 8_192)), (414, get("/?" + "a" * 40_000))],
    "headers of": [(431, get("/a", f"{HOST}X: {'y' * 32_768}\r\n")), (431, get("/a", HOST + "X: y\r\n" * 100))],
    "a folded line": [
        (400, get("/a", f"{HOST}{line}\r\n")) for line in ("X: y\r\n z", "X: a\0b", "X: a\rb", "X: a\nb", "X : y")
    ],
    "`Via` that": [(400, get("/a", HOST + "Via: 1.1 hedgerow\r\n" * 10))],
    "a body on": [(400, get("/a", HOST + LENGTH) + "x"), (405, post(LENGTH, target="/a"))],
    "more than `max": [(413, post("Content-Length: 11\r\n")), (413, post(CHUNKED, "b\r\n01234567890\r\n0\r\n\r\n"))],
    "an expectation": [(417, post(LENGTH + "Expect: 200-ok\r\n")), (417, get("/a", HOST + "Expect: x\r\n"))],
    "`Transfer-Encoding` other": [
        (501, post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
        (400, post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n")),
    ],
    "`Transfer-Encoding` with": [(501, post(CHUNKED, "0\r\n\r\n", version="1.0"))],
    "`Transfer-Encoding` and": [(400, post(LENGTH + CHUNKED)), (400, post(CHUNKED + LENGTH))],
    "several": [(400, post(LENGTH + LENGTH)), (400, post(LENGTH + "Content-Length: 2\r\n"))],
    "anything but": [
        (400, post(f"Content-Length: {text}\r\n")) for text in ("+1", "-1", "0x1", "1_0", "1,1", "1 1", "")
    ],
    "a chunk whose": [
        (400, post(CHUNKED, f"{chunk}\r\n0\r\n\r\n"))
        for chunk in ("0x1\r\nx", "+1\r\nx", "g\r\nx", "1\r\nxy", "-1\r\nx", "1; a=b\r\nx", "1 \r\nx")
    ],
    "chunk framing": [(400, post(CHUNKED, "1;" + "e" * 12_000))],
    "an offer to": [
        (200, post(LENGTH + OFFER)),
        (200, post(CHUNKED + OFFER, "1\r\nx\r\n0\r\n\r\n")),
        (200, get("/a", HOST + OFFER)),
    ],
    "`TE`": [(200, get("/a", f"{HOST}TE: trailers\r\nTrailer: z\r\nConnection: x-named, te\r\nX-Named: 1\r\n"))],
    "a value of": [(400, get(f"/p?t={value}")) for value in ("0", "x", "1.5", "-1", "")],
}  # fmt: skip
"""By how the row begins."""


KEEP_THE_CONNECTION = (
    "`//` in", "a segment `.`", "`%2f`", "`%` in", "characters that", "`*` as", "CONNECT", "`TE`", "a value of",
    "`Via` that", "an offer to",
)  # fmt: skip
"""Their framing is sound."""


def test_each_row_has_an_example() -> None:
    starts = [*EXAMPLES, *NOT_HERE]
    assert [sum(row.startswith(start) for start in starts) for row in ROWS] == [1] * len(starts)


@pytest.mark.parametrize("row", EXAMPLES)
async def test_row(serve: Serve, row: str) -> None:
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url, *RULES))
        for status, wire in EXAMPLES[row]:
            client = await served.client()
            got, _, _ = await exchange(client, wire.encode("latin-1"))
            assert (got, wire) == (status, wire)
            if row not in KEEP_THE_CONNECTION:
                assert await client.closed() == b""
            client.close()
    names = {name.lower() for one in upstream.received for name, _ in one.headers}
    assert len(upstream.received) == sum(status == 200 for status, _ in EXAMPLES[row])
    assert not names & {b"te", b"trailer", b"connection", b"x-named", b"upgrade"}


LATE = {
    "nothing of it": post("Content-Length: 2\r\n", "", target="/p?t=50"),
    "a part of it": post("Content-Length: 2\r\n", target="/p?t=50"),
    "no last chunk": post(CHUNKED, "1\r\nx\r\n", target="/p?t=50"),
    "by a header": post("Content-Length: 2\r\nX-Request-Timeout-Ms: 50\r\n"),
    "the smallest of several": post("Content-Length: 2\r\nGrpc-Timeout: 50m\r\n", target="/p?t=9000"),
}


@pytest.mark.parametrize("wire", LATE.values(), ids=LATE)
async def test_row_a_body_that_is_not_whole(serve: Serve, wire: str) -> None:
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url, *RULES))
        client = await served.client()
        status, _, body = await exchange(client, wire.encode())
        assert (status, json.loads(body)["code"]) == (408, "bad_request")
        assert b"within the timeout of 50 ms" in body
        client.send(b"x" + get("/a").encode())  # too late, and what is behind it is not answered
        assert await client.closed() == b""
        assert served.call(lambda: served.server._context.bodies.used) == 0
        assert served.counts.of_route("posts").requests == {"bad_request": 1}
        client.close()
    assert upstream.received == []


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (post("Content-Length: 11\r\n"), "too_large"),
        (post(CHUNKED, "b\r\n01234567890\r\n0\r\n\r\n"), "too_large"),
        (post(CHUNKED, "g\r\n"), "bad_request"),
        (post("Transfer-Encoding: gzip, chunked\r\n"), "bad_request"),
    ],
)
async def test_r11_a_rejected_body_is_counted_with_its_route(serve: Serve, wire: str, code: str) -> None:
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url, *RULES))
        client = await served.client()
        await exchange(client, wire.encode())
        assert await client.closed() == b""
        client.close()
        assert served.counts.of_route("posts").requests == {code: 1}


async def test_row_a_body_that_is_not_whole_after_100_continue(serve: Serve) -> None:
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url, *RULES))
        client = await served.client()
        client.send(post(LENGTH + "Expect: 100-continue\r\n", "", target="/p?t=50").encode())
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.response())[0] == 408
        assert await client.closed() == b""
        client.close()
    assert upstream.received == []


@pytest.mark.parametrize("how", [Client.half_close, Client.close, Client.reset])
async def test_a_client_that_leaves_in_the_body_asks_nothing(
    serve: Serve, how: Callable[[Client], None]
) -> None:
    """Decision 0005: half-close counts as disconnect."""
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url, *RULES))
        client = await served.client()
        client.send(post("Content-Length: 2\r\n").encode())
        await served.until(lambda: served.server._context.bodies.used == 1)
        how(client)
        await served.until(lambda: served.server.connections == 0)
        assert served.call(lambda: served.server._context.bodies.used) == 0
        client.close()
    assert upstream.received == []


@pytest.mark.parametrize(
    ("status", "target", "headers"),
    [
        (400, "/p?t=0", LENGTH), (400, "/p//", CHUNKED), (400, "/p", f"X-Request-Timeout-Ms: x\r\n{LENGTH}"),
        (404, "*", LENGTH), (405, "/a", LENGTH),
    ],
)  # fmt: skip
async def test_a_body_is_not_waited_for_where_its_head_is_rejected(
    serve: Serve, status: int, target: str, headers: str
) -> None:
    """Nor is it asked for: 100 (Continue) would be a promise (RFC 9110 section 10.1.1)."""
    async with passing_upstream() as upstream:
        served = await serve(upstream.url, **routing(upstream.url, *RULES))
        client = await served.client()
        got, _, _ = await exchange(
            client, post(f"{headers}Expect: 100-continue\r\n", "", target=target).encode()
        )
        assert got == status
        assert await client.closed() == b""
        client.close()
    assert upstream.received == []


@pytest.mark.parametrize("key", ["path", "path_prefix", "rewrite"])
@pytest.mark.parametrize(
    "row", ["`//` in", "a segment `.`", "`%2f`", "`%` in", "characters that", "a fragment"]
)
def test_row_at_the_start(tmp_path: Path, key: str, row: str) -> None:
    for _, wire in EXAMPLES[row]:
        target = wire.split(" ")[1]
        where = f"{key} = '{target}'" if key != "rewrite" else f"path_prefix = '/a'\nrewrite = '{target}'"
        text = f"[upstreams.u]\nendpoints = ['http://h']\n[[routes]]\n{where}\nupstream = 'u'\n"
        assert f"{key}: " in message_of(tmp_path, text), target


@pytest.mark.parametrize(
    "name", ["TE", "Trailer", "Connection", "Transfer-Encoding", "Content-Length", "Host", "Expect"]
)
def test_headers_of_the_connection_are_not_set_by_a_file(tmp_path: Path, name: str) -> None:
    start = "[upstreams.u]\nendpoints = ['http://h']\n[[routes]]\npath = '/a'\nupstream = 'u'\n"
    assert name in message_of(tmp_path, f"{start}headers = {{ set = {{ {name} = 'x' }} }}\n")
    assert message_of(tmp_path, f"{start}headers = {{ remove = ['{name}'] }}\n")
    assert message_of(tmp_path, f"{start}deadline_header = '{name}'\n")
