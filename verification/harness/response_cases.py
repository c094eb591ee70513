"""C19's own responses: what RFC 9112 and 9110 say of answers, case by case, beside those that others test with."""

from collections.abc import Iterator

from verification.harness.corpus_formats import Sample

OK = b"HTTP/1.1 200 OK\r\n"
_LENGTH = b"Content-Length: 5\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"

STATUS_LINES = (
    b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"HTTP/1.2 200 OK",
    b"HTTP/2.0 200 OK", b"HTTP/0.9 200 OK", b"HTTP/1.10 200 OK", b"HTTP/1 200 OK", b"http/1.1 200 OK",
    b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b" HTTP/1.1 200 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK",
    b"HTTP/1.1 000 X", b"HTTP/1.1 099 X", b"HTTP/1.1 600 X", b"HTTP/1.1 999 X", b"HTTP/1.1 +20 X",
    b"HTTP/1.1 2x0 X", b"HTTP/1.1 200 \xc3\xa4", b"HTTP/1.1 200 a\tb", b"HTTP/1.1 200 a\x00b",
    b"HTTP/1.1 200 a\rb", b"RTSP/1.0 200 OK", b"ICE/1.0 200 OK", b"ICY 200 OK", b"SSH-2.0-x",
    b"HTTP/1.1 226 IM Used", b"HTTP/1.1 299 X", b"HTTP/1.1 418 X", b"HTTP/1.1 500 X", b"HTTP/1.1 511 X",
    b"HTTP/1.1 301 X",
)  # fmt: skip
"""Section 4."""
FIELD_LINES = (
    b"X: y", b"X:y", b"X:", b"X: \t y \t", b"x-Y: \xe4\xff", b"X: a  b", b"X : y", b"X\t: y", b" X: y", b"X",
    b": y", b"X Y: z", b"X: a\r\n b", b"X: a\r\n\tb", b"X:\r\n b", b"X: a\x00b", b"X: a\x01b", b"X: a\x7fb",
    b"X: a\rb", b"X\x00: y", b"X\xe4: y", b"X: a\nY: b", b"!#$%&'*+-.^_`|~: y", b"X(: y",
    b"X: y\r\nX: z\r\nx: y", b"Set-Cookie: a=1\r\nSet-Cookie: b=2, c", b"Connection: keep-alive",
    b"Connection: close", b"Connection: Close, x", b"Connection: x-gone\r\nX-Gone: 1",
    b"Connection: x-gone\r\nConnection: close\r\nX-Gone: 1", b"Keep-Alive: timeout=5",
    b"Proxy-Connection: close", b"Upgrade: h2c", b"Connection: upgrade\r\nUpgrade: h2c", b"TE: trailers",
    b"Trailer: X-Sum", b"X-Request-Id: theirs", b"Server-Timing: db;dur=5",
    b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"Content-Encoding: gzip", b"Via: 1.1 y",
    b"Content-Type: text/event-stream", b"Content-Type: Text/Event-Stream; charset=utf-8",
    b"Location: /x\r\nRetry-After: 1", b"Proxy-Authenticate: Basic",
    b"WWW-Authenticate: Basic, Digest x=\"y, z\"", b"X: " + b"y" * 30_000, b"X: " + b"y" * 40_000,
    b"\r\n".join([b"X: y"] * 150),
)  # fmt: skip
"""Section 5, and 9110 sections 5 and 7.6.1."""
LENGTHS = (
    b"5", b"05", b"0000000000000000000000005", b"0", b"", b"+5", b"-5", b"5 ", b"5 5", b"5,5", b"5, 5",
    b"5, 6", b"0x5", b"5_0", b"5.0", b"x", b"99999999999999999999999", b"18446744073709551621", b"2000000",
    b"4", b"6", b"\xd9\xa5",
)  # fmt: skip
"""Section 6.3 and 9110 section 8.6; before a body of 5 bytes."""
CODINGS = (
    b"chunked", b"Chunked", b"gzip, chunked", b"chunked, gzip", b"gzip", b"identity", b"chunked, chunked",
    b"xchunked", b"", b"chunked;x=y", b"chunked,", b", chunked", b"\x0bchunked", b"identity, chunked",
)  # fmt: skip
"""Sections 6.1 and 7."""
CHUNKS = (
    _CHUNKS, b"5\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\n", b"5\r\nhello\r\n00\r\n\r\n",
    b"05\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"A\r\n0123456789\r\n0\r\n\r\n",
    b"a\r\n0123456789\r\n0\r\n\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"5;a\r\nhello\r\n0\r\n\r\n",
    b"5;a=b;c=\"d;e\"\r\nhello\r\n0;z\r\n\r\n", b"5 ;a\r\nhello\r\n0\r\n\r\n",
    b"5; a=b\r\nhello\r\n0\r\n\r\n", b"5;a = b\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n",
    b"5;\r\nhello\r\n0\r\n\r\n", b"5;a=\"\r\nhello\r\n0\r\n\r\n", b"5;a=\x01\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\n0\n\n", b"5\nhello\r\n0\r\n\r\n", b"5;a\nb\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n", b"5\r\nhellox\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n",
    b"g\r\nhello\r\n0\r\n\r\n", b"\r\nhello\r\n0\r\n\r\n", b"5_0\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n", b"ffffffffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    b"10000000000000005\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\nX-Trailer y\r\n\r\n",
    b"5\r\nhello\r\n0\r\n X: y\r\n\r\n", b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
    b"5\r\nhello\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n", b"5\r\nhel", b"6\r\nhello\r\n0\r\n\r\n",
    b"4\r\nhello\r\n0\r\n\r\n",
)  # fmt: skip
"""Section 7.1."""
INTERIM = (
    b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", b"HTTP/1.1 102 X\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 199 X\r\n\r\n",
    b"HTTP/1.0 100 X\r\n\r\n", b"HTTP/1.1 103 X\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", b"HTTP/1.1 101 X\r\n\r\n",
    b"RTSP/1.0 100 X\r\n\r\n", b"HTTP/1.1 100 Continue\r\n", b"\r\n", b"\n", b"\r\n\r\n",
    b"HTTP/1.1 100 X\r\n\r\nHTTP/1.1 103 X\r\n\r\nHTTP/1.1 103 X\r\n\r\n",
)  # fmt: skip
"""9110 section 15.2: before the final response."""
STOLEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
SURPLUS = (
    b"x",
    b"\r\n",
    b"\r\n\r\n",
    STOLEN,
    b"HTTP/1.1 408 X\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 100 X\r\n\r\n",
    b"\x00",
)
"""Behind a complete response: section 9.2, and for the next response of the connection 11.2."""
FRAMED = (
    OK + _LENGTH + b"\r\nhello", OK + _CHUNKED + b"\r\n" + _CHUNKS, OK + b"\r\nhello",
    b"HTTP/1.1 204 X\r\n\r\n", b"HTTP/1.1 304 X\r\nContent-Length: 99\r\nETag: \"y\"\r\n\r\n",
)  # fmt: skip
BODILESS = (
    b"HTTP/1.1 204 X\r\n",
    b"HTTP/1.1 304 X\r\n",
    b"HTTP/1.1 205 X\r\n",
    b"HTTP/1.0 204 X\r\n",
    b"HTTP/1.1 304 X\r\nETag: y\r\n",
)
"""Section 6.3, rule 1, and what is no exception."""
FRAMINGS = (
    b"\r\n", b"Content-Length: 0\r\n\r\n", _LENGTH + b"\r\n", _LENGTH + b"\r\nhello", _CHUNKED + b"\r\n",
    _CHUNKED + b"\r\n" + _CHUNKS, b"Content-Length: x\r\n\r\n", b"Transfer-Encoding: gzip\r\n\r\n",
)  # fmt: skip
BOTH = (
    _LENGTH + _CHUNKED, _CHUNKED + _LENGTH, _LENGTH + _LENGTH, _LENGTH + b"Content-Length: 6\r\n",
    _CHUNKED + _CHUNKED, _CHUNKED + b"Transfer-Encoding: gzip\r\n", b"Transfer-Encoding: gzip\r\n" + _CHUNKED,
    b"Connection: content-length\r\n" + _LENGTH, b"Connection: transfer-encoding\r\n" + _CHUNKED,
)  # fmt: skip
"""Sections 6.1 and 6.3: several headers of framing."""


