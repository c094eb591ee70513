"""What the request parser promises; `test_request_parser_vs_h11.py` has the comparison."""

from collections.abc import Iterable
from itertools import count

import pytest

from hedgerow.core.request import Request
from hedgerow.server.body_memory import BodyMemory
from hedgerow.server.request_cache import ParsedRequestCache
from hedgerow.server.request_parser import RequestParser
from hedgerow.server.request_rejected import RequestRejected
from hedgerow.server.whole_head import WholeHeads
from hedgerow.settings import ClientLimits
from support.request_differential import compare, parse

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n"


def parser_with(requests: list[Request], limits: ClientLimits | None = None) -> RequestParser:
    ids, limits = count(1), limits or ClientLimits()
    return RequestParser(
        limits, requests.append, WholeHeads(limits, lambda: b"ours-%d" % next(ids), passed_on=False)
    )


def parser_with_bodies(requests: list[Request], max_body_bytes: int = 1_000) -> RequestParser:
    limits = ClientLimits()
    whole_heads = WholeHeads(limits, lambda: b"ours", passed_on=True)
    return RequestParser(limits, requests.append, whole_heads, lambda _: max_body_bytes, BodyMemory(10_000))


def feed_all(parser: RequestParser, pieces: Iterable[bytes]) -> RequestRejected:
    """Feed up to the rejection that has to come."""
    for piece in pieces:
        try:
            parser.feed(piece, 0.0)
        except RequestRejected as rejected:
            return rejected
    raise AssertionError("not rejected")


def rejection_of(data: bytes, piece_bytes: int = 0) -> tuple[RequestRejected, RequestParser]:
    parser = parser_with([])
    size = piece_bytes or len(data)
    return feed_all(parser, (data[at : at + size] for at in range(0, len(data), size))), parser


# -- C1: an offer to upgrade is ignored (RFC 9110 section 7.8)

OFFERS = {
    "Java's HttpClient": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n",
    "curl --http2": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "websocket": b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
    "TLS (RFC 2817)": b"Upgrade: TLS/1.0\r\nConnection: upgrade\r\n",
    "anything": b"connection: keep-alive, UPGRADE\r\nupgrade: foo/2, bar\r\n",
    "without Connection": b"Upgrade: h2c\r\n",
    "without Upgrade": b"Connection: Upgrade\r\n",
}


def offer_of(name: str, target: bytes = b"/offer", method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\nHost: x\r\n" + OFFERS[name] + b"\r\n"


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"POST"])
@pytest.mark.parametrize("name", OFFERS)
def test_c1_an_upgrade_offer_is_ignored_and_the_connection_kept(name: str, method: bytes) -> None:
    requests: list[Request] = []
    parser = parser_with(requests)
    parser.feed(offer_of(name, method=method), 1.0)
    assert [(each.method, each.path, each.keep_alive) for each in requests] == [(method, b"/offer", True)]
    assert not parser.partial
    parser.feed(REQUEST + b"\r\n", 2.0)
    assert [(each.path, each.arrived_at) for each in requests[1:]] == [(b"/", 2.0)]


@pytest.mark.parametrize("name", ["curl --http2", "websocket"])
def test_c1_requests_behind_an_offer_are_parsed_wherever_they_are_cut(name: str) -> None:
    data = (
        offer_of(name, b"/1") + REQUEST.replace(b"/ ", b"/2 ") + b"\r\n" + offer_of(name, b"/3") + offer_of(name, b"/4")
        + b"HEAD /5?timeout=5 HTTP/1.1\r\nHost: x\r\n\r\n"
    )  # fmt: skip
    for piece_bytes in range(1, len(data) + 1):
        parsed = parse(data, piece_bytes)
        assert [(each.target, each.keep_alive) for each in parsed.accepted] == [
            (b"/1", True), (b"/2", True), (b"/3", True), (b"/4", True), (b"/5?timeout=5", True),
        ]  # fmt: skip
        assert (parsed.rejected, parsed.rest) == (None, b"")


