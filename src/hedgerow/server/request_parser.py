"""Parses the requests of one client connection: llhttp finds the parts, this module decides which are valid.

Where the framing of a request is in doubt, the only safe answer is an error and a close (RFC 9112 section 11.2):
a proxy in front of this server may see other borders between the requests.
"""

import re
from collections.abc import Callable
from http import HTTPStatus
from math import inf
from typing import Final

import httptools

from hedgerow.core.forwarding import ClientMessage, RequestHead
from hedgerow.core.request import Request
from hedgerow.core.response import Response, problem_response
from hedgerow.core.trace_context import parse_trace_context
from hedgerow.server.body_memory import BodyMemory
from hedgerow.server.request_body import RequestBody
from hedgerow.server.request_cache import ParsedRequestCache
from hedgerow.server.request_rejected import RequestRejected, not_http
from hedgerow.server.request_target import check_same_host, is_valid_host, split_target
from hedgerow.settings import ClientLimits

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")

_RTSP: Final = re.compile(rb"^[A-Z]+ +\S+ +RTSP/", re.MULTILINE)
"""llhttp parses RTSP as if it were HTTP and does not report which of them it saw; it accepts several blanks for one."""

_USED_HEADERS: Final = frozenset(
    b"host x-request-id expect content-length transfer-encoding traceparent tracestate".split()
)
"""The headers that this parser uses; any other costs one lookup in this set."""


