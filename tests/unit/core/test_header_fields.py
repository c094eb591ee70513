from hypothesis import given
from hypothesis import strategies as st

from hedgerow.core.header_fields import (
    NOT_PASSED_OF_RESPONSES,
    HeaderSection,
    named_by,
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
    section = HeaderSection(b"\r\n" + b"".join(line + b"\r\n" for line in lines))
    assert section.passed == b"".join(line + b"\r\n" for line in expected)
    assert section.has_date == any(name == b"Date" for name, _ in fields)


def test_what_is_looked_at_is_found_whatever_its_case_and_blanks() -> None:
    section = HeaderSection(
        b"\r\nA: 1\r\nCONTENT-type:\t Text/HTML ; charset=x\r\nContent-Encoding:gzip \r\n"
        b"content-length: 7\r\ndate: x\r\n"
    )
    assert (section.media_type, section.coding, section.has_date) == (b"text/html", b"gzip", True)
    assert section.length_line == b"content-length: 7\r\n"
    none = HeaderSection(b"\r\nContent-Types: a\r\nX-Date: 1\r\nX: content-length: 1\r\n")
    assert (none.media_type, none.coding, none.has_date, none.length_line) == (b"", b"", False, b"")
    assert none.passed == b"Content-Types: a\r\nX-Date: 1\r\nX: content-length: 1\r\n"


def test_an_empty_section_has_nothing() -> None:
    assert HeaderSection(b"\r\n").passed == b""
    assert HeaderSection(b"\r\nTE: x\r\n").passed == b""


def test_connection_names_headers() -> None:
    assert named_by([b"close, X-A\t,", b"x-b"]) == {b"close", b"x-a", b"x-b"}
    assert named_by([b"keep-alive", b"close"]) == set(), "neither is the name of a header that would pass"
