"""The tables of docs/reference/routes.md, from the schema: `python -m docs.routes_reference` (in tests) prints them."""

from typing import Any

import msgspec

from hedgerow.configuration.route_schema import ROUTE
from hedgerow.configuration.table import Key, Table, nested_table
from hedgerow.configuration.upstream_schema import UPSTREAM

COLUMNS = ["Key", "Default", "Accepted", "Meaning", "Example"]


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
            f"`{key.example}`" if key.example else "",
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
        "below"
        if nested_table(key.reader) is not None and not isinstance(value, float)
        else f"`{key.show(value)}`"
    )


def _accepted(key: Key) -> str:
    if isinstance(key.reader, Table) or type(key.reader).__name__ == "OneKey":
        return "a table: below"
    return key.reader.accepted.replace("|", "\\|")


def page_part() -> str:
    """Return all tables as Markdown, each below its heading."""
    parts = []
    for heading, rows in tables().items():
        parts.append(f"## {heading}\n")
        lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
        parts += [*("| " + " | ".join(row) + " |" for row in lines), ""]
    return "\n".join(parts)


if __name__ == "__main__":
    print(page_part())  # noqa: T201
