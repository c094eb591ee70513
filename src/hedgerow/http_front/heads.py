"""Reads request heads: llhttp finds the parts, this module decides which heads are sound.

Where the framing of a request is in doubt, answering it and closing is the only safe end (RFC 9112 section 11.2):
whoever stands before us may see other borders between the requests than we do.
"""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import httptools

from hedgerow.core.request import Request
from hedgerow.core.response import Response, problem_response
from hedgerow.core.trace_context import parse_trace_context
from hedgerow.settings import ClientLimits

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_HOST: Final = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%-]*(:[0-9]*)?|\[[0-9A-Fa-f:.]+\](:[0-9]*)?")
"""RFC 9110 section 7.2: uri-host and an optional port; empty is allowed."""

_RTSP: Final = re.compile(rb"^[A-Z]+ +\S+ +RTSP/", re.MULTILINE)
"""llhttp takes RTSP for HTTP, and does not tell which of them it saw; and some blanks for one."""
_BAD_VERSION: Final = "Invalid HTTP version"
"""What llhttp says of HTTP/1.2 and the like; httptools gives its errors no number."""

_KEPT: Final = frozenset(
    {
        b"host",
        b"x-request-id",
        b"expect",
        b"content-length",
        b"transfer-encoding",
        b"traceparent",
        b"tracestate",
    }
)
"""The headers that matter to us; the others cost a look into this set."""


class Refused(Exception):  # noqa: N818 (a decision, not an error)
    """A head that ends its connection: the reply is the last one."""

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
        self.headers = headers
        self.code = code
        self.reason = reason or code
        """What it is counted under."""
        self.detail = detail
        self.status = status


KNOWN_HEADS: Final = 256
"""Heads kept by one worker, each within `ClientLimits.slice_bytes`: 0.5 MB at the most, some 50 KB usually."""


class KnownHeads:
    """Whole heads that came before, byte for byte, and what they asked for; one for all connections of a worker.

    Callers mostly send the same head again, and reading it anew takes a third of what a refusal costs. The same bytes
    between two messages ask for the same, whatever they are. Heads that name their request or its trace are not kept:
    they come once.
    """

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        self._asked: dict[bytes, tuple[bytes, bytes, bytes]] = {}

    def find(self, head: bytes) -> tuple[bytes, bytes, bytes] | None:
        """Tell method, path and query."""
        return self._asked.get(head)

    def keep(self, head: bytes, request: Request) -> None:
        """Keep a head that was read. When there are too many all are forgotten: which of them recur will show."""
        if len(self._asked) >= KNOWN_HEADS:
            self._asked.clear()
        self._asked[head] = (request.method, request.path, request.query)


