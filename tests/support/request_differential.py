"""A differential test of the request parser against h11, which shares no line with llhttp.

h11 must parse what hedgerow accepts in the same way, with the same borders: a proxy in front of hedgerow must not see
other requests than it does. What h11 accepts and hedgerow rejects must break a stricter rule, written here a second
time.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import h11

from hedgerow.core.request import Request
from hedgerow.server.body_memory import BodyMemory
from hedgerow.server.request_cache import ParsedRequestCache
from hedgerow.server.request_parser import RequestParser
from hedgerow.server.request_rejected import RequestRejected
from hedgerow.server.whole_head import WholeHeads
from hedgerow.settings import ClientLimits

LIMITS = ClientLimits()

# -- hedgerow


@dataclass
class Accepted:
    """A request, the bytes that it took, and whether its connection may be used again."""

    method: bytes
    target: bytes
    keep_alive: bool
    wire: bytes


@dataclass
class Parsed:
    """The requests found in some bytes, and perhaps the rejection of what began at `rest`."""

    accepted: list[Accepted] = field(default_factory=list)
    rejected: RequestRejected | None = None
    rest: bytes = b""

    @property
    def summary(self) -> tuple[list[tuple[bytes, bytes, bool]], str | None]:
        requests = [(each.method, each.target, each.keep_alive) for each in self.accepted]
        return requests, self.rejected.code if self.rejected else None


def parse(data: bytes, piece_bytes: int, cache: ParsedRequestCache | None = None) -> Parsed:
    """Parse up to the first request that ends its connection. In pieces of one byte each border is known exactly."""
    parsed = Parsed()
    requests: list[Request] = []
    ids = count(1)
    whole_heads = WholeHeads(ClientLimits(), lambda: b"%d" % next(ids), cache, passed_on=False)
    parser = RequestParser(ClientLimits(), requests.append, whole_heads)
    begins_at = 0
    for at in range(0, len(data), piece_bytes):
        piece = data[at : at + piece_bytes]
        try:
            parser.feed(piece, 0.0)
        except RequestRejected as rejected:
            parsed.rejected = rejected
        for request in requests:
            target = request.path + (b"?" + request.query if request.query else b"")
            wire = data[begins_at : at + len(piece)]
            parsed.accepted.append(Accepted(request.method, target, request.keep_alive, wire))
            begins_at = at + len(piece)
            if not request.keep_alive:
                parsed.rejected = None
                return parsed
        requests.clear()
        if parsed.rejected is not None:
            break
    parsed.rest = data[begins_at:]
    return parsed


def bodies_of(data: bytes, piece_bytes: int) -> list[bytes]:
    """Return the bodies of the requests in `data`, all of which are valid and keep their connection."""
    requests: list[Request] = []
    whole_heads = WholeHeads(LIMITS, lambda: b"1", passed_on=True)
    parser = RequestParser(LIMITS, requests.append, whole_heads, lambda _: len(data), BodyMemory(len(data)))
    for at in range(0, len(data), piece_bytes):
        parser.feed(data[at : at + piece_bytes], 0.0)
    parser.close()
    assert all(request.keep_alive for request in requests)
    return [request.message.body for request in requests if request.message is not None]


# -- h11


@dataclass
class ParsedByH11:
    """One request as h11 parses it, the bytes left over, and whether the connection may be used again."""

    request: h11.Request
    head: bytes
    whole: bool
    left_over: bytes
    keep_alive: bool


def parse_by_h11(data: bytes) -> ParsedByH11 | None:
    """Parse one request with h11; None if it finds none."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    try:
        request = connection.next_event()
        if not isinstance(request, h11.Request):
            return None
        head = data.removesuffix(connection.trailing_data[0])
        whole = isinstance(connection.next_event(), h11.EndOfMessage)
    except h11.RemoteProtocolError:
        return None
    left_over = connection.trailing_data[0]
    connection.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    return ParsedByH11(request, head, whole, left_over, connection.our_state is h11.DONE)


def body_by_h11(data: bytes) -> tuple[bytes, bytes]:
    """Return the body of the first request, and the bytes left over, as h11 parses them."""
    connection, body = h11.Connection(h11.SERVER), b""
    connection.receive_data(data)
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Request | h11.Data)
        if isinstance(event, h11.Data):
            body += event.data
    return body, connection.trailing_data[0]


