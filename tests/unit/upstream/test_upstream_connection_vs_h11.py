"""A differential test against h11: what we take for an upstream's answer.

A status and body that we take for an answer, h11 must read alike; a connection that we use again, h11 must find fit
for it. What h11 reads and we reject must be by a stricter rule of ours, written down here a second time.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgerow.core.outcomes import Failure, FailureReason
from support.one_connection import Answer, read_answer
from support.strategies import damaged, mostly

# -- theirs


@dataclass
class Opinion:
    """What h11 takes some bytes for: an answer, and the first of its heads that count."""

    answer: Answer
    heads: list[h11.Response | h11.InformationalResponse]
    wire: bytes


def opinion_on(data: bytes, *, then_close: bool) -> Opinion | None:
    """Let h11 read one answer to a GET; None if it finds none, or not the whole of one."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    heads: list[h11.Response | h11.InformationalResponse] = []
    body = b""
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, (h11.Response, h11.InformationalResponse)):
                heads.append(event)
            elif isinstance(event, h11.Data):
                body += event.data
            elif then_close:
                connection.receive_data(b"")
                then_close = False
            else:
                return None
    except h11.RemoteProtocolError:
        return None
    left_over = connection.trailing_data[0]
    reusable = connection.their_state is h11.DONE and left_over == b""
    wire = data.removesuffix(left_over)
    return Opinion(Answer(heads[-1].status_code, body, reusable), heads, wire)


# -- the deliberate differences

CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


STRICTER_RULES: dict[str, Callable[[Opinion], bool]] = {
    "another version than 1.0 and 1.1": lambda it: any(
        head.http_version not in (b"1.0", b"1.1") for head in it.heads
    ),
    # RFC 9112 section 2.2 allows to take it for a line's end.
    "a line that ends with LF alone": lambda it: any(b"\n" in line for line in it.wire.split(b"\r\n")),
    # RFC 9112 section 5.2 leaves the choice to refuse it, or to make a blank of it as h11 does.
    "a folded header line": lambda it: re.search(rb"\n[ \t]", it.wire) is not None,
    # RFC 9110 section 5.5: CR, LF and NUL are to be refused; h11 lets the others pass.
    "a control byte": lambda it: (
        CONTROL.search(it.wire) is not None or re.search(rb"\r(?!\n)", it.wire) is not None
    ),
    # h11 makes one of several that say the same, be it in several lines or in one.
    "several lengths": lambda it: (
        len(re.findall(rb"(?i)\ncontent-length:", it.wire)) > 1
        or re.search(rb"(?i)\ncontent-length:[^\n]*,", it.wire) is not None
    ),
    # RFC 9112 section 6.3: "ought to be handled as an error". h11 goes by the chunks.
    "a length and chunks": lambda it: (
        re.search(rb"(?i)\ncontent-length:", it.wire) is not None
        and re.search(rb"(?i)\ntransfer-encoding:", it.wire) is not None
    ),
    # llhttp takes the word of an interim answer for that of the answer; so it does with the version, and 1.0 closes.
    "an interim answer that closes": lambda it: (
        any(head.http_version == b"1.0" for head in it.heads[:-1])
        or any(
            b"close" in value.lower()
            for head in it.heads[:-1]
            for name, value in head.headers
            if name in (b"connection", b"proxy-connection")
        )
    ),
    # RFC 9112 section 7.1.1; h11 does not look at what stands behind a chunk's size.
    "a chunk line that is none": lambda it: (
        re.search(
            rb"\n[0-9A-Fa-f]+(?!\r\n)(?!(;[!#$%&'*+.^_`|~0-9A-Za-z-]+(=[!#$%&'*+.^_`|~0-9A-Za-z-]+)?)*\r\n)",
            it.wire,
        )
        is not None
    ),
}
"""Why we refuse what h11 reads."""


def broken_rules(opinion: Opinion) -> list[str]:
    return [name for name, is_broken in STRICTER_RULES.items() if is_broken(opinion)]


def without_our_leniencies(data: bytes) -> bytes:
    """Rewrite what we accept and h11 does not; of bodies only a chunk's size: the rest of them is theirs."""
    heads, rest = b"", data
    while True:
        # Empty lines before a status line, as RFC 9112 section 2.2 has them for requests.
        head, end, rest = rest.lstrip(b"\r\n").partition(b"\r\n\r\n")
        heads += head_without_our_leniencies(head) + end
        if not end or re.match(rb"HTTP/1\.[01] 1", head) is None:
            # h11 reads 20 digits at most, and reads trailers as it reads headers (RFC 9110 section 6.5: ignored).
            rest = re.sub(rb"(?m)^0{19,}(?=[0-9A-Fa-f]+[\r;])", b"", rest)
            trailer = rb"(?i)(\r\n0+\r\n(?:[^\r\n]+\r\n)*?)transfer-encoding:[^\r\n]*\r\n"
            return heads + re.sub(trailer, rb"\1", rest)


