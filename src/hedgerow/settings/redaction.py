"""The one redacted form of what operators give: URLs without users, passwords, values of queries and fragments.

It is what every log line, page, message and trace shows in place of the URL itself.
"""

import re
from typing import Final

REDACTED: Final = "***"

# Patterns are texts here and in the modules beside: compiling them would take 5 ms of each start, and few are used.
_ORIGIN: Final = r"[A-Za-z][A-Za-z0-9+.-]*://(?:\[[^\]/?#@]*\]|[^/?#@:\[\]]*)(?::[0-9]*)?(?=[/?#]|\Z)"
"""Scheme, host and port, where no user can be in them."""
_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.-]*://"
_PATH_PARAMETER: Final = r"=[^/;&]*"
_PART: Final = r"[^&;?#]+"
_AFTER_A_URL: Final = "'\")].,;:!?"
"""What belongs to the sentence around a URL, as in "(did you mean 'x'?)"."""


def redacted_url(url: str) -> str:
    """Return `url` with `***` for its user, its password, the values of its query and its fragment.

    It takes any text. What cannot be read as a URL loses all up to its last `@`, so a password with a slash in it is
    not shown either. Names of query parameters stay, and so does the path, but for values of its parameters.
    """
    origin = re.match(_ORIGIN, url)
    if origin is not None:
        start, rest = origin[0], url[origin.end() :]
    elif "@" in url:
        scheme = re.match(_SCHEME, url)
        start, rest = f"{scheme[0] if scheme else ''}{REDACTED}@", url[url.rindex("@") + 1 :]
    else:
        start, rest = "", url
    end_of_path = min((at for at in (rest.find("?"), rest.find("#")) if at >= 0), default=len(rest))
    path = rest[:end_of_path]
    if start:  # else it is more likely the path of a file
        path = re.sub(_PATH_PARAMETER, f"={REDACTED}", path)
    return start + path + re.sub(_PART, _without_value, rest[end_of_path:])


def redacted_text(text: str) -> str:
    """Return `text` with each word of it that may be a URL in its redacted form."""
    return re.sub(r"\S+", lambda word: _redacted_word(word[0]), text)


def _redacted_word(word: str) -> str:
    url = word.rstrip(_AFTER_A_URL)
    return redacted_url(url) + word[len(url) :] if any(part in url for part in ("://", "@", "?")) else word


def _without_value(part: re.Match[str]) -> str:
    name, equals, _ = part[0].partition("=")
    return f"{name}={REDACTED}" if equals else REDACTED
