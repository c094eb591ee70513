"""C19's own requests: what RFC 9112 and 9110 say of them, case by case, beside those that others test with."""

from collections.abc import Iterator

from verification.harness.corpus_formats import Sample
from verification.harness.response_cases import CHUNKS, CODINGS, LENGTHS

_HOST = b"Host: example.com\r\n"
_LENGTH, _CHUNKED = b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"
_CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"

LINES = (
    b"GET /own HTTP/1.1", b"GET /own HTTP/1.0", b"GET /own HTTP/1.2", b"GET /own HTTP/2.0",
    b"GET /own HTTP/0.9", b"GET /own", b"GET  /own HTTP/1.1", b"GET /own  HTTP/1.1", b"GET\t/own HTTP/1.1",
    b"GET /own HTTP/1.1 ", b" GET /own HTTP/1.1", b"GET /own HTTP/1.10", b"GET /own http/1.1",
    b"GET /own RTSP/1.0", b"SOURCE /own ICE/1.0", b"GET /own ICE/1.0", b"get /own HTTP/1.1",
    b"FROB /own HTTP/1.1", b"LABEL /own HTTP/1.1", b"!#$%&'*+-.^_`|~ /own HTTP/1.1", b"G(T /own HTTP/1.1",
    b"PROPFIND /own HTTP/1.1", b"QUERY /own HTTP/1.1", b"TRACE /own HTTP/1.1",
    b"CONNECT example.com:80 HTTP/1.1", b"CONNECT /own HTTP/1.1", b"PATCH /own HTTP/1.1",
    b"OPTIONS * HTTP/1.1", b"GET * HTTP/1.1", b"OPTIONS /own HTTP/1.1",
    b"GET http://example.com/own HTTP/1.1", b"GET http://EXAMPLE.com HTTP/1.1",
    b"GET http://example.com?a HTTP/1.1", b"GET http://other/own HTTP/1.1",
    b"GET ftp://example.com/own HTTP/1.1", b"GET https://example.com/own HTTP/1.1", b"GET own HTTP/1.1",
    b"GET ?a HTTP/1.1", b"GET /own#f HTTP/1.1", b"GET /own?a#f HTTP/1.1", b"GET //own HTTP/1.1",
    b"GET /own/../x HTTP/1.1", b"GET /own/%2e%2e/x HTTP/1.1", b"GET /own%2fx HTTP/1.1",
    b"GET /own%00 HTTP/1.1", b"GET /own%zz HTTP/1.1", b"GET /own% HTTP/1.1",
    b"GET /own;a=b,c:@!$&'()*+~ HTTP/1.1", b"GET /own\\x HTTP/1.1", b"GET /own\"x HTTP/1.1",
    b"GET /own?a=/?:@%zz\"<> HTTP/1.1", b"GET /\xc3\xa4 HTTP/1.1", b"GET /own?\xc3\xa4 HTTP/1.1",
    b"GET /own\x00 HTTP/1.1", b"GET /own\x7f HTTP/1.1", b"GET /" + b"a" * 8_000 + b" HTTP/1.1",
    b"GET /" + b"a" * 9_000 + b" HTTP/1.1",
    b"\x16\x03\x01\x02\x00\x01\x00\x01",
)  # fmt: skip
"""RFC 9112 section 3, 9110 sections 4 and 9."""
HOSTS = (
    b"", b"Host: a\r\nHost: a\r\n", b"Host:\r\n", b"Host: example.com:8080\r\n", b"Host: [::1]:80\r\n",
    b"Host: a b\r\n", b"Host: u@a\r\n", b"Host: a/b\r\n", b"Host: a?b\r\n", b"Host: a:b\r\n",
    b"Host: a,b\r\n", b"Host : a\r\n", b"Host\r\n", b"host:a\r\n", b"Host: \xe4\r\n",
)  # fmt: skip
"""9112 section 3.2."""
FIELDS = (
    b"X: y", b"X:", b"X:y", b"X: \t y \t", b"x: \xe4\xff", b"X : y", b" X: y", b"X", b": y", b"X Y: z",
    b"X: a\r\n b", b"X: a\x00b", b"X: a\x01b", b"X: a\x7fb", b"X: a\rb", b"X\x00: y", b"X(: y",
    b"X: y\r\nX: z", b"Cookie: a=1\r\nCookie: b=2", b"X: a\nY: b", b"Connection: close",
    b"Connection: keep-alive", b"Connection: x-gone\r\nX-Gone: 1", b"Connection: cookie, host\r\nCookie: a=1",
    b"Keep-Alive: 5", b"Proxy-Connection: close", b"TE: trailers", b"TE: gzip, trailers;q=0.5", b"Trailer: X",
    b"Upgrade: h2c", b"Connection: upgrade\r\nUpgrade: h2c", b"Expect: 100-continue", b"Expect: 200-ok",
    b"Expect:", b"Max-Forwards: 0", b"Via: 1.0 x", b"X-Forwarded-For: 192.0.2.1",
    b"X_Forwarded_For: 192.0.2.1", b"Hedgerow_Attempt: 9", b"Proxy-Authorization: Basic eA==",
    b"Content-Length: 0", b"Accept-Encoding: gzip", b"X: " + b"y" * 9_000, b"X: " + b"y" * 33_000,
    b"\r\n".join([b"X: y"] * 110),
)  # fmt: skip
"""9112 section 5, 9110 sections 5, 7.6 and 10.1.1."""
FRAMINGS = (
    _LENGTH + b"\r\nhello", _CHUNKED + b"\r\n" + _CHUNKS, _LENGTH + _CHUNKED + b"\r\n" + _CHUNKS,
    _CHUNKED + _LENGTH + b"\r\n" + _CHUNKS, _LENGTH + _LENGTH + b"\r\nhello",
    _LENGTH + b"Content-Length: 6\r\n\r\nhello", _CHUNKED + _CHUNKED + b"\r\n" + _CHUNKS,
    b"Content-Length : 5\r\n\r\nhello", b"Transfer-Encoding : chunked\r\n\r\n" + _CHUNKS,
    b"Content-Length:\r\n 5\r\n\r\nhello", b"Transfer-Encoding:\r\n chunked\r\n\r\n" + _CHUNKS,
    b"Connection: content-length\r\n" + _LENGTH + b"\r\nhello",
    b"Connection: transfer-encoding\r\n" + _CHUNKED + b"\r\n" + _CHUNKS, b"Content_Length: 5\r\n\r\n",
    b"X-Content-Length: 5\r\n\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n" + _LENGTH + b"\r\nhello",
    b"Expect: 100-continue\r\n" + _LENGTH + b"\r\nhello", b"Content-Length: 70000\r\n\r\n" + b"x" * 70_000,
    b"Content-Length: 5\nX: y\r\n\r\nhello", b"\x00Content-Length: 5\r\n\r\nhello",
)  # fmt: skip
"""9112 sections 6 and 11."""


