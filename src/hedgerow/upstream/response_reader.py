"""Reads the responses of one connection to the upstream by llhttp, each whole and within its limits.

Nothing that the upstream sends raises past this module: what is no valid HTTP/1.x is a failure of the attempt.
"""

from typing import Final

import httptools

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.settings import UpstreamLimits

_HEAD_END: Final = b"\r\n\r\n"


class ResponseReader:
    """The response that is being read. `begin` starts the next one on the same connection."""

    __slots__ = (
        "_body", "_head", "_keep_alive", "_limits", "_parser", "is_complete", "status", "wire_bytes",
    )  # fmt: skip

    def __init__(self, limits: UpstreamLimits) -> None:
        self._limits = limits
        self._parser = httptools.HttpResponseParser(self)
        self.begin()

    def begin(self) -> None:
        """Expect a response: a request is about to be sent."""
        self.status = 0
        """Of the final response; 0 until its header section is whole."""
        self.wire_bytes = 0
        """What has come of it."""
        self.is_complete = False
        self._head = b""
        self._body: bytes | bytearray = b""
        self._keep_alive = False

    def restart(self) -> None:
        """Forget what came before: the request is sent again, on a new connection."""
        self._parser = httptools.HttpResponseParser(self)

    def close(self) -> None:
        """Free the parser: they hold each other, which only a collection would free, and it is rare."""
        self._parser = None  # type: ignore[assignment]

    def feed(self, data: bytes) -> Failure | None:
        """Read what has come. Return a failure if it can be no valid response any more."""
        self.wire_bytes += len(data)
        if not self.status:
            self._head = self._head + data if self._head else data
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.is_complete:
                return self._parse_failure(error)
            self._keep_alive = False  # what follows the response is none
        if len(self._body) > self._limits.max_body_bytes or not self.is_complete:
            return self._check_size()
        return None

    def take_body(self) -> bytes:
        """Return the body of the complete response, and reset."""
        body = self._body
        self._body = self._head = b""
        return bytes(body) if isinstance(body, bytearray) else body

    @property
    def keeps_connection(self) -> bool:
        """Return whether the connection can be used again after the complete response."""
        return self._keep_alive

    def is_close_delimited(self) -> bool:
        """Return whether the body ends with the connection (RFC 9112 section 6.3, rules 4 and 8); else it was cut."""
        head, _, rest = self._head.lstrip(b"\r\n").partition(_HEAD_END)
        while head.startswith((b"HTTP/1.1 1", b"HTTP/1.0 1")):  # the heads of 1xx responses frame nothing
            head, _, rest = rest.partition(_HEAD_END)
        fields = head.lower().replace(b" ", b"").replace(b"\t", b"")
        codings = [line for line in fields.split(b"\r\n") if line.startswith(b"transfer-encoding:")]
        if codings:
            return codings[-1].replace(b":", b",", 1).rpartition(b",")[2] != b"chunked"
        return b"\ncontent-length:" not in fields

    # -- called by the parser

    def on_message_begin(self) -> None:
        if self.is_complete:  # more than one response to one request
            self._keep_alive = False

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.is_complete:
            return
        if not self._head.startswith(b"HTTP/1.") and not self._head.lstrip(b"\r\n").startswith(b"HTTP/1."):
            raise httptools.HttpParserError("not HTTP/1.x")  # llhttp takes RTSP for it, too
        if status < 100:
            raise httptools.HttpParserError(f"status {status:03} does not exist")
        if status >= 200 or status == 101:  # other 1xx come before the final response (RFC 9110 section 15.2)
            self.status = status
        if status == 101:  # what follows is not HTTP any more
            raise httptools.HttpParserError("a switch of protocols")

    def on_body(self, data: bytes) -> None:
        if self.is_complete:
            return
        if not self._body:
            self._body = data  # the usual body has one piece, which need not be copied
        elif isinstance(self._body, bytearray):
            self._body += data
        else:  # many small pieces: adding each to bytes would copy all the others every time
            self._body = bytearray(self._body) + data

    def on_message_complete(self) -> None:
        if self.status and not self.is_complete:
            self.is_complete = True
            self._keep_alive = self._parser.should_keep_alive()

    # -- what is wrong with a response

    def _parse_failure(self, error: Exception) -> Failure:
        if self.status == 101:  # unsolicited: no upgrade is offered (RFC 9110 section 7.8)
            return Failure(FailureReason.STATUS_OTHER, "status 101")
        return Failure(FailureReason.PROTOCOL, str(error.__context__ or error))

    def _check_size(self) -> Failure | None:
        limits = self._limits
        if self.wire_bytes > limits.max_wire_bytes:
            return _too_large(limits.max_wire_bytes, "on the wire")
        if not self.status and self.wire_bytes > limits.max_head_bytes:
            return _too_large(limits.max_head_bytes, "of header section")
        if len(self._body) > limits.max_body_bytes:
            return _too_large(limits.max_body_bytes, "of body")
        return None


def _too_large(limit: int, of_what: str) -> Failure:
    return Failure(FailureReason.TOO_LARGE, f"more than {limit} bytes {of_what}")
