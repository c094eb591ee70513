from hypothesis import given
from hypothesis import strategies as st

from hedgerow.core.header_fields import (
    NOT_PASSED_OF_RESPONSES,
    connection_named,
    header_value,
    is_written_by_us,
    passed_response_headers,
)

NAMES = st.sampled_from(
    [b"Set-Cookie", b"set-cookie", b"X-A", b"X-B", b"x-b", b"Connection", b"Keep-Alive", b"TE", b"Upgrade", b"Date",
     b"Content-Length", b"Transfer-Encoding", b"X-Request-Id", b"Proxy-Authenticate", b"Vary"]
)  # fmt: skip
VALUES = st.sampled_from([b"", b"1", b"x-a", b"X-B, close", b"a:b", b"\xff", b"keep-alive,,x-a"])


def name_of(line: bytes) -> bytes:
    return line.partition(b":")[0].lower()


@given(st.lists(st.tuples(NAMES, VALUES), max_size=12))
def test_nothing_hop_by_hop_passes_and_the_rest_is_neither_lost_nor_doubled_nor_reordered(
    fields: list[tuple[bytes, bytes]],
) -> None:
    lines = [b"%b: %b" % field for field in fields]
    named = {
        part.strip().lower()
        for name, value in fields
        if name.lower() == b"connection"
        for part in value.split(b",")
    }
    expected = [
        line for line in lines if name_of(line) not in NOT_PASSED_OF_RESPONSES and name_of(line) not in named
    ]
    passed = passed_response_headers(b"\r\n".join(lines))
    assert passed == b"".join(line + b"\r\n" for line in expected)


def test_the_length_of_a_body_that_is_not_there_passes_where_it_is_asked_for() -> None:
    section = b"ETag: x\r\ncontent-length: 7"
    assert passed_response_headers(section) == b"ETag: x\r\n"
    assert passed_response_headers(section, keeps_length=True) == b"ETag: x\r\ncontent-length: 7\r\n"


def test_connection_names_headers() -> None:
    assert connection_named([b"close, X-A\t,", b"x-b"]) == {b"close", b"x-a", b"x-b"}


def test_a_header_is_found_whatever_its_case_and_blanks() -> None:
    section = b"A: 1\r\nCONTENT-type:\t text/html \r\nContent-Type: other"
    assert header_value(section, b"content-type") == b"text/html"
    assert header_value(section, b"content") == b""


def test_names_that_some_servers_read_as_ours_do_not_pass() -> None:
    assert is_written_by_us(b"x_forwarded_for")
    assert is_written_by_us(b"content_length")
    assert not is_written_by_us(b"api_key")
    assert not is_written_by_us(b"x-forwarded-for")
