"""Readers of the values in a file's tables: each checks a value of TOML, and says what it accepts.

`read` raises InvalidSetting, with the place. `show` returns a value as TOML has it: what it shows is read as the same.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from hedgerow.configuration.file import Place


class Reader(Protocol):
    """Reads one kind of value."""

    @property
    def accepted(self) -> str:
        """What is accepted, for people: `a duration like "300ms"`."""

    def read(self, value: object, place: Place) -> Any:
        """Return the value as settings have it; raises InvalidSetting."""

    def show(self, value: Any) -> str:
        """Return a value of the settings as TOML has it."""


def shown_text(text: str) -> str:
    """Return a text as TOML has it, in quotes."""
    return f'"{"".join(map(_shown_character, text))}"'


def _shown_character(character: str) -> str:
    if character in ('"', "\\"):
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a pattern."""

    pattern: str
    accepted: str
    problem: Callable[[str], str] = lambda _: ""
    """Returns why a text that has the pattern is not accepted all the same, or nothing."""
    is_secret: bool = False
    """It is not quoted."""

    def read(self, value: object, place: Place) -> str:
        if isinstance(value, str) and re.fullmatch(self.pattern, value):
            problem = self.problem(value)
            if not problem:
                return value
            raise place.reject(self._shown(value), self.accepted, problem)
        raise place.reject(self._shown(value), self.accepted)

    def _shown(self, value: object) -> object:
        return "***" if self.is_secret else value

    def show(self, value: str) -> str:
        return shown_text(value)


@dataclass(frozen=True, slots=True)
class Word:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def accepted(self) -> str:
        *first, last = map(shown_text, self.words)
        return f"{', '.join(first)} or {last}"

    def read(self, value: object, place: Place) -> str:
        if isinstance(value, str) and value in self.words:
            return value
        raise place.reject(value, self.accepted)

    def show(self, value: str) -> str:
        return shown_text(value)


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    accepted: str = "true or false"

    def read(self, value: object, place: Place) -> bool:
        if isinstance(value, bool):
            return value
        raise place.reject(value, self.accepted)

    def show(self, value: bool) -> str:
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number."""

    least: int
    most: int

    @property
    def accepted(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def read(self, value: object, place: Place) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and self.least <= value <= self.most:
            return value
        raise place.reject(value, self.accepted)

    def show(self, value: int) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Number:
    """A number, with or without a fraction."""

    least: float
    most: float
    excludes_ends: bool = False

    @property
    def accepted(self) -> str:
        if self.excludes_ends:
            return f"a number between {self.least:.9g} and {self.most:.9g}"
        return f"a number from {self.least:.9g} to {self.most:.9g}"

    def read(self, value: object, place: Place) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and self._is_within(value):
            return float(value)
        raise place.reject(value, self.accepted)

    def _is_within(self, value: float) -> bool:
        if self.excludes_ends:
            return self.least < value < self.most
        return self.least <= value <= self.most

    def show(self, value: float) -> str:
        return repr(value)


MAX_ELEMENTS: Final = 64
"""Of an array; more were not written by hand."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """An array, of which each element is there once."""

    reader: Reader
    least: int = 0
    most: int = MAX_ELEMENTS

    @property
    def accepted(self) -> str:
        return f"an array of {self.least} to {self.most}, each {self.reader.accepted}"

    def read(self, value: object, place: Place) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise place.reject(value, self.accepted)
        if not self.least <= len(value) <= self.most:
            raise place.reject(value, self.accepted, f"it has {len(value)}")
        found: list[Any] = []
        for position, one in enumerate(value):
            read = self.reader.read(one, place.at(position))
            if read in found:
                raise place.at(position).reject(one, f"each once (it is the same as [{found.index(read)}])")
            found.append(read)
        return tuple(found)

    def show(self, value: tuple[Any, ...]) -> str:
        return f"[{', '.join(map(self.reader.show, value))}]"


@dataclass(frozen=True, slots=True)
class JsonDocument:
    """A table that can be written as JSON."""

    accepted: str
    check: Callable[[dict[str, Any], str], object]
    """Raises InvalidSetting, by the source that it is given."""

    def read(self, value: object, place: Place) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise place.reject(value, self.accepted)
        self._check_values(value, place)
        self.check(value, place.source)
        return value

    def _check_values(self, value: object, place: Place) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                self._check_values(inner, place.at(key))
        elif isinstance(value, list):
            for position, inner in enumerate(value):
                self._check_values(inner, place.at(position))
        elif isinstance(value, float) and not math.isfinite(value):
            raise place.reject(value, "a number that JSON has")
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise place.reject(value, "a number of 64 bits")
        elif not isinstance(value, str | int | float):
            raise place.reject(value, "a value that JSON has: it has no dates and times")

    def show(self, value: Any) -> str:
        if isinstance(value, dict):
            pairs = (f"{shown_text(key)} = {self.show(inner)}" for key, inner in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        if isinstance(value, list):
            return f"[{', '.join(map(self.show, value))}]"
        if isinstance(value, bool):
            return "true" if value else "false"
        return shown_text(value) if isinstance(value, str) else repr(value)
