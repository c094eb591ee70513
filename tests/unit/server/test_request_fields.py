"""The headers of one request; `test_request_parser.py` has them as they come over the wire."""

import pytest

from hedgerow.server.request_fields import RequestFields
from hedgerow.server.request_rejected import RequestRejected
from hedgerow.settings import ClientLimits

LIMITS = ClientLimits(max_headers=3, max_header_bytes=100)


def fields(*lines: tuple[bytes, bytes], passed_on: bool = False) -> RequestFields:
    made = RequestFields(LIMITS, passed_on=passed_on)
    for name, value in lines:
        made.add(name, value)
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
    assert taken.request_id == b""


@pytest.mark.parametrize("passed_on", [False, True])
def test_they_are_kept_only_to_be_passed_on(passed_on: bool) -> None:
    taken = fields(HOST, (b"X-A", b" 1 "), (b"x-a", b""), passed_on=passed_on)
    assert taken.head(b"/").headers == ([HOST, (b"X-A", b"1"), (b"x-a", b"")] if passed_on else [])


@pytest.mark.parametrize(("target", "has_query"), [(b"/", False), (b"/?", True), (b"http://x/?a", True)])
def test_the_head_as_it_is_passed_on(target: bytes, has_query: bool) -> None:
    head = fields(HOST, passed_on=True).head(target)
    assert (head.host, head.has_query) == (b"x", has_query)


def test_an_absolute_target_has_the_host_of_the_host_header() -> None:
    with pytest.raises(RequestRejected):
        fields(HOST, passed_on=True).head(b"http://y/")


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


@pytest.mark.parametrize(
    ("lines", "version"),
    [((CHUNKED,), "1.0"), (((b"Transfer-Encoding", b"gzip"), CHUNKED), "1.1"), ((CHUNKED, CHUNKED), "1.1")],
)
def test_other_codings_are_not_supported(lines: tuple[tuple[bytes, bytes], ...], version: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        fields(*lines, passed_on=True).body_length(version)
    assert status_of(caught.value) == ("bad_request", 501)
