"""h11's opinion on what we take for a request: it shares no line with llhttp, and was written by others.

What we accept, h11 must read alike, with the same borders: whoever stands before us must not see other requests than
we do. What h11 reads and we refuse must be by a stricter rule of ours, written down here a second time.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgerow.core.request import Request
from hedgerow.http_front.heads import KNOWN_HEADS, HeadReader, KnownHeads, Refused
from hedgerow.settings import ClientLimits
from rules.drawing import damaged, mostly

# -- ours


@dataclass
class Accepted:
    """A head, the bytes that it took, and whether its connection may be used again."""

    method: bytes
    target: bytes
    keep_alive: bool
    wire: bytes


@dataclass
class Reading:
    """What became of some bytes: heads, and perhaps a refusal of what began at `rest`."""

    accepted: list[Accepted] = field(default_factory=list)
    refused: Refused | None = None
    rest: bytes = b""

    @property
    def gist(self) -> tuple[list[tuple[bytes, bytes, bool]], str | None]:
        heads = [(head.method, head.target, head.keep_alive) for head in self.accepted]
        return heads, self.refused.code if self.refused else None


def read_by_us(data: bytes, piece_bytes: int, known: KnownHeads | None = None) -> Reading:
    """Read up to the first head that ends its connection; a head's border is known to the byte if pieces are bytes."""
    reading = Reading()
    heads: list[Request] = []
    ids = count(1)
    reader = HeadReader(ClientLimits(), heads.append, lambda: b"%d" % next(ids), known or KnownHeads())
    begins_at = 0
    for at in range(0, len(data), piece_bytes):
        piece = data[at : at + piece_bytes]
        try:
            reader.feed(piece, 0.0)
        except Refused as refused:
            reading.refused = refused
        for head in heads:
            target = head.path + (b"?" + head.query if head.query else b"")
            wire = data[begins_at : at + len(piece)]
            reading.accepted.append(Accepted(head.method, target, head.keep_alive, wire))
            begins_at = at + len(piece)
            if not head.keep_alive:
                reading.refused = None
                return reading
        heads.clear()
        if reading.refused is not None:
            break
    reading.rest = data[begins_at:]
    return reading


# -- theirs


@dataclass
class Opinion:
    """What h11 takes some bytes for: one request, how many bytes are left, whether the connection may be used again."""

    request: h11.Request
    head: bytes
    whole: bool
    left_over: bytes
    keep_alive: bool


def opinion_on(data: bytes) -> Opinion | None:
    """Let h11 read one request; None if it finds none."""
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
    return Opinion(request, head, whole, left_over, connection.our_state is h11.DONE)


# -- the deliberate differences

METHODS = frozenset(
    b"DELETE GET HEAD POST PUT CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND "
    b"UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK "
    b"UNLINK SOURCE QUERY".split()
)
HOST = rb"([A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?"
AUTHORITY = rb"(?!$|[/?])([A-Za-z0-9._~!$&'()*+,;=%:@-]*|([^@/?#]*@)?\[[0-9A-Fa-f:.]+\](:[0-9]*)?)"
TARGET = re.compile(rb"/[^#]*|\*|https?://" + AUTHORITY + rb"([/?][^#]*)?", re.IGNORECASE)
"""The forms of RFC 9112 section 3.2 that a server may meet: origin, asterisk, absolute."""
CONNECT_TARGET = rb"(?!.*://)[A-Za-z0-9._~!$&'()*+,;=:@%\[\]-]*([/?][^#]*)?"
"""CONNECT is answered by a 404 or a 405, and its connection closed, so whatever llhttp takes may pass."""
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def value(opinion: Opinion, name: bytes, otherwise: bytes) -> bytes:
    return dict(opinion.request.headers).get(name, otherwise)


def lines(opinion: Opinion) -> list[bytes]:
    return opinion.head.split(b"\r\n")


def lengths(opinion: Opinion) -> list[bytes]:
    return re.findall(rb"(?im)^content-length:([^\r\n]*)", opinion.head)


