"""Which headers are passed on: those for the other end, not those for the connection (RFC 9110 section 7.6.1)."""

from typing import Final

_HOP_BY_HOP: Final = frozenset(
    b"connection http2-settings keep-alive proxy-authenticate proxy-authentication-info proxy-authorization "
    b"proxy-connection te trailer transfer-encoding upgrade".split()
)
"""RFC 9110 section 7.6.1 and its registry entries; `Keep-Alive` and `Proxy-Connection` are older."""

NOT_PASSED_OF_REQUESTS: Final = _HOP_BY_HOP | frozenset(
    b"content-length expect hedgerow-attempt host traceparent tracestate x-forwarded-for x-request-id".split()
)
"""The others are written anew for each attempt; `Expect` is answered by the gateway (RFC 9110 section 10.1.1)."""

NOT_PASSED_OF_RESPONSES: Final = _HOP_BY_HOP | frozenset((b"content-length", b"x-request-id"))
"""The others are written anew for the client."""


def connection_named(values: list[bytes]) -> frozenset[bytes]:
    """Return the names of headers that `Connection` headers with these values list, in lower case."""
    return frozenset(
        name for value in values for part in value.split(b",") if (name := part.strip(b" \t").lower())
    )


def is_written_by_us(name: bytes) -> bool:
    """Return whether a request's header is taken for one of ours by servers that read `_` as `-` (RFC 3875 4.1.18).

    `name` is in lower case. Such a header would forge what the gateway says, so it is not passed on.
    """
    return name.find(b"_") >= 0 and name.replace(b"_", b"-") in _FORGEABLE


_FORGEABLE: Final = NOT_PASSED_OF_REQUESTS | {b"x-forwarded-proto", b"x-forwarded-host", b"via"}


def passed_response_headers(section: bytes, *, keeps_length: bool = False) -> bytes:
    """Return the header lines of a response that are passed on, in their order, whole and unchanged.

    `keeps_length`: it says the length of a body that is not there (RFC 9110 section 8.6).

    `section` is what llhttp has accepted, from behind the status line to before the empty line: no folded lines, each
    line ends with CRLF.
    """
    lines = section.split(b"\r\n")
    kept: list[bytes] = []
    connection: list[bytes] = []
    for line in lines:
        name = line[: line.find(b":")].lower()
        if name in NOT_PASSED_OF_RESPONSES:
            if name == b"connection":
                connection.append(line[11:])
            elif keeps_length and name == b"content-length":
                kept.append(line)
        else:
            kept.append(line)
    if connection:
        named = connection_named(connection)
        kept = [line for line in kept if line[: line.find(b":")].lower() not in named]
    if not kept or kept == [b""]:
        return b""
    return b"\r\n".join(kept) + b"\r\n"


def header_value(section: bytes, name: bytes) -> bytes:
    """Return the value of the first header `name`, which is in lower case, or nothing. `section` is as above."""
    for line in section.split(b"\r\n"):
        if line[: len(name) + 1].lower() == name + b":":
            return line[len(name) + 1 :].strip(b" \t")
    return b""