def requests() -> list[Sample]:
    """List them all, each wire once."""
    return list({sample.wire: sample for sample in _all()}.values())


def _all() -> Iterator[Sample]:
    post = b"POST /own HTTP/1.1\r\n" + _HOST
    behind = b"GET /behind HTTP/1.1\r\n" + _HOST + b"\r\n"
    yield from _named("9112 3", (line + b"\r\n" + _HOST + b"\r\n" for line in LINES))
    yield from _named("9112 3.2", (b"GET /own HTTP/1.1\r\n%b\r\n" % host for host in HOSTS))
    yield from _named("9112 5", (b"GET /own HTTP/1.1\r\n%b%b\r\n\r\n" % (_HOST, field) for field in FIELDS))
    for method in (b"POST", b"GET", b"DELETE"):
        start = method + b" /own HTTP/1.1\r\n" + _HOST
        yield from _named(f"9112 6, {method.decode()}", (start + framing + behind for framing in FRAMINGS))
    yield from _named("9112 6, of 1.0", (post.replace(b"1.1", b"1.0") + framing for framing in FRAMINGS[:4]))
    yield from _named(
        "9112 6.3", (post + b"Content-Length: %b\r\n\r\nhello" % length + behind for length in LENGTHS)
    )
    yield from _named(
        "9112 6.1",
        (post + b"Transfer-Encoding: %b\r\n\r\n%b" % (coding, _CHUNKS) + behind for coding in CODINGS),
    )
    yield from _named("9112 7.1", (post + _CHUNKED + b"\r\n" + chunks + behind for chunks in CHUNKS))
    whole = post + _CHUNKED + b"\r\n" + _CHUNKS
    yield from _named("9112 8", (whole[:at] for at in range(1, len(whole), 4)))
    yield from _named(
        "9112 2.2", (whole.replace(b"\r\n", end) for end in (b"\n", b"\r", b"\r\r\n", b"\n\r\n"))
    )
    yield from _named(
        "9112 2.2, before",
        (before + behind for before in (b"\r\n", b"\n", b"\r\n\r\n", b"\r", b" ", b"\x00")),
    )
    yield from _named(
        "9112 9.3.2",
        (behind * 3 + whole + behind, behind + b"x", whole + b"\r\n" + whole, behind + b"\r\n\r\n"),
    )


def _named(section: str, wires: Iterator[bytes] | tuple[bytes, ...]) -> Iterator[Sample]:
    for number, wire in enumerate(wires, 1):
        yield Sample(f"own, RFC {section}, {number}", wire)
