"""The settings file: TOML, with the flags' names as keys, and tables of routes and upstreams."""

import os
import re
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hedgerow.settings.errors import InvalidSetting, SettingsError, UnknownSetting, quoted
from hedgerow.settings.setting import all_settings

if TYPE_CHECKING:
    from hedgerow.configuration.toml_lines import KeyPath

MAX_FILE_BYTES: Final = 1024 * 1024
"""A longer file was not written for this, and parsing it would hold up the start for a second or more."""

ACCEPTED: Final = "a TOML file of settings"

_BARE_KEY: Final = "[A-Za-z0-9_-]{1,64}"


class Given(NamedTuple):
    """A value as it was given, and how messages name the place where it was."""

    value: Any
    source: str


class Place:
    """Where in a file a value is, for messages."""

    def __init__(self, file: str, lines: "Callable[[], dict[KeyPath, int]]", path: "KeyPath" = ()) -> None:
        """`lines` is called where a line is named: most files are right, and need none."""
        self._file = file
        self._lines = lines
        self.path = path

    def at(self, *more: str | int) -> "Place":
        """Return the place of a key, or of an element, within this one."""
        return Place(self._file, self._lines, (*self.path, *more))

    @property
    def line(self) -> str:
        """`'/etc/h.toml', line 3`."""
        from hedgerow.configuration.toml_lines import line_of  # noqa: PLC0415 (as for tomllib, below)

        line = line_of(self.path, self._lines())
        return quoted(self._file) if line is None else f"{quoted(self._file)}, line {line}"

    @property
    def key(self) -> str:
        """`routes[0].hedge.after`."""
        text = ""
        for part in self.path:
            if isinstance(part, int):
                text += f"[{part}]"
            else:
                text += f"{'.' if text else ''}{part if re.fullmatch(_BARE_KEY, part) else quoted(part)}"
        return text

    @property
    def source(self) -> str:
        """Line and key, as `InvalidSetting` names a setting."""
        return f"{self.line}: {self.key}"

    def reject(self, given: object, accepted: str, reason: str = "") -> InvalidSetting:
        """Return the error for a value that is not accepted here."""
        return InvalidSetting(self.source, given, f"{accepted} ({reason})" if reason else accepted)

    def missing(self, accepted: str) -> SettingsError:
        """Return the error for a key that is not there, but has to be."""
        return SettingsError(f"{self.source}: it is missing; give {accepted}")

    def reject_key(self, key: str, known: Iterable[str]) -> SettingsError:
        """Return the error for a key of the table here that has no meaning."""
        where, names = self.at(key).line, list(known)
        if not self.path:
            return UnknownSetting(key, where, names)
        if key.replace("-", "_") in all_settings():
            accepted = "it above the first [table]: it is a setting of the gateway, and TOML reads it as of this table"
            return InvalidSetting(f"{where}: {self.key}", key, accepted)
        return UnknownSetting(key, f"{where}: {self.key}", names, f"they are {', '.join(names)}", "key of it")


class Document(NamedTuple):
    """A file of TOML, as it is."""

    values: dict[str, Any]
    place: Place


def read_document(path: str, named_by: str) -> Document:
    """Return what a file holds; `named_by` is the flag or the variable that named it. Raises InvalidSetting."""
    from hedgerow.configuration.toml_lines import lines_of  # noqa: PLC0415 (as for tomllib, below)

    text = _read(path, named_by)
    return Document(_parse(text, path, named_by), Place(path, cache(lambda: lines_of(text))))


def read_settings(
    document: Document, known: Mapping[str, str], tables: Collection[str], *, ignores_unknown: bool
) -> dict[str, Given]:
    """Return the values of a file by the names of their settings; raises InvalidSetting.

    `known` has the name of each setting by its key. A key may have underscores in place of its hyphens, but it is
    there once. `tables` are the keys that others read.
    """
    found: dict[str, Given] = {}
    for key, value in document.values.items():
        if key in tables:
            continue
        name = known.get(key.replace("_", "-"))
        if name is None and not ignores_unknown:
            raise document.place.reject_key(key, [*known, *tables])
        if name in found:
            where = document.place.at(key).line
            raise InvalidSetting(where, key, f"each setting once; {found[name].source} is the same one")
        if name is not None:
            found[name] = Given(value, document.place.at(key).source)
    return found


def _read(path: str, named_by: str) -> str:
    try:
        descriptor = os.open(
            path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        )  # a FIFO would wait for its writer
    except (OSError, ValueError) as error:  # the latter for a path with a NUL
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidSetting(named_by, path, f"{ACCEPTED} that can be read ({reason})") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
            raise InvalidSetting(named_by, path, f"{ACCEPTED} (it is {kind})")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidSetting(named_by, path, f"{ACCEPTED} that can be read ({error.strerror})") from None
    finally:
        os.close(descriptor)
    if len(content) > MAX_FILE_BYTES:
        raise InvalidSetting(named_by, path, f"{ACCEPTED} of at most {MAX_FILE_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")  # some editors write a byte order mark
    except UnicodeDecodeError as error:
        raise InvalidSetting(named_by, path, f"{ACCEPTED} in UTF-8 (byte {error.start} is not)") from None


def _parse(text: str, path: str, named_by: str) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 (2 % of each start, for what few use)

    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InvalidSetting(named_by, path, f"{ACCEPTED} (this one is nested too deeply)") from None
    except ValueError as error:  # TOMLDecodeError is one; int() raises another for more digits than it reads
        reason = " ".join(str(error).split())
        if not isinstance(error, tomllib.TOMLDecodeError):
            reason = f"a number in it has more than {sys.get_int_max_str_digits()} digits"
        raise InvalidSetting(named_by, path, f"{ACCEPTED} ({reason})") from None
