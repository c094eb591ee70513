"""What an operator wants of hedging, in words: `99% within 500ms`, `at most 5% extra`."""

import re
from typing import Final, NamedTuple

from hedgerow.planning.latency_sketch import LARGEST_S

ACCEPTED_AIM: Final = "a share and a time, as in '99% within 500ms'"
ACCEPTED_SHARE: Final = "a share, as in '5%' or '0.05'"
DEFAULT_MAX_EXTRA: Final = 0.1
"""Without an aim: one attempt more for ten requests, which most upstreams can take."""

_NUMBER: Final = r"([0-9]{1,6}(?:\.[0-9]{1,6})?)"
_AIM: Final = re.compile(rf"\s*{_NUMBER}\s*%\s+(?:within|in|by)\s+{_NUMBER}\s*(ms|s)\s*", re.ASCII)
_SHARE: Final = re.compile(rf"\s*{_NUMBER}\s*(%?)\s*", re.ASCII)


class Aim(NamedTuple):
    """A share of requests with a success within a time at the least load, or the most for a limited load, or both."""

    share: float | None = None
    within_s: float | None = None
    max_extra: float | None = None
    """Attempts beyond one, for each request."""

    def __str__(self) -> str:
        parts = []
        if self.share is not None and self.within_s is not None:
            parts.append(f"{self.share * 100:g} % within {self.within_s * 1000:g} ms")
        if self.max_extra is not None:
            parts.append(f"at most {self.max_extra * 100:g} % extra requests")
        return " with ".join(parts)


def parse_aim(text: str) -> tuple[float, float] | None:
    """Return the share and the seconds of `99% within 500ms`; None if it is not written so."""
    match = _AIM.fullmatch(text)
    if match is None:
        return None
    share = float(match[1]) / 100
    within_s = float(match[2]) / (1000 if match[3] == "ms" else 1)
    return (share, within_s) if 0 < share < 1 and 0 < within_s <= LARGEST_S else None


def parse_share(text: str) -> float | None:
    """Return a share of `5%` or `0.05`; None if it is not written so, or not from 0 to 16."""
    match = _SHARE.fullmatch(text)
    if match is None:
        return None
    share = float(match[1]) / (100 if match[2] else 1)
    return share if 0 <= share <= 16 else None