class RequestParser:
    """Turns the bytes of one connection into requests, in order. `feed` raises RequestRejected and nothing else."""

    __slots__ = (
        "_arrived_at", "_bodies", "_body", "_cache", "_cacheable", "_coding", "_expects", "_fed_at", "_fields",
        "_has_body", "_headers", "_host", "_last_host", "_length", "_line", "_max_body_bytes", "_max_header_bytes",
        "_max_headers", "_max_pending_bytes", "_max_target_bytes", "_next_id", "_on_request", "_overhead_bytes",
        "_parser", "_pending", "_request", "_request_id", "_requests", "_size", "_target", "_traceparent",
        "_tracestate", "held_body_bytes", "partial", "wants_continue",
    )  # fmt: skip

    def __init__(
        self,
        limits: ClientLimits,
        on_request: Callable[[Request], None],
        next_id: Callable[[], bytes],
        cache: ParsedRequestCache,
        max_body_bytes: Callable[[Request], int] | None = None,
        bodies: BodyMemory | None = None,
    ) -> None:
        """`max_body_bytes` is `Handler.max_body_bytes`: requests keep their headers then, and may have bodies.

        `bodies` is what counts those. Without either, a request with a body is rejected.
        """
        self._max_body_bytes = max_body_bytes
        self._bodies = bodies or BodyMemory(0)
        self._overhead_bytes = limits.body_overhead_bytes
        self.held_body_bytes = 0
        """What is counted in `bodies` for this connection."""
        self.wants_continue = False
        """The client waits for 100 (Continue) before it sends the body of its request."""
        self._max_headers = limits.max_headers
        self._max_target_bytes = limits.max_target_bytes
        self._max_header_bytes = limits.max_header_bytes
        self._max_pending_bytes = limits.max_target_bytes + limits.max_header_bytes + limits.parse_chunk_bytes
        """The target, the header section and one read."""
        self._on_request = on_request
        self._next_id = next_id
        self._cache = cache
        self._requests = 0
        """Requests found in the bytes of the current `feed`."""
        self._cacheable: Request | None = None
        """The last of them, if the same bytes would mean the same request again."""
        self._parser = httptools.HttpRequestParser(self)
        self._last_host = b""
        """The last valid Host header: most requests of a connection have the same."""
        self._line = b""
        """What `_RTSP` has to see before the next bytes: the unfinished line, as long as no header is complete, for a
        request line may come in pieces; within the header section a blank, because no request line starts there."""
        self.partial = False
        """Some bytes of a request have been parsed, and not all."""
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
        self._length = b""
        self._coding = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._body: RequestBody | None = None
        self._request: Request | None = None
        """What the body belongs to that is read."""
        self._arrived_at = self._fed_at

    def feed(self, data: bytes, arrived_at: float) -> None:
        """Parse more bytes. A request arrived when its first byte did.

        Raises RequestRejected; the parser must not be fed again after that.
        """
        if self.partial:
            self._parse(data, arrived_at)
            return
        parsed = self._cache.get(data)
        if parsed is not None:
            method, path, query, head = parsed
            self._request_id = self._next_id()
            request = Request(method, path, query, request_id=self._request_id, arrived_at=arrived_at)
            if head is not None:
                request.message = ClientMessage(head)
            self._on_request(request)
            return
        self._requests = 0
        self._parse(data, arrived_at)
        found, self._cacheable = self._cacheable, None
        if self._requests == 1 and found is not None and not self.partial:
            self._cache.put(data, found)

    def _parse(self, data: bytes, arrived_at: float) -> None:
        self._fed_at = arrived_at
        body = self._body
        if body is not None:
            body.fed(len(data))
            self._feed(data)
            return
        line = self._line + data if self._line else data
        # `find`: `in` would first try the bytes as a number, which raises and is caught (0.4 µs).
        if line.find(b" RTSP/") >= 0 and (found := _RTSP.search(line)):
            self._line = b""
            before = line[: found.start()][len(line) - len(data) :]
            self._parse(before, arrived_at)  # the HTTP before it
            if self.in_body:
                self._parse(data[len(before) :], arrived_at)
                return
            self._begin()
            raise RequestRejected("bad_request", "not HTTP/1.1: this is RTSP")
        self._feed(data)
        self._line = b"" if not self.partial else b" " if self._headers else line[line.rfind(b"\n") + 1 :]
        if (
            self.partial and not self.in_body
        ):  # llhttp itself keeps the value of an unfinished header: the bound of it
            self._pending += len(data)
            if self._pending > self._max_pending_bytes:
                raise self._too_large()

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as stopped:
                # llhttp stops after a request that offers an upgrade. The offer is ignored (RFC 9110 section 7.8),
                # and the bytes after it are the next request; but no request follows a CONNECT.
                offset: int = stopped.args[0]
                data = b"" if self._parser.get_method() == b"CONNECT" else data[offset:]
            except httptools.HttpParserCallbackError as error:
                if isinstance(error.__context__, RequestRejected):
                    raise error.__context__ from None
                raise
            except httptools.HttpParserError as error:
                raise not_http(str(error)) from None

    @property
    def in_body(self) -> bool:
        """Return whether a head is whole and its body is being read."""
        return self._body is not None

    @property
    def request_in_body(self) -> Request | None:
        """Return the request whose body is being read."""
        return self._request if self._body is not None else None

    def give_up_body(self) -> Request:
        """Return the request whose body is being read, marked as late. The parser must not be fed again."""
        request = self._request
        assert request is not None  # noqa: S101 (for mypy: `in_body` holds)
        assert request.message is not None  # noqa: S101 (for mypy)
        request.message.body_arrived_at = inf
        request.keep_alive = False
        self._body = self._request = None
        self.partial = self.wants_continue = False
        return request

    def close(self) -> None:
        """Release llhttp's parser, which refers back to this object: no garbage collection is needed then."""
        self._parser = None  # type: ignore[assignment]

    @property
    def request_id(self) -> bytes:
        """The client's id for the request that is being parsed, or a generated one."""
        if not self._request_id:
            self._request_id = self._next_id()
        return self._request_id

    @property
    def is_head(self) -> bool:
        """Whether the request that is being parsed is a HEAD, as far as it has come: its response has no body."""
        return self._target != b"" and self._parser.get_method() == b"HEAD"

    def error_response(self, rejected: RequestRejected) -> Response:
        """Return the response to the request that is being parsed."""
        return problem_response(
            rejected.code, rejected.detail, self.request_id, status=rejected.status, headers=rejected.headers
        )

    # -- callbacks of llhttp

    def on_message_begin(self) -> None:
        self._begin()
        self.partial = True

    def on_url(self, data: bytes) -> None:
        self._target += data
        if len(self._target) > self._max_target_bytes:
            detail = f"the request target is longer than {self._max_target_bytes} bytes"
            raise RequestRejected("too_large", detail, HTTPStatus.REQUEST_URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        if (
            self._request is not None
        ):  # a trailer: dropped, as RFC 9110 section 6.5.1 allows; `RequestBody` bounds it
            return
        self._headers += 1
        self._size += len(name) + len(value) + 4  # ": " and CRLF
        if self._headers > self._max_headers:
            raise RequestRejected("too_large", f"more than {self._max_headers} headers")
        if self._size > self._max_header_bytes:
            raise self._too_large()
        value = value.strip(b" \t")
        if self._max_body_bytes is not None:
            self._fields.append((name, value))
        name = name.lower()
        if name in _USED_HEADERS:
            self._use_header(name, value)

    def on_headers_complete(self) -> None:
        parser = self._parser
        method, version = parser.get_method(), parser.get_http_version()
        if version != "1.1" or self._host is None or self._has_body or self._expects:
            self._check_unusual(method, version)
        self.partial = False
        path, query = split_target(self._target, is_connect=method == b"CONNECT")
        keep_alive = parser.should_keep_alive() and method != b"CONNECT"
        is_unique = self._request_id or self._traceparent or version != "1.1" or not keep_alive
        request = Request(
            method,
            path,
            query,
            request_id=self.request_id,
            arrived_at=self._arrived_at,
            keep_alive=keep_alive,
            announce_keep_alive=version == "1.0",
            trace=parse_trace_context(self._traceparent, self._tracestate) if self._traceparent else None,
            message=ClientMessage(self._kept_head()) if self._max_body_bytes is not None else None,
        )
        self._requests += 1
        self._cacheable = None if is_unique or self._has_body else request
        if self._has_body and self._max_body_bytes is not None:
            self._expect_body(request, self._max_body_bytes(request), version)
        else:
            self._on_request(request)

    def on_body(self, data: bytes) -> None:
        if self._body is not None:
            self._body.add(data)
            self.held_body_bytes += len(data)
            self.wants_continue = False

    def on_message_complete(self) -> None:
        request, body = self._request, self._body
        if request is not None and body is not None:
            self._body = None
            self.partial = self.wants_continue = False
            message = request.message
            assert message is not None  # noqa: S101 (for mypy: there are bodies only where messages are kept)
            message.body = body.whole()
            message.body_bytes = body.size
            message.body_arrived_at = self._fed_at
            self._on_request(request)

    def _kept_head(self) -> RequestHead:
        """Return the headers as they are passed on; an absolute target has the host of the Host header."""
        target, host = self._target, self._host or b""
        if not target.startswith(b"/") and target.find(b"://") >= 0:
            check_same_host(target, host)
        return RequestHead(self._fields, host, has_query=target.find(b"?") >= 0)

    def _expect_body(self, request: Request, limit: int, version: str) -> None:
        """Read the body before the request is handled; or, where its route accepts none, have that answered."""
        self._request = request
        if limit < 0:
            assert request.message is not None  # noqa: S101 (for mypy)
            request.message.has_refused_body = True
            request.keep_alive = False
            self._on_request(request)
            return
        if self._parser.should_upgrade():  # llhttp takes the body for the next request
            raise RequestRejected("bad_request", "a request with a body offers no upgrade")
        if self._coding and (version == "1.0" or self._coding.lower() != b"chunked"):
            raise RequestRejected(
                "bad_request", "the only transfer coding supported is chunked", HTTPStatus.NOT_IMPLEMENTED
            )
        length = -1 if self._coding else int(self._length)
        self._body = RequestBody(limit, length, self._bodies, self._overhead_bytes)
        self.partial = True
        self.wants_continue = self._expects != b"" and version == "1.1"

    # -- validation

    def _check_unusual(self, method: bytes, version: str) -> None:
        if version not in ("1.1", "1.0"):
            raise RequestRejected(
                "bad_request", f"HTTP/{version} is not supported", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
            )
        if self._host is None and version == "1.1":
            raise RequestRejected("bad_request", "no Host header (RFC 9112 section 3.2)")
        if self._expects and self._expects.lower() != b"100-continue":
            raise RequestRejected(
                "bad_request", "the only expectation supported is 100-continue", HTTPStatus.EXPECTATION_FAILED
            )
        if self._max_body_bytes is not None:
            return
        if self._has_body and method not in (b"GET", b"HEAD"):
            raise RequestRejected("method_not_allowed", "use GET or HEAD", headers=b"Allow: GET, HEAD\r\n")
        if self._has_body:
            raise RequestRejected("bad_request", "a request with a body is not accepted")

    def _use_header(self, name: bytes, value: bytes) -> None:
        match name:
            case b"host":
                if self._host is not None:
                    raise RequestRejected("bad_request", "more than one Host header (RFC 9112 section 3.2)")
                if value != self._last_host and not is_valid_host(value):
                    raise RequestRejected(
                        "bad_request", "the Host header is not a host with an optional port"
                    )
                self._host = self._last_host = value
            case b"x-request-id":
                if _REQUEST_ID.fullmatch(value) is not None:
                    self._request_id = value
            case b"expect":
                self._expects = value
            case b"content-length":
                self._has_body = self._has_body or value.strip(b"0") != b""
                self._length = value
            case b"transfer-encoding":
                self._has_body = True
                self._coding = self._coding + b"," + value if self._coding else value
            case b"traceparent":
                self._traceparent = self._traceparent + b"," + value if self._traceparent else value
            case b"tracestate":
                self._tracestate = self._tracestate + b"," + value if self._tracestate else value

    def _too_large(self) -> RequestRejected:
        return RequestRejected("too_large", f"the headers are longer than {self._max_header_bytes} bytes")
