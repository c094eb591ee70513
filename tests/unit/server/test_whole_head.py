"""Whole heads are read as the parser of their connection reads them, piece by piece."""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgerow.core.request import Request
from hedgerow.core.request_head import RequestHead
from hedgerow.server.request_parser import RequestParser
from hedgerow.server.request_rejected import RequestRejected
from hedgerow.server.whole_head import WholeHeads, is_whole_head
from hedgerow.settings import ClientLimits

LIMITS = ClientLimits(max_headers=6, max_header_bytes=200, max_target_bytes=40)
USUAL = b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def heads() -> WholeHeads:
    return WholeHeads(LIMITS, lambda: b"1", passed_on=True)


def with_line(line: bytes) -> bytes:
    return USUAL[:-2] + line + b"\r\n\r\n"


def test_a_usual_head_is_read(heads: WholeHeads) -> None:
    found = heads.read(with_line(b"X-A: 1 "))
    assert found is not None
    method, path, query, head, *flags = found
    assert (method, path, query, flags) == (b"GET", b"/a", b"b", [True, False])
    assert head is not None
    assert (head.lines, head.host, head.has_query) == (b"\r\nHost: x\r\nX-A: 1 \r\n", b"x", True)


def test_a_head_is_kept_only_to_be_passed_on() -> None:
    assert WholeHeads(LIMITS, lambda: b"1", passed_on=False).read(USUAL) == (
        *(b"GET", b"/a", b"b", None),
        *(True, False),
    )


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: keep-alive", b"connection: Keep-Alive, x", b"Upgrade: h2c\r\nConnection: upgrade",
        b"Content-Length: 0", b"X-Request-Id: mine", b"traceparent: x",
    ],
)  # fmt: skip
def test_one_whose_connection_persists_is_read(heads: WholeHeads, line: bytes) -> None:
    for _ in range(2):
        found = heads.read(with_line(line))
        assert found is not None
        assert found[4]


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: close", b"connection: x, Close", b"Proxy-Connection: close",
        b"Connection: close\r\nConnection: keep-alive", b"Connection: close, upgrade\r\nUpgrade: h2c",
    ],
)  # fmt: skip
def test_one_whose_connection_ends_is_read_and_says_so(heads: WholeHeads, line: bytes) -> None:
    for _ in range(2):
        found = heads.read(with_line(line))
        assert found is not None
        assert not found[4]
        request = heads.parse(with_line(line), 1.0)
        assert request is not None
        assert not request.keep_alive
    assert heads.read(USUAL) is not None, "the next one is of another connection"


@pytest.mark.parametrize(("line", "keep_alive"), [(b"Connection: keep-alive", True), (b"X: y", False)])
def test_one_of_http_1_0_is_read_and_says_so(heads: WholeHeads, line: bytes, keep_alive: bool) -> None:
    data = with_line(line).replace(b"HTTP/1.1", b"HTTP/1.0")
    for _ in range(2):
        request = heads.parse(data, 1.0)
        assert request is not None
        assert (request.keep_alive, request.announce_keep_alive) == (keep_alive, True)
        assert request.message is not None
        assert request.message.head is not None
        assert request.message.head.is_http_1_0