STRICTER_RULES: dict[str, Callable[[Opinion], bool]] = {
    # h11 takes any token; llhttp takes those that are registered, and a few besides.
    "a method that nobody knows": lambda it: it.request.method not in METHODS,
    "another version than 1.0 and 1.1": lambda it: it.request.http_version not in (b"1.0", b"1.1"),
    # h11 takes any printable characters.
    "a target that is none": lambda it: (
        TARGET.fullmatch(it.request.target) is None
        and not (it.request.method == b"CONNECT" and re.fullmatch(CONNECT_TARGET, it.request.target))
    ),
    # RFC 9112 section 2.2 allows to take it for a line's end; whoever does not sees other borders.
    "a line that ends with LF alone": lambda it: any(b"\n" in line for line in lines(it)),
    # RFC 9112 section 5.2 leaves the choice to refuse it, or to make a blank of it as h11 does.
    "a folded header line": lambda it: any(line[:1] in (b" ", b"\t") for line in lines(it)[1:] if line),
    # RFC 9110 section 5.5: CR, LF and NUL are to be refused; h11 lets the others pass.
    "a control byte in a header": lambda it: any(CONTROL.search(held) for _, held in it.request.headers),
    "a host that is none": lambda it: re.fullmatch(HOST, value(it, b"host", b"")) is None,
    # Without bodies it is never a matter of opinion where one ends.
    "a body": lambda it: (
        value(it, b"content-length", b"").strip(b"0") != b"" or value(it, b"transfer-encoding", b"") != b""
    ),
    # h11 makes one of several that say the same, be it in several lines or in one.
    "several lengths": lambda it: len(lengths(it)) > 1 or any(b"," in length for length in lengths(it)),
    # RFC 9110 section 10.1.1 allows to refuse it. Of several lines the last one counts.
    "another expectation": lambda it: value(it, b"expect", b"").lower() not in (b"", b"100-continue"),
    # `ClientLimits`; h11 leaves both to its user.
    "more than a head may have": lambda it: len(it.request.headers) > 100 or len(it.head) > 8 * 1024,
}
"""Why we refuse what h11 reads."""


def broken_rules(opinion: Opinion) -> list[str]:
    return [name for name, is_broken in STRICTER_RULES.items() if is_broken(opinion)]


def without_our_leniencies(wire: bytes) -> bytes:
    """Rewrite what we accept and h11 does not."""
    wire = wire.lstrip(b"\r\n")  # RFC 9112 section 2.2: empty lines before a request are to be ignored
    line, crlf, rest = wire.partition(b"\r\n")
    line = re.sub(rb" +", b" ", line)  # RFC 9112 section 3 allows to split the line at any blanks
    rest = re.sub(rb"(?im)^(content-length:[ \t]*)0+", rb"\g<1>0", rest)  # h11 counts digits, not the number
    return line + crlf + rest


def ends_its_connection_with_us_alone(request: h11.Request) -> bool:
    names = [name for name, _ in request.headers]
    return (
        request.method == b"CONNECT"  # llhttp reads nothing behind it
        or b"upgrade" in names  # nor behind this
        or b"proxy-connection" in names  # an old client's word for Connection
    )


# -- the comparison


def compare(data: bytes) -> Reading:
    """Read, compare, and give back what we make of it."""
    reading = read_by_us(data, piece_bytes=1)
    for accepted in reading.accepted:
        opinion = opinion_on(without_our_leniencies(accepted.wire))
        assert opinion is not None, f"only we take {accepted.wire!r} for a request"
        assert broken_rules(opinion) == [], accepted.wire
        assert (opinion.request.method, in_origin_form(opinion.request.target)) == (
            accepted.method,
            accepted.target,
        )
        assert opinion.whole, "a body that we did not see"
        assert opinion.left_over == b"", "another border"
        if accepted.keep_alive:
            assert opinion.keep_alive or opinion.request.http_version == b"1.0"  # h11 keeps none of those
        elif opinion.keep_alive:
            assert ends_its_connection_with_us_alone(opinion.request), accepted.wire
    if reading.refused is not None:
        opinion = opinion_on(reading.rest)
        assert opinion is None or broken_rules(opinion) != [], (reading.rest, reading.refused)
    (taken, code), (taken_whole, code_whole) = reading.gist, read_by_us(data, piece_bytes=len(data) or 1).gist
    # Of a head that is too long and malformed, too, either may be seen first (C11, a header name of 8 000 bytes).
    same_end = code == code_whole or (code and code_whole and "too_large" in (code, code_whole))
    assert taken == taken_whole and same_end, "it does not matter how the bytes come"  # noqa: PT018 (one law)
    return reading


