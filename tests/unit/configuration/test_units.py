import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.configuration.file import Place
from hedgerow.configuration.units import (
    Duration,
    Size,
    Statuses,
    shown_duration,
    shown_range,
    shown_size,
)
from hedgerow.settings.errors import InvalidSetting

PLACE = Place("h.toml", dict)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0ms", 0.0), ("0s", 0.0), ("300ms", 0.3), ("1.5s", 1.5), ("2m", 120.0), ("24h", 86_400.0), ("0.5ms", 0.0005),
        ("0.001ms", 0.000001), ("0.3s", 0.3), ("1.25m", 75.0), ("007s", 7.0), ("0.000001s", 0.000001),
    ],
)  # fmt: skip
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    assert Duration(0).read(text, PLACE) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "", "1", "s", "1 s", " 1s", "1s ", "+1s", "-1s", "1e3ms", "1_000ms", "1,5s", "1.s", ".5s", "1d", "1S", "1sec",
        "1s\n", "0.0001ms", "0.0000001s", "86400001ms", "25h", "9999999999s", "infs", 1, 1.5, True, None, [], {},
    ],
)  # fmt: skip
def test_what_is_no_duration_is_rejected(value: object) -> None:
    with pytest.raises(
        InvalidSetting, match=r'give a duration like "300ms", "1.5s" or "2m", from 0ms to 24h$'
    ):
        Duration(0).read(value, PLACE)


def test_a_timeout_is_of_whole_milliseconds() -> None:
    reader = Duration(1, in_ms=True)
    assert reader.read("1.5s", PLACE) == 1_500
    for text in ("0ms", "0.5ms", "1.0005s"):
        with pytest.raises(InvalidSetting, match="a duration in whole milliseconds"):
            reader.read(text, PLACE)


@given(st.integers(0, 86_400_000_000))
def test_a_duration_is_shown_as_it_would_be_read(microseconds: int) -> None:
    reader = Duration(0)
    assert reader.read(shown_duration(microseconds), PLACE) == microseconds / 1_000_000
    assert reader.show(microseconds / 1_000_000) == f'"{shown_duration(microseconds)}"'


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(0, "0ms"), (1, "0.001ms"), (300_000, "300ms"), (250_000, "250ms"), (1_500_000, "1.5s"), (60_000_000, "1m"),
     (90_000_000, "90s"), (7_200_000_000, "2h"), (1_234_567, "1234.567ms")],
)  # fmt: skip
def test_a_duration_is_shown_in_the_unit_that_people_would_use(microseconds: int, text: str) -> None:
    assert shown_duration(microseconds) == text


@pytest.mark.parametrize(
    ("value", "size"),
    [(0, 0), (1_000, 1_000), ("0B", 0), ("64KiB", 65_536), ("1MiB", 1_048_576), ("1000B", 1_000)],
)
def test_a_size_is_a_number_of_bytes_or_has_a_unit(value: object, size: int) -> None:
    assert Size(0, 2**20).read(value, PLACE) == size


@pytest.mark.parametrize(
    "value",
    ["1000", "1KB", "1kb", "1kib", "1 KiB", "1.5KiB", "-1B", "2MiB", -1, 2**20 + 1, 1.0, True, "KiB", "٣B"],
)
def test_what_is_no_size_is_rejected(value: object) -> None:
    with pytest.raises(
        InvalidSetting, match=r'give a size like "64KiB", "1MiB" or 1000, of 0 bytes to 1MiB$'
    ):
        Size(0, 2**20).read(value, PLACE)


@given(st.integers(0, 2**24))
def test_a_size_is_shown_as_it_would_be_read(size: int) -> None:
    reader = Size(0, 2**24)
    shown = reader.show(size)
    assert reader.read(int(shown) if shown.isdigit() else shown.strip('"'), PLACE) == size
    assert shown.strip('"') == shown_size(size)


def test_statuses_are_ranges() -> None:
    assert Statuses().read(["2xx", "404", 503, "400-407", "5xx"], PLACE) == (
        (200, 299), (404, 404), (503, 503), (400, 407), (500, 599),
    )  # fmt: skip
    assert Statuses().read([], PLACE) == ()


@pytest.mark.parametrize(
    "value",
    [
        "1xx",
        "6xx",
        "20x",
        "2XX",
        "199",
        "600",
        100,
        600,
        "407-400",
        "400-",
        "-400",
        "400 - 407",
        2.0,
        True,
        None,
    ],
)
def test_what_is_no_status_is_rejected(value: object) -> None:
    with pytest.raises(InvalidSetting, match=r'\[0\]: .* is not accepted; give "2xx", "404" or "409-428"'):
        Statuses().read([value], PLACE)


def test_a_success_has_a_status() -> None:
    with pytest.raises(InvalidSetting):
        Statuses(least=1).read([], PLACE)


@given(
    st.lists(st.tuples(st.integers(200, 599), st.integers(200, 599)).filter(lambda pair: pair[0] <= pair[1]))
)
def test_statuses_are_shown_as_they_would_be_read(ranges: list[tuple[int, int]]) -> None:
    ranges = ranges[:64]
    assert Statuses().read([shown_range(*one) for one in ranges], PLACE) == tuple(ranges)