class HeadReader:
    """Turns bytes of one connection into heads, in order. `feed` never raises anything but Refused."""

    __slots__ = (
        "_arrived_at", "_expects", "_fed_at", "_has_body", "_headers", "_host", "_known", "_last_host", "_line",
        "_max_head_bytes", "_max_headers", "_max_pending_bytes", "_next_id", "_on_request", "_parser", "_pending",
        "_recurring", "_request_id", "_requests", "_size", "_target", "_traceparent", "_tracestate", "partial",
    )  # fmt: skip

    def __init__(
        self,
        limits: ClientLimits,
        on_request: Callable[[Request], None],
        next_id: Callable[[], bytes],
        known: KnownHeads,
    ) -> None:
        self._max_headers = limits.max_headers
        self._max_head_bytes = limits.max_head_bytes
        self._max_pending_bytes = (
            2 * limits.max_head_bytes + limits.slice_bytes
        )  # target, headers, and a read
        self._on_request = on_request
        self._next_id = next_id
        self._known = known
        self._requests = 0
        """How many the bytes that are being read have asked for."""
        self._recurring: Request | None = None
        """The last of them, if the same bytes may come again and ask for the same."""
        self._parser = httptools.HttpRequestParser(self)
        self._last_host = b""
        self._line = b""
        """What stands before the next bytes, for `_RTSP`: the line that they go on with, as long as the head has no
        whole header, for its first line may be cut in two; a blank within the headers, where no request line begins."""
        self.partial = False
        """Some bytes of a head have come, and not all."""
        self._fed_at = 0.0
        self._begin()

    def _begin(self) -> None:
        self._target = b""
        self._host: bytes | None = None
        self._request_id = b""
        self._expects = b""
        self._traceparent = b""
        self._tracestate = b""
        self._headers = 0
        self._size = 0
        self._pending = 0
        self._has_body = False
        self._arrived_at = self._fed_at

    def feed(self, data: bytes, arrived_at: float) -> None:
        """Read on. Bytes that begin a head date its arrival. Raises Refused; the reader is of no use after that."""
        if self.partial:
            self._parse(data, arrived_at)
            return
        asked = self._known.find(data)
        if asked is not None:
            method, path, query = asked
            self._request_id = self._next_id()
            self._on_request(Request(method, path, query, request_id=self._request_id, arrived_at=arrived_at))
            return
        self._requests = 0
        self._parse(data, arrived_at)
        request, self._recurring = self._recurring, None
        if self._requests == 1 and request is not None and not self.partial:
            self._known.keep(data, request)

    def _parse(self, data: bytes, arrived_at: float) -> None:
        self._fed_at = arrived_at
        line = self._line + data if self._line else data
        # `find`, here and below: `in` first takes bytes for a number, which raises and is caught (0.4 µs).
        if line.find(b" RTSP/") >= 0 and (found := _RTSP.search(line)):
            self._line = b""
            self._parse(line[: found.start()][len(line) - len(data) :], arrived_at)  # what is HTTP before it
            self._begin()
            raise Refused("bad_request", "not HTTP/1.1: this is RTSP")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The head is complete and on its way; we do not upgrade (RFC 9110 section 7.8), and llhttp stops here.
            return
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, Refused):
                raise error.__context__ from None
            raise
        except httptools.HttpParserError as error:
            status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED if str(error) == _BAD_VERSION else None
            raise Refused("bad_request", f"not HTTP/1.1: {error}", status) from None
        self._line = b"" if not self.partial else b" " if self._headers else line[line.rfind(b"\n") + 1 :]
        if self.partial:  # what llhttp keeps for itself, the value of an unfinished header, is bounded here
            self._pending += len(data)
            if self._pending > self._max_pending_bytes:
                raise self._too_large()

    def close(self) -> None:
        """Read no more. The parser holds us: without this only a garbage collection would free the two."""
        self._parser = None  # type: ignore[assignment]

    @property
    def request_id(self) -> bytes:
        """The caller's id for the head that is being read, or one of ours."""
        if not self._request_id:
            self._request_id = self._next_id()
        return self._request_id

    @property
    def is_head(self) -> bool:
        """Tell whether what is being read is a HEAD request, as far as it has come: its answer has no body."""
        return self._target != b"" and self._parser.get_method() == b"HEAD"

    def refusal(self, refused: Refused) -> Response:
        """Put a refusal into words."""
        return problem_response(
            refused.code, refused.detail, self.request_id, status=refused.status, headers=refused.headers
        )

    # -- what the parser tells it

    def on_message_begin(self) -> None:
        self._begin()
        self.partial = True

    def on_url(self, data: bytes) -> None:
        self._target += data
        if len(self._target) > self._max_head_bytes:
            raise self._too_large()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        self._size += len(name) + len(value) + 4  # ": " and CRLF
        if self._headers > self._max_headers:
            raise Refused("too_large", f"more than {self._max_headers} headers")
        if self._size > self._max_head_bytes:
            raise self._too_large()
        name = name.lower()
        if name in _KEPT:
            self._keep(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        parser = self._parser
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise Refused(
                "bad_request", f"HTTP/{version} is not spoken here", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
            )
        if self._host is None and version == "1.1":
            raise Refused("bad_request", "no Host header (RFC 9112 section 3.2)")
        if self._has_body and parser.get_method() not in (b"GET", b"HEAD"):
            raise Refused("method_not_allowed", "use GET or HEAD", headers=b"Allow: GET, HEAD\r\n")
        if self._has_body:
            raise Refused("bad_request", "no request with a body is accepted here")
        if self._expects and self._expects.lower() != b"100-continue":
            raise Refused(
                "bad_request", "the only expectation known is 100-continue", HTTPStatus.EXPECTATION_FAILED
            )
        self.partial = False
        path, query = self._path_and_query()
        keep_alive = parser.should_keep_alive() and not parser.should_upgrade()
        comes_once = self._request_id or self._traceparent or version != "1.1" or not keep_alive
        request = Request(
            parser.get_method(),
            path,
            query,
            request_id=self.request_id,
            arrived_at=self._arrived_at,
            keep_alive=keep_alive,
            announce_keep_alive=version == "1.0",
            trace=parse_trace_context(self._traceparent, self._tracestate) if self._traceparent else None,
        )
        self._requests += 1
        self._recurring = None if comes_once else request
        self._on_request(request)

    def _keep(self, name: bytes, value: bytes) -> None:
        """Take note of one of the headers that matter."""
        match name:
            case b"host":
                if self._host is not None:
                    raise Refused("bad_request", "more than one Host header (RFC 9112 section 3.2)")
                if value != self._last_host and _HOST.fullmatch(value) is None:
                    raise Refused("bad_request", "the Host header is no host")
                self._host = self._last_host = value
            case b"x-request-id":
                if _REQUEST_ID.fullmatch(value) is not None:
                    self._request_id = value
            case b"expect":
                self._expects = value
            case b"content-length":
                self._has_body = self._has_body or value.strip(b"0") != b""
            case b"transfer-encoding":
                self._has_body = True
            case b"traceparent":
                self._traceparent = self._traceparent + b"," + value if self._traceparent else value
            case b"tracestate":
                self._tracestate = self._tracestate + b"," + value if self._tracestate else value

    # -- small parts

    def _path_and_query(self) -> tuple[bytes, bytes]:
        """Split the target: origin form; absolute form counts by its path (RFC 9112 section 3.2.2)."""
        target = self._target
        if target.find(b"#") >= 0:
            raise Refused("bad_request", "a request target has no fragment (RFC 9112 section 3.2)")
        if target[:1] == b"/":
            path, _, query = target.partition(b"?")
            return path, query
        if b"://" in target:
            try:
                parts = urlsplit(target)
            except ValueError:
                raise Refused("bad_request", "the request target is no URL") from None
            if parts.scheme not in (b"http", b"https") or not parts.netloc:
                raise Refused("bad_request", "the request target is no URL of http or https")
            return parts.path or b"/", parts.query
        # llhttp takes whatever begins with an asterisk, and leaves the authority of a CONNECT alone.
        if target != b"*" and self._parser.get_method() != b"CONNECT":
            raise Refused("bad_request", "the request target is no URL")
        return target, b""

    def _too_large(self) -> Refused:
        detail = f"the head is longer than {self._max_head_bytes} bytes"
        if self._headers or len(self._target) < self._max_head_bytes // 2:
            return Refused("too_large", detail)
        return Refused("too_large", detail, HTTPStatus.REQUEST_URI_TOO_LONG)
