"""Aims in words."""

import pytest

from hedgerow.planning.aim import Aim, parse_aim, parse_share


@pytest.mark.parametrize(
    ("text", "aim"),
    [
        ("99% within 500ms", (0.99, 0.5)),
        ("99.9 % by 2 s", (0.999, 2.0)),
        (" 95% in 80.5 ms ", (0.95, 0.0805)),
        ("100% within 500ms", None),
        ("0% within 500ms", None),
        ("99% within 500", None),
        ("99 within 500ms", None),
        ("99% within 0ms", None),
        ("99% within 61s", None),
        ("٩٩% within 500ms", None),
        ("", None),
    ],
)
def test_an_aim_is_a_share_and_a_time(text: str, aim: tuple[float, float] | None) -> None:
    assert parse_aim(text) == (aim if aim is None else pytest.approx(aim))


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("5%", 0.05),
        ("0.05", 0.05),
        ("0", 0.0),
        (" 150 % ", 1.5),
        ("-1%", None),
        ("17", None),
        ("five", None),
        ("nan", None),
    ],
)
def test_a_share_may_be_in_per_cent(text: str, share: float | None) -> None:
    assert parse_share(text) == (share if share is None else pytest.approx(share))


def test_an_aim_is_said_in_words() -> None:
    assert str(Aim(0.99, 0.5, 0.05)) == "99 % within 500 ms with at most 5 % extra requests"
    assert str(Aim(max_extra=0.1)) == "at most 10 % extra requests"
