"""Parses the requests of one client connection: llhttp finds the parts, this package decides which are valid.

Where the framing of a request is in doubt, the only safe answer is an error and a close (RFC 9112 section 11.2):
a proxy in front of this server may see other borders between the requests.
"""

from collections.abc import Callable

import httptools

from hedgerow.core.forwarding import ClientMessage
from hedgerow.core.request import Request
from hedgerow.core.response import Response, problem_response
from hedgerow.core.trace_context import parse_trace_context
from hedgerow.server.body_memory import BodyMemory
from hedgerow.server.request_body import RequestBody, framing_head, without_body
from hedgerow.server.request_fields import RequestFields
from hedgerow.server.request_rejected import RequestRejected, long_target, not_http
from hedgerow.server.request_target import split_target
from hedgerow.server.rtsp import RtspDetector
from hedgerow.server.whole_head import WholeHeads
from hedgerow.settings import ClientLimits


class RequestParser:
    """Turns the bytes of one connection into requests, in order. `feed` raises RequestRejected and nothing else."""

    __slots__ = (
        "_bodies", "_body", "_body_overhead_bytes", "_closes", "_fed_at", "_fields", "_in_trailers", "_max_body_bytes",
        "_max_pending_bytes", "_max_target_bytes", "_on_request", "_parser", "_pending", "_rtsp", "_target",
        "_whole_heads", "arrived_at", "held_body_bytes", "partial", "wants_continue",
    )  # fmt: skip

    def __init__(
        self,
        limits: ClientLimits,
        on_request: Callable[[Request], None],
        whole_heads: WholeHeads,
        max_body_bytes: Callable[[Request], int] | None = None,
        bodies: BodyMemory | None = None,
    ) -> None:
        """`max_body_bytes` is `Handler.max_body_bytes`: requests keep their headers then, and may have bodies.

        Without, a request with a body is rejected. `whole_heads` and `bodies` are those of the worker.
        """
        self._body_overhead_bytes = limits.body_overhead_bytes
        self._max_target_bytes = limits.max_target_bytes
        self._max_pending_bytes = limits.max_target_bytes + limits.max_header_bytes + limits.parse_chunk_bytes
        """The target, the header section and one read."""
        self._on_request = on_request
        self._max_body_bytes = max_body_bytes
        self._bodies = bodies or BodyMemory(0)
        self.held_body_bytes = 0
        """What is counted in `bodies` for this connection."""
        self.wants_continue = False
        """The client waits for 100 (Continue) before it sends the body of its request."""
        self.partial = False
        """Some bytes of a request have been parsed, and not all."""
        self.arrived_at = 0.0
        """When the first byte came of the request that is parsed, or was rejected."""
        self._fed_at = 0.0
        self._rtsp = RtspDetector()
        self._fields = RequestFields(limits, passed_on=max_body_bytes is not None)
        self._whole_heads = whole_heads
        self._parser: httptools.HttpRequestParser | None = None
        self._closes = False
        """The last request has come whole: the connection does not persist after it."""
        self._begin()

    def _begin(self) -> None:
        self._fields.clear()
        self._target = b""
        self._pending = 0
        """Bytes of its head that have come while it is not whole."""
        self._body: RequestBody | None = None
        self._in_trailers = False
        """Its head is whole: headers that come are trailers."""

    def feed(self, data: bytes, arrived_at: float) -> None:
        """Parse more bytes. A request arrived when its first byte did.

        Raises RequestRejected; the parser must not be fed again after that.
        """
        if self._closes:
            self.arrived_at = arrived_at
            raise not_http("data after `Connection: close`")
        whole = None if self.partial else self._whole_heads.parse(data, arrived_at)
        if whole is not None:
            self._closes = not whole.keep_alive
            self._on_request(whole)
        else:
            self._parse(data, arrived_at)

    def _parse(self, data: bytes, arrived_at: float) -> None:
        self._fed_at = arrived_at
        rtsp_at = self._rtsp.find(data) if self._body is None else -1
        if rtsp_at >= 0:
            self._feed(data[:rtsp_at])
            if self._body is None:
                if not self.partial:
                    self.on_message_begin()
                raise RequestRejected("bad_request", "not HTTP/1.1: this is RTSP")
            data = data[rtsp_at:]  # in a body it is none
        body = self._body
        self._feed(data)
        if body is not None and self._body is body:
            body.fed(len(data))  # what it has of these bytes is counted before
        self._rtsp.parsed(data, partial=self.partial, in_headers=self._fields.count > 0)
        if self.partial and self._body is None:  # llhttp keeps an unfinished header, and has no limit for it
            self._pending += len(data)
            if self._pending > self._max_pending_bytes:
                raise self._fields.too_large()

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self._llhttp.feed_data(data)
                break
            except httptools.HttpParserUpgrade as stopped:
                # llhttp stops after the head of a request that offers an upgrade. The offer is ignored (RFC 9110
                # section 7.8): the bytes after it are the body or the next request. None follows a CONNECT.
                if self._llhttp.get_method() == b"CONNECT":
                    break
                offset: int = stopped.args[0]
                data = data[offset:]
                if self._body is not None:
                    self._parse_body_behind_offer(self._body.request)
            except httptools.HttpParserCallbackError as error:
                if isinstance(error.__context__, RequestRejected):
                    raise error.__context__ from None
                raise
            except httptools.HttpParserError as error:
                raise not_http(str(error)) from None

    def _parse_body_behind_offer(self, request: Request) -> None:
        """Go on with a parser that has seen the framing of the body and no offer: behind one llhttp reads none."""
        self._parser = parser = httptools.HttpRequestParser(self)
        parser.feed_data(framing_head(request, self._fields.body_length("1.1")))

    def close(self) -> None:
        """Release llhttp's parser, which refers back to this object: no garbage collection is needed then."""
        self._parser = None

    @property
    def _llhttp(self) -> httptools.HttpRequestParser:
        """Return llhttp's parser, made once it is needed: most requests of most connections come whole."""
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(self)
        return self._parser

    @property
    def request_id(self) -> bytes:
        """The client's id for it, or a generated one."""
        if not self._fields.request_id:
            self._fields.request_id = self._whole_heads.next_id()
        return self._fields.request_id

    @property
    def is_head(self) -> bool:
        """Whether it is a HEAD, as far as it has come: its response has no body."""
        return self._target != b"" and self._llhttp.get_method() == b"HEAD"

    def error_response(self, rejected: RequestRejected) -> Response:
        """Return the response to it."""
        return problem_response(
            rejected.code, rejected.detail, self.request_id, status=rejected.status, headers=rejected.headers
        )

    @property
    def request_in_body(self) -> Request | None:
        """Return it once its head is whole, while its body is being read."""
        return self._body.request if self._body is not None else None

    def give_up_body(self) -> Request:
        """Return it without its body, which has not come in time. The parser must not be fed again."""
        return self._take_body().give_up()

    # -- callbacks of llhttp; a head that comes while a body is read is a `framing_head`

    def on_message_begin(self) -> None:
        if self._body is None:
            self._begin()
            self.arrived_at = self._fed_at
            self.partial = True

    def on_url(self, data: bytes) -> None:
        if self._body is None:
            self._target += data
        if len(self._target) > self._max_target_bytes:
            raise long_target(self._max_target_bytes)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_trailers:  # they are dropped (RFC 9110 section 6.5.1); `RequestBody` bounds them
            self._fields.add(name, value)

    def on_headers_complete(self) -> None:
        if self._body is not None:
            return
        parser, fields, max_body_bytes = self._llhttp, self._fields, self._max_body_bytes
        method, version = parser.get_method(), parser.get_http_version()
        head = fields.head(version)
        fields.check(method, version)
        self.partial = False
        path, query = split_target(self._target, is_connect=method == b"CONNECT")
        fields.set_target(head, self._target)
        request = Request(
            method,
            path,
            query,
            request_id=self.request_id,
            arrived_at=self.arrived_at,
            keep_alive=parser.should_keep_alive() and method != b"CONNECT",
            announce_keep_alive=head.is_http_1_0,
            trace=parse_trace_context(fields.traceparent, fields.tracestate) if fields.traceparent else None,
            message=ClientMessage(head) if max_body_bytes is not None else None,
        )
        if fields.has_body and max_body_bytes is not None:
            self._in_trailers = True
            self._expect_body(request, max_body_bytes(request), version)
        else:
            self._on_request(request)

    def _expect_body(self, request: Request, limit: int, version: str) -> None:
        """Read the body before the request is handled; or, where none is to be read, have that answered."""
        if limit < 0:
            self._on_request(without_body(request))
            return
        self._body = body = RequestBody(request, limit, self._bodies, self._body_overhead_bytes)
        self.partial = True
        body.announce(self._fields.body_length(version))
        self.wants_continue = self._fields.expects != b"" and version == "1.1"

    def on_body(self, data: bytes) -> None:
        if self._body is not None:
            self._body.add(data)
            self.held_body_bytes += len(data)
            self.wants_continue = False

    def on_message_complete(self) -> None:
        if self._body is not None and self._llhttp.should_upgrade():
            return  # its body comes
        self._closes = not self._llhttp.should_keep_alive()
        if self._body is not None:
            self._on_request(self._take_body().finish(self._fed_at, closes=self._closes))

    def _take_body(self) -> RequestBody:
        body, self._body = self._body, None
        assert body is not None  # noqa: S101 (for mypy)
        self.partial = self.wants_continue = False
        return body
