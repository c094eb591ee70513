"""What a host is: an IPv4 or IPv6 address, or a name of the domain name system (RFC 1123 section 2.1)."""

import re
from typing import Final

HOST: Final = "an IP address or the name of a host, in ASCII"

MAX_NAME_CHARACTERS: Final = 253
"""RFC 1035 section 2.3.4: 255 octets on the wire."""

_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
"""With underscores, which no host name should have, and many of containers have."""
_NUMBER: Final = r"[0-9]+|0[xX][0-9A-Fa-f]*"


def is_host(text: str) -> bool:
    """Return whether `text` is an IPv4 address or a name; `127.1` and `0x7f.1` are neither (WHATWG URL, 4.5.1)."""
    labels = text.removesuffix(".").split(".")
    if re.fullmatch(_NUMBER, labels[-1]):
        return _is_address(text, 4)
    return len(text) <= MAX_NAME_CHARACTERS and all(re.fullmatch(_LABEL, label) for label in labels)


def is_ipv6(text: str) -> bool:
    """Return whether `text` is an IPv6 address, with or without a zone (`fe80::1%eth0`), without brackets."""
    return ":" in text and _is_address(text, 6)


def _is_address(text: str, version: int) -> bool:
    from ipaddress import ip_address  # noqa: PLC0415 (5 ms; the default hosts are not checked)

    try:
        return ip_address(text).version == version
    except ValueError:
        return False
