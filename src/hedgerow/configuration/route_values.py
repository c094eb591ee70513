"""Readers of what only routes and upstreams have: endpoints, paths, methods, names of headers."""

import re
from dataclasses import dataclass
from typing import Final

from hedgerow.configuration.file import Place
from hedgerow.configuration.values import ListOf, Text, shown_text
from hedgerow.core.header_fields import NOT_PASSED_OF_REQUESTS
from hedgerow.core.request_path import path_problem
from hedgerow.settings.hosts import HOST, is_host, is_ipv6
from hedgerow.settings.routes import MAX_ENDPOINTS, MAX_NAME_CHARACTERS
from hedgerow.settings.upstream_url import EMBEDDED, EMBEDDED_TARGET, Target, parse_target

MAX_PATH_CHARACTERS: Final = 1_024
"""Of a path in the file. A target may have 8 KiB, with its query."""

MAX_HEADER_VALUE: Final = 4_096
"""Of a header that is set: tokens are shorter, and many servers take 8 KiB for all headers together."""

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}"  # noqa: S105
"""RFC 9110 section 5.6.2; bounded, for names are written by hand."""

OWN_HEADERS: Final = frozenset(name.decode() for name in NOT_PASSED_OF_REQUESTS)

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""They may be sent several times whatever they ask for (RFC 9110 section 9.2.1). TRACE would be, too."""

PROXIED_METHODS: Final = frozenset({
    "ACL", "BIND", "CHECKOUT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY",
    "MKCALENDAR", "MKCOL", "MOVE", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT",
    "QUERY", "REBIND", "REPORT", "SEARCH", "SUBSCRIBE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
})  # fmt: skip
"""Those that llhttp takes in a request of HTTP, but CONNECT and TRACE; with SOURCE it takes ICE for HTTP, too."""


def _host_problem(text: str) -> str:
    return "" if is_host(text) or is_ipv6(text) else "it is neither"


def _path_problem(text: str) -> str:
    return path_problem(text.encode("utf-8", "replace"))


def _prefix_problem(text: str) -> str:
    if text != "/" and text.endswith("/"):
        return "without / at its end: it covers whole segments anyway"
    return _path_problem(text)


def _header_problem(text: str) -> str:
    return "it belongs to one connection, or the gateway makes it" if text.lower() in OWN_HEADERS else ""


def _method_problem(text: str) -> str:
    if text in ("CONNECT", "TRACE"):
        return "it is not proxied"
    return (
        ""
        if text in PROXIED_METHODS
        else "requests with it are rejected as malformed before any route has them"
    )


HOST_NAME: Final = Text(".*", HOST, _host_problem)
FILE: Final = Text(r"[^\0]+", "the path of a file")
NAME: Final = Text(r"[A-Za-z0-9._-]{1,64}", "a name of 1 to 64 letters, digits, '.', '_' or '-'")
LABEL: Final = Text(
    rf"[ !#-\[\]-~]{{1,{MAX_NAME_CHARACTERS}}}",
    f"a name of 1 to {MAX_NAME_CHARACTERS} characters of ASCII, without quotes and backslashes",
)
_PATTERN: Final = rf"(?s).{{0,{MAX_PATH_CHARACTERS}}}"
PATH: Final = Text(
    _PATTERN, f'a path like "/v1/price", of at most {MAX_PATH_CHARACTERS} bytes', _path_problem
)
PREFIX: Final = Text(_PATTERN, f'a path like "/v1", of at most {MAX_PATH_CHARACTERS} bytes', _prefix_problem)
PARAMETER: Final = Text(
    r"[A-Za-z0-9._~-]{1,64}", "the name of a query parameter: letters, digits, '.', '_', '~' or '-'"
)
METHODS: Final = ListOf(Text(r"[A-Z][A-Z-]{0,31}", "a method in upper case", _method_problem), least=1)


@dataclass(frozen=True, slots=True)
class HeaderName:
    """The name of a header, in lower case from here on."""

    accepted: str = "the name of a header that is passed on, like x-request-timeout-ms"

    def read(self, value: object, place: Place) -> str:
        return Text(_TOKEN, self.accepted, _header_problem).read(value, place).lower()

    def show(self, value: str) -> str:
        return shown_text(value)


HEADER_NAME: Final = HeaderName()

_HEADER_VALUE: Final = Text(
    rf"[!-~](?:[\t -~]{{0,{MAX_HEADER_VALUE - 2}}}[!-~])?",
    f"a text of printable ASCII, of at most {MAX_HEADER_VALUE} characters, without blanks around it",
    is_secret=True,
)


@dataclass(frozen=True, slots=True)
class HeaderValues:
    """A table of headers and their values, which may be secrets: no message has them."""

    accepted: str = 'a table like { x-source = "gateway" }'

    def read(self, value: object, place: Place) -> dict[str, str]:
        if not isinstance(value, dict):
            raise place.reject(value, self.accepted)
        found: dict[str, str] = {}
        for name, text in value.items():
            read = HEADER_NAME.read(name, place.at(name))
            if read in found:
                raise place.at(name).reject(name, "each header once, in upper or lower case")
            found[read] = _HEADER_VALUE.read(text, place.at(name))
        return found

    def show(self, value: dict[str, str]) -> str:
        pairs = (f"{shown_text(name)} = {shown_text(text)}" for name, text in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL, or `embedded`."""

    accepted: str = 'a URL like "https://a.internal:8443/base"'

    def read(self, value: object, place: Place) -> Target:
        if not isinstance(value, str):
            raise place.reject(value, self.accepted)
        if value == EMBEDDED:
            return EMBEDDED_TARGET
        target = parse_target(value, place.source)
        problem = path_problem(re.sub(r"\?.*", "", target.path, flags=re.DOTALL).encode())
        if problem:
            raise place.reject(value, self.accepted, problem)
        return target

    def show(self, value: Target) -> str:
        is_embedded = value == EMBEDDED_TARGET
        return shown_text(EMBEDDED if is_embedded else f"{value.scheme}://{value.authority}{value.path}")


ENDPOINTS: Final = ListOf(Endpoint(), least=1, most=MAX_ENDPOINTS)
