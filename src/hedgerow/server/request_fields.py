"""The headers of one request: their limits, and those that this server itself uses."""

import re
from http import HTTPStatus
from typing import Final

from hedgerow.core.request_head import RequestHead
from hedgerow.server.request_rejected import RequestRejected
from hedgerow.server.request_target import check_same_host, is_valid_host
from hedgerow.settings import ClientLimits

_MIN_LINE_BYTES: Final = len(b"a:\r\n")
_ID_NAME: Final = b"x-request-id"
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class RequestFields:
    """Takes the header lines of one request. Its methods raise RequestRejected for what is not valid."""

    __slots__ = (
        "_coding", "_last_host", "_length", "_lines", "_max_bytes", "_max_headers", "_passed_on", "_size", "count",
        "expects", "has_body", "host", "request_id", "traceparent", "tracestate",
    )  # fmt: skip

    def __init__(self, limits: ClientLimits, *, passed_on: bool) -> None:
        """`passed_on`: targets are passed on, and there may be bodies."""
        self._passed_on = passed_on
        self._max_headers = limits.max_headers
        self._max_bytes = limits.max_header_bytes
        self._last_host = b""
        """The last valid Host header: most requests of a connection have the same."""
        self.clear()

    def clear(self) -> None:
        """Begin with another request."""
        self.count = 0
        """How many have come one by one."""
        self._size = 0
        self._lines: list[bytes] = []
        self.host: bytes | None = None
        self.request_id = b""
        """The client's; empty if it has none, or none that is valid."""
        self.expects = b""
        self.has_body = False
        """A body is announced, and not an empty one."""
        self._length = b""
        self._coding = b""
        self.traceparent = b""
        self.tracestate = b""

    def add(self, name: bytes, value: bytes) -> None:
        """Take the next header line of a request that comes in pieces."""
        self.count += 1
        self._size += len(name) + len(value) + 4  # ": " and CRLF
        if self.count > self._max_headers:
            raise RequestRejected("too_large", f"more than {self._max_headers} headers")
        if self._size > self._max_bytes:
            raise self.too_large()
        self._lines.append(b"%b: %b\r\n" % (name, value))
        # Taken now, for the request may be rejected before its head is whole.
        if len(name) == len(_ID_NAME) and name.lower() == _ID_NAME:
            self._use(_ID_NAME, value)

    def head(self, version: str = "1.1") -> RequestHead:
        """Return the head of HTTP/`version` whose lines have come."""
        head = RequestHead(b"\r\n" + b"".join(self._lines))
        head.is_http_1_0 = version == "1.0"
        self._lines.clear()
        self.take(head)
        return head

    def take(self, head: RequestHead) -> None:
        """Take all that is used of a head at once."""
        for name, value, _, _ in head.noted:
            self._use(name, value)
        head.host = self.host or b""

    def are_usual(self, head: RequestHead) -> bool:
        """Return whether they are within their limits, there is a host, and neither a body nor an expectation."""
        if self.host is None or self.has_body or self.expects or len(head.lines) > self._max_bytes:
            return False
        # Most are too short for as many lines.
        return len(head.lines) < _MIN_LINE_BYTES * self._max_headers or (
            head.lines.count(b"\n") - 1 <= self._max_headers
        )

    def _use(self, name: bytes, value: bytes) -> None:
        match name:
            case b"host":
                if self.host is not None:
                    raise RequestRejected("bad_request", "more than one Host header (RFC 9112 section 3.2)")
                if value != self._last_host and not is_valid_host(value):
                    raise RequestRejected(
                        "bad_request", "the Host header is not a host with an optional port"
                    )
                self.host = self._last_host = value
            case b"x-request-id":
                if _REQUEST_ID.fullmatch(value) is not None:
                    self.request_id = value
            case b"expect":
                self.expects = value
            case b"content-length":
                self.has_body = self.has_body or value.strip(b"0") != b""
                self._length = value
            case b"transfer-encoding":
                self.has_body = True
                if not value:  # httptools before 0.9 accepts it
                    raise RequestRejected("bad_request", "an empty Transfer-Encoding")
                self._coding = self._coding + b"," + value if self._coding else value
            case b"traceparent":
                self.traceparent = self.traceparent + b"," + value if self.traceparent else value
            case b"tracestate":
                self.tracestate = self.tracestate + b"," + value if self.tracestate else value

    def too_large(self) -> RequestRejected:
        """Return the rejection of more bytes than there may be."""
        return RequestRejected("too_large", f"the headers are longer than {self._max_bytes} bytes")

    # -- once all have come

    def check(self, method: bytes, version: str) -> None:
        """Check what they say together. Most requests have HTTP/1.1, a host, no body and no expectation."""
        if version == "1.1" and self.host is not None and not self.has_body and not self.expects:
            return
        if version not in ("1.1", "1.0"):
            raise RequestRejected(
                "bad_request", f"HTTP/{version} is not supported", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
            )
        if self.host is None and version == "1.1":
            raise RequestRejected("bad_request", "no Host header (RFC 9112 section 3.2)")
        if self.expects and self.expects.lower() != b"100-continue":
            raise RequestRejected(
                "bad_request", "the only expectation supported is 100-continue", HTTPStatus.EXPECTATION_FAILED
            )
        if self._passed_on or not self.has_body:
            return
        if method not in (b"GET", b"HEAD"):
            raise RequestRejected("method_not_allowed", "use GET or HEAD", headers=b"Allow: GET, HEAD\r\n")
        raise RequestRejected("bad_request", "a request with a body is not accepted")

    def body_length(self, version: str) -> int:
        """Return the length of the body that they announce, -1 where it comes in chunks."""
        if not self._coding:
            return int(self._length.lstrip(b"0"))  # `int` rejects more than 4 300 digits
        if version == "1.0" or self._coding.lower() != b"chunked":
            raise RequestRejected(
                "bad_request", "the only transfer coding supported is chunked", HTTPStatus.NOT_IMPLEMENTED
            )
        return -1

    def set_target(self, head: RequestHead, target: bytes) -> None:
        """Complete a head by its target; an absolute one that is passed on has the host of the Host header."""
        if self._passed_on and not target.startswith(b"/") and target.find(b"://") >= 0:
            check_same_host(target, head.host)
        head.has_query = target.find(b"?") >= 0
