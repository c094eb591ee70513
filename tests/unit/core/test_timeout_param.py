import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.core.timeout_param import InvalidTimeout, parse_timeout_ms


def parse(query: bytes) -> int | InvalidTimeout:
    return parse_timeout_ms(query, default_ms=10_000, max_ms=60_000)


@pytest.mark.parametrize(
    ("row", "query", "timeout_ms"),
    [
        ("T01", b"", 10_000),
        ("T01", b"x=1&Timeout=5&timeouts=6", 10_000),
        ("T02", b"timeout=1", 1),
        ("T02", b"timeout=900", 900),
        ("T02", b"timeout=000000000000900", 900),
        ("T04 decoded", b"timeout=%31", 1),
        ("T04 decoded", b"%74imeout=9", 9),
        ("B09", b"timeout=60001", 60_000),
        ("T06", b"timeout=" + b"9" * 100_000, 60_000),
        ("T06", b"timeout=" + b"0" * 100_000 + b"7", 7),
        ("T07", b"a=b&timeout=5&c", 5),
        ("T07", b"&&timeout=5&=&%&%zz=%", 5),
    ],
)
def test_accepted(row: str, query: bytes, timeout_ms: int) -> None:
    assert parse(query) == timeout_ms, row


@pytest.mark.parametrize(
    "value",
    [
        b"0", b"00", b"0" * 5_000, b"-5", b"+5", b"%2B5", b" 5", b"5 ", b"5+", b"%205", b"1_000", b"1.5", b"1e3",
        b"0x10",
        b"", "٣".encode(), b"%D9%A3", b"5%00", b"5\n", b"NaN", b"5;timeout=6", b"\xff", b"9" * 40 + b"x",
    ],
)  # fmt: skip
def test_t03_t04_rejected(value: bytes) -> None:
    invalid = parse(b"timeout=" + value)
    assert isinstance(invalid, InvalidTimeout)
    assert invalid.detail.isascii()
    assert len(invalid.detail) < 300


@pytest.mark.parametrize(
    "query", [b"timeout=5&timeout=5", b"timeout=5&%74imeout=6", b"timeout&timeout=5", b"timeout"]
)
def test_t05_given_twice_or_without_a_value(query: bytes) -> None:
    assert isinstance(parse(query), InvalidTimeout)


@given(st.binary(max_size=60))
def test_any_query_is_a_number_in_range_or_invalid(query: bytes) -> None:
    for given_ in (query, b"timeout=" + query):
        timeout = parse(given_)
        assert isinstance(timeout, InvalidTimeout) or 1 <= timeout <= 60_000


@given(st.integers(min_value=1, max_value=10**30))
def test_every_whole_number_is_accepted_and_clamped(number: int) -> None:
    assert parse(b"timeout=%d" % number) == min(number, 60_000)


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        (b"timeout=0", "timeout is 0; it must be at least 1 millisecond"),
        (b"timeout=1&timeout=2&timeout=3", "timeout is given 3 times; give it once, or not at all"),
        (b"timeout=+5", "timeout is ' 5'; it must be a whole number of milliseconds, like 900"),
        (b"time%6Fut=x", "timeout is 'x'; it must be a whole number of milliseconds, like 900"),
        (b"timeout=\xff", r"timeout is '\\xff'; it must be a whole number of milliseconds, like 900"),
        (
            b"timeout=" + b"x" * 40,
            f"timeout is '{'x' * 40}'; it must be a whole number of milliseconds, like 900",
        ),
        (
            b"timeout=" + b"x" * 41,
            f"timeout is '{'x' * 40}' (shortened); it must be a whole number of milliseconds, like 900",
        ),
    ],
)
def test_the_detail_is_what_is_wrong(query: bytes, detail: str) -> None:
    assert parse(query) == InvalidTimeout(detail)


def test_ten_digits_are_read() -> None:
    assert parse_timeout_ms(b"timeout=01234567890", default_ms=1, max_ms=10**11) == 1_234_567_890


def test_a_plus_in_a_name_is_a_blank() -> None:
    assert parse_timeout_ms(b"time+out=5&timeou+t=6", default_ms=7, max_ms=9) == 7
