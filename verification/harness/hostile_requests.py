"""Requests that try to be taken for more, fewer or other requests than they are, and valid ones that look odd.

Two tables, and what chance makes of them. The rules are those of RFC 9110 and RFC 9112; the tricks are the kinds that
servers and proxies fell for in 2023 to 2026 (bare line ends, lengths and chunks together, folded lines, odd targets).
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

SECOND = b"GET /api/smart?second=%b HTTP/1.1\r\nHost: second\r\n\r\n"
"""What a smuggler wants to have taken for a request of its own."""


@dataclass(frozen=True, slots=True)
class Part:
    """One request or what pretends to be one."""

    name: str
    wire: bytes
    status: int = 0
    """What a valid one is answered with; 0: it is malformed, and has to be refused."""
    closes: bool = False
    """Valid, and the last one on its connection."""


@dataclass(slots=True)
class Case:
    """What goes over one connection."""

    kind: str
    parts: list[Part]
    damage: bytes | None = None
    """The wire after some bytes of it were changed, so its right answer is unknown."""
    pieces: int = 1
    """Writes, with a turn of the event loop between them."""

    @property
    def wire(self) -> bytes:
        return b"".join(part.wire for part in self.parts) if self.damage is None else self.damage

    @property
    def writes(self) -> list[bytes]:
        """The pieces of the wire."""
        size = len(self.wire) // self.pieces + 1
        return [self.wire[at : at + size] for at in range(0, len(self.wire), size)]

    @property
    def statuses(self) -> list[int]:
        """What has to come back: the status of each valid part up to the first that ends the connection, then 0 if
        that one is to be refused.
        """
        found = []
        for part in self.parts:
            found.append(part.status)
            if part.closes or not part.status:
                break
        return found


# -- the valid ones

HOST = b"Host: x\r\n"


def get(target: bytes = b"/api/smart", headers: bytes = b"", *, method: bytes = b"GET") -> bytes:
    """Write a plain request with these header lines."""
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method, target, HOST, headers)


VALID = (
    Part("plain", get(), 200),
    Part("with a timeout", get(b"/api/smart?timeout=5000"), 200),
    Part("HEAD", get(method=b"HEAD"), 200),
    Part("another path", get(b"/"), 404),
    Part("a path with dots", get(b"/api/../api/smart"), 404),
    Part("a path with escapes", get(b"/api%2Fsmart"), 404),
    Part("two slashes in front", get(b"//api/smart"), 404),
    Part("an odd query", get(b"/api/smart?a=/?&&=%20%zz"), 200),
    Part("a URL in the query", get(b"/api/smart?next=http://y/"), 200),
    Part("absolute", get(b"http://x/api/smart"), 200),
    Part("absolute, another host", get(b"http://y:80/api/smart?timeout=5000"), 200),
    Part("absolute, capitals", get(b"HTTP://X/api/smart"), 200),
    Part("absolute without a path", get(b"http://x"), 404),
    Part("OPTIONS *", get(b"*", method=b"OPTIONS"), 404),
    Part("another method", get(method=b"POST"), 405),
    Part("a method that deletes", get(method=b"DELETE"), 405),
    Part("a bad timeout", get(b"/api/smart?timeout=x"), 400),
    Part("no body, said so", get(headers=b"Content-Length: 0\r\n"), 200),
    Part("no body, said at length", get(headers=b"Content-Length: 0000000000\r\n"), 200),
    Part("POST without a body, said so", get(headers=b"Content-Length: 0\r\n", method=b"POST"), 405),
    Part("100-continue", get(headers=b"Expect: 100-continue\r\n"), 200),
    Part("header names in capitals", b"GET /api/smart HTTP/1.1\r\nHOST: x\r\nCONTENT-LENGTH: 0\r\n\r\n", 200),
    Part("blanks around values", b"GET /api/smart HTTP/1.1\r\nHost:\t x \t\r\nX:y\r\n\r\n", 200),
    Part("an empty header", get(headers=b"X:\r\n"), 200),
    Part("letters that are not ASCII in a header", get(headers=b"X: \xe4\xff\r\n"), 200),
    Part("every character of a token", get(headers=b"!#$%&'*+-.^_`|~09azAZ: y\r\n"), 200),
    Part("a header twice", get(headers=b"X: y\r\nX: z\r\n"), 200),
    Part("a host with a port", b"GET /api/smart HTTP/1.1\r\nHost: x.example:8080\r\n\r\n", 200),
    Part("a host of IPv6", b"GET /api/smart HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200),
    Part("an empty host", b"GET /api/smart HTTP/1.1\r\nHost:\r\n\r\n", 200),
    Part("the host behind others", b"GET /api/smart HTTP/1.1\r\nX: y\r\nHost: x\r\n\r\n", 200),
    Part("an empty line in front", b"\r\n" + get(), 200),
    Part("ninety headers", get(headers=b"".join(b"X-%d: y\r\n" % each for each in range(90))), 200),
    Part("a header of 4 KiB", get(headers=b"X: " + b"y" * 4096 + b"\r\n"), 200),
    Part("keep-alive", get(headers=b"Connection: keep-alive\r\n"), 200),
    Part("a name that only begins like Transfer-Encoding", get(headers=b"Transfer-Encodings: chunked\r\n"), 200),
    Part("a name that only ends like Content-Length", get(headers=b"X-Content-Length: 5\r\n"), 200),
    Part("close", get(headers=b"Connection: close\r\n"), 200, closes=True),
    Part("close among others", get(headers=b"Connection: x, Close\r\n"), 200, closes=True),
    Part("HTTP/1.0", b"GET /api/smart HTTP/1.0\r\n\r\n", 200, closes=True),
    Part("HTTP/1.0 with a host", b"GET /api/smart HTTP/1.0\r\nHost: x\r\n\r\n", 200, closes=True),
    Part("HTTP/1.0 that stays", b"GET /api/smart HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200),
    Part("an upgrade", get(headers=b"Connection: upgrade\r\nUpgrade: h2c\r\n"), 200),
    Part("an upgrade, and close", get(headers=b"Connection: close, upgrade\r\nUpgrade: h2c\r\n"), 200, closes=True),
    Part("a host with an escape", b"GET /api/smart HTTP/1.1\r\nHost: a%20b\r\n\r\n", 200),
    Part("a host of a later IP version", b"GET /api/smart HTTP/1.1\r\nHost: [v1.x]\r\n\r\n", 200),
    Part("a host with a zone", b"GET /api/smart HTTP/1.1\r\nHost: [fe80::1%25eth0]:80\r\n\r\n", 200),
)  # fmt: skip

# -- the malformed ones: those with a body, and those whose head is unsound

LENGTHS = (
    b"5", b"+5", b"-5", b"0x5", b"5_0", b"5,5", b"5, 5", b"0, 5", b"5;x", b"5 5", b"5.0", b"5e0", b"", b" ", b"\x0b5",
    b"5\x00", b"\xd9\xa5", b"99999999999999999999999", b"18446744073709551616", b"-0", b"+0", b"00x", b"0 0",
)  # fmt: skip
CODINGS = (
    b"chunked", b"Chunked", b" chunked", b"\tchunked", b"chunked ", b"chunked,", b", chunked", b"chunked, chunked",
    b"identity", b"gzip, chunked", b"chunked, gzip", b"chunked, identity", b"xchunked", b"chunkedx", b'"chunked"',
    b"chunked;q=1", b"\x0bchunked", b"chunk\x00ed", b"chunked\x0c", b"", b"cow", b"x\r\n chunked",
)  # fmt: skip
NAMES = (
    b"Content-Length", b"content-length", b"CONTENT-LENGTH", b"Transfer-Encoding", b"transfer-encoding",
    b"TRANSFER-ENCODING",
)  # fmt: skip
CHUNK_SIZES = (
    b"5", b"05", b"0005", b"0x5", b"+5", b"-5", b" 5", b"5 ", b"5\t", b"5_0", b"5;", b"5;x", b"5;x=y", b'5;x="\r\n"',
    b"5;x\ny", b"5\x00", b"fffffffffffffffffffffff5", b"10000000000000005", b"", b"g", b"5;" + b"x" * 5000,
)  # fmt: skip
LINE_ENDS = (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r", b"\x0b", b"\x85", b"\x00\r\n", b" \r\n ")

_LENGTH, _CHUNKED = b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"
_IN_CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


def _bodies() -> list[Part]:
    """All that say that a body follows, in whatever way."""
    parts = [
        Part(f"Content-Length: {length!r}", get(headers=b"Content-Length: %b\r\n" % length) + b"hello")
        for length in LENGTHS
    ]
    parts += [
        Part(
            f"Transfer-Encoding: {coding!r}", get(headers=b"Transfer-Encoding: %b\r\n" % coding) + _IN_CHUNKS
        )
        for coding in CODINGS
    ]
    parts += [
        Part(f"a chunk of size {size!r}", get(headers=_CHUNKED) + size + b"\r\nhello\r\n0\r\n\r\n")
        for size in CHUNK_SIZES
    ]
    for name, headers in (
        ("length, then chunks", _LENGTH + _CHUNKED),
        ("chunks, then length", _CHUNKED + _LENGTH),
        ("a length of 0, then chunks", b"Content-Length: 0\r\n" + _CHUNKED),
        ("the same length twice", _LENGTH + _LENGTH),
        ("two lengths", _LENGTH + b"Content-Length: 6\r\n"),
        ("no length, then one", b"Content-Length: 0\r\n" + _LENGTH),
        ("chunks twice", _CHUNKED + _CHUNKED),
        ("chunks, then identity", _CHUNKED + b"Transfer-Encoding: identity\r\n"),
        ("identity, then chunks", b"Transfer-Encoding: identity\r\n" + _CHUNKED),
        ("chunks that Connection names", b"Connection: Transfer-Encoding\r\n" + _CHUNKED),
        ("a length that Connection names", b"Connection: Content-Length\r\n" + _LENGTH),
        ("a length and an upgrade", b"Connection: upgrade\r\nUpgrade: h2c\r\n" + _LENGTH),
        ("a length and an expectation", b"Expect: 100-continue\r\n" + _LENGTH),
    ):
        parts.append(Part(name, get(headers=headers) + _IN_CHUNKS))
    for method in (b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE"):
        parts.append(Part(f"{method!r} with a length", get(headers=_LENGTH, method=method) + b"hello"))
        parts.append(Part(f"{method!r} with chunks", get(headers=_CHUNKED, method=method) + _IN_CHUNKS))
    parts.append(Part("chunks in HTTP/1.0", b"GET /api/smart HTTP/1.0\r\n" + _CHUNKED + b"\r\n" + _IN_CHUNKS))
    parts.append(Part("trailers", get(headers=_CHUNKED) + b"0\r\nHost: y\r\nContent-Length: 5\r\n\r\n"))
    return parts


def _lines(*, end: bytes = b"\r\n", line: bytes = b"GET /api/smart HTTP/1.1", headers: bytes = HOST) -> bytes:
    return line + end + headers + b"\r\n"


_REQUEST_LINES = (
    b"GET /api/smart", b"GET /api/smart ", b"GET", b"/api/smart HTTP/1.1", b" GET /api/smart HTTP/1.1",
    b"\tGET /api/smart HTTP/1.1", b"GET\t/api/smart\tHTTP/1.1", b"GET /api/smart\tHTTP/1.1",
    b"GET /api/smart HTTP/1.1 ",
    b"GET /api/smart HTTP/1.1 x", b"GET /api/smart x HTTP/1.1", b"GET /api/smart HTTP/1.10",
    b"GET /api/smart HTTP/1.2",
    b"GET /api/smart HTTP/2.0", b"GET /api/smart HTTP/0.9", b"GET /api/smart HTTP/11", b"GET /api/smart HTTP/1,1",
    b"GET /api/smart HTTP/ 1.1", b"GET /api/smart http/1.1", b"GET /api/smart HTTP/+1.1", b"GET /api/smart HTTPS/1.1",
    b"GET /api/smart ICE/1.0", b"GET /api/smart RTSP/1.0", b"GET /api/smart HTTP/1.1HTTP/1.1",
    b"get /api/smart HTTP/1.1",
    b"GeT /api/smart HTTP/1.1", b"FROB /api/smart HTTP/1.1", b"G ET /api/smart HTTP/1.1",
    b"GET\x00 /api/smart HTTP/1.1",
    b"GE\xd4 /api/smart HTTP/1.1", b"GET: /api/smart HTTP/1.1", b"PRI * HTTP/2.0",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    b"GET /api/smart\x00 HTTP/1.1", b"GET /api/smart\x0b HTTP/1.1", b"GET /api\x7fsmart HTTP/1.1",
    b"GET /api/smart# HTTP/1.1", b"GET /api/smart#x?timeout=1 HTTP/1.1",
    b"GET api/smart HTTP/1.1", b"GET ?timeout=1 HTTP/1.1",
    b"GET \\api\\smart HTTP/1.1", b"GET http:///api/smart HTTP/1.1", b"GET http://[x/api/smart HTTP/1.1",
    b"GET http://b:x/api/smart HTTP/1.1", b"GET http://u@x/api/smart HTTP/1.1",
    b"GET http://x:65536/api/smart HTTP/1.1",
    b"GET http://a%zz/api/smart HTTP/1.1", b"GET http://[:::::]/api/smart HTTP/1.1",
    b"GET ftp://x/api/smart HTTP/1.1", b"GET x:80 HTTP/1.1", b"OPTIONS *x HTTP/1.1", b"OPTIONS */ HTTP/1.1",
    b"GET /api/smart\xc4\x8d\xc4\x8aHost:y HTTP/1.1",
)  # fmt: skip
_HEADERS = (
    b"X : y", b"Host : x", b"Content-Length : 5", b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked",
    b": y", b"X", b"X y", b"X\x00: y", b"X\xe4: y", b"X(: y", b"X[]: y", b"X\x0b: y", b"\x00: y", b" X: y",
    b"\tX: y", b"X: a\x00b", b"X: a\x01b", b"X: a\x1bb", b"X: a\x7fb", b"X: a\x08b", b"X: y\r\n z", b"X: y\r\n\tz",
    b"X: y\r\n \r\n z", b"Content-Length:\r\n 5", b"Transfer-Encoding:\r\n chunked", b"X: y\nZ: z", b"X: y\rZ: z",
    b"X: y\r\rZ: z", b"X: y\n\rZ: z", b"X: y\r\nHost: y", b"X: y\nContent-Length: 5",
    b"X: y\rTransfer-Encoding: chunked",
    b"X: y\x00\r\nZ: z", b"Host: x", b"HOST: x", b"Expect: 200-ok", b"Expect: 100-continue, x",
)  # fmt: skip
_HOSTS = (
    b"", b"X: no host\r\n", b"Host: a b\r\n", b"Host: a/b\r\n", b"Host: a@b\r\n",
    b"Host: x:y\r\n", b"Host: x:80:80\r\n",
    b"Host: [x]\r\n", b"Host: [::1\r\n", b"Host: ::1\r\n", b"Host: a\x00b\r\n", b"Host: a?b\r\n", b"Host: a#b\r\n",
    b"Host: a\\b\r\n", b"Host: \xe4\r\n", b"Host: x\r\nHost: x\r\n", b"Host: x\r\nHost: y\r\n",
    b"Host: x\r\nX: y\r\nhost: x\r\n",
    b"Host:\r\nHost: x\r\n", b"Host: <x>\r\n", b'Host: "x"\r\n', b"Host: x\r\n y\r\n", b"Host: http://x\r\n",
    b"Host: a%zz\r\n", b"Host: [:::::]\r\n", b"Host: x:65536\r\n", b"Host: [fe80::1%eth0]\r\n", b"Host: [v1]\r\n",
)  # fmt: skip


def _heads() -> list[Part]:
    """All whose head is unsound, though no body is meant."""
    parts = [Part(f"the request line {line!r}", _lines(line=line)) for line in _REQUEST_LINES]
    parts += [Part(f"the header {line!r}", get(headers=line + b"\r\n")) for line in _HEADERS]
    parts += [Part(f"the hosts {headers!r}", _lines(headers=headers)) for headers in _HOSTS]
    parts += [Part(f"{end!r} after the request line", _lines(end=end)) for end in LINE_ENDS]
    parts += [
        Part(f"{end!r} after a header", _lines(headers=b"Host: x" + end + b"X: y\r\n")) for end in LINE_ENDS
    ]
    parts += [Part(f"{end!r} everywhere", get().replace(b"\r\n", end)) for end in LINE_ENDS]
    parts += [
        Part("a hundred and one headers", get(headers=b"X: y\r\n" * 100)),
        Part("a header of 33 KiB", get(headers=b"X: " + b"y" * 33_000 + b"\r\n")),
        Part("four headers of 33 KiB", get(headers=(b"X: " + b"y" * 8_300 + b"\r\n") * 4)),
        Part("a header name of 33 KiB", get(headers=b"X" * 33_000 + b": y\r\n")),
        Part("a target of 9 KiB", get(b"/api/smart?" + b"x" * 9000)),
        Part("a method of 9 KiB", get(method=b"X" * 9000)),
    ]
    return parts


BODIES = tuple(_bodies())
"""What announces a body: never a success, whatever else is in it."""
HEADS = tuple(_heads())
MALFORMED = BODIES + HEADS


# -- what chance makes of them


def every_part() -> list[Case]:
    """List each line of the tables alone, behind a valid request, and before the one that it would smuggle."""
    first = VALID[0]
    cases = []
    for part in VALID + MALFORMED:
        second = Part("second", SECOND % b"table", 200)
        cases += [
            Case("table", [part]),
            Case("table", [first, part]),
            Case("table", [part, second]),
            Case("table", [first, part, second], pieces=3),
        ]
    return cases


def draw(chance: Random, token: bytes) -> Case:
    """Draw one case; what it may smuggle has the token in its query."""
    make = chance.choices(_MAKERS, _WEIGHTS)[0]
    case = make(chance, token)
    case.kind = make.__name__
    case.pieces = chance.choice((1, 1, 1, 2, 4))
    return case


def pipelined(chance: Random, token: bytes) -> Case:
    """Valid ones, one behind the other."""
    parts = [chance.choice(VALID) for _ in range(chance.randint(1, 5))]
    return Case("", [*parts, Part("second", SECOND % token, 200)])


def malformed(chance: Random, token: bytes) -> Case:
    """A malformed one, perhaps behind valid ones, and before what it smuggles."""
    parts = [chance.choice(VALID) for _ in range(chance.randint(0, 2))]
    return Case("", [*parts, chance.choice(MALFORMED), Part("second", SECOND % token, 200)])


def framed(chance: Random, token: bytes) -> Case:
    """One that says several times how long its body is, which holds the second request or ends before it."""
    second = SECOND % token
    headers = []
    for _ in range(chance.randint(1, 3)):
        name = chance.choice(NAMES)
        lengths = (*LENGTHS, b"%d" % len(second))
        value = chance.choice(lengths if name.lower() == b"content-length" else CODINGS)
        headers.append(name + chance.choice((b": ", b":", b":\t", b" : ", b":\r\n ")) + value + b"\r\n")
    headers.insert(
        chance.randint(0, len(headers)), chance.choice((b"", b"X: y\r\n", b"Connection: close\r\n"))
    )
    body = chance.choice(
        (
            b"", b"hello", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n",
            b"%b\r\n%b\r\n0\r\n\r\n" % (b"%x" % len(second), second),
            b"%b\r\nhello\r\n0\r\n\r\n" % chance.choice(CHUNK_SIZES),
        )
    )  # fmt: skip
    method = chance.choice((b"GET", b"GET", b"HEAD", b"POST", b"PUT"))
    # Damaged, as it were: some of the lines say by themselves that there is no body.
    return Case("", [], get(headers=b"".join(headers), method=method) + body + second)


def mutated(chance: Random, token: bytes) -> Case:
    """Any of the others with a little of it changed, as often as chance will have it."""
    make = chance.choice((pipelined, malformed, framed))
    wire = make(chance, token).wire
    for _ in range(chance.randint(1, 3)):
        wire = chance.choice(_MUTATIONS)(chance, wire)
    return Case("", [], wire)


def _flip_a_bit(chance: Random, wire: bytes) -> bytes:
    at = chance.randrange(len(wire)) if wire else 0
    return wire[:at] + bytes(each ^ (1 << chance.randrange(8)) for each in wire[at : at + 1]) + wire[at + 1 :]


def _change_case(chance: Random, wire: bytes) -> bytes:
    at, size = chance.randint(0, len(wire)), chance.randint(1, 20)
    return wire[:at] + wire[at : at + size].swapcase() + wire[at + size :]


def _put_in(chance: Random, wire: bytes) -> bytes:
    at = chance.randint(0, len(wire))
    return wire[:at] + chance.choice(BITS) + wire[at:]


def _cut_out(chance: Random, wire: bytes) -> bytes:
    at, size = chance.randint(0, len(wire)), chance.randint(1, 4)
    return wire[:at] + wire[at + size :]


def _cut_off(chance: Random, wire: bytes) -> bytes:
    return wire[: chance.randint(0, len(wire))]


def _change_a_line_end(chance: Random, wire: bytes) -> bytes:
    ends = [at for at in range(len(wire)) if wire.startswith(b"\r\n", at)]
    at = chance.choice(ends or [0])
    return wire[:at] + chance.choice(LINE_ENDS) + wire[at + 2 :]


def _repeat_a_line(chance: Random, wire: bytes) -> bytes:
    lines = wire.split(b"\r\n")
    lines.insert(chance.randint(0, len(lines)), chance.choice(lines))
    return b"\r\n".join(lines)


def _swap_two_lines(chance: Random, wire: bytes) -> bytes:
    lines = wire.split(b"\r\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\r\n".join(lines)


def _add_a_header(chance: Random, wire: bytes) -> bytes:
    lines = wire.split(b"\r\n")
    lines.insert(chance.randint(1, len(lines)), chance.choice(_HEADERS))
    return b"\r\n".join(lines)


def _make_absolute(chance: Random, wire: bytes) -> bytes:
    prefix = chance.choice(
        (b"http://x", b"https://y:1", b"http://", b"x://y", b"//y", b"http://u@x", b"/http://x")
    )
    return wire.replace(b" /", b" %b/" % prefix, chance.randint(1, 2))


BITS = (
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\x00", b"\x0b", b"\x80", b"\xff", b"0", b",",
    b"5", b"\r\n\r\n", b";", b"#",
    b"?", b"/", b"%00", b"chunked", b"close", b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n",
    b"HTTP/1.1", b"Host: y\r\n", b"GET / HTTP/1.1\r\nHost: z\r\n\r\n", b"\r\n ", b"\xc4\x8a",
)  # fmt: skip
_MUTATIONS: tuple[Callable[[Random, bytes], bytes], ...] = (
    _flip_a_bit, _change_case, _put_in, _put_in, _cut_out, _cut_off, _change_a_line_end, _repeat_a_line,
    _swap_two_lines, _add_a_header, _make_absolute,
)  # fmt: skip

_KINDS: dict[Callable[[Random, bytes], Case], float] = {pipelined: 10, malformed: 20, framed: 25, mutated: 45}
_MAKERS, _WEIGHTS = list(_KINDS), list(_KINDS.values())