# -- the deliberate differences

METHODS = frozenset(
    b"DELETE GET HEAD POST PUT CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND "
    b"UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK "
    b"UNLINK SOURCE QUERY".split()
)
TARGET = re.compile(rb"/[^#]*|\*|https?://(?P<authority>[^/?#]*)([/?][^#]*)?", re.IGNORECASE)
"""The forms of RFC 9112 section 3.2 that a server may meet: origin, asterisk, absolute."""
CONNECT_TARGET = rb"(?!.*://)[A-Za-z0-9._~!$&'()*+,;=:@%\[\]-]*([/?][^#]*)?"
"""CONNECT is answered by a 404 or a 405, and its connection closed, so whatever llhttp accepts may pass."""
UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
SUB_DELIMS = "!$&'()*+,;="
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def is_host(value: bytes) -> bool:
    """Return whether this is `uri-host [":" port]`, written a second time, with the standard library's IPv6."""
    text = value.decode("latin-1")
    if text.startswith("["):
        literal, bracket, behind = text[1:].partition("]")
        if not bracket or not is_ip_literal(literal) or behind[:1] not in ("", ":"):
            return False
        port = behind[1:]
    else:
        name, _, port = text.partition(":")
        if not consists_of(UNRESERVED + SUB_DELIMS, name):
            return False
    return set(port) <= set("0123456789") and len(port.lstrip("0")) <= 5 and int(port or "0") <= 65_535


def is_ip_literal(text: str) -> bool:
    """Return whether this is an IPv6 address, with a zone or without, or one of a later version."""
    if text[:1] in ("v", "V"):
        version, dot, address = text[1:].partition(".")
        digits = "0123456789abcdefABCDEF"
        known = set(UNRESERVED + SUB_DELIMS + ":")
        return bool(version and dot and address) and set(version) <= set(digits) and set(address) <= known
    address, percent, zone = text.partition("%25")
    if "%" in address or (percent and not (zone and consists_of(UNRESERVED, zone))):
        return False
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True


def consists_of(characters: str, text: str) -> bool:
    """Return whether there are only these characters and percent-encoded ones."""
    first, *encoded = text.split("%") if "%" not in characters else [text]
    if any(len(each) < 2 or not set(each[:2]) <= set("0123456789abcdefABCDEF") for each in encoded):
        return False
    return set(first + "".join(each[2:] for each in encoded)) <= set(characters)


def is_target(target: bytes) -> bool:
    match = TARGET.fullmatch(target)
    if match is None or match["authority"] is None:
        return match is not None
    return is_host(match["authority"]) and match["authority"].partition(b":")[0] != b""


def value(theirs: ParsedByH11, name: bytes, otherwise: bytes) -> bytes:
    return dict(theirs.request.headers).get(name, otherwise)


def lines(theirs: ParsedByH11) -> list[bytes]:
    return theirs.head.split(b"\r\n")


def lengths(theirs: ParsedByH11) -> list[bytes]:
    return re.findall(rb"(?im)^content-length:([^\r\n]*)", theirs.head)


