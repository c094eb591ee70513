"""Files with routes and upstreams, made from the schema and read as `hedgerow` reads them."""

from pathlib import Path
from typing import Any

from hedgerow.configuration.file import read_document
from hedgerow.configuration.route_schema import ROUTE
from hedgerow.configuration.routing import read_routing
from hedgerow.configuration.table import Key, Table, walk
from hedgerow.configuration.upstream_schema import UPSTREAM
from hedgerow.settings.effective_routing import Routing
from hedgerow.settings.errors import SettingsError
from hedgerow.settings.routes import RouteRule, UpstreamRule

KEYS = [*(("upstreams", *row) for row in walk(UPSTREAM)), *(("routes", *row) for row in walk(ROUTE))]
"""Where it is, from there on, its table and itself."""
IDS = [".".join([table, *path]) for table, path, _, _ in KEYS]


def read_text(folder: Path, text: str) -> Routing:
    """Read a file with this text; raises SettingsError."""
    file = folder / "h.toml"
    file.write_bytes(text.encode())
    return read_routing(read_document(str(file), "--config"))


def message_of(folder: Path, text: str) -> str:
    """Return the message with which a file is rejected, without the path of the file; empty if it is accepted."""
    try:
        read_text(folder, text)
    except SettingsError as error:
        message = str(error)
    else:
        return ""
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    start = repr(str(folder / "h.toml"))
    assert message.startswith(start)
    return message.removeprefix(start).removeprefix(", ")


def file_with(where: str, path: tuple[str, ...], table: Table[Any], key: Key, value: str) -> tuple[str, int]:
    """Return a file in which one key has a value, and the line where it is; all else is as little as there can be."""
    keys = {"routes": ["path = '/p'", 'upstream = "u"'], "upstreams": ['endpoints = ["https://h/"]']}
    if path[0] == "path_prefix":
        keys["routes"].pop(0)
    if path[0] == "sample":
        keys["routes"].append('hedge.mode = "observe"')
    keys[where] = [line for line in keys[where] if not line.startswith(f"{path[0]} ")]
    if where == "routes" and path[:2] == ("hedge", "sample"):
        keys["routes"].append('hedge.mode = "observe"')
    siblings = [other for other in table.keys if table.is_required(other) and other is not key]
    if len(path) > 1:
        keys[where] += [f"{'.'.join([*path[:-1], other.name])} = {other.example}" for other in siblings]
    keys[where].append(f"{'.'.join(path)} = {value}")
    lines = ["[upstreams.u]", *keys["upstreams"], "[[routes]]", *keys["routes"]]
    return "\n".join(lines) + "\n", lines.index(keys[where][-1]) + 1


def value_at(routing: Routing, where: str, path: tuple[str, ...]) -> Any:
    """Return what became of a key."""
    rows = {".".join(row_path): key for row_where, row_path, _, key in KEYS if row_where == where}
    value: Any = routing.routes[0] if where == "routes" else routing.upstreams[0]
    for length in range(1, len(path) + 1):
        if path[:length] == ("final", "status"):
            return value
        value = getattr(value, rows[".".join(path[:length])].target)
    return value


def shown(routes: list[RouteRule], upstreams: list[UpstreamRule]) -> str:
    """Return a file that says all of this, each rule as one table."""
    text = "".join(f"[upstreams.'{rule.name}']\n{_lines(UPSTREAM, rule)}\n" for rule in upstreams)
    return text + "".join(f"[[routes]]\n{_lines(ROUTE, rule)}\n" for rule in routes)


def _lines(table: Table[Any], rule: Any) -> str:
    found = ((key, getattr(rule, key.target)) for key in table.keys)
    return "\n".join(
        f"{key.name} = {key.show(value)}" for key, value in found if value != table.default_of(key)
    )
