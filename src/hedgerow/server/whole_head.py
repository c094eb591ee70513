"""Request heads that come whole and alone in one read, as most do: read without a callback for each header.

llhttp judges such a head. All others are left to the parser of their connection, which also knows why one is rejected.
So nothing is accepted here that would be rejected there (`test_whole_head.py`; `test_request_parser_vs_h11.py` has both
compared with h11).
"""

import re
from collections.abc import Callable
from typing import Final

import httptools

from hedgerow.core.forwarding import ClientMessage
from hedgerow.core.request import Request
from hedgerow.core.request_head import RequestHead
from hedgerow.core.trace_context import parse_trace_context
from hedgerow.server.request_cache import Parsed, ParsedRequestCache
from hedgerow.server.request_fields import RequestFields
from hedgerow.server.request_rejected import RequestRejected
from hedgerow.server.request_target import split_target
from hedgerow.settings import ClientLimits

_LINE: Final = re.compile(rb"(?!CONNECT )([A-Z-]+) ([!-~]+) HTTP/1\.([01])\r\n")
_END: Final = b"\r\n\r\n"


def is_whole_head(data: bytes) -> bool:
    """Return whether the bytes end with the first empty line in them."""
    return data.endswith(_END) and data.find(_END) == len(data) - len(_END)


class WholeHeads:
    """Reads such heads, for all connections of a worker. Between two of them its parser expects a new message."""

    __slots__ = (
        "_begun", "_cache", "_complete", "_keeps_alive", "_max_target_bytes", "_parser", "_passed_on", "fields",
        "next_id",
    )  # fmt: skip

    def __init__(
        self,
        limits: ClientLimits,
        next_id: Callable[[], bytes],
        cache: ParsedRequestCache | None = None,
        *,
        passed_on: bool,
    ) -> None:
        """`next_id` makes the ids of requests that bring none. `passed_on`: heads are kept."""
        self.next_id = next_id
        self._cache = cache or ParsedRequestCache()
        self._passed_on = passed_on
        self._max_target_bytes = limits.max_target_bytes
        self.fields = RequestFields(limits, passed_on=passed_on)
        """What the last one says."""
        self._parser = httptools.HttpRequestParser(self)
        self._begun = self._complete = 0
        self._keeps_alive = False

    def parse(self, data: bytes, arrived_at: float) -> Request | None:
        """Return the request that the bytes are, if they are such a head. Never raises."""
        parsed, request_id, trace = self._cache.get(data), b"", None
        if parsed is None:
            parsed = self.read(data)
            if parsed is None:
                return None
            fields = self.fields
            request_id = fields.request_id
            if fields.traceparent:
                trace = parse_trace_context(fields.traceparent, fields.tracestate)
            elif not request_id:
                self._cache.put(data, parsed)
        method, path, query, head, keep_alive, is_http_1_0 = parsed
        request = Request(
            method,
            path,
            query,
            request_id=request_id or self.next_id(),
            arrived_at=arrived_at,
            keep_alive=keep_alive,
            announce_keep_alive=is_http_1_0,
            trace=trace,
        )
        if head is not None:
            request.message = ClientMessage(head)
        return request

    def read(self, data: bytes) -> Parsed | None:
        """Return what a head says that came whole, with a Host header, and with neither a body nor an expectation.

        None: it is another, or it is not valid.
        """
        line = _LINE.match(data)
        if line is None or not is_whole_head(data):
            return None
        method, target, is_http_1_0, fields = line[1], line[2], line[3] == b"0", self.fields
        fields.clear()
        try:
            head = RequestHead(data[line.end() - 2 : -2])
            head.is_http_1_0 = is_http_1_0
            fields.take(head)
            path, query = split_target(target, is_connect=False)
            fields.set_target(head, target)
        except RequestRejected:
            return None
        if len(target) > self._max_target_bytes or not fields.are_usual(head) or not self._accepts(data):
            return None
        return method, path, query, head if self._passed_on else None, self._keeps_alive, is_http_1_0

    def _accepts(self, data: bytes) -> bool:
        """Return whether llhttp finds one request, whole; `_keeps_alive` is set for it."""
        self._begun = self._complete = 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._begun = 0
        except httptools.HttpParserUpgrade:  # an offer, which is ignored; llhttp goes on behind it
            pass
        is_one = self._begun == 1 and self._complete == 1
        if not is_one or not self._keeps_alive:
            self._parser = httptools.HttpRequestParser(self)
        return is_one

    # -- callbacks of llhttp

    def on_message_begin(self) -> None:
        self._begun += 1

    def on_message_complete(self) -> None:
        self._complete += 1
        self._keeps_alive = self._parser.should_keep_alive()
