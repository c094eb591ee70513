"""Reads the responses of one connection to the upstream by llhttp, each whole and within its limits.

Nothing that the upstream sends raises past this module: what is no valid HTTP/1.x is a failure of the attempt.
"""

from collections.abc import Callable
from typing import Final

import httptools

from hedgerow.core.answer_rules import AnswerRules, KnownHead, KnownHeads
from hedgerow.core.header_fields import HeaderSection, is_persistent
from hedgerow.core.outcomes import Failure, FailureReason, Outcome
from hedgerow.core.request import Request
from hedgerow.settings import UpstreamLimits

_HEAD_END: Final = b"\r\n\r\n"
_STATUS_AT: Final = len(b"HTTP/1.1 ")
_ONE: Final = ord(b"1")
_NO_SECTION: Final = HeaderSection(b"\r\n")
_EVENT_STREAM: Final = Failure(
    FailureReason.STREAM, "text/event-stream: streaming is not supported, only whole responses are passed on"
)


class ResponseReader:
    """The response that is being read. `begin_for` starts the next one on the same connection."""

    __slots__ = (
        "_body", "_head", "_head_bytes", "_is_head", "_known", "_known_without_rules", "_limits",
        "_max_body_bytes", "_max_wire_bytes", "_parser", "_passes_on", "_refused", "_rules", "_section",
        "is_complete", "keeps_connection", "status", "wire_bytes",
    )  # fmt: skip

    def __init__(self, limits: UpstreamLimits, known: KnownHeads) -> None:
        """`known` are those of the answers which no rules of a route are for."""
        self._limits = limits
        self._known_without_rules = known
        self._known: KnownHeads = known
        self._parser = httptools.HttpResponseParser(self)
        self._refused: Failure | None = None
        self._rules: AnswerRules | None = None
        """Those of the route; None: the pool's."""
        self._section = _NO_SECTION
        """Of the response, where it has rules."""
        self._is_head = False
        """The response is one to HEAD: it has no body, whatever its headers say (RFC 9112 section 6.3)."""
        self._passes_on = False
        """The client gets it as it is."""
        self._max_body_bytes = limits.max_body_bytes
        self._max_wire_bytes = limits.max_wire_bytes
        self._begin()

    def begin_for(self, request: Request) -> None:
        """Expect the response to a request that is about to be sent, by the rules of its route where it has some."""
        message = request.message
        rules = None if message is None else request.route.rules
        if message is None or rules is None:
            if self._rules is not None:
                self._set_rules(None, self._limits.max_body_bytes, passes_on=False, is_head=False)
        else:
            passes_on = message.forwarded is not None
            is_head = passes_on and request.method == b"HEAD"
            if rules is not self._rules or is_head or self._is_head:
                self._set_rules(rules, request.route.max_response_body, passes_on=passes_on, is_head=is_head)
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        """Of the final response; 0 until its header section is whole."""
        self.wire_bytes = 0
        """What has come of it."""
        self.is_complete = False
        self._head = b""
        self._head_bytes = 0
        """The length of the head, if it may become known: it is not HEAD's, and nothing came before it."""
        self._body: bytes | bytearray = b""
        self.keeps_connection = False
        """The connection can be used again after the complete response."""

    def _set_rules(
        self, rules: AnswerRules | None, max_body_bytes: int, *, passes_on: bool, is_head: bool
    ) -> None:
        self._rules = rules
        self._known = self._known_without_rules if rules is None else rules
        if self._is_head:  # llhttp still waits for the body
            self.restart()
        self._is_head = is_head
        self._passes_on = passes_on
        self._max_body_bytes = max_body_bytes
        self._max_wire_bytes = self._limits.max_wire_bytes + (max_body_bytes if passes_on else 0)

    def restart(self) -> None:
        """Forget what came before: the request is sent again, on a new connection."""
        self._parser = httptools.HttpResponseParser(self)

    def close(self) -> None:
        """Free the parser: they hold each other, which only a collection would free, and it is rare."""
        self._parser = None  # type: ignore[assignment]

    def feed(self, data: bytes) -> Failure | None:
        """Read what has come. Return a failure if it can be no valid response any more."""
        if not self.wire_bytes and not self._is_head:
            known = self._known.head_of(data)
            if known is not None:
                self._take(known, data)
                return None
        self.wire_bytes += len(data)
        if not self.status:
            self._head = self._head + data if self._head else data
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.is_complete:
                return self._parse_failure(error)
            self.keeps_connection = False  # what follows the response is none
        if len(self._body) > self._max_body_bytes or not self.is_complete:
            return self._check_size()
        size = self._head_bytes
        if size and size + len(self._body) == len(data) == self.wire_bytes and self.keeps_connection:
            self._known.remember(KnownHead(data[:size], self.status, self._section), len(data))
        return None

    def _take(self, known: KnownHead, data: bytes) -> None:
        """Take a whole answer by its head, which llhttp would read as it did before."""
        self.wire_bytes = len(data)
        self.status = known.status
        self._section = known.section
        self._body = data[len(known.head) :]
        self.is_complete = self.keeps_connection = True

    def take_outcome(self, classify: Callable[[int, bytes], Outcome]) -> Outcome:
        """Return what the complete response is by its route's rules, or by `classify`; keep nothing of it."""
        body = bytes(self._body) if isinstance(self._body, bytearray) else self._body
        self._body = self._head = b""
        if self._rules is None:
            return classify(self.status, body)
        return self._rules.classify(self.status, self._section, body, is_head=self._is_head)

    def is_close_delimited(self) -> bool:
        """Return whether the body ends with the connection (RFC 9112 section 6.3, rules 4 and 8); else it was cut."""
        fields = self._final_head().lower().replace(b" ", b"").replace(b"\t", b"")
        codings = [line for line in fields.split(b"\r\n") if line.startswith(b"transfer-encoding:")]
        if codings:
            return codings[-1].replace(b":", b",", 1).rpartition(b",")[2] != b"chunked"
        return b"\ncontent-length:" not in fields

    def _final_head(self) -> bytes:
        """Return status line and header lines of the final response: those of 1xx responses come before it."""
        head, _, rest = self._head.lstrip(b"\r\n").partition(_HEAD_END)
        while head.startswith((b"HTTP/1.1 1", b"HTTP/1.0 1")):
            head, _, rest = rest.lstrip(b"\r\n").partition(_HEAD_END)
        return head

    # -- called by the parser

    def on_message_begin(self) -> None:
        if self.is_complete:  # more than one response to one request
            self.keeps_connection = False

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.is_complete:
            return
        is_preceded = self._is_preceded()
        if is_preceded:
            self._check_version(status)
        if status < 100:
            raise httptools.HttpParserError(f"status {status:03} does not exist")
        if status >= 200 or status == 101:  # other 1xx come before the final response (RFC 9110 section 15.2)
            self.status = status
        if status == 101:  # what follows is not HTTP any more
            raise httptools.HttpParserError("a switch of protocols")
        if self._rules is not None and self.status:
            self._read_section(is_preceded=is_preceded)
        elif not is_preceded:
            self._head_bytes = self._head.find(_HEAD_END) + len(_HEAD_END)

    def _is_preceded(self) -> bool:
        """Return whether empty lines or 1xx responses come before the final response, or may; else it is HTTP."""
        return not self._head.startswith(b"HTTP/1.") or self._head[_STATUS_AT] == _ONE

    def _check_version(self, status: int) -> None:
        """Raise HttpParserError for RTSP, which llhttp takes for HTTP: also behind empty lines and 1xx responses."""
        head = self._head.lstrip(b"\r\n") if status < 200 else self._final_head()
        if not head.startswith(b"HTTP/1."):
            raise httptools.HttpParserError("not HTTP/1.x")

    def _read_section(self, *, is_preceded: bool) -> None:
        """Look at the header section of a response that has rules."""
        head = self._final_head() + _HEAD_END if is_preceded else self._head
        end = head.find(_HEAD_END)
        if end > self._limits.max_head_bytes:  # it came in one piece, so that nothing looked at it before
            self._refused = failure = _too_large(self._limits.max_head_bytes, "of header section")
            raise httptools.HttpParserError(failure.detail)
        self._section = section = HeaderSection(lines := head[head.find(b"\r\n") : end + 2])
        self._head_bytes = 0 if is_preceded or self._is_head else end + len(_HEAD_END)
        if self._is_head:
            self.is_complete = True
            ends_at = self._head.find(head[:end]) + end + len(_HEAD_END)
            if ends_at == len(self._head) and not self._is_chunked_of_1_0():
                self.keeps_connection = is_persistent(lines, self._parser.get_http_version())
        elif self._passes_on and section.media_type == b"text/event-stream":
            self._refused = _EVENT_STREAM
            raise httptools.HttpParserError(_EVENT_STREAM.detail)
        elif self._passes_on and section.is_coded:
            raise httptools.HttpParserError("a transfer coding that the client would not know of")

    def on_body(self, data: bytes) -> None:
        if self.is_complete:  # behind a response to HEAD: the connection is not used again
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
            self.keeps_connection = self._parser.should_keep_alive() and not self._is_chunked_of_1_0()

    def _is_chunked_of_1_0(self) -> bool:
        """Return whether the framing is to be taken for faulty, and the connection closed (RFC 9112 section 6.1)."""
        if self._head.startswith(b"HTTP/1.1") or self._parser.get_http_version() != "1.0":
            return False
        return self._head.lower().find(b"\ntransfer-encoding:") >= 0

    # -- what is wrong with a response

    def _parse_failure(self, error: Exception) -> Failure:
        if self._refused is not None:
            return self._refused
        if self.status == 101:  # unsolicited: no upgrade is offered (RFC 9110 section 7.8)
            return Failure(FailureReason.STATUS_OTHER, "status 101")
        return Failure(FailureReason.PROTOCOL, str(error.__context__ or error))

    def _check_size(self) -> Failure | None:
        if self.wire_bytes > self._max_wire_bytes:
            return _too_large(self._max_wire_bytes, "on the wire")
        if not self.status and self.wire_bytes > self._limits.max_head_bytes:
            return _too_large(self._limits.max_head_bytes, "of header section")
        if len(self._body) > self._max_body_bytes:
            return _too_large(self._max_body_bytes, "of body")
        return None


def _too_large(limit: int, of_what: str) -> Failure:
    return Failure(FailureReason.TOO_LARGE, f"more than {limit} bytes {of_what}")