OTHERS = [
    USUAL[:-1], USUAL + b"\r\n", b"\r\n" + USUAL, USUAL + USUAL, USUAL + b"x", b"", b"\r\n\r\n", b"rubbish\r\n\r\n",
    USUAL.replace(b"1.1", b"1.2"), USUAL.replace(b"HTTP", b"RTSP"), b"GET /a?b HTTP/1.0\r\n\r\n",
    USUAL.replace(b" /", b"  /"), USUAL.replace(b"GET", b"FROB"), USUAL.replace(b"GET", b"CONNECT"),
    USUAL.replace(b"/a", b"/#"), USUAL.replace(b"/a", b"/\xe4"), USUAL.replace(b"/a", b"/" + b"a" * 40),
    USUAL.replace(b"/a", b"http://y/a"), USUAL.replace(b"\r\n", b"\n"), USUAL.replace(b"Host", b"X"),
    b"GET / HTTP/1.1\r\nHost: x\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\n\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    *map(
        with_line,
        [
            b"Content-Length: 1", b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Host: x", b"X : y",
            b" X: y", b"X", b": y", b"X: a\nY: b", b"X: a\rY: b", b"X: a\x00",
            b"Content-Length: 0\r\nContent-Length: 0", b"Content-Length: x",
            b"A: 1\r\n" * 5 + b"A: 1", b"A: " + b"x" * 200,
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize("data", OTHERS)
def test_others_are_left_to_the_parser_of_their_connection_and_leave_nothing_behind(
    heads: WholeHeads, data: bytes
) -> None:
    assert heads.read(data) is None
    assert heads.read(USUAL) is not None


@pytest.mark.parametrize("data", [USUAL, with_line(b"X: y"), b"abc", *OTHERS])
def test_a_whole_head_ends_with_its_first_empty_line(data: bytes) -> None:
    assert is_whole_head(data) == (b"\r\n\r\n" in data and b"\r\n\r\n" not in data[:-1])


# -- in whatever pieces


NAMES = [
    b"X-A", b"x_a", b"Host", b"Via", b"Connection", b"TE", b"Content-Length", b"content_length", b"X-Request-Id",
    b"Transfer-Encoding", b"Expect", b"Upgrade", b"traceparent", b"Accept-Encoding", b"X-Forwarded-For", b"", b"\t",
]  # fmt: skip
SIGNS = [b":"] * 19 + [b" :"]
BLANKS = [b" ", b"", b"\t "]
ENDS = [b"\r\n"] * 19 + [b"\n"]
VALUES = [
    b"", b"0", b"7", b"x", b"close", b"keep-alive", b"a: b", b"\xff", b"upgrade", b"a\rb", b"chunked"
]  # fmt: skip
LINES = st.tuples(
    *map(
        st.sampled_from,
        [NAMES, SIGNS, BLANKS, VALUES, BLANKS, ENDS],
    )
).map(b"".join)


@given(
    st.sampled_from([b"GET", b"POST", b"HEAD", b"CONNECT", b"get"]),
    st.sampled_from([b"/", b"/a?b", b"*", b"http://x/a", b"http://y", b"/#", b"x:80"]),
    st.lists(LINES, max_size=7),
    st.booleans(),
    st.booleans(),
    st.sampled_from([b"1.1", b"1.0"]),
)
@settings(max_examples=1_000)
def test_what_is_read_whole_is_read_alike_in_pieces(
    method: bytes, target: bytes, more: list[bytes], has_host: bool, passed_on: bool, version: bytes
) -> None:
    data = b"%b %b HTTP/%b\r\n%b" % (method, target, version, b"Host: x\r\n" if has_host else b"")
    data += b"".join(more) + b"\r\n"
    assert heads_of(data, len(data), passed_on=passed_on) == heads_of(data, 1, passed_on=passed_on)


def heads_of(data: bytes, size: int, *, passed_on: bool) -> tuple[list[tuple[object, ...]], str]:
    """Return what is made of these bytes, each head as it is passed on, and the rejection of the rest."""
    requests: list[Request] = []
    ids = count(1)
    parser = RequestParser(
        ClientLimits(), requests.append, WholeHeads(ClientLimits(), lambda: b"%d" % next(ids), passed_on=passed_on),
        (lambda _: 9) if passed_on else None,
    )  # fmt: skip
    rejected = ""
    try:
        for at in range(0, len(data), size):
            parser.feed(data[at : at + size], 0.0)
    except RequestRejected as error:
        rejected = error.code
    finally:
        parser.close()
    return [
        (
            one.method, one.path, one.query, one.keep_alive, one.announce_keep_alive, one.request_id,
            passed_of(one.message.head) if one.message is not None and one.message.head is not None else None,
        )
        for one in requests
    ], rejected  # fmt: skip


def passed_of(head: RequestHead) -> tuple[object, ...]:
    fields = [(name, value) for name, value, _, _ in head.noted]
    return (
        fields,
        head.host,
        head.has_query,
        head.is_http_1_0,
        [one.strip() for one in head.lines.split(b":")],
    )
