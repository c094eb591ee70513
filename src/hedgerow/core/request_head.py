"""The head of a client's request: its header lines as they came, and those that are looked at."""

from typing import TYPE_CHECKING, Final

from hedgerow.core.header_fields import NOT_PASSED_OF_REQUESTS, lenient_pattern_of, lines_of

if TYPE_CHECKING:
    from hedgerow.core.forwarding import ForwardedRequest
    from hedgerow.core.route import Route

ALWAYS_NOTED: Final = NOT_PASSED_OF_REQUESTS | frozenset(
    (b"accept-encoding", b"via", b"x-forwarded-host", b"x-forwarded-proto")
)
"""Headers that are looked at here, or where requests are passed on."""

_NOTED: Final = lenient_pattern_of(ALWAYS_NOTED)


class RequestHead:
    """The head of a request as the client sent it; requests of the same bytes share it."""

    __slots__ = ("forwarded", "has_query", "host", "is_http_1_0", "lines", "noted", "route")

    def __init__(self, lines: bytes) -> None:
        """`lines` is what llhttp has accepted or will judge: a CRLF, then whole lines."""
        self.lines = lines
        self.noted = lines_of(_NOTED, lines)
        """Those of its lines that are looked at for any route."""
        self.host = b""
        self.has_query = False
        """There is a `?` in the target, perhaps with nothing behind it."""
        self.is_http_1_0 = False
        self.forwarded: ForwardedRequest | None = None
        """What its route makes of it; made once."""
        self.route: Route | None = None
        """There where `forwarded` is."""
