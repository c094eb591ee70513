"""Which paths are accepted: one rule for the routes of a configuration file and for the requests to them.

A path that gateway and upstream may read differently is rejected, not repaired: a rule of one of them would be passed
by the other's reading (RFC 3986 section 6.2.2 lets each normalize as it likes).
"""

import re
from typing import Final

_USUAL: Final = re.compile(rb"(?:/(?!\.)[!$&-.0-;=@-Z_a-z~]++)++/?+")
"""Paths without % or a dot that begins a segment have no problem: a tenth of the time of a search for one."""
_PROBLEM: Final = re.compile(
    rb"(?P<start>\A(?!/))"
    rb"|(?P<empty>//)"
    rb"|(?P<dots>/(?:\.|%2[Ee]){1,2}(?=[/;]|\Z))"
    rb"|(?P<escape>%(?![0-9A-Fa-f]{2}))"
    rb"|(?P<hidden>%(?:2[Ff]|5[Cc]|[01][0-9A-Fa-f]|7[Ff]))"
    rb"|(?P<character>[^!$%&-;=@-Z_a-z~])"
)
"""The last one: all but `pchar` of RFC 3986 section 3.3, and `/`."""

_DETAILS: Final = {
    "start": "a path begins with /",
    "empty": "a path has no // in it",
    "dots": "a path has no . or .. as a segment, percent-encoded or not, nor before a ;",
    "escape": "a % in a path is followed by two hexadecimal digits",
    "hidden": "a path has no percent-encoded /, \\ or control character",
    "character": "percent-encode all characters of a path but those of RFC 3986 section 3.3",
}

MAX_SHOWN_PATH: Final = 256
"""Characters of a path in a log line or a span; a client may send one of `ClientLimits.max_target_bytes`."""
_SHOWN_AS_IS: Final = frozenset(range(0x21, 0x7F)) - frozenset(b"\\")


def shown_path(path: bytes) -> str:
    r"""Return a path for logs and traces: printable ASCII without blanks, all else as `\xNN`, `...` for what is cut.

    What a client writes there neither ends a line nor moves a terminal's cursor.
    """
    shown = "".join(
        chr(byte) if byte in _SHOWN_AS_IS else f"\\x{byte:02x}" for byte in path[: MAX_SHOWN_PATH + 1]
    )
    return shown if len(shown) <= MAX_SHOWN_PATH else shown[: MAX_SHOWN_PATH - 3] + "..."


def path_problem(path: bytes) -> str:
    """Return what is wrong with a path, in words for people, or an empty string. Takes linear time."""
    if _USUAL.fullmatch(path) is not None:
        return ""
    found = _PROBLEM.search(path)
    return "" if found is None else _DETAILS[found.lastgroup or "character"]
