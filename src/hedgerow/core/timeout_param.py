"""The one place where `timeout` is read from a request."""

from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

_PREFIX: Final = b"timeout="
_CLAMPED_FROM_DIGITS: Final = 10
"""More digits than this are clamped unparsed: int() is quadratic, and rejects more than 4 300 of them."""


@dataclass(frozen=True, slots=True)
class InvalidTimeout:
    """The client's `timeout` is not a number of milliseconds; `detail` is the reason, for the client."""

    detail: str


Timeout: TypeAlias = int | InvalidTimeout
"""Milliseconds, at least 1."""


def parse_timeout_ms(query: bytes, *, default_ms: int, max_ms: int) -> Timeout:
    """Return `timeout` from a raw query string; other parameters are ignored.

    Decimal ASCII digits only, after percent-decoding; `int()` alone would accept ` 5 `, `1_000` and `٣`.
    Absent means `default_ms`; anything above `max_ms`, however long, means `max_ms`.
    """
    if query.startswith(_PREFIX):  # the usual query has nothing else
        digits = query[len(_PREFIX) :]
        if digits.isdigit():  # of bytes: ASCII alone
            return _milliseconds(digits, max_ms)
    if not query:
        return default_ms
    pairs = (pair.partition(b"=") for pair in query.split(b"&"))
    given = [_decoded(value) for name, _, value in pairs if _decoded(name) == b"timeout"]
    if not given:
        return default_ms
    if len(given) > 1:
        return InvalidTimeout(f"timeout is given {len(given)} times; give it once, or not at all")
    if not given[0].isdigit():
        return InvalidTimeout(
            f"timeout is {_quoted(given[0])}; it must be a whole number of milliseconds, like 900"
        )
    return _milliseconds(given[0], max_ms)


def _decoded(part: bytes) -> bytes:
    """Undo the encoding of forms. `parse_qsl` of Python 3.11 and 3.12 raises on bytes that are not ASCII."""
    return unquote_to_bytes(part.replace(b"+", b" "))


def _milliseconds(digits: bytes, max_ms: int) -> Timeout:
    if len(digits) > _CLAMPED_FROM_DIGITS:
        digits = digits.lstrip(b"0")
        if len(digits) > _CLAMPED_FROM_DIGITS:
            return max_ms
    timeout_ms = int(digits or b"0")
    if timeout_ms == 0:
        return InvalidTimeout("timeout is 0; it must be at least 1 millisecond")
    return min(timeout_ms, max_ms)


def _quoted(value: bytes) -> str:
    text = value[:40].decode("utf-8", "backslashreplace")
    return ascii(text) + (" (shortened)" if len(value) > 40 else "")