@pytest.mark.parametrize("name", ["curl --http2", "websocket"])
def test_c1_two_cuts_anywhere(name: str) -> None:
    data = offer_of(name, b"/1") + offer_of(name, b"/2")
    for first in range(1, len(data), 3):
        for second in range(first + 1, len(data), 5):
            requests: list[Request] = []
            parser = parser_with(requests)
            for piece in (data[:first], data[first:second], data[second:]):
                parser.feed(piece, 0.0)
            assert [each.path for each in requests] == [b"/1", b"/2"]
            assert not parser.partial


def test_c1_a_request_behind_an_offer_arrived_with_its_first_byte() -> None:
    requests: list[Request] = []
    parser = parser_with(requests)
    data = offer_of("websocket", b"/1") + REQUEST
    parser.feed(data, 1.0)
    assert parser.partial
    parser.feed(b"\r\n", 2.0)
    assert [each.arrived_at for each in requests] == [1.0, 1.0]


def test_c1_the_same_offer_again_is_found_in_the_cache() -> None:
    requests, cache = parse_twice(offer_of("Java's HttpClient"))
    assert cache.get(offer_of("Java's HttpClient")) == (b"GET", b"/offer", b"", None, True, False)
    assert [each.keep_alive for each in requests] == [True, True]


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: Upgrade, keep-alive\r\nUpgrade: h2c\r\n\r\n", True),
    ],
)
def test_c1_an_offer_does_not_change_what_else_connection_says(head: bytes, keep_alive: bool) -> None:
    parsed = parse(head, piece_bytes=len(head))
    assert [each.keep_alive for each in parsed.accepted] == [keep_alive]