def in_origin_form(target: bytes) -> bytes:
    """Take an absolute target by its path (RFC 9112 section 3.2.2), and no query for the same as an empty one."""
    scheme, separator, rest = target.partition(b"://")
    if separator and scheme.lower() in (b"http", b"https"):
        target = rest[len(re.split(rb"[/?]", rest)[0]) :]
        target = target if target[:1] == b"/" else b"/" + target
    return target.removesuffix(b"?") if target.count(b"?") == 1 else target


# -- what is read

GOOD_HEADERS = [
    b"X: y", b"X:", b"X:y \t", b"x-y_z!: a\tb", b"X: \xe4\xff", b"X-Request-Id: a", b"X-Request-Id: a b",
    b"Expect: 100-Continue", b"Content-Length: 0", b"Content-Length: 00000000000000000000000",
    b"Connection: close", b"Connection: keep-alive", b"connection: x , Close", b"Connection: closed",
    b"Connection: upgrade", b"Upgrade: h2c", b"Proxy-Connection: close",
]  # fmt: skip
ODD_HEADERS = [
    b"X : y", b": y", b"X", b" X: y", b"\tX: y", b"X: a\x01b", b"X: a\x00b", b"X: a\rb", b"X: a\x0bb",
    b"X: a\x7f", b"Host: y", b"Host: a/b", b"Host:", b"Content-Length: 5", b"Content-Length: +0",
    b"Content-Length: 0, 0", b"Content-Length: 0x0", b"Content-Length:",
    b"Content-Length: 99999999999999999999999", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding : chunked", b"Expect: more",
]  # fmt: skip
GOOD_HOSTS = [b"Host: x", b"host:x.example:80", b"HOST: [::1]:8080 ", b"Host:"]
ODD_HOSTS = [
    b"X: no host", b"Host: a b", b"Host: a/b", b"Host: x:y", b"Host: x\r\nHost: x", b"Host: [x]", b"Host : x",
]  # fmt: skip
GOOD_METHODS = [b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"M-SEARCH"]
ODD_METHODS = [b"get", b"FROB", b"G\xe4T", b"", b"PRI", b"PLAY", b"GET\x00"]
GOOD_TARGETS = [
    b"/api/smart", b"/api/smart?timeout=900", b"/?", b"//x/y?z?", b"*", b"http://x/api/smart?a",
    b"HTTPS://x:80", b"http://u@x?y", b"/%00\"<>\\^`{|}", b"/", b"a",
]  # fmt: skip
ODD_TARGETS = [
    b"ftp://x/", b"http:/x", b"http://", b"x", b"x:80", b"?x", b"/a#b", b"/\xe4", b"/a b", b"/\x01", b"",
    b"http://[x/",
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


# -- the tests

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n"


DIFFERENCES = [
    ("a method that nobody knows", b"FROB / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a method that nobody knows", b"get / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("another version than 1.0 and 1.1", b"GET / HTTP/1.2\r\nHost: x\r\n\r\n"),
    ("another version than 1.0 and 1.1", b"GET / HTTP/2.0\r\nHost: x\r\n\r\n"),
    ("another version than 1.0 and 1.1", b"GET / HTTP/0.9\r\nHost: x\r\n\r\n"),
    ("a target that is none", b"GET x HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a target that is none", b"GET ?x HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a target that is none", b"GET /#x HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a target that is none", b"OPTIONS *x HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a target that is none", b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a target that is none", b"GET http:///x HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a line that ends with LF alone", b"GET / HTTP/1.1\nHost: x\n\n"),
    ("a line that ends with LF alone", REQUEST + b"X: y\nX: z\r\n\r\n"),
    ("a line that ends with LF alone", REQUEST + b"\n"),
    ("a folded header line", REQUEST + b" y\r\n\r\n"),
    ("a folded header line", REQUEST + b"\tX: y\r\n\r\n"),
    ("a control byte in a header", REQUEST + b"X: a\x01b\r\n\r\n"),
    ("a control byte in a header", REQUEST + b"X: a\x7fb\r\n\r\n"),
    ("a host that is none", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("a host that is none", b"GET / HTTP/1.1\r\nHost: x:y\r\n\r\n"),
    ("a body", REQUEST + b"Content-Length: 1\r\n\r\nx"),
    ("a body", REQUEST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a body", REQUEST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("several lengths", REQUEST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
    ("several lengths", REQUEST + b"Content-Length: 0, 0\r\n\r\n"),
    ("another expectation", REQUEST + b"Expect: more\r\n\r\n"),
    ("more than a head may have", REQUEST + b"X: y\r\n" * 100 + b"\r\n"),
    ("more than a head may have", REQUEST + b"X: " + b"y" * 9000 + b"\r\n\r\n"),
]


@pytest.mark.parametrize(("rule", "head"), DIFFERENCES)
def test_what_h11_reads_and_we_refuse(rule: str, head: bytes) -> None:
    opinion = opinion_on(head)
    assert opinion is not None
    assert rule in broken_rules(opinion)
    assert compare(head).refused is not None


def test_each_stricter_rule_is_shown_above() -> None:
    assert {rule for rule, _ in DIFFERENCES} == set(STRICTER_RULES)


@pytest.mark.parametrize("blanks", [b" ", b"   "])
@pytest.mark.parametrize("cut_at", range(1, 80))
def test_rtsp_is_no_http_wherever_it_is_cut(cut_at: int, blanks: bytes) -> None:
    line = blanks.join((b"GET", b"/", b"RTSP/1.0\r\n"))
    head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + line + b"Host: x\r\n\r\n"
    reading = read_by_us(head, cut_at)
    assert [accepted.target for accepted in reading.accepted] == [b"/"]
    assert reading.refused is not None


def test_a_head_that_is_too_long_and_malformed_is_refused_however_it_comes() -> None:
    reading = compare(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X" * 9_000 + b": y\x85\r\n" + REQUEST + b"\r\n")
    assert (reading.accepted, reading.refused is None) == ([], False)


def test_what_is_held_to_know_rtsp_by_is_one_line() -> None:
    """C12: more than a head may have was held where its target and its first header were both as long as may be."""
    reader = HeadReader(ClientLimits(), lambda _: None, lambda: b"1", KnownHeads())
    reader.feed(b"GET /" + b"x" * 1_000 + b" HTTP/1.1\r\nHost", 0.0)
    reader.feed(b": x", 0.0)
    assert reader._line == b"Host: x"
    reader.close()


@pytest.mark.parametrize("cut_at", range(1, 60))
def test_a_header_may_speak_of_rtsp_wherever_it_is_cut(cut_at: int) -> None:
    """C12: where a piece began with these words they were taken for a request line."""
    head = REQUEST + b"X: GET / RTSP/1.0 GET / RTSP/1.0\r\n\r\n"
    reading = read_by_us(head, cut_at)
    assert (len(reading.accepted), reading.refused) == (1, None)


@pytest.mark.parametrize("piece_bytes", [1, 1000, 2048])
def test_target_and_headers_have_a_limit_each_however_they_come(piece_bytes: int) -> None:
    head = b"GET /" + b"x" * 8_000 + b" HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 8_000 + b"\r\n\r\n"
    reading = read_by_us(head, piece_bytes)
    assert (len(reading.accepted), reading.refused) == (1, None)


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
def test_what_we_accept_and_h11_refuses(head: bytes) -> None:
    assert opinion_on(head) is None
    assert opinion_on(without_our_leniencies(head)) is not None
    (accepted,) = compare(head).accepted
    assert (accepted.method, accepted.target, accepted.wire) == (b"GET", b"/", head)


@pytest.mark.parametrize(
    ("first", "keep_alive", "h11_keeps_alive"),
    [
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True, False),
        (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", False, True),
        (REQUEST + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", False, True),
        (REQUEST + b"Proxy-Connection: close\r\n\r\n", False, True),
    ],
)
def test_where_we_and_h11_do_not_agree_about_the_connection(
    first: bytes, keep_alive: bool, h11_keeps_alive: bool
) -> None:
    reading = compare(first + REQUEST + b"\r\n")
    assert len(reading.accepted) == (2 if keep_alive else 1)
    opinion = opinion_on(first)
    assert opinion is not None
    assert opinion.keep_alive is h11_keeps_alive


@given(data=streams())
@settings(max_examples=500)
def test_whatever_we_accept_h11_reads_alike_and_whatever_we_refuse_has_a_reason(data: bytes) -> None:
    compare(data)


@given(data=streams(), piece_bytes=st.integers(1, 200) | st.just(2048))
@settings(max_examples=500)
def test_who_has_read_it_before_reads_it_alike(data: bytes, piece_bytes: int) -> None:
    known = KnownHeads()
    first, again = (read_by_us(data, piece_bytes, known) for _ in range(2))
    assert again.gist == first.gist


def read_twice(head: bytes) -> tuple[list[Request], KnownHeads]:
    """Read the same bytes in two connections of a worker."""
    known, requests, ids = KnownHeads(), list[Request](), count(1)
    for at in (1.5, 2.5):
        reader = HeadReader(ClientLimits(), requests.append, lambda: b"%d" % next(ids), known)
        reader.feed(head, at)
        assert not reader.partial
        reader.close()
    return requests, known


def test_a_head_that_came_before_is_known_and_its_request_is_a_new_one() -> None:
    head = b"GET /api/smart?timeout=9 HTTP/1.1\r\nHost: x\r\n\r\n"
    (first, again), known = read_twice(head)
    assert known.find(head) == (b"GET", b"/api/smart", b"timeout=9")
    assert (again.method, again.path, again.query) == (b"GET", b"/api/smart", b"timeout=9")
    assert (again.keep_alive, again.announce_keep_alive, again.trace) == (True, False, None)
    assert (first.request_id, again.request_id) == (b"1", b"2")
    assert (first.arrived_at, again.arrived_at) == (1.5, 2.5)


@pytest.mark.parametrize(
    "data",
    [
        REQUEST + b"X-Request-Id: mine\r\n\r\n",
        REQUEST + b"traceparent: 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01\r\n\r\n",
        REQUEST + b"traceparent: rubbish\r\n\r\n",
        REQUEST + b"Connection: close\r\n\r\n",
        REQUEST + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        REQUEST + b"\r\n" + REQUEST + b"\r\n",
        REQUEST + b"X-Request-Id: mine\r\n\r\n" + REQUEST + b"\r\n",
    ],
)  # fmt: skip
def test_what_comes_once_or_is_not_one_head_of_http_1_1_is_read_anew(data: bytes) -> None:
    requests, known = read_twice(data)
    assert known.find(data) is None
    half = len(requests) // 2
    assert sum(each.request_id == b"mine" for each in requests) == 2 * data.count(b"mine")
    assert [each.keep_alive for each in requests[:half]] == [each.keep_alive for each in requests[half:]]


def test_the_rest_of_a_head_is_no_head() -> None:
    head, known, requests = REQUEST + b"\r\n", KnownHeads(), list[Request]()
    reader = HeadReader(ClientLimits(), requests.append, lambda: b"1", known)
    reader.feed(head, 0.0)
    assert known.find(head) is not None
    reader.feed(b"GET /other HTTP/1.1\r\nHost: x\r\nX: y\r\n", 0.0)
    with pytest.raises(Refused):  # a header has no blank in its name
        reader.feed(head, 0.0)
    assert len(requests) == 1
    reader.close()


def test_known_heads_are_bounded() -> None:
    known, request = KnownHeads(), Request(b"GET", b"/", b"", request_id=b"1", arrived_at=0.0)
    for number in range(10 * KNOWN_HEADS):
        known.keep(b"%d" % number, request)
        assert known.find(b"%d" % number) is not None
    assert sum(known.find(b"%d" % number) is not None for number in range(10 * KNOWN_HEADS)) <= KNOWN_HEADS
