"""The decision not to serve a request, with the content of its response."""

from http import HTTPStatus
from typing import Final

_UNSUPPORTED_VERSION: Final = {
    "Invalid HTTP version": "this version of HTTP is not supported",
    "Pause on PRI/Upgrade": "HTTP/2 is not supported",
}
"""llhttp's messages for versions like HTTP/1.2 and for the preface of HTTP/2; httptools does not expose its numbers."""


class RequestRejected(Exception):  # noqa: N818 (a decision, not an error)
    """A request that is answered with an error, after which its connection is closed."""

    def __init__(
        self,
        code: str,
        detail: str,
        status: HTTPStatus | None = None,
        *,
        headers: bytes = b"",
        reason: str = "",
    ) -> None:
        super().__init__(detail)
        self.code = code
        """Of the problem response; it has a status of its own unless `status` is given."""
        self.detail = detail
        self.status = status
        self.headers = headers
        """Whole header lines."""
        self.reason = reason or code
        """The label that it is counted under."""


def slow_head(timeout_s: float) -> RequestRejected:
    """Return the rejection of a request head of which only a part came in time."""
    detail = f"no whole request head within {timeout_s:g} s"
    return RequestRejected("bad_request", detail, HTTPStatus.REQUEST_TIMEOUT, reason="slow_head")


def long_target(max_bytes: int) -> RequestRejected:
    """Return the rejection of a longer request target than there may be."""
    detail = f"the request target is longer than {max_bytes} bytes"
    return RequestRejected("too_large", detail, HTTPStatus.REQUEST_URI_TOO_LONG)


def not_http(error: str) -> RequestRejected:
    """Return the rejection for bytes that llhttp does not accept, from its message."""
    detail = _UNSUPPORTED_VERSION.get(error)
    if detail is not None:
        return RequestRejected("bad_request", detail, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    return RequestRejected("bad_request", f"not HTTP/1.1: {error}")
