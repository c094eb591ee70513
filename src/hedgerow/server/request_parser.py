"""Parses the requests of one client connection: llhttp finds the parts, this module decides which are valid.

Where the framing of a request is in doubt, the only safe answer is an error and a close (RFC 9112 section 11.2):
a proxy in front of this server may see other borders between the requests.
"""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import httptools

from hedgerow.core.request import Request
from hedgerow.core.response import Response, problem_response
from hedgerow.core.trace_context import parse_trace_context
from hedgerow.server.request_cache import ParsedRequestCache
from hedgerow.server.request_rejected import RequestRejected, not_http
from hedgerow.server.request_target import is_valid_host, split_target
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
        "_arrived_at", "_cache", "_cacheable", "_expects", "_fed_at", "_has_body", "_headers", "_host", "_last_host",
        "_line", "_max_head_bytes", "_max_headers", "_max_pending_bytes", "_next_id", "_on_request", "_parser",
        "_pending", "_request_id", "_requests", "_size", "_target", "_traceparent", "_tracestate", "partial",
    )  # fmt: skip

    def __init__(
        self,
        limits: ClientLimits,
        on_request: Callable[[Request], None],
        next_id: Callable[[], bytes],
        cache: ParsedRequestCache,
    ) -> None:
        self._max_headers = limits.max_headers
        self._max_head_bytes = limits.max_head_bytes
        self._max_pending_bytes = 2 * limits.max_head_bytes + limits.parse_chunk_bytes
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
            method, path, query = parsed
            self._request_id = self._next_id()
            self._on_request(Request(method, path, query, request_id=self._request_id, arrived_at=arrived_at))
            return
        self._requests = 0
        self._parse(data, arrived_at)
        request, self._cacheable = self._cacheable, None
        if self._requests == 1 and request is not None and not self.partial:
            self._cache.put(data, request)

    def _parse(self, data: bytes, arrived_at: float) -> None:
        self._fed_at = arrived_at
        line = self._line + data if self._line else data
        # `find`: `in` would first try the bytes as a number, which raises and is caught (0.4 µs).
        if line.find(b" RTSP/") >= 0 and (found := _RTSP.search(line)):
            self._line = b""
            self._parse(line[: found.start()][len(line) - len(data) :], arrived_at)  # the HTTP before it
            self._begin()
            raise RequestRejected("bad_request", "not HTTP/1.1: this is RTSP")
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
        self._line = b"" if not self.partial else b" " if self._headers else line[line.rfind(b"\n") + 1 :]
        if self.partial:  # llhttp itself keeps the value of an unfinished header: this is its bound
            self._pending += len(data)
            if self._pending > self._max_pending_bytes:
                raise self._too_large()

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
        if len(self._target) > self._max_head_bytes:
            raise self._too_large()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        self._size += len(name) + len(value) + 4  # ": " and CRLF
        if self._headers > self._max_headers:
            raise RequestRejected("too_large", f"more than {self._max_headers} headers")
        if self._size > self._max_head_bytes:
            raise self._too_large()
        name = name.lower()
        if name in _USED_HEADERS:
            self._use_header(name, value.strip(b" \t"))

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
        )
        self._requests += 1
        self._cacheable = None if is_unique else request
        self._on_request(request)

    # -- validation

    def _check_unusual(self, method: bytes, version: str) -> None:
        if version not in ("1.1", "1.0"):
            raise RequestRejected(
                "bad_request", f"HTTP/{version} is not supported", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
            )
        if self._host is None and version == "1.1":
            raise RequestRejected("bad_request", "no Host header (RFC 9112 section 3.2)")
        if self._has_body and method not in (b"GET", b"HEAD"):
            raise RequestRejected("method_not_allowed", "use GET or HEAD", headers=b"Allow: GET, HEAD\r\n")
        if self._has_body:
            raise RequestRejected("bad_request", "a request with a body is not accepted")
        if self._expects and self._expects.lower() != b"100-continue":
            raise RequestRejected(
                "bad_request", "the only expectation supported is 100-continue", HTTPStatus.EXPECTATION_FAILED
            )

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
            case b"transfer-encoding":
                self._has_body = True
            case b"traceparent":
                self._traceparent = self._traceparent + b"," + value if self._traceparent else value
            case b"tracestate":
                self._tracestate = self._tracestate + b"," + value if self._tracestate else value

    def _too_large(self) -> RequestRejected:
        detail = f"the request line or the header section is longer than {self._max_head_bytes} bytes"
        if self._headers or len(self._target) < self._max_head_bytes // 2:
            return RequestRejected("too_large", detail)
        return RequestRejected("too_large", detail, HTTPStatus.REQUEST_URI_TOO_LONG)
