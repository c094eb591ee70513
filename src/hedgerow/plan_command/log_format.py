"""Which format a log has: named, or found out from its first lines."""

import sys
from codecs import BOM_UTF8
from contextlib import AbstractContextManager, nullcontext
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

import msgspec

from hedgerow.plan_command.log_lines import (
    LATENCY_FIELDS,
    SECOND_FIELDS,
    STATUS_FIELDS,
    Fields,
    ReadLine,
    csv_reader,
    json_reader,
    read_envoy,
    read_haproxy,
    read_nginx,
)
from hedgerow.plan_command.source import SourceError

UNITS_S: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
PEEK_BYTES: Final = 64 * 1024
"""Of the start of a log, from which its format is found out."""
PEEK_LINES: Final = 20
_MAX_NAME: Final = 40
"""Characters of a name of the log in a message: what is no log at all has long ones."""
_BINARY: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""How files of gzip, bzip2, xz and zstd begin."""
_PROXIES: Final[dict[str, tuple[str, ReadLine]]] = {
    "envoy": ("ms", read_envoy), "haproxy": ("ms", read_haproxy), "nginx": ("s", read_nginx),
}  # fmt: skip


class LogFormat(NamedTuple):
    """How to read a log."""

    name: str
    read: ReadLine
    unit_s: float
    """Seconds in one of its latencies' units."""
    unit_was_given: bool = True
    has_status: bool = True


def open_log(path: str) -> AbstractContextManager[BinaryIO]:
    """Open a log; raises SourceError."""
    if path == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        if Path(path).is_dir():
            raise SourceError(f"{path}: it is a folder; give a file")
        return Path(path).open("rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceError(f"{path}: it cannot be read: {reason}") from None


def recognise(
    path: str, file: BinaryIO, *, name: str | None, unit: str | None, field: str | None
) -> LogFormat:
    """Return the format of a log, of which nothing is read but the header of a CSV file; raises SourceError."""
    start = (
        cast("BufferedReader", file).peek(PEEK_BYTES) if not isinstance(file, BytesIO) else file.getvalue()
    )
    if start.startswith(_BINARY) or b"\0" in start:
        raise SourceError(
            f"{path}: it is no text; unpack a compressed log first: `zcat FILE | hedgerow plan -`"
        )
    if start.startswith(BOM_UTF8):  # some editors write one, and JSON does not allow it
        file.read(len(BOM_UTF8))
        start = start[len(BOM_UTF8) :]
    lines = [line for line in start.splitlines()[:PEEK_LINES] if line.strip()]
    if not lines:
        raise SourceError(f"{path}: it is empty")
    if name is None or name == "auto":
        name = _found(lines)
    if name in _PROXIES:
        its_unit, read = _PROXIES[name]
        return LogFormat(f"{name}'s format", read, UNITS_S[unit or its_unit])
    if name == "json":
        objects = [found for found in map(_object, lines) if found is not None]
        return _named(path, "JSON", [key for found in objects[:1] for key in found], unit, field)
    columns = [column.strip(' "') for column in lines[0].decode("utf-8", "replace").split(",")]
    if any(column.replace(".", "", 1).isdigit() for column in columns):
        columns = ["latency", "status", *map(str, range(2, len(columns)))][: len(columns)]
    else:
        file.readline()
    return _named(path, "CSV", columns, unit, field)


def _found(lines: list[bytes]) -> str:
    if any(_object(line) is not None for line in lines):
        return "json"
    for name, (_, read) in _PROXIES.items():
        if any(read(line) is not None for line in lines):
            return name
    return "csv"


def _object(line: bytes) -> dict[str, object] | None:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else None


def _named(path: str, name: str, names: list[str], unit: str | None, field: str | None) -> LogFormat:
    latency = field or next((known for known in LATENCY_FIELDS if known in names), None)
    if latency is None or latency not in names:
        looked_for = field or ", ".join(list(LATENCY_FIELDS)[:6])
        found = ", ".join(name[:_MAX_NAME] for name in names[:8]) or "nothing"
        raise SourceError(
            f"{path}: no latency found: looked for {looked_for}; there is {found}; name it by --latency-field"
        )
    its_unit = unit or LATENCY_FIELDS.get(latency) or _suffix(latency)
    if not its_unit:
        raise SourceError(f"{path}: the unit of {latency!r} is not known; pass --latency-unit s, ms or us")
    fields = Fields(latency, _first(STATUS_FIELDS, names), _first(SECOND_FIELDS, names))
    read = json_reader(fields) if name == "JSON" else csv_reader(names, fields)
    return LogFormat(name, read, UNITS_S[its_unit], unit is not None, has_status=fields.status is not None)


def _first(known: tuple[str, ...], names: list[str]) -> str | None:
    return next((name for name in known if name in names), None)


def _suffix(name: str) -> str | None:
    return next((unit for unit in UNITS_S if name.endswith(f"_{unit}")), None)