@pytest.mark.parametrize("body", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_c1_a_body_is_rejected_with_an_offer_too_where_none_is_read(body: bytes) -> None:
    data = offer_of("curl --http2")[:-2] + body + b"\r\nhello"
    rejected, _ = rejection_of(REQUEST + b"\r\n" + data)
    assert rejected.code == "bad_request"


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
LENGTH, CHUNKED = b"Content-Length: %d\r\n", b"Transfer-Encoding: chunked\r\n"


def post(name: str, target: bytes, body: bytes, headers: bytes = b"", *, in_chunks: bool = False) -> bytes:
    """Return a request that offers an upgrade, with a body."""
    head = offer_of(name, target, b"POST")[:-2] + headers
    if not in_chunks:
        return head + LENGTH % len(body) + b"\r\n" + body
    return head + CHUNKED + b"\r\n%x\r\n%b\r\n0\r\nX: y\r\n\r\n" % (len(body), body)


def summary(requests: list[Request]) -> list[tuple[bytes, bytes, bool]]:
    """Return path, body, and whether the connection is kept, of each."""
    return [(each.path, each.message.body if each.message else b"", each.keep_alive) for each in requests]


@pytest.mark.parametrize("in_chunks", [False, True])
@pytest.mark.parametrize("name", OFFERS)
def test_c1_the_body_of_a_request_that_offers_an_upgrade_is_read(name: str, in_chunks: bool) -> None:
    """Java's HttpClient offers h2c with each first request in clear text."""
    data = (
        post(name, b"/1", SMUGGLED, in_chunks=in_chunks) + offer_of(name, b"/2") + REQUEST + b"\r\n"
        + post(name, b"/3", b"x", in_chunks=not in_chunks) + post(name, b"/4", SMUGGLED, in_chunks=in_chunks)
    )  # fmt: skip
    bodies = {b"/1": SMUGGLED, b"/2": b"", b"/": b"", b"/3": b"x", b"/4": SMUGGLED}
    for piece_bytes in (*range(1, 60), len(data)):
        requests: list[Request] = []
        parser = parser_with_bodies(requests)
        for at in range(0, len(data), piece_bytes):
            parser.feed(data[at : at + piece_bytes], float(at))
        assert summary(requests) == [(path, body, True) for path, body in bodies.items()]
        assert not parser.partial
        for request in requests:
            arrived_at = data.index(b" %b HTTP" % request.path) - len(request.method)
            assert request.arrived_at == arrived_at // piece_bytes * piece_bytes


@pytest.mark.parametrize("in_chunks", [False, True])
@pytest.mark.parametrize("cut_at", [0, 5, 130, -3])
def test_c1_no_request_follows_a_body_behind_an_offer_and_close(in_chunks: bool, cut_at: int) -> None:
    requests: list[Request] = []
    parser = parser_with_bodies(requests)
    data = post("websocket", b"/1", b"hello", b"Connection: close\r\n", in_chunks=in_chunks)
    for piece in (data[:cut_at], data[cut_at:]):
        parser.feed(piece, 0.0)
    assert summary(requests) == [(b"/1", b"hello", False)]
    with pytest.raises(RequestRejected):
        parser.feed(SMUGGLED, 0.0)


@pytest.mark.parametrize("kept", [False, True])
def test_c1_a_body_behind_an_offer_of_http_1_0(kept: bool) -> None:
    requests: list[Request] = []
    parser = parser_with_bodies(requests)
    connection = b"Connection: keep-alive\r\n" if kept else b""
    data = post("websocket", b"/1", b"hello", connection).replace(b"HTTP/1.1", b"HTTP/1.0")
    parser.feed(data, 0.0)
    assert summary(requests) == [(b"/1", b"hello", kept)]


def test_c1_the_body_behind_an_offer_is_asked_for() -> None:
    requests: list[Request] = []
    parser = parser_with_bodies(requests)
    data = post("websocket", b"/1", b"hello", b"Expect: 100-continue\r\n")
    parser.feed(data[:-5], 0.0)
    assert (parser.wants_continue, parser.partial, parser.request_in_body is not None) == (True, True, True)
    parser.feed(data[-5:], 0.0)
    assert (parser.wants_continue, parser.partial, parser.request_in_body is not None) == (
        False,
        False,
        False,
    )
    assert summary(requests) == [(b"/1", b"hello", True)]


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (LENGTH % 1_001 + b"\r\n", 413),
        (CHUNKED + b"\r\n3E9\r\n" + b"x" * 1_001, 413),
        (CHUNKED + b"\r\n1\r\nxx\r\n", 400),
        (CHUNKED + LENGTH % 5 + b"\r\n", 400),
        (b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (CHUNKED + b"\r\n1;" + b"x" * 11_000, 400),
    ],
)
@pytest.mark.parametrize("piece_bytes", [1, 2_048])
def test_c1_a_body_behind_an_offer_has_the_limits_of_others(
    wire: bytes, status: int, piece_bytes: int
) -> None:
    requests: list[Request] = []
    parser = parser_with_bodies(requests)
    data = offer_of("websocket", b"/1", b"POST")[:-2] + wire
    rejected = feed_all(parser, (data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes)))
    assert (parser.error_response(rejected).status, requests) == (status, [])


def test_c1_a_head_with_a_malformed_body_behind_an_offer_is_one_of_head() -> None:
    parser = parser_with_bodies([])
    feed_all(parser, [offer_of("websocket", method=b"HEAD")[:-2] + CHUNKED + b"\r\n", b"nonsense"])
    assert parser.is_head


@pytest.mark.parametrize("offer", [b"", OFFERS["websocket"]])
@pytest.mark.parametrize("piece_bytes", [1, 2_048])
def test_close_in_a_trailer_closes(offer: bytes, piece_bytes: int) -> None:
    """The request was answered as if its connection persisted, and what came behind it with a 400."""
    requests: list[Request] = []
    parser = parser_with_bodies(requests)
    data = REQUEST + offer + CHUNKED + b"\r\n1\r\nx\r\n0\r\nConnection: close\r\n\r\n"
    for at in range(0, len(data), piece_bytes):
        parser.feed(data[at : at + piece_bytes], 0.0)
    assert summary(requests) == [(b"/", b"x", False)]
    with pytest.raises(RequestRejected):
        parser.feed(SMUGGLED, 0.0)


