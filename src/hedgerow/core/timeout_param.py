"""The one place where a client's timeout is read: from the query, and from headers."""

from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

DEFAULT_PREFIX: Final = b"timeout="
_GRPC_DIGITS: Final = 8
_GRPC_UNITS: Final = {
    b"H": 3_600_000_000_000,
    b"M": 60_000_000_000,
    b"S": 1_000_000_000,
    b"m": 1_000_000,
    b"u": 1_000,
    b"n": 1,
}
"""Nanoseconds (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)."""
_DIGIT_0: Final = ord(b"0")
_CLAMPED_FROM_DIGITS: Final = 10
"""More digits than this are clamped unparsed: int() is quadratic, and rejects more than 4 300 of them."""


@dataclass(frozen=True, slots=True)
class InvalidTimeout:
    """The client's `timeout` is not a number of milliseconds; `detail` is the reason, for the client."""

    detail: str


Timeout: TypeAlias = int | InvalidTimeout
"""Milliseconds, at least 1."""


def parse_timeout_ms(
    query: bytes, *, default_ms: int, max_ms: int, prefix: bytes = DEFAULT_PREFIX
) -> Timeout:
    """Return the timeout from a raw query string; `prefix` is its parameter and `=`. Other parameters are ignored.

    Decimal ASCII digits only, after percent-decoding; `int()` alone would accept ` 5 `, `1_000` and `٣`.
    Absent means `default_ms`; anything above `max_ms`, however long, means `max_ms`.
    """
    if not query or not prefix:
        return default_ms
    if query.startswith(prefix):
        timeout_ms = _short_number(query, len(prefix))
        if timeout_ms > 0:  # the usual query has nothing else
            return min(timeout_ms, max_ms)
    parameter = prefix[:-1]
    pairs = (pair.partition(b"=") for pair in query.split(b"&"))
    given = [_decoded(value) for name, _, value in pairs if _decoded(name) == parameter]
    if not given:
        return default_ms
    name = parameter.decode("ascii")
    if len(given) > 1:
        return InvalidTimeout(f"{name} is given {len(given)} times; give it once, or not at all")
    if not given[0].isdigit():
        return InvalidTimeout(
            f"{name} is {_quoted(given[0])}; it must be a whole number of milliseconds, like 900"
        )
    return _milliseconds(given[0], max_ms, prefix)


def _short_number(text: bytes, start: int) -> int:
    """Return the number that `text` ends with, from `start`; 0 if it is something else or long.

    Compiled, this takes a third of what `isdigit` and `int` do of a slice.
    """
    number, end = 0, len(text)
    if end - start > _CLAMPED_FROM_DIGITS:
        return 0
    for at in range(start, end):
        digit = text[at] - _DIGIT_0
        if not 0 <= digit <= 9:
            return 0
        number = number * 10 + digit
    return number


def parse_timeout_header(name: bytes, value: bytes, max_ms: int) -> Timeout:
    """Return the timeout from a header: `grpc-timeout` has a unit behind its digits, others hold milliseconds.

    `name` is in lower case. The units are those of gRPC over HTTP/2 ("Timeout" in its grammar, at most 8 digits);
    what is not a whole number of milliseconds is rounded up.
    """
    if name != b"grpc-timeout":
        if value.isdigit():
            return _milliseconds(value, max_ms, name + b"=")
        accepted = "a whole number of milliseconds, like 900"
    else:
        digits, nanoseconds = value[:-1], _GRPC_UNITS.get(value[-1:], 0)
        if digits.isdigit() and len(digits) <= _GRPC_DIGITS and nanoseconds:
            timeout_ms = -(-int(digits) * nanoseconds // 1_000_000)
            return min(timeout_ms, max_ms) if timeout_ms else _zero(name)
        accepted = "at most 8 digits and a unit of H, M, S, m, u or n, like 900m"
    return InvalidTimeout(f"{name.decode('ascii')} is {_quoted(value)}; it must be {accepted}")


def without_parameter(query: bytes, parameter: bytes) -> bytes:
    """Return a raw query string without one parameter; the other bytes stay as they are."""
    if query.find(b"&") < 0:
        return b"" if _decoded(query.partition(b"=")[0]) == parameter else query
    return b"&".join([pair for pair in query.split(b"&") if _decoded(pair.partition(b"=")[0]) != parameter])


def _decoded(part: bytes) -> bytes:
    """Undo the encoding of forms. `parse_qsl` of Python 3.11 and 3.12 raises on bytes that are not ASCII."""
    return unquote_to_bytes(part.replace(b"+", b" "))


def _milliseconds(digits: bytes, max_ms: int, prefix: bytes) -> Timeout:
    if len(digits) > _CLAMPED_FROM_DIGITS:
        digits = digits.lstrip(b"0")
        if len(digits) > _CLAMPED_FROM_DIGITS:
            return max_ms
    timeout_ms = int(digits or b"0")
    if timeout_ms == 0:
        return _zero(prefix[:-1])
    return min(timeout_ms, max_ms)


def _zero(name: bytes) -> InvalidTimeout:
    return InvalidTimeout(f"{name.decode('ascii')} is 0; it must be at least 1 millisecond")


def _quoted(value: bytes) -> str:
    text = value[:40].decode("utf-8", "backslashreplace")
    return ascii(text) + (" (shortened)" if len(value) > 40 else "")
