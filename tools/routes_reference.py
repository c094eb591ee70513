"""The tables of docs/reference/routes.md, from the schema of the configuration file (`tools.reference`)."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from hedgerow.configuration.route_schema import ROUTE
from hedgerow.configuration.table import Key, Table, nested_table
from hedgerow.configuration.upstream_schema import UPSTREAM

COLUMNS: Final = ["key", "default", "accepted", "meaning"]
_SAID_ABOVE: Final = re.compile(
    r' in whole milliseconds| like "(?:300ms|64KiB)".*? or [^,]*,| like "/v1[^"]*", of at most 1024 bytes'
    r'|an array like \["2xx".*?\], of |the name of (?=a header)| that is passed on, like x-request-timeout-ms'
    r"|a whole number from "
)
"""What the rules of the page say once: how durations, sizes, statuses, paths and headers are written."""


def tables() -> dict[str, list[list[str]]]:
    """Return the rows of each table, by the heading above it."""
    found = {"`[upstreams.NAME]`": _rows(UPSTREAM), "`[[routes]]`": _rows(ROUTE)}
    for where, outer in (("upstreams.NAME", UPSTREAM), ("routes", ROUTE)):
        found |= {f"`{path}`": _rows(table) for path, table in _nested(where, outer)}
    return found


def _nested(path: str, table: Table[Any]) -> list[tuple[str, Table[Any]]]:
    found: list[tuple[str, Table[Any]]] = []
    for key in table.keys:
        inner = nested_table(key.reader)
        if inner is not None:
            found += [(f"{path}.{key.name}", inner), *_nested(f"{path}.{key.name}", inner)]
    return found


def _rows(table: Table[Any]) -> list[list[str]]:
    return [
        [
            f"`{key.name}`",
            _default(table, key),
            _accepted(key),
            key.description,
        ]
        for key in table.keys
    ]


def _default(table: Table[Any], key: Key) -> str:
    if key.default:
        return key.default
    value = table.default_of(key)
    if value is msgspec.NODEFAULT:
        return "required"
    if value is None:
        return "none"
    return (
        ""
        if nested_table(key.reader) is not None and not isinstance(value, float)
        else f"`{key.show(value)}`"
    )


def _accepted(key: Key) -> str:
    if isinstance(key.reader, Table) or type(key.reader).__name__ == "OneKey":
        return "a table"
    return _SAID_ABOVE.sub("", key.reader.accepted).replace("|", "\\|")


def routes_tables() -> Iterator[str]:
    """Yield the lines of all tables, each below its heading."""
    for number, (heading, rows) in enumerate(tables().items()):
        yield from ["", f"## {heading}", ""] if number else [f"## {heading}", ""]
        yield f"| {' | '.join(COLUMNS)} |"
        yield "|" + "---|" * len(COLUMNS)
        for row in rows:
            yield f"| {' | '.join(row)} |"
