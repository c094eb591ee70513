import msgspec
import pytest

from hedgerow.configuration.file import Place
from hedgerow.configuration.table import Key, OneKey, OrTable, OrWord, Table, nested_table, walk
from hedgerow.configuration.values import Whole, Word
from hedgerow.settings.errors import InvalidSetting, SettingsError

PLACE = Place("h.toml", dict)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    size_b: int
    two_words: str = "on"


def _check(rule: Rule, place: Place) -> None:
    if rule.size_b == 7:
        raise place.at("size").reject(7, "another number")


TABLE = Table(
    Rule,
    (
        Key("size", Whole(1, 9), "a size", field="size_b", example="3"),
        Key("two_words", Word(("on", "off")), "words"),
    ),
    "a table like { size = 3 }",
    _check,
)


def rejected(value: object) -> str:
    with pytest.raises(SettingsError) as caught:
        TABLE.read(value, PLACE)
    return str(caught.value)


def test_a_table_becomes_a_rule_with_its_defaults() -> None:
    assert TABLE.read({"size": 3}, PLACE) == Rule(size_b=3)
    assert TABLE.read({"two-words": "off", "size": 3}, PLACE) == Rule(size_b=3, two_words="off")
    assert TABLE.read_with({"size_b": 4}, {}, PLACE) == Rule(size_b=4)


def test_what_is_wrong_is_named_by_its_key() -> None:
    assert rejected({}) == "'h.toml': size: it is missing; give a whole number from 1 to 9"
    assert rejected({"size": 0}) == "'h.toml': size: 0 is not accepted; give a whole number from 1 to 9"
    assert rejected({"size": 7}) == "'h.toml': size: 7 is not accepted; give another number"
    assert rejected({"size": 1, "sizes": 1}) == "'h.toml': 'sizes' is no setting; did you mean size?"
    assert rejected({"two-words": "on", "two_words": "on"}).endswith(
        "give each key once; two-words is the same one"
    )
    assert "an array is not accepted; give a table like { size = 3 }" in rejected([])


def test_a_rule_is_shown_without_its_defaults() -> None:
    assert TABLE.show(Rule(size_b=3)) == "{ size = 3 }"
    assert TABLE.show(Rule(size_b=3, two_words="off")) == '{ size = 3, two_words = "off" }'


def test_a_word_may_stand_for_a_table() -> None:
    reader = OrWord("off", None, TABLE)
    assert reader.read("off", PLACE) is None
    assert reader.read({"size": 1}, PLACE) == Rule(size_b=1)
    assert (reader.show(None), reader.show(Rule(size_b=1))) == ('"off"', "{ size = 1 }")
    for value in ("on", 1, None):
        with pytest.raises(InvalidSetting, match="give a table like"):
            reader.read(value, PLACE)


def test_a_value_may_stand_for_a_table() -> None:
    reader = OrTable(Word(("a", "b")), TABLE)
    assert reader.read("a", PLACE) == "a"
    assert reader.read({"size": 1}, PLACE) == Rule(size_b=1)
    assert (reader.show("a"), reader.show(Rule(size_b=1))) == ('"a"', "{ size = 1 }")
    with pytest.raises(InvalidSetting, match='give "a" or "b", or a table like'):
        reader.read(1, PLACE)


def test_a_table_of_one_key_is_its_value() -> None:
    reader = OneKey(TABLE)
    assert reader.read({"size": 2}, PLACE) == 2
    assert reader.show(2) == "{ size = 2 }"


def test_all_keys_are_found_wherever_they_are() -> None:
    outer = Table(
        Rule, (Key("size", OrWord("off", None, TABLE), "…"), Key("two_words", OneKey(TABLE), "…")), "…"
    )
    assert [path for path, _, _ in walk(outer)] == [
        ("size",), ("size", "size"), ("size", "two_words"),
        ("two_words",), ("two_words", "size"), ("two_words", "two_words"),
    ]  # fmt: skip
    assert nested_table(Whole(1, 2)) is None
    assert nested_table(TABLE) is TABLE