def head_without_our_leniencies(head: bytes) -> bytes:
    line, *fields = head.split(b"\r\n")
    # Reason phrases are for nobody (RFC 9112 section 4); llhttp does not look at them.
    line = re.sub(rb"(?s)^(HTTP/1\.[01] [0-9]{3}) .*", rb"\g<1>", line)
    # A long row of zeros: h11 counts the digits.
    fields = [re.sub(rb"(?i)^(content-length:[ \t]*)0+(?=[0-9])", rb"\g<1>", each) for each in fields]
    codings = [each for each in fields if each.lower().startswith(b"transfer-encoding:")]
    others = [each for each in fields if each not in codings]
    if re.search(rb" (1..|204|304)$", line):
        # RFC 9112 section 6.3, rule 1: these have no body, whatever their headers say.
        codings = []
    elif codings and last_coding(codings) == b"chunked":
        # Rule 4: what is chunked last ends with its last chunk, whatever else was done to it before. (What was
        # done we do not undo, so it will be no JSON.)
        codings = [b"Transfer-Encoding: chunked"]
    elif codings and not any(each.lower().startswith(b"content-length:") for each in others):
        # Rule 4, too: what is not chunked last ends with the connection (FAULTS C7). h11 knows no other coding.
        codings = []
    return b"\r\n".join([line, *others, *codings])


def last_coding(lines: list[bytes]) -> bytes:
    return lines[-1].partition(b":")[2].rpartition(b",")[2].strip(b" \t").lower()


# -- what is read