def test_c1_a_body_that_is_not_read_closes_the_connection_behind_an_offer_too() -> None:
    requests: list[Request] = []
    parser = parser_with_bodies(requests, max_body_bytes=-1)
    parser.feed(post("websocket", b"/1", b"hello")[:-5], 0.0)
    assert summary(requests) == [(b"/1", b"", False)]
    assert requests[0].message is not None
    assert requests[0].message.has_refused_body


def test_c1_what_is_malformed_behind_an_offer_is_rejected() -> None:
    requests: list[Request] = []
    parser = parser_with(requests)
    with pytest.raises(RequestRejected):
        parser.feed(offer_of("websocket") + b"\x81\x05hello", 0.0)
    assert [each.path for each in requests] == [b"/offer"]


def test_c1_rtsp_behind_an_offer_is_rejected() -> None:
    requests: list[Request] = []
    parser = parser_with(requests)
    with pytest.raises(RequestRejected):
        parser.feed(offer_of("websocket") + b"GET / RTSP/1.0\r\nHost: x\r\n\r\n", 0.0)
    assert [each.path for each in requests] == [b"/offer"]


def test_c1_a_thousand_offers_in_one_read() -> None:
    requests: list[Request] = []
    parser_with(requests).feed(offer_of("websocket") * 1_000, 0.0)
    assert len(requests) == 1_000


def test_no_request_follows_a_connect() -> None:
    requests: list[Request] = []
    parser = parser_with(requests)
    parser.feed(b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n" + REQUEST + b"\r\n", 0.0)
    assert [(each.method, each.path, each.keep_alive) for each in requests] == [(b"CONNECT", b"x:80", False)]


# -- C3: see also test_request_target.py


@pytest.mark.parametrize("host", [b"a%zz", b"[:::::]", b"x:y", b"x:65536", b"u@x", b"[fe80::1%eth0]"])
def test_c3_an_invalid_host_is_rejected(host: bytes) -> None:
    data = b"GET /api/smart HTTP/1.1\r\nHost: %b\r\n\r\n" % host
    for piece_bytes in (1, 7, len(data)):
        rejected, parser = rejection_of(data, piece_bytes)
        assert parser.error_response(rejected).status == 400


@pytest.mark.parametrize(
    "target",
    [
        b"http://b:x/",
        b"http://b:99999/",
        b"http://a%zz/",
        b"http://[:::::]/",
        b"http://u:p@b/",
        b"http:///",
        b"http://:1/",
    ],
)
def test_c3_an_invalid_absolute_target_is_rejected(target: bytes) -> None:
    rejected, parser = rejection_of(b"GET %b HTTP/1.1\r\nHost: b\r\n\r\n" % target)
    assert parser.error_response(rejected).status == 400


@pytest.mark.parametrize("headers", [b"", b"Host: a%zz\r\n", b"Host: b\r\nHost: b\r\n", b"X: y\r\n"])
def test_c3_an_absolute_target_does_not_replace_the_host_header(headers: bytes) -> None:
    rejected, parser = rejection_of(b"GET http://b/api/smart HTTP/1.1\r\n%b\r\n" % headers)
    assert parser.error_response(rejected).status == 400


@pytest.mark.parametrize("host", [b"[v1.x]", b"[fe80::1%25eth0]:80", b"a%20b", b"[::ffff:192.0.2.1]:", b""])
def test_c3_a_valid_host_is_accepted(host: bytes) -> None:
    requests: list[Request] = []
    parser_with(requests).feed(b"GET /api/smart HTTP/1.1\r\nHost: %b\r\n\r\n" % host, 0.0)
    assert [each.path for each in requests] == [b"/api/smart"]


def test_c3_an_invalid_host_behind_a_valid_one_is_rejected() -> None:
    parser = parser_with([])
    parser.feed(REQUEST + b"\r\n", 0.0)
    rejected = feed_all(parser, [REQUEST.replace(b"Host: x", b"Host: x%"), b"\r\n"])
    assert rejected.code == "bad_request"


# -- C4: the preface of HTTP/2 (RFC 9113 section 3.4)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS_FRAME = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@pytest.mark.parametrize("behind", [b"", SETTINGS_FRAME])
@pytest.mark.parametrize("before", [b"", REQUEST + b"\r\n", offer_of("curl --http2")])
def test_c4_the_preface_of_http_2_is_answered_505_wherever_it_is_cut(before: bytes, behind: bytes) -> None:
    data = PREFACE + behind
    for cut_at in range(1, len(data) + 1):
        requests: list[Request] = []
        parser = parser_with(requests)
        rejected = feed_all(parser, [before + data[:cut_at], data[cut_at:]])
        response = parser.error_response(rejected)
        assert (response.status, response.code, len(requests)) == (505, "bad_request", bool(before))
        assert b"HTTP/2 is not supported" in response.body
        assert not parser.is_head


@pytest.mark.parametrize("piece_bytes", range(1, 24))
def test_c4_in_many_pieces(piece_bytes: int) -> None:
    rejected, parser = rejection_of(PREFACE, piece_bytes)
    assert parser.error_response(rejected).status == 505


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/1.2", 505),
        (b"GET / HTTP/3.0", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/9.9", 505),
        (b"PRI * HTTP/1.1", 400),
        (b"PRI / HTTP/2.0", 400),
        (b"GET / HTTP/2", 400),
        (b"GET / HTTP/11", 400),
        (b"GET / RTSP/1.0", 400),
        (b"GET / ICE/1.0", 400),
    ],
)
def test_c4_other_versions(line: bytes, status: int) -> None:
    data = line + b"\r\nHost: x\r\n\r\n"
    for piece_bytes in (1, len(data)):
        rejected, parser = rejection_of(data, piece_bytes)
        assert parser.error_response(rejected).status == status


