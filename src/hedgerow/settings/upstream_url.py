"""The upstream's URL: what is accepted, and its parts."""

import re
from dataclasses import dataclass
from typing import Final

from hedgerow.settings.errors import InvalidSetting
from hedgerow.settings.hosts import is_host, is_ipv6
from hedgerow.settings.redaction import redacted_url

EMBEDDED: Final = "embedded"
"""The upstream that is started and stopped with the gateway: the bundled simulator."""

ACCEPTED: Final = "one URL like http://127.0.0.1:8090/api/work or https://example.org/api/work, or embedded"

MAX_URL_CHARACTERS: Final = 2_048
"""Servers need not take more than 8 000 (RFC 9112 section 3), and a URL that long is a mistake."""

MAX_PORT: Final = 65_535

_PORT_OF: Final = {"http": 80, "https": 443}
_URL: Final = r"(?is)(?P<scheme>https?)://(?P<host>\[[^\]]*\]|[^/?#:\[\]]*)(?::(?P<port>[^/?#]*))?(?P<path>/[^?]*)?(?P<query>\?.*)?"
_NEXT_URL: Final = r"(?i)[,;|]\s*(?:https?:)?//"
_NOT_IN_URLS: Final = r"[^!-~]|[\"<>\\^`{|}]"
_BAD_ESCAPE: Final = r"%(?![0-9A-Fa-f]{2})"


@dataclass(frozen=True, slots=True)
class Target:
    """Where the upstream is: the parts of its URL."""

    scheme: str
    host: str
    port: int
    path: str
    """With the query: it may hold secrets. `redacted_url` is for showing."""

    @property
    def tls(self) -> bool:
        """Return whether the upstream speaks TLS."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """The `Host` header: the port only where it is not the scheme's own (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORT_OF[self.scheme] else f"{host}:{self.port}"

    @property
    def redacted_url(self) -> str:
        """The URL as it may be shown."""
        return redacted_url(f"{self.scheme}://{self.authority}{self.path}")


EMBEDDED_TARGET: Final = Target("http", EMBEDDED, 0, "/")
"""`embedded` among an upstream's endpoints, until the simulator's port is known. No URL has the port 0."""


def parse_target(url: str, setting: str = "--upstream") -> Target:
    """Return the parts of an upstream's URL, or raise InvalidSetting with what is wrong about it.

    Stricter than RFC 3986 where a mistake would be found by failing requests only: one URL, no user, no fragment, no
    zone, and a host in ASCII. (The standard library's IDNA is that of 2003, which maps some names to other ones.)
    """
    match = re.fullmatch(_URL, url)
    problem = _problem(url, match)
    if match is None or problem:
        raise InvalidSetting(setting, url, f"{ACCEPTED} ({problem})")
    scheme = match["scheme"].lower()
    host = match["host"].strip("[]").lower()
    path = (match["path"] or "/") + (match["query"] or "")
    return Target(scheme, host, int(match["port"] or _PORT_OF[scheme]), path.removesuffix("?"))


def _problem(url: str, match: re.Match[str] | None) -> str:
    """Return what is wrong with a URL, without quoting it, or an empty string."""
    if len(url) > MAX_URL_CHARACTERS:
        return f"it has more than {MAX_URL_CHARACTERS} characters"
    if re.search(_NEXT_URL, url):
        return "it holds several URLs"
    if "#" in url:
        return "it holds a fragment"
    if match is None:
        return "it is no http or https URL"
    if "@" in f"{match['host']}:{match['port']}":
        return "it holds a user or a password"
    if re.search(_NOT_IN_URLS, url) or re.search(_BAD_ESCAPE, url):
        return "percent-encode all but ASCII, and write host names as xn--…"
    host, port = match["host"], match["port"]
    if "%" in host:
        return "its host has a zone or is percent-encoded"
    if not (is_ipv6(host[1:-1]) if host.startswith("[") else is_host(host)):
        return "its host is neither an address nor a name"
    if port and not (re.fullmatch("0*[0-9]{1,5}", port) and 1 <= int(port) <= MAX_PORT):
        return f"its port is not from 1 to {MAX_PORT}"
    return ""
