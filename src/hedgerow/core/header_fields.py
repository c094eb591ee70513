"""Which headers are passed on: those for the other end, not those for the connection (RFC 9110 section 7.6.1)."""

import re
from typing import Final, TypeAlias

_HOP_BY_HOP: Final = frozenset(
    b"connection http2-settings keep-alive proxy-authenticate proxy-authentication-info proxy-authorization "
    b"proxy-connection te trailer transfer-encoding upgrade".split()
)
"""RFC 9110 section 7.6.1 and its registry entries; `Keep-Alive` and `Proxy-Connection` are older."""

NOT_PASSED_OF_REQUESTS: Final = _HOP_BY_HOP | frozenset(
    b"content-length expect hedgerow-attempt host traceparent tracestate x-forwarded-for x-request-id".split()
)
"""The others are rewritten for each attempt; `Expect` is answered by the gateway (RFC 9110 section 10.1.1)."""

_PLAIN: Final = (b"", b"identity")
"""Members of Transfer-Encoding that change nothing; RFC 2616 had the second one."""

NOT_PASSED_OF_RESPONSES: Final = _HOP_BY_HOP | frozenset((b"content-length", b"x-request-id"))
"""The others are rewritten for the client."""


def named_by(connection: list[bytes]) -> frozenset[bytes]:
    """Return the names of other headers that `Connection` headers with these values list, in lower case."""
    if not [value for value in connection if value not in _NAMING_NONE]:
        return _NONE
    return frozenset(
        name for value in connection for part in value.split(b",") if (name := part.strip(b" \t").lower())
    )


_NAMING_NONE: Final = (b"keep-alive", b"close")
"""Usual values of `Connection`: `Keep-Alive` is not passed on in any case, and `Close` is no header (RFC 9110 section
7.6.1)."""
_NONE: Final[frozenset[bytes]] = frozenset()


def is_persistent(lines: bytes, version: str) -> bool:
    """Return whether the connection persists behind a response of HTTP/`version` (RFC 9112 section 9.3).

    `lines` are its header lines, with a CRLF before them.
    """
    values = [value for _, value, _, _ in lines_of(_CONNECTION, lines.lower())]
    options = [option.strip(b" \t") for value in values for option in value.split(b",")]
    return b"close" not in options and (version != "1.0" or b"keep-alive" in options)


class HeaderSection:
    """The header section of a response: what is passed on of it, and what is looked at here."""

    __slots__ = ("coding", "has_date", "is_coded", "length_line", "media_type", "passed")

    def __init__(self, lines: bytes) -> None:
        """`lines` is what llhttp has accepted: the CRLF that ends the status line, then whole lines, none folded."""
        self.coding = b""
        """The value of Content-Encoding, in lower case."""
        self.media_type = b""
        """That of Content-Type, in lower case, without parameters."""
        self.has_date = False
        self.is_coded = False
        """Its body has a transfer coding besides chunked, or chunked twice (RFC 9112 section 6.1)."""
        self.length_line = b""
        """The line of Content-Length."""
        kept: list[bytes] = []
        kept_from = 2
        connection: list[bytes] = []
        codings: list[bytes] = []
        for name, value, begin, end in lines_of(_NOTED, lines):
            if name == b"date":
                self.has_date = True
            elif name == b"content-type":
                self.media_type = value.partition(b";")[0].rstrip(b" \t").lower()
            elif name == b"content-encoding":
                self.coding = value.lower()
            else:
                if name == b"content-length":
                    self.length_line = lines[begin:end]
                elif name == b"connection":
                    connection.append(value)
                elif name == b"transfer-encoding":
                    codings += value.lower().split(b",")
                kept.append(lines[kept_from:begin])
                kept_from = end
        if codings:
            self.is_coded = _is_coded(codings)
        kept.append(lines[kept_from:])
        passed = b"".join(kept)
        named = named_by(connection)
        self.passed = without_names(passed, named) if named else passed
        """Whole header lines in their order, unchanged."""


def _is_coded(codings: list[bytes]) -> bool:
    return [coding for each in codings if (coding := each.strip(b" \t")) not in _PLAIN] not in (
        [],
        [b"chunked"],
    )


def without_names(lines: bytes, names: frozenset[bytes]) -> bytes:
    """Return whole header lines but for those of these names, in lower case."""
    return b"".join(
        [line + b"\r\n" for line in lines.split(b"\r\n")[:-1] if line[: line.find(b":")].lower() not in names]
    )


Noted: TypeAlias = tuple[bytes, bytes, int, int]
"""A header line: its name in lower case, its value without blanks around it, and where it begins and ends."""


def lines_of(pattern: "re.Pattern[bytes]", lines: bytes) -> list[Noted]:
    """Return the lines whose names a pattern of `pattern_of` has, in their order; `lines` has a CRLF before them.

    Takes linear time, whatever the bytes: 1.8 µs for 20 headers of which 4 are found. A lookup of each name takes 25.
    """
    found: list[Noted] = []
    # What is between them, then a name and the rest of its line, and so on: half of what `finditer` takes.
    parts = pattern.split(lines.lower())
    begin = 2
    for index in range(1, len(parts), 3):
        begin += len(parts[index - 1])
        colon = begin + len(parts[index])
        end = colon + len(parts[index + 1]) + 2
        found.append((parts[index], lines[colon + 1 : end - 2].strip(b" \t"), begin, end))
        begin = end
    return found


def pattern_of(names: frozenset[bytes]) -> "re.Pattern[bytes]":
    """Return a pattern for lines of these names, for `lines_of`."""
    return re.compile(rb"\r\n(%b)(:[^\r]*)" % _any_of(sorted(names)))


def lenient_pattern_of(names: frozenset[bytes]) -> "re.Pattern[bytes]":
    """Return such a pattern that also finds names with `_` for `-`.

    Some servers read it as `-` (RFC 3875 section 4.1.18): such a header would forge what we say.
    """
    return re.compile(pattern_of(names).pattern.replace(rb"\-", b"[-_]"))


def _any_of(names: list[bytes]) -> bytes:
    """Return a pattern for one of several names that branches as they do: a third of the time of a plain list."""
    if names == [b""]:
        return b""
    by_first: dict[bytes, list[bytes]] = {}
    for name in names:
        by_first.setdefault(name[:1], []).append(name[1:])
    branches = [
        re.escape(first) + (_any_of(rest) if first else b"") for first, rest in sorted(by_first.items())
    ]
    return branches[0] if len(branches) == 1 else b"(?:%b)" % b"|".join(branches)


_CONNECTION: Final = pattern_of(frozenset((b"connection",)))
_NOTED: Final = pattern_of(NOT_PASSED_OF_RESPONSES | {b"content-encoding", b"content-type", b"date"})
