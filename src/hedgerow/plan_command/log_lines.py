"""Log lines to latency, status and second: one reader for each format.

nginx: `combined` and then `$request_time`, or `rt=$request_time urt=$upstream_response_time`, as its documentation
shows. Envoy: its default format and Istio's. HAProxy: `option httplog` (its manual, section 8.2.3).
"""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

CUT_STATUS: Final = b"499"
"""nginx's number for "the client has left"."""

Line: TypeAlias = tuple[Any, Any, Any]
"""Latency in its own unit, status, and what is equal for requests of the same second or empty; texts or numbers."""
ReadLine: TypeAlias = Callable[[bytes], Line | None]
"""Returns None for a line that is not of its format."""

_NGINX: Final = re.compile(rb'\[([^\]]{20})[^\]]*\] "[^"]*" ([0-9]{3}) ')
_NGINX_NAMED: Final = tuple(
    re.compile(rb"\b(?:%s)=\"?([0-9.]+)" % names)
    for names in (rb"urt|upstream_response_time", rb"rt|request_time")
)
_ENVOY: Final = re.compile(
    rb'\[([^\].]{19})[^\]]*\] "[^"]*" ([0-9]{1,3}) (\S+) (?:\S+ \S+ "[^"]*" )?[0-9]+ [0-9]+ (-?[0-9]+|-) '
)
_HAPROXY: Final = re.compile(
    rb"\[([^\].]{20})[^\]]*\] \S+ \S+ (?:-?[0-9]+/){4}\+?(-?[0-9]+) (-?[0-9]+) \+?[0-9]+ \S+ \S+ (\S)"
)
_ENVOY_CUTS: Final = re.compile(rb"\b(?:UT|DC|SI|DT)\b")
"""Response flags: upstream request timeout, downstream disconnect, stream idle timeout, duration timeout."""
_HAPROXY_CUTS: Final = (b"C", b"c", b"s")
"""Session states: ended by the client, its timeout, the server's timeout."""


def read_nginx(line: bytes) -> Line | None:
    """Read a line of nginx's; latencies are in seconds."""
    match = _NGINX.search(line)
    if match is None:
        return None
    second, status = match.groups()
    if b"=" in line[match.end() :]:
        for named in _NGINX_NAMED:
            found = named.search(line, match.end())
            if found is not None:
                return found[1], status, second
    return line.rsplit(None, 1)[-1].strip(b'"'), status, second


def read_envoy(line: bytes) -> Line | None:
    """Read a line of Envoy's; latencies are in ms."""
    match = _ENVOY.search(line)
    if match is None:
        return None
    second, status, flags, latency = match.groups()
    if status == b"0" or (flags != b"-" and _ENVOY_CUTS.search(flags)):
        status = CUT_STATUS
    return latency, status, second


def read_haproxy(line: bytes) -> Line | None:
    """Read a line of HAProxy's; latencies are in ms."""
    match = _HAPROXY.search(line)
    if match is None:
        return None
    second, latency, status, state = match.groups()
    return latency, CUT_STATUS if state in _HAPROXY_CUTS else status, second


LATENCY_FIELDS: Final[dict[str, str]] = {
    "latency_ms": "ms", "duration_ms": "ms", "took_ms": "ms", "elapsed_ms": "ms", "response_time_ms": "ms",
    "latency_s": "s", "duration_s": "s", "latency_us": "us", "duration_us": "us",
    "upstream_response_time": "s", "request_time": "s", "latency": "", "duration": "", "elapsed": "",
    "response_time": "",
}  # fmt: skip
"""Names of latencies that are known, and their units; the first that a log has is taken."""
STATUS_FIELDS: Final = ("status", "status_code", "response_code", "http_status", "code")
SECOND_FIELDS: Final = ("time", "timestamp", "ts", "@timestamp", "at", "time_iso8601")


_AROUND: Final = b' "\r\n'


class Fields(NamedTuple):
    """The names of what is read, in a log that has names."""

    latency: str
    status: str | None
    second: str | None


def json_reader(fields: Fields) -> ReadLine:
    """Return what reads objects of JSON, one a line."""
    names = {"latency": fields.latency, "status": fields.status, "second": fields.second}
    known = {field: name for field, name in names.items() if name is not None}
    shape = msgspec.defstruct(
        "JsonLine",
        [(field, Any, None) for field in known],
        rename=known,
        namespace=dict.fromkeys(names.keys() - known),
    )
    decode = msgspec.json.Decoder(shape).decode

    def read(line: bytes) -> Line | None:
        try:
            found: Any = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        second = found.second
        return found.latency, found.status, second[:19] if isinstance(second, str) else _whole(second)

    return read


def csv_reader(columns: list[str], fields: Fields) -> ReadLine:
    """Return what reads values separated by commas; quotes around a value are left out."""
    latency = columns.index(fields.latency)
    status = columns.index(fields.status) if fields.status in columns else None
    second = columns.index(fields.second) if fields.second in columns else None
    needed = max(latency, status or 0, second or 0)

    def read(line: bytes) -> Line | None:
        values = line.split(b",")
        if len(values) <= needed:
            return None
        return (
            values[latency].strip(_AROUND),
            None if status is None else values[status].strip(_AROUND),
            b"" if second is None else values[second].strip(_AROUND)[:19],
        )

    return read


def _whole(second: Any) -> Any:
    return int(second) if isinstance(second, int | float) and abs(second) < 1e15 else ""
