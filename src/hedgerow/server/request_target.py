"""Validation of a request's target and of its Host header. Pure functions over bytes."""

import re
import socket
from typing import Final

from hedgerow.server.request_rejected import RequestRejected

_NAME_CHARACTER: Final = rb"[A-Za-z0-9._~!$&'()*+,;=\-]"
"""RFC 3986 section 2: `unreserved` and `sub-delims`."""
_REG_NAME: Final = rb"%b*+(?:%%[0-9A-Fa-f]{2}%b*+)*+" % (_NAME_CHARACTER, _NAME_CHARACTER)
_ZONE: Final = rb"(?:[A-Za-z0-9._~\-]|%[0-9A-Fa-f]{2})++"
"""RFC 6874 section 2."""
_AUTHORITY: Final = re.compile(
    rb"(?:(?P<name>%b)|\[(?P<ipv6>[0-9A-Fa-f:.]++)(?:%%25%b)?\]|\[[Vv][0-9A-Fa-f]++\.(?:%b|:)++\])"
    rb"(?::(?P<port>[0-9]*+))?" % (_REG_NAME, _ZONE, _NAME_CHARACTER)
)
"""`uri-host [":" port]` of RFC 9110 section 7.2; RFC 3986 section 3.2.2 has the host. Quantifiers are possessive, so
that a long value takes linear time."""

_MAX_PORT: Final = 65_535
_MAX_PORT_DIGITS: Final = 5


def is_valid_host(value: bytes, *, may_be_empty: bool = True) -> bool:
    """Return whether `value` is a host with an optional port, as the Host header has it.

    The host may be empty in the header (RFC 9112 section 3.2), but not in a URI of http (RFC 9110 section 4.2.1).
    User information is not valid in either (RFC 9110 section 4.2.4).
    """
    match = _AUTHORITY.fullmatch(value)
    if match is None:
        return False
    name, ipv6, port = match.groups()
    if name == b"" and not may_be_empty:
        return False
    return (ipv6 is None or _is_ipv6(ipv6)) and (not port or _is_port(port))


def split_target(target: bytes, *, is_connect: bool) -> tuple[bytes, bytes]:
    """Return path and query of a target in any of the forms of RFC 9112 section 3.2.

    Raises RequestRejected if it is not valid. The authority of a CONNECT is returned as a path, unchecked: there is
    no such path, and the method is rejected.
    """
    # `find`: `in` would first try the bytes as a number, which raises and is caught (0.4 µs).
    if target.find(b"#") >= 0:
        raise _invalid("a request target has no fragment (RFC 9112 section 3.2)")
    if target.startswith(b"/"):
        path, _, query = target.partition(b"?")
        return path, query
    if target == b"*" or (is_connect and target.find(b"://") < 0):
        return target, b""
    return _split_absolute(target)


def _split_absolute(target: bytes) -> tuple[bytes, bytes]:
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise _invalid("the request target is not a URL of http or https")
    hierarchy, _, query = rest.partition(b"?")
    authority, slash, path = hierarchy.partition(b"/")
    if not is_valid_host(authority, may_be_empty=False):
        raise _invalid("the authority of the request target is not a host with an optional port")
    return slash + path or b"/", query


def check_same_host(target: bytes, host: bytes) -> None:
    """Raise RequestRejected if the authority of an absolute target is not that of the Host header.

    RFC 9112 section 3.2.2 has the target win, and a server behind us that reads it otherwise would take the request for
    another host's.
    """
    authority = target.partition(b"://")[2].partition(b"?")[0].partition(b"/")[0]
    if authority.lower() != host.lower():
        raise _invalid("the request target and the Host header name different hosts")


def _is_ipv6(value: bytes) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, value.decode("ascii"))
    except OSError:
        return False
    return True


def _is_port(digits: bytes) -> bool:
    if len(digits) < _MAX_PORT_DIGITS:
        return True
    significant = digits.lstrip(b"0")
    return len(significant) <= _MAX_PORT_DIGITS and int(significant or b"0") <= _MAX_PORT


def _invalid(detail: str) -> RequestRejected:
    return RequestRejected("bad_request", detail)
