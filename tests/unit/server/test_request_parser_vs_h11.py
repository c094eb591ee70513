"""The request parser against h11, by examples and by drawn streams; see `support.request_differential`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgerow.server.request_cache import ParsedRequestCache
from support.request_differential import (
    STRICTER_RULES,
    bodies_of,
    body_by_h11,
    broken_rules,
    compare,
    parse,
    parse_by_h11,
    without_leniencies,
)
from support.strategies import damaged, mostly

pytestmark = pytest.mark.exhaustive

# -- inputs

GOOD_HEADERS = [
    b"X: y", b"X:", b"X:y \t", b"x-y_z!: a\tb", b"X: \xe4\xff", b"X-Request-Id: a", b"X-Request-Id: a b",
    b"Expect: 100-Continue", b"Content-Length: 0", b"Content-Length: 00000000000000000000000",
    b"Connection: close", b"Connection: keep-alive", b"connection: x , Close", b"Connection: closed",
    b"Connection: upgrade", b"Upgrade: h2c", b"Proxy-Connection: close",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
    b"Upgrade: websocket\r\nConnection: upgrade", b"Connection: close, upgrade\r\nUpgrade: x",
]  # fmt: skip
ODD_HEADERS = [
    b"X : y", b": y", b"X", b" X: y", b"\tX: y", b"X: a\x01b", b"X: a\x00b", b"X: a\rb", b"X: a\x0bb",
    b"X: a\x7f", b"Host: y", b"Host: a/b", b"Host:", b"Content-Length: 5", b"Content-Length: +0",
    b"Content-Length: 0, 0", b"Content-Length: 0x0", b"Content-Length:",
    b"Content-Length: 99999999999999999999999", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding : chunked", b"Expect: more",
]  # fmt: skip
GOOD_HOSTS = [
    b"Host: x", b"host:x.example:80", b"HOST: [::1]:8080 ", b"Host:", b"Host: a%20b", b"Host: [v1.x:y]",
    b"Host: [fe80::1%25eth0]:80", b"Host: x:", b"Host: [::ffff:1.2.3.4]",
]  # fmt: skip
ODD_HOSTS = [
    b"X: no host", b"Host: a b", b"Host: a/b", b"Host: x:y", b"Host: x\r\nHost: x", b"Host: [x]", b"Host : x",
    b"Host: a%zz", b"Host: [:::::]", b"Host: x:65536", b"Host: u@x", b"Host: [::1%eth0]", b"Host: [v.x]",
    b"Host: [1:2:3:4:5:6:7:8:9]", b"Host: %", b"Host: [::1]x",
]  # fmt: skip
GOOD_METHODS = [b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"M-SEARCH"]
ODD_METHODS = [b"get", b"FROB", b"G\xe4T", b"", b"PRI", b"PLAY", b"GET\x00"]
GOOD_TARGETS = [
    b"/api/smart", b"/api/smart?timeout=900", b"/?", b"//x/y?z?", b"*", b"http://x/api/smart?a",
    b"HTTPS://x:80", b"http://x?y", b"http://[::1]:80/x", b"http://[fe80::1%25a]/", b"/%00\"<>\\^`{|}", b"/", b"a",
]  # fmt: skip
ODD_TARGETS = [
    b"ftp://x/", b"http:/x", b"http://", b"x", b"x:80", b"?x", b"/a#b", b"/\xe4", b"/a b", b"/\x01", b"",
    b"http://[x/", b"http://u@x?y", b"http://b:x/", b"http://b:65536", b"http://a%zz/", b"http://:80/",
    b"http://[:::::]/",
]  # fmt: skip
GOOD_VERSIONS = [b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]
ODD_VERSIONS = [
    b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.10", b"HTTP/11", b"http/1.1", b"HTP/1.1", b"",
]  # fmt: skip
BITS = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\x00", b"\x0b", b"\x80", b"0", b",", b"close", b"\r\n\r\n",
    b"?", b"#", b"/",
]  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Draw a request that is valid more often than not."""
    blank = draw(mostly([b" "], [b"  ", b"\t"]))
    line_end = draw(mostly([b"\r\n"], [b"\n", b"\r"]))
    method = draw(mostly(GOOD_METHODS, ODD_METHODS))
    target = draw(mostly(GOOD_TARGETS, ODD_TARGETS))
    line = blank.join([method, target, draw(mostly(GOOD_VERSIONS, ODD_VERSIONS))])
    headers = draw(st.lists(mostly(GOOD_HEADERS, ODD_HEADERS), max_size=3))
    headers.insert(draw(st.integers(0, len(headers))), draw(mostly(GOOD_HOSTS, ODD_HOSTS)))
    before = draw(mostly([b"", b"\r\n"], [b"\r\n\r\n", b"\n", b" "]))
    body = draw(mostly([b""], [b"hello", b"0\r\n\r\n"]))
    return before + line_end.join([line, *headers, b"", b""]) + body


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Draw a few requests, and once in a while cut, double or insert a little."""
    data = b"".join(draw(st.lists(requests(), min_size=1, max_size=3)))
    return damaged(draw, data, BITS)


# -- tests

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n"


DIFFERENCES = [
    ("an unknown method", b"FROB / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("an unknown method", b"get / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("an unsupported version", b"GET / HTTP/1.2\r\nHost: x\r\n\r\n"),
    ("an unsupported version", b"GET / HTTP/2.0\r\nHost: x\r\n\r\n"),
    ("an unsupported version", b"GET / HTTP/0.9\r\nHost: x\r\n\r\n"),
    ("an invalid target", b"GET x HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("an invalid target", b"GET ?x HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("an invalid target", b"GET /#x HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("an invalid target", b"OPTIONS *x HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("an invalid target", b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("an invalid target", b"GET http:///x HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("an invalid target", b"GET http://b:x/api/smart HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("an invalid target", b"GET http://u@x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a bare LF", b"GET / HTTP/1.1\nHost: x\n\n"),
    ("a bare LF", REQUEST + b"X: y\nX: z\r\n\r\n"),
    ("a bare LF", REQUEST + b"\n"),
    ("a folded header line", REQUEST + b" y\r\n\r\n"),
    ("a folded header line", REQUEST + b"\tX: y\r\n\r\n"),
    ("a control byte in a header", REQUEST + b"X: a\x01b\r\n\r\n"),
    ("a control byte in a header", REQUEST + b"X: a\x7fb\r\n\r\n"),
    ("an invalid host", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("an invalid host", b"GET / HTTP/1.1\r\nHost: x:y\r\n\r\n"),
    ("an invalid host", b"GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n"),
    ("an invalid host", b"GET / HTTP/1.1\r\nHost: [:::::]\r\n\r\n"),
    ("an invalid host", b"GET / HTTP/1.1\r\nHost: x:65536\r\n\r\n"),
    ("a body", REQUEST + b"Content-Length: 1\r\n\r\nx"),
    ("a body", REQUEST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a body", REQUEST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("several lengths", REQUEST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
    ("several lengths", REQUEST + b"Content-Length: 0, 0\r\n\r\n"),
    ("an unknown expectation", REQUEST + b"Expect: more\r\n\r\n"),
    ("beyond a limit", REQUEST + b"X: y\r\n" * 100 + b"\r\n"),
    ("beyond a limit", REQUEST + b"X: " + b"y" * 33_000 + b"\r\n\r\n"),
]


@pytest.mark.parametrize(("rule", "head"), DIFFERENCES)
def test_what_h11_accepts_and_hedgerow_rejects(rule: str, head: bytes) -> None:
    theirs = parse_by_h11(head)
    assert theirs is not None
    assert rule in broken_rules(theirs)
    assert compare(head).rejected is not None


def test_each_stricter_rule_has_an_example() -> None:
    assert {rule for rule, _ in DIFFERENCES} == set(STRICTER_RULES)


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n" + REQUEST + b"\r\n",
        b"\n\r\n" + REQUEST + b"\r\n",
        b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
        REQUEST + b"Content-Length: " + b"0" * 30 + b"\r\n\r\n",
    ],
)
def test_what_hedgerow_accepts_and_h11_rejects(head: bytes) -> None:
    assert parse_by_h11(head) is None
    assert parse_by_h11(without_leniencies(head)) is not None
    (accepted,) = compare(head).accepted
    assert (accepted.method, accepted.target, accepted.wire) == (b"GET", b"/", head)


@pytest.mark.parametrize(
    ("first", "keep_alive", "h11_keeps_alive"),
    [
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True, False),
        (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", False, True),
        (REQUEST + b"Proxy-Connection: close\r\n\r\n", False, True),
    ],
)
def test_where_hedgerow_and_h11_disagree_about_the_connection(
    first: bytes, keep_alive: bool, h11_keeps_alive: bool
) -> None:
    parsed = compare(first + REQUEST + b"\r\n")
    assert len(parsed.accepted) == (2 if keep_alive else 1)
    theirs = parse_by_h11(first)
    assert theirs is not None
    assert theirs.keep_alive is h11_keeps_alive


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"OPTIONS"])
@pytest.mark.parametrize(
    "offer",
    [b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"Upgrade: websocket, x\r\nConnection: x, Upgrade\r\n"],
)
def test_c1_h11_agrees_that_an_upgrade_offer_changes_nothing(method: bytes, offer: bytes) -> None:
    first = REQUEST.replace(b"GET", method) + offer + b"\r\n"
    parsed = compare(first + first + REQUEST + b"\r\n")
    assert [each.keep_alive for each in parsed.accepted] == [True, True, True]
    theirs = parse_by_h11(first)
    assert theirs is not None
    assert theirs.keep_alive


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


@given(
    offer=st.sampled_from([b"", OFFER]),
    chunks=st.lists(st.binary(min_size=1, max_size=40) | st.just(REQUEST + b"\r\n"), max_size=4),
    is_chunked=st.booleans(),
    piece_bytes=st.integers(1, 500),
)
def test_c1_h11_finds_the_same_body_behind_an_offer_and_without(
    offer: bytes, chunks: list[bytes], is_chunked: bool, piece_bytes: int
) -> None:
    content, head = b"".join(chunks), REQUEST.replace(b"GET", b"POST") + offer
    if is_chunked:
        wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])
        first = head + b"Transfer-Encoding: chunked\r\n\r\n" + wire
    else:
        first = head + b"Content-Length: %d\r\n\r\n" % len(content) + content
    data = first + first + REQUEST + b"\r\n"
    assert bodies_of(data, piece_bytes) == [content, content, b""]
    assert body_by_h11(data) == (content, first + REQUEST + b"\r\n")


@given(data=streams())
@settings(max_examples=200)  # C12 reads thousands, also in `make test-all`
def test_h11_agrees_or_a_stricter_rule_is_broken(data: bytes) -> None:
    compare(data)


@given(data=streams(), piece_bytes=st.integers(1, 200) | st.just(2048))
@settings(max_examples=200)  # C12 reads thousands, also in `make test-all`
def test_a_cache_changes_nothing(data: bytes, piece_bytes: int) -> None:
    cache = ParsedRequestCache()
    first, again = (parse(data, piece_bytes, cache) for _ in range(2))
    assert again.summary == first.summary