# -- rejections


@pytest.mark.parametrize(
    ("data", "status", "code", "headers"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request", b""),
        (REQUEST + b"Content-Length: 1\r\n\r\n", 400, "bad_request", b""),
        (
            REQUEST.replace(b"GET", b"POST") + b"Content-Length: 1\r\n\r\n",
            405,
            "method_not_allowed",
            b"Allow: GET, HEAD\r\n",
        ),
        (REQUEST + b"Expect: more\r\n\r\n", 417, "bad_request", b""),
        (b"GET /" + b"x" * 9_000, 414, "too_large", b""),
        (b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 33_000 + b"\r\n\r\n", 431, "too_large", b""),
        (REQUEST + b"X: y\r\n" * 100 + b"\r\n", 431, "too_large", b""),
        (b"\x16\x03\x01", 400, "bad_request", b""),
    ],
)
def test_a_rejection_has_a_response(data: bytes, status: int, code: str, headers: bytes) -> None:
    rejected, parser = rejection_of(data)
    response = parser.error_response(rejected)
    assert (response.status, response.code, response.headers) == (status, code, headers)
    assert b'"request_id":"ours-1"' in response.body
    assert parser.request_id == b"ours-1"


def test_a_rejection_has_the_id_of_the_client() -> None:
    rejected, parser = rejection_of(REQUEST + b"X-Request-Id: mine\r\nExpect: more\r\n\r\n")
    assert b'"request_id":"mine"' in parser.error_response(rejected).body


def test_a_rejection_does_not_have_the_id_of_the_request_before() -> None:
    rejected, parser = rejection_of(REQUEST + b"X-Request-Id: mine\r\n\r\n" + b"rubbish\r\n")
    assert b'"request_id":"ours-1"' in parser.error_response(rejected).body


