"""Replies of an upstream that is out to harm: each drawn from a seed, some valid, most not."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from gzip import compress
from random import Random
from typing import Any
from zlib import compress as deflate


class End(Enum):
    """What becomes of the connection after the last piece."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()


@dataclass(slots=True)
class Response:
    """What goes over the wire in answer to one request."""

    kind: str
    pieces: list[bytes]
    """Each is one write, with a turn of the event loop or more between them."""
    end: End = End.KEEP
    pause_s: float = 0.0
    """Between two pieces."""
    endless: bytes = b""
    """Sent again and again after the pieces, until the gateway has had enough."""
    valid: bool = False
    """A success by every rule, which leaves the connection as it should."""


def draw(chance: Random, token: bytes) -> Response:
    """Draw one reply; a success, if it is one, has the token in its body."""
    make = chance.choices(_MAKERS, _WEIGHTS)[0]
    reply = make(chance, token)
    reply.kind = make.__name__
    return reply


# -- parts

JSON = b"Content-Type: application/json\r\n"
BITS = (
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\x00", b"\x80", b"\xff", b"0", b",", b"-", b"\r\n\r\n", b";",
    b"chunked", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1 ", b"100",
    b"ffffffffffffffff", b"{", b'"',
)  # fmt: skip


def body_of(token: bytes, time: bytes = b"160") -> bytes:
    return b'{"time":%b,"token":"%b"}' % (time, token)


def with_length(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 %b\r\n%b%bContent-Length: %d\r\n\r\n%b" % (status, JSON, lines, len(body), body)


def in_chunks(body: bytes, chance: Random, trailers: bytes = b"") -> bytes:
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    while body:
        size = chance.randint(1, len(body))
        extension = chance.choice((b"", b"", b";x", b";name=value"))
        wire += b"%x%b\r\n%b\r\n" % (size, extension, body[:size])
        body = body[size:]
    return wire + b"0\r\n" + trailers + b"\r\n"


def good(chance: Random, token: bytes) -> bytes:
    body = body_of(token, chance.choice((b"160", b"0", b"1.5", b"1e2", b"12345678901234567890")))
    wire = in_chunks(body, chance) if chance.random() < 0.4 else with_length(body)
    if chance.random() < 0.1:
        wire = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + wire
    return wire


def split(chance: Random, wire: bytes, most: int = 4) -> list[bytes]:
    cuts = sorted(chance.randint(0, len(wire)) for _ in range(chance.randint(0, most - 1)))
    return [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True) if a < b]


# -- the kinds


def valid(chance: Random, token: bytes) -> Response:
    """A success, in one piece or several."""
    return Response("", split(chance, good(chance, token)), valid=True)


def valid_until_close(chance: Random, token: bytes) -> Response:
    """A success that ends with the connection."""
    return Response("", split(chance, b"HTTP/1.1 200 OK\r\n\r\n" + body_of(token)), End.CLOSE, valid=True)


def mutated(chance: Random, token: bytes) -> Response:
    """A success with some bytes cut out, doubled, put in or changed."""
    wire = good(chance, token)
    for _ in range(chance.randint(1, 3)):
        at, size = chance.randint(0, len(wire)), chance.randint(0, 4)
        put = chance.choice((b"", wire[at : at + size] * 2, chance.choice(BITS), chance.randbytes(1)))
        wire = wire[:at] + put + wire[at + size :]
    return Response("", split(chance, wire), chance.choice(list(End)))


def random_bytes(chance: Random, _: bytes) -> Response:
    """No HTTP at all."""
    return Response("", split(chance, chance.randbytes(chance.randint(1, 2000))), chance.choice(list(End)))


def other_status(chance: Random, _: bytes) -> Response:
    """A good body behind a status that is not 200, known or not."""
    status = chance.choice(
        (204, 304, 201, 206, 301, 404, 429, 500, 503, 599, 600, 999, chance.randint(0, 1099))
    )
    return Response(
        "",
        [with_length(body_of(b"no success"), status=b"%d X" % status)],
        chance.choice((End.KEEP, End.CLOSE)),
    )


BAD_BODIES = (
    b"", b" ", b"null", b"[]", b'"time"', b"160", b'{"time":"160"}', b'{"time":true}', b'{"time":-1}',
    b'{"time":NaN}', b'{"time":Infinity}', b'{"time":1e999}', b'{"time":1' + b"0" * 5000 + b"}",
    b'{"time":0.' + b"1" * 5000 + b"}", b'{"Time":1}', b'{"time":1', b'{"time":1}}', b'{"time":1}x', b'{"time":01}',
    b"{'time':1}", b'{"time":1,}', b'\xef\xbb\xbf{"time":1}', b'{"time":1,"x":"\xff"}',
    b'{"time":1,"x":"\xed\xa0\x80"}', b'{"time":1,"x":"\x00"}', b'{"time":1,"x":"' + b"a" * 70_000,
    b" " * 65_000 + b"x",
    *(b"[" * deep for deep in (100, 1_000, 30_000)),
    *(b"[" * deep + b"]" * deep for deep in (100, 1_000, 30_000)),
    *(b'{"time":1,"x":' + b"[" * deep + b"]" * deep + b"}" for deep in (2_000, 30_000)),
    *(b'{"x":' * deep for deep in (100, 1_000, 12_000)),
)  # fmt: skip


