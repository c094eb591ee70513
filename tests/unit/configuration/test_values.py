import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.configuration.file import Place
from hedgerow.configuration.values import (
    MAX_ELEMENTS,
    Flag,
    JsonDocument,
    ListOf,
    Number,
    Reader,
    Text,
    Whole,
    Word,
    shown_text,
)
from hedgerow.settings.errors import InvalidSetting

PLACE = Place("h.toml", lambda: {("k",): 3}, ("k",))
LOWER = Text("[a-z]+", "a word in lower case", lambda text: "it is taken" if text == "taken" else "")


def read(reader: Reader, value: object) -> Any:
    return reader.read(value, PLACE)


def rejected(reader: Reader, value: object) -> str:
    with pytest.raises(InvalidSetting) as caught:
        read(reader, value)
    return str(caught.value).removeprefix("'h.toml', line 3: ")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_is_shown_as_toml_on_one_line(text: str) -> None:
    shown = shown_text(text)
    assert tomllib.loads(f"k = {shown}") == {"k": text}
    assert shown.isprintable()


def test_a_text_has_its_pattern_and_no_problem() -> None:
    assert read(LOWER, "abc") == "abc"
    assert rejected(LOWER, "aBc") == "k: 'aBc' is not accepted; give a word in lower case"
    assert rejected(LOWER, "taken") == "k: 'taken' is not accepted; give a word in lower case (it is taken)"
    assert rejected(LOWER, 1) == "k: 1 is not accepted; give a word in lower case"
    assert rejected(LOWER, "abc\n") == "k: 'abc\\n' is not accepted; give a word in lower case"


@pytest.mark.parametrize("value", ["S3CR3T", ["S3CR3T"], {"S3CR3T": 1}])
def test_a_secret_is_not_quoted(value: object) -> None:
    assert "S3CR3T" not in rejected(Text("[a-z]+", "it", is_secret=True), value)


def test_words() -> None:
    word = Word(("on", "observe", "off"))
    assert read(word, "observe") == "observe"
    assert rejected(word, "On") == 'k: \'On\' is not accepted; give "on", "observe" or "off"'
    assert rejected(word, False) == 'k: false is not accepted; give "on", "observe" or "off"'


@pytest.mark.parametrize(
    ("reader", "right", "wrong"),
    [
        (Flag(), [True, False], [0, 1, "true", None]),
        (Whole(1, 3), [1, 3], [0, 4, 1.0, True, "1"]),
        (Number(0, 1), [0, 0.5, 1], [-0.1, 1.1, float("nan"), float("inf"), True, "0.5"]),
        (Number(0, 1, excludes_ends=True), [0.001, 0.999], [0, 1, 0.0, 1.0]),
    ],
)
def test_flags_and_numbers(reader: Reader, right: list[object], wrong: list[object]) -> None:
    for value in right:
        assert read(reader, value) == value
        assert read(reader, tomllib.loads(f"k = {reader.show(value)}")["k"]) == value
    for value in wrong:
        assert rejected(reader, value).endswith(f"give {reader.accepted}")


def test_each_element_of_an_array_is_there_once() -> None:
    words = ListOf(LOWER, least=1)
    assert read(words, ["a", "b"]) == ("a", "b")
    assert (
        rejected(words, ["a", "b", "a"])
        == "k[2]: 'a' is not accepted; give each once (it is the same as [0])"
    )
    assert rejected(words, ["a", "B"]) == "k[1]: 'B' is not accepted; give a word in lower case"
    many = rejected(words, ["a"] * (MAX_ELEMENTS + 1))
    assert (
        many == "k: an array is not accepted; give an array of 1 to 64, each a word in lower case (it has 65)"
    )
    assert rejected(words, []) == many.replace("65", "0")
    assert (
        rejected(words, "a") == "k: 'a' is not accepted; give an array of 1 to 64, each a word in lower case"
    )
    assert words.show(("a", "b")) == '["a", "b"]'


def test_a_json_document_is_what_json_has() -> None:
    checked: list[object] = []
    document = JsonDocument("a table", lambda value, source: checked.append((value, source)))
    value = {"a": [1, 2.5, {"b": True}], "c": "d"}
    assert read(document, value) == value
    assert checked == [(value, "'h.toml', line 3: k")]
    assert tomllib.loads(f"k = {document.show(value)}")["k"] == value
    wrong = tomllib.loads("a = [1, { b = 1979-05-27 }]")
    assert rejected(document, wrong).startswith("k.a[1].b: ")
    assert rejected(document, {"a": float("inf")}) == "k.a: inf is not accepted; give a number that JSON has"
    assert rejected(document, {"a": 2**63}).endswith("is not accepted; give a number of 64 bits")
    assert rejected(document, [1]) == "k: an array is not accepted; give a table"
    assert len(checked) == 1
