from datetime import date, time

import pytest

from hedgerow.settings.errors import MAX_QUOTED_CHARACTERS, InvalidSetting, UnknownSetting, quoted


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (0.3, "0.3"),
        (float("inf"), "inf"),
        ("a\nb\0\udcff", r"'a\nb\x00\udcff'"),
        ("http://u:p@h/?k=v", "'http://***@h/?k=***'"),
        ({"a": 1}, "a table"),
        ([1], "an array"),
        (date(1979, 5, 27), "1979-05-27"),
        (time(7, 32), "07:32:00"),
    ],
)
def test_a_value_is_quoted_on_one_line(value: object, text: str) -> None:
    assert quoted(value) == text


def test_a_long_value_is_cut() -> None:
    assert quoted(16**6_000) == "a number of 24001 bits"
    assert len(quoted("x" * 10_000)) == MAX_QUOTED_CHARACTERS + 1
    assert len(quoted(10**200)) == MAX_QUOTED_CHARACTERS + 1


def test_an_error_names_setting_value_and_what_is_accepted() -> None:
    assert str(InvalidSetting("--port", "x", "a number")) == "--port: 'x' is not accepted; give a number"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("HEDGEROW_UPSTRAEM", "did you mean HEDGEROW_UPSTREAM?"),
        ("hedgerow_upstream", "did you mean HEDGEROW_UPSTREAM?"),
        ("xyz", "`hedgerow serve --help` lists all"),
        ("\udcff", "`hedgerow serve --help` lists all"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(name: str, hint: str) -> None:
    error = str(UnknownSetting(name, "", ["HEDGEROW_PORT", "HEDGEROW_UPSTREAM"]))
    assert error == f"{name!r} is no setting; {hint}"