def bad_body(chance: Random, token: bytes) -> Response:
    """Sound HTTP around a body that must not be taken for a success, or must not do harm as it is read."""
    body = (
        chance.choice(BAD_BODIES)
        if chance.random() < 0.9
        else chance.choice((body_of(token)[:-1], body_of(token) * 2))
    )
    return Response("", [with_length(body)])


_BOMB = b'{"time":' + b" " * 3_000_000 + b"1}"
BOMBS = {b"gzip": compress(_BOMB), b"deflate": deflate(_BOMB)}


def compressed(chance: Random, token: bytes) -> Response:
    """What was not asked for: a compressed success, or a bomb of 3 MB."""
    coding = chance.choice(list(BOMBS))
    squeezed = BOMBS[coding]
    if chance.random() < 0.5:
        squeezed = compress(body_of(token)) if coding == b"gzip" else deflate(body_of(token))
    said = chance.choice((coding, b"br", b"gzip, gzip", b"identity", b"chunked"))
    return Response("", [with_length(squeezed, b"Content-Encoding: " + said)])


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HUGE = (
    b"HTTP/1.1 200 " + b"O" * 40_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"x" * 40_000 + b": y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n" + b" " * 70_000,
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n" + body_of(b""),
    with_length(b" " * 65_536 + body_of(b"")),
    _CHUNKED + b"1\r\n \r\n0\r\n" + b"X: y\r\n" * 300_000 + b"\r\n",
    _CHUNKED + b"1\r\n \r\n" * 70_000 + b"0\r\n\r\n",
    _CHUNKED + b"1;x=" + b"y" * 1_100_000 + b"\r\n \r\n0\r\n\r\n",
    b"HTTP/1.1 102 X\r\n\r\n" * 3_000 + with_length(body_of(b"")),
)


def huge(chance: Random, _: bytes) -> Response:
    """More than any limit, but with an end."""
    return Response("", [chance.choice(HUGE)])


ENDLESS = (
    (b"HTTP/1.1 200 OK\r\n\r\n", b" " * 16_384),
    (_CHUNKED, b"4000\r\n" + b" " * 0x4000 + b"\r\n"),
    (_CHUNKED, b"1\r\n \r\n" * 2_000),
    (_CHUNKED + b"1;", b"x" * 16_384),
    (_CHUNKED + b"0\r\n", b"X: y\r\n" * 2_000),
    (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 2_000),
    (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 16_384),
    (b"HTTP/1.1 200 ", b"x" * 16_384),
    (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
    (b"\r\n", b"\r\n" * 8_000),
    (b"x", b"x" * 16_384),
)


def endless(chance: Random, _: bytes) -> Response:
    """What never ends, as fast as it is read."""
    start, again = chance.choice(ENDLESS)
    return Response("", [start], endless=again)


def trickling(chance: Random, token: bytes) -> Response:
    """A success, byte by byte; it takes a quarter of a second."""
    return Response("", [bytes((byte,)) for byte in good(chance, token)], pause_s=0.002)


def silent(chance: Random, token: bytes) -> Response:
    """Nothing, or a beginning, and then nothing more."""
    wire = good(chance, token)
    return Response("", [wire[: chance.randint(0, len(wire) - 1)]], pause_s=60.0)


def cut_off(chance: Random, token: bytes) -> Response:
    """A beginning, then FIN or RST."""
    wire = good(chance, token)
    return Response(
        "", split(chance, wire[: chance.randint(0, len(wire) - 1)]), chance.choice((End.CLOSE, End.RESET))
    )


def too_much(chance: Random, token: bytes) -> Response:
    """A success, and in the same write what was not asked for: another answer, a part of one, anything."""
    more = chance.choice(
        (good(chance, b"stolen"), b"HTTP/1.1 200 OK\r\n", b"x", b"\r\n\r\n", chance.randbytes(40))
    )
    return Response("", [good(chance, token) + more])


_KINDS: dict[Callable[[Random, bytes], Response], float] = {
    valid: 25, valid_until_close: 5, mutated: 35, random_bytes: 3, other_status: 6, bad_body: 8, compressed: 2,
    huge: 1.5, endless: 1, trickling: 2, silent: 1.5, cut_off: 6, too_much: 4,
}  # fmt: skip
_MAKERS, _WEIGHTS = list(_KINDS), list(_KINDS.values())


def is_payload(body: bytes) -> bool:
    """Return whether a body is an object with a finite time of 0 or more, by another JSON library and RFC 8259."""
    try:
        work = json.loads(body.decode(), parse_constant=_reject_constant, parse_int=float)
    except (ValueError, RecursionError):
        return False
    time = work.get("time") if isinstance(work, dict) else None
    return isinstance(time, float) and 0 <= time < math.inf


def _reject_constant(name: str) -> Any:
    raise ValueError(name)
