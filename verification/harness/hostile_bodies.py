"""Requests with bodies for a route that passes them on: valid ones whose bodies look like requests, and malformed ones.

Each has a token of its own, in its path and in its body, so that what the upstream gets can be traced to it.
"""

from dataclasses import dataclass
from random import Random

from verification.harness.hostile_requests import Case, Part

SMUGGLED = b"POST /v1/smuggled HTTP/1.1\r\nHost: x\r\nX-Request-Id: smuggled\r\nContent-Length: 0\r\n\r\n"
"""What a smuggler wants to have taken for a request of its own."""

_LENGTHS = (
    b"+%d", b"-%d", b"0x%d", b"%d_0", b"%d,%d", b"%d, %d", b"0, %d", b"%d;x", b"%d %d", b"%d.0", b"%de0", b"\x0b%d",
    b"%d\x00", b"%d\xd9\xa5", b"99999999999999999999999%d", b"18446744073709551616", b"%dx", b"'%d'",
)  # fmt: skip
_CODINGS = (
    b"identity", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"chunked, identity", b"xchunked",
    b"chunkedx", b'"chunked"', b"chunked;q=1", b", chunked", b"\x0bchunked", b"chunk\x00ed", b"x\r\n chunked", b"cow",
)  # fmt: skip
_SIZES = (
    b"0x%x", b"+%x", b"-%x", b" %x", b"%x_0", b"%x;x\ny", b"%x\x00", b"fffffffffffffffffffffff%x", b"", b"g",
)  # fmt: skip
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_OFFER = b"Connection: upgrade\r\nUpgrade: h2c\r\n"


@dataclass(frozen=True, slots=True)
class Sent:
    """A valid request as the upstream has to get it."""

    method: bytes
    target: bytes
    body: bytes


class BodyCase(Case):
    """What goes over one connection, and what of it has to reach the upstream, in this order."""

    sent: list[Sent]


def draw(chance: Random, number: int) -> BodyCase:
    """Draw up to three valid requests, perhaps a malformed one behind them, and one that must not come after it."""
    parts: list[Part] = []
    sent: list[Sent] = []
    is_malformed = chance.random() < 0.6
    count = chance.randint(0 if is_malformed else 1, 3)
    for nth in range(count):
        token = b"t%d-%d" % (number, nth)
        wire, one = _valid(chance, token, is_last=nth == count - 1 and not is_malformed)
        parts.append(Part("valid", wire, 200))
        sent.append(one)
    if is_malformed:
        name, wire = _malformed(chance, b"t%d-bad" % number)
        parts += [Part(name, wire), Part("behind it", SMUGGLED)]
    case = BodyCase("malformed" if is_malformed else "valid", parts, pieces=chance.choice((1, 1, 2, 4)))
    case.sent = sent
    return case


def _head(method: bytes, target: bytes, *lines: bytes) -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (method, target, b"".join(lines))


def _content(chance: Random, token: bytes) -> bytes:
    """Return a body: text, bytes of any kind, the end of a body, or requests."""
    kinds = (b"", b"\x00\xff\r\n", b"0\r\n\r\n" + SMUGGLED, SMUGGLED, b"\r\n\r\n" + SMUGGLED, b"x" * 3_000)
    return token + chance.choice(kinds)


def in_chunks(chance: Random, body: bytes) -> bytes:
    """Write a body in chunks as RFC 9112 section 7.1 allows them: extensions, zeros, capitals and trailers."""
    wire = b""
    while body:
        size = chance.randint(1, len(body))
        wire += (
            chance.choice((b"%x", b"%X", b"00%x")) % size + chance.choice((b"", b";a", b';a="b"')) + b"\r\n"
        )
        wire += body[:size] + b"\r\n"
        body = body[size:]
    return (
        wire + chance.choice((b"0", b"000")) + b"\r\n" + chance.choice((b"", b"X-Trailer: y\r\n")) + b"\r\n"
    )


def _valid(chance: Random, token: bytes, *, is_last: bool) -> tuple[bytes, Sent]:
    method = chance.choice((b"POST", b"POST", b"PUT", b"GET", b"DELETE"))
    target = b"/v1/%b?a=%%20&b" % token
    body = _content(chance, token) if chance.random() < 0.9 else b""
    lines = [b"TE: trailers\r\n", b"X-Content-Length: 3\r\n", b"Expect: 100-continue\r\n", _OFFER]
    lines = chance.sample(lines, chance.randint(0, 1))
    if is_last:
        lines.append(b"Connection: close\r\n")
    if chance.random() < 0.5:
        lines.append(chance.choice((_CHUNKED, b"transfer-encoding:Chunked\r\n")))
        wire = in_chunks(chance, body)
    else:
        lines.append(chance.choice((b"Content-Length: %d\r\n", b"content-length:000%d\r\n")) % len(body))
        wire = body
    return _head(method, target, *lines) + wire, Sent(method, target, body)


def _malformed(chance: Random, token: bytes) -> tuple[str, bytes]:
    """Return the name and the bytes of a request whose framing is in doubt."""
    target, body = b"/v1/" + token, _content(chance, token)
    length, chunks = b"Content-Length: %d\r\n" % len(body), in_chunks(chance, body)
    other = b"Content-Length: %d\r\n" % (len(body) + 1)
    wrong = chance.choice(_LENGTHS)
    size = chance.choice(_SIZES)
    bad_chunk = (size % len(body) if b"%" in size else size) + b"\r\n" + body + b"\r\n0\r\n\r\n"
    kinds = {
        "a length": ((b"Content-Length: %b\r\n" % wrong.replace(b"%d", b"%d" % len(body)),), body),
        "a coding": ((b"Transfer-Encoding: %b\r\n" % chance.choice(_CODINGS),), chunks),
        "a chunk size": ((_CHUNKED,), bad_chunk),
        "length and chunks": (tuple(chance.sample((length, _CHUNKED), 2)), chance.choice((body, chunks))),
        "two lengths": (tuple(chance.sample((length, other), 2)), body),
        "a length twice": ((length, length), body),
        "chunks twice": ((_CHUNKED, _CHUNKED), chunks),
        "a folded length": ((length.replace(b": ", b":\r\n "),), body),
        "a blank before the colon": ((chance.choice((length, _CHUNKED)).replace(b":", b" :"),), body),
        "a bare line end": ((chance.choice((length, _CHUNKED)).replace(b"\r\n", b"\n"),), body),
        "another expectation": ((b"Expect: 200-ok\r\n", length), body),
    }  # fmt: skip
    name = chance.choice(list(kinds))
    lines, wire = kinds[name]
    return name, _head(b"POST", target, *lines) + wire
