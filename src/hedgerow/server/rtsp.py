"""Requests of RTSP, which llhttp parses as if they were HTTP, without reporting which of them it saw."""

import re
from typing import Final

_REQUEST_LINE: Final = re.compile(rb"^[A-Z]+ +\S+ +RTSP/", re.MULTILINE)
"""llhttp accepts several blanks for one."""


class RtspDetector:
    """Looks for request lines of RTSP in what one client sends, in whatever pieces it comes."""

    __slots__ = ("line",)

    def __init__(self) -> None:
        self.line = b""
        """What has to be seen before the next bytes: the unfinished line, as long as no header is complete, for a
        request line may come in pieces; within the header section a blank, because no request line starts there."""

    def find(self, data: bytes) -> int:
        """Return where in `data` the request is that a line of RTSP begins, which may have begun before; else -1."""
        line = self.line + data if self.line else data
        # `find`: `in` would first try the bytes as a number, which raises and is caught (0.4 µs).
        if line.find(b" RTSP/") < 0:
            return -1
        found = _REQUEST_LINE.search(line)
        return -1 if found is None else max(found.start() - len(self.line), 0)

    def parsed(self, data: bytes, *, partial: bool, in_headers: bool) -> None:
        """Note what was parsed: whether a part of a request is left, and whether a header of it is complete."""
        if not partial:
            self.line = b""
        elif in_headers:
            self.line = b" "
        else:
            line = self.line + data
            self.line = line[line.rfind(b"\n") + 1 :]