INTERIM = [
    b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    b"HTTP/1.1 102 X\r\nContent-Length: 3\r\n\r\n", b"HTTP/1.1 103 X\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 101 X\r\n\r\n",
]  # fmt: skip
GOOD_VERSIONS = [b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]
ODD_VERSIONS = [b"HTTP/1.2", b"HTTP/1.10", b"http/1.1", b"HTP/1.1", b""]
GOOD_STATUSES = [
    b"200 OK", b"200 OK", b"200", b"200 ", b"500 Oh \xe4", b"204 X", b"304 X", b"404 X Y", b"999 X",
]  # fmt: skip
ODD_STATUSES = [b"20 OK", b"2000 OK", b"099 X", b"x OK", b"200\tOK", b"-200 OK", b""]
GOOD_HEADERS = [
    b"X: y", b"X:", b"X: \xe4", b"Connection: close", b"Connection: keep-alive", b"Connection: closed",
    b"Proxy-Connection: close", b"Connection: upgrade", b"Upgrade: h2c", b"Keep-Alive: timeout=5",
]  # fmt: skip
ODD_HEADERS = [
    b"X : y", b"X", b" X: y", b"X: a\x01b", b"X: a\rb", b"Content-Length: 3", b"Content-Length: +3",
    b"Content-Length: 3, 3", b"Content-Length:", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked, gzip",
]  # fmt: skip
GOOD_BODIES = [
    b"\r\n", b"\r\nabc", b"Content-Length: 3\r\n\r\nabc", b"content-length:0\r\n\r\n",
    b"Content-Length: 0000000000000000000000003\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n02;x=y\r\nbc\r\n0\r\n\r\n",
    b"transfer-encoding: Chunked\r\n\r\na\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
]  # fmt: skip
ODD_BODIES = [
    b"Content-Length: 3\r\n\r\nab", b"Content-Length: 3\r\n\r\nabcd",
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
    b'Transfer-Encoding: chunked\r\n\r\n3;"\r\nabc\r\n0\r\n\r\n',
    b"Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
    b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\nabc",
    b"Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n x\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nabc",
]  # fmt: skip
BITS = [b"\r\n", b"\n", b"\r", b" ", b":", b"\x00", b"\x80", b"0", b",", b"3", b"\r\n\r\n", b";"]


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Draw an answer that is valid more often than not, and once in a while cut, double or insert a little."""
    interim = b"".join(draw(st.lists(st.sampled_from(INTERIM), max_size=1 if draw(st.integers(0, 3)) else 2)))
    line = b" ".join([draw(mostly(GOOD_VERSIONS, ODD_VERSIONS)), draw(mostly(GOOD_STATUSES, ODD_STATUSES))])
    headers = draw(st.lists(mostly(GOOD_HEADERS, ODD_HEADERS), max_size=2))
    before = draw(mostly([b""], [b"\r\n", b"\n"]))
    after = draw(mostly([b""], [b"\r\n", b"x", b"HTTP/1.1 200 OK\r\n\r\n"]))
    data = before + interim + b"\r\n".join([line, *headers, draw(mostly(GOOD_BODIES, ODD_BODIES))]) + after
    return damaged(draw, data, BITS)


# -- the tests


def compare(data: bytes, *, then_close: bool) -> Answer | Failure | None:
    """Read, compare, and give back what we make of it."""
    ours = read_answer(data, 1, then_close=then_close)
    if isinstance(ours, Answer):
        opinion = opinion_on(without_our_leniencies(data), then_close=then_close)
        assert opinion is not None, "only we take it for an answer"
        assert (ours.status, ours.body) == (opinion.answer.status, opinion.answer.body)
        # h11 uses no connection of HTTP/1.0 again.
        assert not ours.reusable or opinion.answer.reusable or opinion.heads[-1].http_version == b"1.0"
    else:
        opinion = opinion_on(data, then_close=then_close)
        if opinion is not None:
            assert ours is not None, "we wait, and nothing will come"
            assert broken_rules(opinion) != [], (data, ours)
    in_one_piece = read_answer(data, len(data), then_close=then_close)
    assert type(in_one_piece) is type(ours)
    if isinstance(ours, Answer) and isinstance(in_one_piece, Answer):
        assert (in_one_piece.status, in_one_piece.body) == (ours.status, ours.body)
    return ours


OK = b"HTTP/1.1 200 OK\r\n"
X = b"Content-Length: 1\r\n\r\nx"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

DIFFERENCES = [
    ("another version than 1.0 and 1.1", b"HTTP/1.2 200 OK\r\n" + X),
    ("a line that ends with LF alone", b"HTTP/1.1 200 OK\n" + X),
    ("a line that ends with LF alone", OK + b"X: y\n" + X),
    ("a line that ends with LF alone", OK + b"Content-Length: 0\r\n\n"),
    ("a folded header line", OK + b"X: y\r\n z\r\n" + X),
    ("a control byte", OK + b"X: a\x01b\r\n" + X),
    ("a control byte", OK + b"X: a\x7fb\r\n" + X),
    ("several lengths", OK + b"Content-Length: 1\r\n" + X),
    ("several lengths", OK + b"Content-Length: 1, 1\r\n\r\nx"),
    (
        "a length and chunks",
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    ),
    ("a length and chunks", CHUNKED + b"1\r\nx\r\n0\r\nContent-Length: 1\r\n\r\n"),
    ("an interim answer that closes", b"HTTP/1.0 102 X\r\n\r\n" + OK + X),
    ("an interim answer that closes", b"HTTP/1.1 103 X\r\nConnection: close\r\n\r\n" + OK + X),
    ("a chunk line that is none", CHUNKED + b"1 \r\nx\r\n0\r\n\r\n"),
    ("a chunk line that is none", CHUNKED + b'1;x="\r\nx\r\n0\r\n\r\n'),
]


@pytest.mark.parametrize(("rule", "data"), DIFFERENCES)
def test_what_h11_reads_and_we_refuse(rule: str, data: bytes) -> None:
    opinion = opinion_on(data, then_close=False)
    assert opinion is not None
    assert rule in broken_rules(opinion)
    ours = compare(data, then_close=False)
    assert isinstance(ours, Failure)
    assert ours.reason is FailureReason.PROTOCOL


def test_each_stricter_rule_is_shown_above() -> None:
    assert {rule for rule, _ in DIFFERENCES} == set(STRICTER_RULES)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"\r\n" + OK + X, b"x"),
        (b"HTTP/1.1 200 \x00\r\n" + X, b"x"),
        (OK + b"Content-Length: " + b"0" * 30 + b"1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 204 No\r\nTransfer-Encoding: identity\r\n\r\n", b""),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b""),
        (CHUNKED + b"0" * 30 + b"1\r\nx\r\n" + b"0" * 30 + b"\r\n\r\n", b"x"),
        (CHUNKED + b"1\r\nx\r\n0\r\nX: y\r\nTransfer-Encoding: identity\r\n\r\n", b"x"),
        (OK + b"Transfer-Encoding: identity\r\n\r\nx", b"x"),
        (OK + b"Transfer-Encoding: x-chunked\r\n\r\nx", b"x"),
        (OK + b"Transfer-Encoding: chunked, gzip\r\n\r\nx", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\nx", b"x"),
    ],
)
def test_what_we_take_for_an_answer_and_h11_does_not(data: bytes, body: bytes) -> None:
    assert opinion_on(data, then_close=True) is None
    ours = compare(data, then_close=True)
    assert isinstance(ours, Answer)
    assert ours.body == body


@pytest.mark.parametrize(
    ("data", "reusable", "reusable_to_h11"),
    [
        (OK + X, True, True),
        (OK + X + b"x", False, False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + X, True, False),
        (OK + b"Proxy-Connection: close\r\n" + X, False, True),
    ],
)
def test_which_connections_may_be_used_again(data: bytes, reusable: bool, reusable_to_h11: bool) -> None:
    ours, theirs = compare(data, then_close=False), opinion_on(data, then_close=False)
    assert isinstance(ours, Answer)
    assert theirs is not None
    assert (ours.reusable, theirs.answer.reusable) == (reusable, reusable_to_h11)


@given(data=answers(), then_close=st.booleans())
@settings(max_examples=500)
def test_whatever_we_take_for_an_answer_h11_reads_alike(data: bytes, then_close: bool) -> None:
    compare(data, then_close=then_close)