STRICTER_RULES: dict[str, Callable[[ParsedByH11], bool]] = {
    # h11 accepts any token; llhttp accepts the registered methods, and a few besides.
    "an unknown method": lambda it: it.request.method not in METHODS,
    "an unsupported version": lambda it: it.request.http_version not in (b"1.0", b"1.1"),
    # h11 accepts any printable characters.
    "an invalid target": lambda it: (
        not is_target(it.request.target)
        and not (it.request.method == b"CONNECT" and re.fullmatch(CONNECT_TARGET, it.request.target))
    ),
    # RFC 9112 section 2.2 allows it as a line's end; a parser that does not accept it sees other borders.
    "a bare LF": lambda it: any(b"\n" in line for line in lines(it)),
    # RFC 9112 section 5.2 leaves the choice to reject it, or to make a blank of it as h11 does.
    "a folded header line": lambda it: any(line[:1] in (b" ", b"\t") for line in lines(it)[1:] if line),
    # RFC 9110 section 5.5: CR, LF and NUL must be rejected; h11 accepts the others.
    "a control byte in a header": lambda it: any(CONTROL.search(held) for _, held in it.request.headers),
    "an invalid host": lambda it: not is_host(value(it, b"host", b"")),
    # Without bodies two parsers cannot disagree about where one ends.
    "a body": lambda it: (
        value(it, b"content-length", b"").strip(b"0") != b"" or value(it, b"transfer-encoding", b"") != b""
    ),
    # h11 merges equal ones, in several lines or in one.
    "several lengths": lambda it: len(lengths(it)) > 1 or any(b"," in length for length in lengths(it)),
    # RFC 9110 section 10.1.1 allows to reject it. Of several lines the last one counts.
    "an unknown expectation": lambda it: value(it, b"expect", b"").lower() not in (b"", b"100-continue"),
    # `ClientLimits`; h11 leaves both to its user.
    "beyond a limit": lambda it: (
        len(it.request.headers) > LIMITS.max_headers
        or len(it.request.target) > LIMITS.max_target_bytes
        or len(it.head.partition(b"\r\n")[2]) > LIMITS.max_header_bytes
    ),
}
"""Why hedgerow rejects what h11 accepts."""


def broken_rules(theirs: ParsedByH11) -> list[str]:
    return [name for name, is_broken in STRICTER_RULES.items() if is_broken(theirs)]


def without_leniencies(wire: bytes) -> bytes:
    """Rewrite what hedgerow accepts and h11 does not."""
    wire = wire.lstrip(b"\r\n")  # RFC 9112 section 2.2: empty lines before a request are to be ignored
    line, crlf, rest = wire.partition(b"\r\n")
    line = re.sub(rb" +", b" ", line)  # RFC 9112 section 3 allows to split the line at any blanks
    rest = re.sub(rb"(?im)^(content-length:[ \t]*)0+", rb"\g<1>0", rest)  # h11 counts digits, not the number
    return line + crlf + rest


def closes_only_with_hedgerow(request: h11.Request) -> bool:
    names = [name for name, _ in request.headers]
    return (
        request.method == b"CONNECT"  # llhttp parses nothing behind it
        or b"proxy-connection" in names  # an old client's name for Connection
    )


# -- the comparison


def compare(data: bytes) -> Parsed:
    """Parse with both, compare, and return hedgerow's result."""
    parsed = parse(data, piece_bytes=1)
    for accepted in parsed.accepted:
        theirs = parse_by_h11(without_leniencies(accepted.wire))
        assert theirs is not None, f"only hedgerow accepts {accepted.wire!r}"
        assert broken_rules(theirs) == [], accepted.wire
        assert (theirs.request.method, in_origin_form(theirs.request.target)) == (
            accepted.method,
            accepted.target,
        )
        assert theirs.whole, "a body that hedgerow did not see"
        assert theirs.left_over == b"", "another border"
        if accepted.keep_alive:
            assert theirs.keep_alive or theirs.request.http_version == b"1.0"  # h11 keeps none of those
        elif theirs.keep_alive:
            assert closes_only_with_hedgerow(theirs.request), accepted.wire
    if parsed.rejected is not None:
        theirs = parse_by_h11(parsed.rest)
        assert theirs is None or broken_rules(theirs) != [], (parsed.rest, parsed.rejected)
    (taken, code), (taken_whole, code_whole) = parsed.summary, parse(data, piece_bytes=len(data) or 1).summary
    # Of a request that is both too long and malformed either may be seen first (C11, a header name of 8 000 bytes).
    same_end = code == code_whole or (code and code_whole and "too_large" in (code, code_whole))
    assert taken == taken_whole and same_end, "the cuts between the bytes do not matter"  # noqa: PT018 (one invariant)
    return parsed


def in_origin_form(target: bytes) -> bytes:
    """Reduce an absolute target to its path (RFC 9112 section 3.2.2), and an empty query to none."""
    scheme, separator, rest = target.partition(b"://")
    if separator and scheme.lower() in (b"http", b"https"):
        target = rest[len(re.split(rb"[/?]", rest)[0]) :]
        target = target if target[:1] == b"/" else b"/" + target
    return target.removesuffix(b"?") if target.count(b"?") == 1 else target
