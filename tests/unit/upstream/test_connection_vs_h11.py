"""What we take for an upstream's answer, held against h11: see `support.answer_differential`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hedgerow.core.answer_rules import MAX_KNOWN_HEADS, AnswerRules, KnownHeads
from hedgerow.core.outcomes import Failure, FailureReason, Success
from hedgerow.settings import UpstreamLimits
from hedgerow.upstream.response_reader import ResponseReader
from support.answer_differential import STRICTER_RULES, broken_rules, compare, opinion_on
from support.one_connection import Answer
from support.routes import passed_on_request
from support.strategies import damaged, mostly

pytestmark = pytest.mark.exhaustive

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
@settings(max_examples=200)  # C12 reads thousands, also in `make test-all`
def test_whatever_we_take_for_an_answer_h11_reads_alike(data: bytes, then_close: bool) -> None:
    compare(data, then_close=then_close)


# -- a head that came before

RULES = ((200, 999),)


def read_with(rules: AnswerRules, wire: bytes) -> tuple[object, ...]:
    """Return what the answer to a request is by the rules of its route, read at once."""
    reader = ResponseReader(UpstreamLimits(), KnownHeads())
    reader.begin_for(passed_on_request(rules=rules, max_response_body=64 * 1024))
    failure = reader.feed(wire)
    if failure is not None or not reader.is_complete:
        return failure, reader.status, reader.wire_bytes
    outcome = reader.take_outcome(lambda _status, _body: Failure(FailureReason.PROTOCOL))
    assert isinstance(outcome, Success)
    assert outcome.answer is not None
    answer = outcome.answer
    return (
        reader.keeps_connection,
        reader.wire_bytes,
        answer.status,
        answer.headers,
        answer.body,
        answer.has_date,
    )


def read_without_rules(known: KnownHeads, wire: bytes) -> tuple[object, ...]:
    """Return what the answer to a request is that no rules of a route are for, read at once."""
    reader = ResponseReader(UpstreamLimits(), known)
    failure = reader.feed(wire)
    if failure is not None or not reader.is_complete:
        return failure, reader.status, reader.wire_bytes
    taken: list[tuple[int, bytes]] = []

    def classify(status: int, body: bytes) -> Failure:
        taken.append((status, body))
        return Failure(FailureReason.PROTOCOL)

    reader.take_outcome(classify)
    return reader.keeps_connection, reader.wire_bytes, taken


READERS = pytest.mark.parametrize(
    ("read", "make_known"), [(read_with, partial(AnswerRules, RULES)), (read_without_rules, KnownHeads)]
)
"""How an answer is read, with the rules of a route or without, and where its head is kept."""


def next_answer(first: bytes, second: bytes, change: int, at: int) -> bytes:
    """Return the same answer again, another one, or something that only begins alike."""
    return [
        first, second, first + b"x", first[:-1], first[:-1] + b"z", first + second, first[:at] + b"1" + first[at + 1 :]
    ][change]  # fmt: skip


@READERS
@given(first=answers(), second=answers(), change=st.integers(0, 6), at=st.integers(0, 200))
@example(first=OK + b"X: y\r\n" + X, second=b"", change=6, at=len(OK + b"X: "))
@settings(max_examples=500)
def test_an_answer_whose_head_came_before_is_read_as_any_other(
    read: Callable[[Any, bytes], object],
    make_known: Callable[[], KnownHeads],
    first: bytes,
    second: bytes,
    change: int,
    at: int,
) -> None:
    known = make_known()
    read(known, first)
    read(known, second)
    wire = next_answer(first, second, change, at)
    assert read(known, wire) == read(make_known(), wire)


@READERS
@pytest.mark.parametrize(
    ("wire", "is_known"),
    [
        (OK + X, True), (b"HTTP/1.1 204 X\r\n\r\n", True), (CHUNKED + b"1\r\na\r\n0\r\n\r\n", False),
        (OK + X + b"y", False), (b"\r\n" + OK + X, False), (INTERIM[0] + OK + X, False),
        (OK + b"Connection: close\r\n" + X, False), (b"HTTP/1.0 200 OK\r\n" + X, False), (OK + X[:-1], False),
    ],
)  # fmt: skip
def test_a_head_is_known_where_its_answer_came_whole_and_alone_and_the_connection_persists(
    read: Callable[[Any, bytes], object], make_known: Callable[[], KnownHeads], wire: bytes, is_known: bool
) -> None:
    known = make_known()
    read(known, wire)
    head = known.head_of(wire)
    assert (head is not None) == is_known
    if head is not None:
        assert wire.startswith(head.head)
        assert head.head.endswith(b"\r\n\r\n")


@READERS
def test_answers_in_turn_are_known_by_their_lengths_of_a_bounded_number(
    read: Callable[[Any, bytes], object], make_known: Callable[[], KnownHeads]
) -> None:
    known = make_known()
    wires = [
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, b"x" * size)
        for size in range(10, 10 + 2 * MAX_KNOWN_HEADS)
    ]
    for wire in wires[:MAX_KNOWN_HEADS]:
        read(known, wire)
    assert all(known.head_of(wire) is not None for wire in wires[:MAX_KNOWN_HEADS])
    for wire in wires[MAX_KNOWN_HEADS:]:
        read(known, wire)
    assert sum(known.head_of(wire) is not None for wire in wires) <= MAX_KNOWN_HEADS


def test_an_answer_to_head_makes_no_head_known_and_is_read_by_none() -> None:
    """It has no body, whatever its head says."""
    rules = AnswerRules(RULES)
    for method, wire in ((b"HEAD", OK + b"\r\n"), (b"GET", OK + X), (b"HEAD", (OK + X)[:-1])):
        reader = ResponseReader(UpstreamLimits(), KnownHeads())
        reader.begin_for(passed_on_request(method, rules=rules, max_response_body=9))
        assert reader.feed(wire) is None
        assert reader.is_complete
        assert (rules.head_of(OK + X) is None) == (wire == OK + b"\r\n")


@pytest.mark.parametrize("cut_at", range(1, len(OK + X) + 2))
def test_no_head_is_known_of_an_answer_in_two_reads_whatever_their_lengths(cut_at: int) -> None:
    """An empty line behind it makes the second read as long as the answer."""
    for wire in (OK + X, OK + X + b"\r\n", OK + X + b"\r\n" * 9):
        rules = AnswerRules(RULES)
        reader = ResponseReader(UpstreamLimits(), KnownHeads())
        reader.begin_for(passed_on_request(rules=rules, max_response_body=9))
        assert (reader.feed(wire[:cut_at]), reader.feed(wire[cut_at:])) == (None, None)
        assert reader.is_complete
        assert (rules.head_of(OK + X) is not None) == (wire[:cut_at] == OK + X)
        assert rules.head_of(wire[cut_at:]) is None