def responses() -> list[Sample]:
    """List them all, each wire once."""
    return list({sample.wire: sample for sample in _all()}.values())


def _all() -> Iterator[Sample]:
    yield from _named("9112 4", (line + b"\r\n" + _LENGTH + b"\r\nhello" for line in STATUS_LINES))
    yield from _named("9112 5", (OK + line + b"\r\n" + _LENGTH + b"\r\nhello" for line in FIELD_LINES))
    yield from _named("9112 5, no length", (OK + line + b"\r\n\r\nhello" for line in FIELD_LINES[:20]))
    yield from _named(
        "9112 6.3, lengths", (OK + b"Content-Length: %b\r\n\r\nhello" % each for each in LENGTHS)
    )
    yield from _named(
        "9112 6.1, codings", (OK + b"Transfer-Encoding: %b\r\n\r\n%b" % (each, _CHUNKS) for each in CODINGS)
    )
    yield from _named("9112 7.1", (OK + _CHUNKED + b"\r\n" + chunks for chunks in CHUNKS))
    yield from _named("9110 15.2", (each + framed for each in INTERIM for framed in FRAMED[:2]))
    yield from _named("9112 9.2", (framed + each for framed in FRAMED for each in SURPLUS))
    yield from _named("9112 6.3, rule 1", (line + framing for line in BODILESS for framing in FRAMINGS))
    yield from _named(
        "9112 6.3, both", (OK + both + b"\r\n" + body for both in BOTH for body in (b"hello", _CHUNKS))
    )
    yield from _named("9112 8", (framed[:at] for framed in FRAMED for at in range(0, len(framed), 3)))
    yield from _named(
        "9112 2.2", (framed.replace(b"\r\n", end) for framed in FRAMED for end in (b"\n", b"\r", b"\r\r\n"))
    )
    yield from _named("9112 6.1, of 1.0", (framed.replace(b"1.1", b"1.0", 1) for framed in FRAMED))
    alive = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
    yield from _named(
        "9112 9.3",
        (alive + _LENGTH + b"\r\nhello", alive + b"\r\nhello", alive + _CHUNKED + b"\r\n" + _CHUNKS),
    )


def _named(section: str, wires: Iterator[bytes] | tuple[bytes, ...]) -> Iterator[Sample]:
    for number, wire in enumerate(wires, 1):
        yield Sample(f"own, RFC {section}, {number}", wire)