@pytest.mark.parametrize(("method", "is_head"), [(b"GET", False), (b"HEAD", True)])
def test_a_rejected_head_request_is_known_as_such(method: bytes, is_head: bool) -> None:
    _, parser = rejection_of(REQUEST.replace(b"GET", method) + b"Expect: more\r\n\r\n")
    assert parser.is_head is is_head


@pytest.mark.parametrize("end", [b"\r\n", b"Connection: close\r\n\r\n"])
def test_what_a_callback_raises_is_not_swallowed(end: bytes) -> None:
    def fail(request: Request) -> None:
        raise ZeroDivisionError

    parser = RequestParser(ClientLimits(), fail, WholeHeads(ClientLimits(), lambda: b"1", passed_on=False))
    with pytest.raises(Exception) as raised:  # noqa: PT011 (httptools wraps it where it calls back)
        parser.feed(REQUEST + end, 0.0)
    assert ZeroDivisionError in (type(raised.value), type(raised.value.__context__))


# -- RTSP, and limits


@pytest.mark.parametrize("blanks", [b" ", b"   "])
@pytest.mark.parametrize("cut_at", range(1, 80))
def test_rtsp_is_rejected_wherever_it_is_cut(cut_at: int, blanks: bytes) -> None:
    line = blanks.join((b"GET", b"/", b"RTSP/1.0\r\n"))
    head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + line + b"Host: x\r\n\r\n"
    parsed = parse(head, cut_at)
    assert [accepted.target for accepted in parsed.accepted] == [b"/"]
    assert parsed.rejected is not None


