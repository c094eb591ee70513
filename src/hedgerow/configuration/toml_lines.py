"""Where the keys of a TOML document are: the parser of the standard library does not report it.

A scanner for documents that `tomllib` has accepted: it need not find mistakes, only distinguish a key from a value.
https://toml.io/en/v1.0.0
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""From the document down: keys, and positions in arrays. `("routes", 0, "hedge", "after")`."""

_PART: Final = (
    r'"""(?:[^"\\]++|\\.|"{1,2}(?!"))*+"{3,5}'
    r"|'''(?:[^']++|'{1,2}(?!'))*+'{3,5}"
    r'|"(?:[^"\\]++|\\.)*+"'
    r"|'[^']*+'"
    r"|#[^\n]*+|[ \t\r\ufeff]++"
    r"|[\[\]{},.=\n]"
    r"|[^\s#\"'=\[\]{},.]++"
)
"""A string, a comment, blanks, one character of the grammar, or what stands for itself: a key, a number, a date."""

_ENDS_OF_VALUES: Final = (",", "]", "}", "\n", "")
_NO_KEYS: Final = (*_ENDS_OF_VALUES, "[", "{", ".", "=")


class _Token(NamedTuple):
    text: str
    line: int


def line_of(path: KeyPath, lines: dict[KeyPath, int]) -> int | None:
    """Return the line of a key, or that of the nearest table or array around it; None if none is known."""
    return next((lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in lines), None)


def lines_of(text: str) -> dict[KeyPath, int]:
    """Return the line of each key, table and array element of a valid document, the first one being 1."""
    scanner = _Scanner(text)
    with suppress(ValueError, RecursionError):  # of what cannot be read no line is named
        scanner.scan()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._lengths: dict[KeyPath, int] = {}
        """Of arrays of tables, so far."""
        self._tokens = list(_tokens(text))
        self._at = 0

    def scan(self) -> None:
        table: KeyPath = ()
        while True:
            self._skip_newlines()
            if not self._next:
                return
            if self._next == "[":
                table = self._header()
            else:
                self._pair(table)
            self._expect("\n" if self._next else "")

    @property
    def _next(self) -> str:
        return self._tokens[self._at].text

    def _expect(self, *texts: str) -> None:
        for text in texts:
            if self._next != text:
                raise ValueError(text)
            self._at += bool(text)

    def _skip_newlines(self) -> None:
        while self._next == "\n":
            self._at += 1

    def _header(self) -> KeyPath:
        line = self._tokens[self._at].line
        self._expect("[")
        is_array = self._next == "["
        self._at += is_array
        *parents, last = self._key()
        self._expect(*"]]"[: 1 + is_array])
        path: KeyPath = ()
        for part in parents:
            path = self._newest((*path, part))
            self.lines.setdefault(path, line)
        path = (*path, last)
        self.lines.setdefault(path, line)
        if is_array:
            self._lengths[path] = self._lengths.get(path, 0) + 1
            path = self._newest(path)
            self.lines[path] = line
            return path
        return self._newest(path)

    def _newest(self, path: KeyPath) -> KeyPath:
        """Return the path of the newest element, if this is an array of tables."""
        length = self._lengths.get(path)
        return path if length is None else (*path, length - 1)

    def _pair(self, table: KeyPath) -> None:
        line = self._tokens[self._at].line
        path = table
        for part in self._key():
            path = (*path, part)
            self.lines.setdefault(path, line)
        self._expect("=")
        self._value(path)

    def _key(self) -> list[str]:
        parts = []
        while True:
            parts.append(_plain(self._next))
            self._at += 1
            if self._next != ".":
                return parts
            self._at += 1

    def _value(self, path: KeyPath) -> None:
        if self._next == "[":
            self._array(path)
        elif self._next == "{":
            self._inline_table(path)
        else:
            while self._next not in _ENDS_OF_VALUES:
                self._at += 1

    def _array(self, path: KeyPath) -> None:
        self._expect("[")
        position = 0
        self._skip_newlines()
        while self._next != "]":
            self.lines[(*path, position)] = self._tokens[self._at].line
            self._value((*path, position))
            position += 1
            self._skip_newlines()
            if self._next != "]":
                self._expect(",")
            self._skip_newlines()
        self._expect("]")

    def _inline_table(self, path: KeyPath) -> None:
        self._expect("{")
        self._skip_newlines()
        while self._next != "}":
            self._pair(path)
            self._skip_newlines()  # which are allowed from TOML 1.1 on
            if self._next != "}":
                self._expect(",")
            self._skip_newlines()
        self._expect("}")


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for found in re.finditer(_PART, text, re.DOTALL):
        token = found[0]
        if token[0] not in "# \t\r\ufeff":
            yield _Token(token, line)
        line += token.count("\n")
    yield _Token("", line)


def _plain(key: str) -> str:
    """Return a key as it is meant. Raises ValueError if it is none."""
    if key in _NO_KEYS:
        raise ValueError(key)
    if key[0] not in "\"'":
        return key
    import tomllib  # noqa: PLC0415 (2 % of each start, for what few use)

    return next(iter(tomllib.loads(f"{key} = 0")))
