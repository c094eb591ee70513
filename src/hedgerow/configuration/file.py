"""The settings file: TOML, with the flags' names as keys."""

import os
import re
import stat
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from hedgerow.settings.errors import InvalidSetting, UnknownSetting, quoted

MAX_FILE_BYTES: Final = 1024 * 1024
"""A longer file was not written for this, and parsing it would hold up the start for a second or more."""

ACCEPTED: Final = "a TOML file of settings"


class Given(NamedTuple):
    """A value as it was given, and how messages name the place where it was."""

    value: Any
    source: str


def read_file(
    path: str, named_by: str, known: Mapping[str, str], *, ignores_unknown: bool
) -> dict[str, Given]:
    """Return the values of a file by the names of their settings; raises InvalidSetting.

    `named_by` is the flag or the variable that named the file; `known` has the name of each setting by its key. A key
    may have underscores in place of its hyphens, but it is there once.
    """
    text = _read(path, named_by)
    found: dict[str, Given] = {}
    for key, value in _parse(text, path, named_by).items():
        where = f"{quoted(path)}{_line_of(key, text)}"
        name = known.get(key.replace("_", "-"))
        if name is None and not ignores_unknown:
            raise UnknownSetting(key, where, list(known))
        if name in found:
            raise InvalidSetting(where, key, f"each setting once; {found[name].source} is the same one")
        if name is not None:
            found[name] = Given(value, f"{where}: {key}")
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
    except ValueError as error:  # TOMLDecodeError is one; a number of 5 000 digits raises another
        reason = " ".join(str(error).split())
        raise InvalidSetting(named_by, path, f"{ACCEPTED} ({reason})") from None


def _line_of(key: str, text: str) -> str:
    """Return `, line 3` for the first line that begins with the key, or nothing where it is written another way."""
    pattern = re.compile(rf"[\"']?{re.escape(key)}[\"']?[ \t]*[=.\]]")
    for number, line in enumerate(text.split("\n"), 1):
        if pattern.match(line.lstrip(" \t[")):
            return f", line {number}"
    return ""