def test_a_request_both_too_long_and_malformed_is_rejected_in_any_pieces() -> None:
    parsed = compare(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X" * 33_000 + b": y\x85\r\n" + REQUEST + b"\r\n")
    assert (parsed.accepted, parsed.rejected is None) == ([], False)


def test_c12_one_line_is_kept_to_detect_rtsp() -> None:
    """More than the limit was kept where target and first header were both as long as they may be."""
    parser = parser_with([])
    parser.feed(b"GET /" + b"x" * 1_000 + b" HTTP/1.1\r\nHost", 0.0)
    parser.feed(b": x", 0.0)
    assert parser._rtsp.line == b"Host: x"
    parser.close()


@pytest.mark.parametrize("cut_at", range(1, 60))
def test_c12_a_header_may_contain_rtsp_wherever_it_is_cut(cut_at: int) -> None:
    """A piece that began with these words was taken for a request line."""
    head = REQUEST + b"X: GET / RTSP/1.0 GET / RTSP/1.0\r\n\r\n"
    parsed = parse(head, cut_at)
    assert (len(parsed.accepted), parsed.rejected) == (1, None)


TARGET_BYTES, HEADER_BYTES = ClientLimits().max_target_bytes, ClientLimits().max_header_bytes
HOST_LINE = b"Host: x\r\n"


@pytest.mark.parametrize("piece_bytes", [1, 1000, 2048, 64 * 1024])
@pytest.mark.parametrize("of_headers", [1, 3])
def test_target_and_headers_have_a_limit_each_in_any_pieces(piece_bytes: int, of_headers: int) -> None:
    """A cookie of 30 KB passes, or several that come to as much; so does a long query beside them."""
    room = HEADER_BYTES - len(HOST_LINE) - of_headers * len(b"X: \r\n")
    sizes = [room // of_headers] * (of_headers - 1)
    sizes.append(room - sum(sizes))
    lines = b"".join(b"X: %b\r\n" % (b"y" * size) for size in sizes)
    target = b"/" + b"x" * (TARGET_BYTES - 1)
    for more_target, more_headers, status in ((b"", b"", 0), (b"x", b"", 414), (b"", b"y", 431)):
        head = b"GET %b%b HTTP/1.1\r\n%b%b" % (target, more_target, HOST_LINE, lines)
        head = head[:-2] + more_headers + b"\r\n\r\n"
        if not status:
            parsed = parse(head, piece_bytes)
            assert (len(parsed.accepted), parsed.rejected) == (1, None)
        else:
            rejected, parser = rejection_of(head, piece_bytes)
            assert parser.error_response(rejected).status == status


@pytest.mark.parametrize("piece_bytes", [1, 100, 2_048])
@pytest.mark.parametrize("begin", [REQUEST + b"X: ", REQUEST, b"", b"GET /"])
def test_an_unfinished_request_is_bounded(begin: bytes, piece_bytes: int) -> None:
    """llhttp keeps the value of an unfinished header for itself and has no limit."""
    limits = ClientLimits()
    parser = parser_with([], limits)
    pieces = [begin + b"y"] + [b"y" * piece_bytes] * (50 * 1024 // piece_bytes)
    rejected = feed_all(parser, pieces)
    assert rejected.code in ("too_large", "bad_request")
    most = limits.max_target_bytes + limits.max_header_bytes + 2 * limits.parse_chunk_bytes
    assert parser._pending <= most


# -- the cache


def parse_twice(head: bytes) -> tuple[list[Request], ParsedRequestCache]:
    """Parse the same bytes in two connections of a worker."""
    cache, requests, ids = ParsedRequestCache(), list[Request](), count(1)
    whole_heads = WholeHeads(ClientLimits(), lambda: b"%d" % next(ids), cache, passed_on=False)
    for at in (1.5, 2.5):
        parser = RequestParser(ClientLimits(), requests.append, whole_heads)
        parser.feed(head, at)
        assert not parser.partial
        parser.close()
    return requests, cache


def test_the_same_bytes_again_are_a_new_request() -> None:
    head = b"GET /api/smart?timeout=9 HTTP/1.1\r\nHost: x\r\n\r\n"
    (first, again), cache = parse_twice(head)
    assert cache.get(head) == (b"GET", b"/api/smart", b"timeout=9", None, True, False)
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
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        REQUEST + b"\r\n" + REQUEST + b"\r\n",
        REQUEST + b"X-Request-Id: mine\r\n\r\n" + REQUEST + b"\r\n",
    ],
)  # fmt: skip
def test_what_is_unique_or_not_one_request_with_a_host_is_not_cached(data: bytes) -> None:
    requests, cache = parse_twice(data)
    assert cache.get(data) is None
    half = len(requests) // 2
    assert sum(each.request_id == b"mine" for each in requests) == 2 * data.count(b"mine")
    assert [each.keep_alive for each in requests[:half]] == [each.keep_alive for each in requests[half:]]


@pytest.mark.parametrize("pieces", [1, 2])
def test_nothing_may_follow_the_last_request_of_a_connection(pieces: int) -> None:
    requests: list[Request] = []
    head = REQUEST + b"Connection: close\r\n\r\n"
    parser = RequestParser(
        ClientLimits(), requests.append, WholeHeads(ClientLimits(), lambda: b"1", passed_on=False)
    )
    for part in (head,) if pieces == 1 else (head[:5], head[5:]):
        parser.feed(part, 0.0)
    assert [request.keep_alive for request in requests] == [False]
    with pytest.raises(RequestRejected, match=r"not HTTP/1\.1"):
        parser.feed(REQUEST + b"\r\n", 0.0)
    assert len(requests) == 1
    parser.close()


def test_the_rest_of_a_request_is_not_looked_up() -> None:
    head, cache, requests = REQUEST + b"\r\n", ParsedRequestCache(), list[Request]()
    whole_heads = WholeHeads(ClientLimits(), lambda: b"1", cache, passed_on=False)
    parser = RequestParser(ClientLimits(), requests.append, whole_heads)
    parser.feed(head, 0.0)
    assert cache.get(head) is not None
    parser.feed(b"GET /other HTTP/1.1\r\nHost: x\r\nX: y\r\n", 0.0)
    with pytest.raises(RequestRejected):  # a header has no blank in its name
        parser.feed(head, 0.0)
    assert len(requests) == 1
    parser.close()
