"""The headers of one request; `test_request_parser.py` has them as they come over the wire."""

import pytest

from hedgerow.server.request_fields import RequestFields
from hedgerow.server.request_rejected import RequestRejected
from hedgerow.settings import ClientLimits
from support.routes import head_of

LIMITS = ClientLimits(max_headers=3, max_header_bytes=100)


def fields(*lines: tuple[bytes, bytes], passed_on: bool = False) -> RequestFields:
    made = RequestFields(LIMITS, passed_on=passed_on)
    for name, value in lines:
        made.add(name, value)
    made.head()
    return made


HOST = (b"Host", b"x")
LENGTH, CHUNKED = (b"Content-Length", b"3"), (b"Transfer-Encoding", b"Chunked")


def status_of(rejected: RequestRejected) -> tuple[str, int | None]:
    return rejected.code, rejected.status


def test_what_is_used_of_them() -> None:
    taken = fields((b"HOST", b" x:1\t"), (b"X-Request-Id", b"mine"), (b"traceparent", b"00"))
    assert (taken.host, taken.request_id, taken.traceparent, taken.count) == (b"x:1", b"mine", b"00", 3)
    taken.clear()
    assert (taken.host, taken.request_id, taken.traceparent, taken.count) == (None, b"", b"", 0)


@pytest.mark.parametrize("value", [b"", b"a b", b"x" * 129, b"\xe4"])
def test_an_id_that_is_not_valid_is_none(value: bytes) -> None:
    assert RequestFields(ClientLimits(), passed_on=False).request_id == b""
    taken = RequestFields(ClientLimits(), passed_on=False)
    taken.add(b"X-Request-Id", value)
    taken.head()
    assert taken.request_id == b""


def test_their_lines_are_kept_as_they_came() -> None:
    taken = RequestFields(LIMITS, passed_on=True)
    for name, value in (HOST, (b"X-A", b"1 "), (b"x-a", b"")):
        taken.add(name, value)
    assert taken.head().lines == b"\r\nHost: x\r\nX-A: 1 \r\nx-a: \r\n"
    assert taken.head().lines == b"\r\n", "and given away"


@pytest.mark.parametrize(("target", "has_query"), [(b"/", False), (b"/?", True), (b"http://x/?a", True)])
def test_the_head_as_it_is_passed_on(target: bytes, has_query: bool) -> None:
    taken = fields(passed_on=True)
    head = head_of(HOST)
    taken.set_target(head, target)
    assert (head.host, head.has_query) == (b"x", has_query)


def test_an_absolute_target_that_is_passed_on_has_the_host_of_the_host_header() -> None:
    with pytest.raises(RequestRejected):
        fields(passed_on=True).set_target(head_of(HOST), b"http://y/")
    fields().set_target(head_of(HOST), b"http://y/")


@pytest.mark.parametrize(
    "lines",
    [
        [(b"A", b"1")] * 4, [(b"A", b"x" * 96)], [(b"A" * 97, b"")], [(b"A", b"x" * 40)] * 3,
    ],
)  # fmt: skip
def test_they_have_a_number_and_a_length(lines: list[tuple[bytes, bytes]]) -> None:
    fields(*lines[:-1])
    with pytest.raises(RequestRejected) as caught:
        fields(*lines)
    assert status_of(caught.value) == ("too_large", None)
    fields((b"A", b"x" * 95))


@pytest.mark.parametrize(
    ("lines", "method", "version", "passed_on", "wanted"),
    [
        ((HOST,), b"GET", "1.1", False, None),
        ((), b"GET", "1.0", False, None),
        ((HOST, (b"Content-Length", b"00")), b"GET", "1.1", False, None),
        ((HOST, LENGTH), b"POST", "1.1", True, None),
        ((HOST, (b"Expect", b"100-Continue")), b"GET", "1.1", False, None),
        ((), b"GET", "1.1", False, ("bad_request", None)),
        ((HOST,), b"GET", "1.2", False, ("bad_request", 505)),
        ((HOST, (b"Expect", b"200-ok")), b"GET", "1.1", True, ("bad_request", 417)),
        ((HOST, LENGTH), b"GET", "1.1", False, ("bad_request", None)),
        ((HOST, CHUNKED), b"POST", "1.1", False, ("method_not_allowed", None)),
    ],
)
def test_what_they_say_together(
    lines: tuple[tuple[bytes, bytes], ...],
    method: bytes,
    version: str,
    passed_on: bool,
    wanted: tuple[str, int | None] | None,
) -> None:
    taken = fields(*lines, passed_on=passed_on)
    if wanted is None:
        taken.check(method, version)
        return
    with pytest.raises(RequestRejected) as caught:
        taken.check(method, version)
    assert status_of(caught.value) == wanted


@pytest.mark.parametrize(("line", "length"), [(LENGTH, 3), (CHUNKED, -1)])
def test_the_length_of_a_body(line: tuple[bytes, bytes], length: int) -> None:
    assert fields(HOST, line, passed_on=True).body_length("1.1") == length


def test_a_length_with_thousands_of_leading_zeros() -> None:
    """`int` rejects more than 4 300 digits: it was an internal error, and the connection was cut."""
    taken = RequestFields(ClientLimits(), passed_on=True)
    taken.take(head_of(HOST, (b"Content-Length", b"0" * 5_000 + b"3")))
    assert taken.body_length("1.1") == 3


@pytest.mark.parametrize(
    "lines", [[b""], [b" \t"], [b"chunked", b""], [b"", b"chunked"]], ids=["none", "blanks", "last", "first"]
)
def test_a_transfer_coding_is_named(lines: list[bytes]) -> None:
    """httptools before 0.9 accepts an empty Transfer-Encoding, and finds no body behind it."""
    with pytest.raises(RequestRejected) as caught:
        fields(HOST, *[(b"Transfer-Encoding", value) for value in lines], passed_on=True)
    assert status_of(caught.value) == ("bad_request", None)


@pytest.mark.parametrize(
    ("lines", "version"),
    [((CHUNKED,), "1.0"), (((b"Transfer-Encoding", b"gzip"), CHUNKED), "1.1"), ((CHUNKED, CHUNKED), "1.1")],
)
def test_other_codings_are_not_supported(lines: tuple[tuple[bytes, bytes], ...], version: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        fields(*lines, passed_on=True).body_length(version)
    assert status_of(caught.value) == ("bad_request", 501)


@pytest.mark.parametrize(
    ("lines", "usual"),
    [
        ([HOST], True), ([HOST, (b"Content-Length", b"0")], True), ([(b"A", b"1")], False), ([HOST, LENGTH], False),
        ([HOST, CHUNKED], False), ([HOST, (b"Expect", b"100-continue")], False), ([HOST] + [(b"A", b"")] * 2, True),
        ([HOST] + [(b"A", b"")] * 3, False), ([HOST, (b"A", b"x" * 84)], True), ([HOST, (b"A", b"x" * 85)], False),
    ],
)  # fmt: skip
def test_usual_ones_are_within_their_limits_without_a_body(
    lines: list[tuple[bytes, bytes]], usual: bool
) -> None:
    taken, head = RequestFields(LIMITS, passed_on=True), head_of(*lines)
    taken.take(head)
    assert taken.are_usual(head) == usual
