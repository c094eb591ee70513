"""The requests of one connection: what was read of it, parsed in bounded pieces as the answers go."""

from typing import Final

from hedgerow.core.request import Request
from hedgerow.net.stream import Stream
from hedgerow.net.tcp import receive_queue_age_s
from hedgerow.server.context import ServerContext
from hedgerow.server.request_parser import RequestParser
from hedgerow.server.request_rejected import RequestRejected
from hedgerow.server.response_writer import CLOSE
from hedgerow.server.whole_head import is_whole_head

HELD_PIECE_BYTES: Final = 128
"""Counted for each piece that is held, beside its bytes: it takes 88 to 136. So some 500 pieces of one byte are held of
a connection, and not 65 536. All that is held is parsed in up to 0.9 ms (compiled; chunks of one byte)."""


class RequestReader:
    """Holds what has come and is not answered yet, each piece with the instant at which it came."""

    __slots__ = ("_context", "_first_read", "_parser", "_unparsed", "held_bytes", "rejected", "requests")

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self.requests: list[Request] = []  # a deque, empty, takes 760 bytes of each connection
        """Parsed requests, in their order."""
        self._parser: RequestParser | None = None
        """Made once it is needed: most connections send each request whole and alone."""
        self._unparsed: list[tuple[bytes, float]] = []
        self.held_bytes = 0
        """What is not parsed yet: its length, and `HELD_PIECE_BYTES` for each piece."""
        self.rejected: RequestRejected | None = None
        """How the parser rejected the bytes after these requests."""
        self._first_read = True

    def resumed(self) -> None:
        """Note that the socket is read again: what comes next may have come a while ago."""
        self._first_read = True

    def add(self, data: bytes, stream: Stream, *, is_answering: bool = False) -> None:
        """Hold what was just read from `stream`.

        One request is parsed at once if it has come whole and alone, and none before it is being answered.
        """
        arrived_at = self._arrived_at(stream)
        parser = self._parser
        if not is_answering and not self.holds_requests and (parser is None or not parser.partial):
            request = self._context.whole_heads.parse(data, arrived_at)
            if request is not None:
                self.requests.append(request)
                return
        self._unparsed.append((data, arrived_at))
        self.held_bytes += len(data) + HELD_PIECE_BYTES

    @property
    def has_unparsed(self) -> bool:
        """Return whether `parse` has something to do."""
        return len(self._unparsed) > 0

    @property
    def holds_requests(self) -> bool:
        """Return whether something was read and not answered yet; a part of a head may be."""
        return len(self.requests) > 0 or len(self._unparsed) > 0 or self.rejected is not None

    @property
    def has_partial_request(self) -> bool:
        """Return whether the rest of a request is waited for, whose head or body was parsed in part."""
        parser = self._parser
        return parser is not None and parser.partial and self.rejected is None

    @property
    def request_in_body(self) -> Request | None:
        """Return the request whose head was parsed, and whose body has not come whole."""
        return self._parser.request_in_body if self._parser is not None else None

    def give_up_body(self) -> None:
        """Have that request answered without its body, which has not come in time. Nothing further is parsed."""
        self.requests.append(self._made_parser().give_up_body())
        self._unparsed.clear()
        self.held_bytes = 0

    def take_continue(self) -> bool:
        """Return, once, whether the client waits for 100 (Continue) before it sends a body that is wanted."""
        parser = self._parser
        if parser is None or not parser.wants_continue:
            return False
        parser.wants_continue = False
        return True

    def release_body(self, size: int) -> None:
        """Release the memory of a body of this size: its request has been answered."""
        self._made_parser().held_body_bytes -= size
        self._context.bodies.give_back(size)

    def parse(self) -> None:
        """Parse a bounded chunk of the buffer into `requests`; `rejected` is set if it is malformed."""
        data, arrived_at = self._unparsed[0]
        parser, size = self._made_parser(), self._context.parse_chunk_bytes
        if len(data) > size and (parser.partial or not is_whole_head(data)):
            self._unparsed[0] = data[size:], arrived_at
            data = data[:size]
        else:
            self._unparsed.pop(0)
            self.held_bytes -= HELD_PIECE_BYTES
        self.held_bytes -= len(data)
        try:
            parser.feed(data, arrived_at)
        except RequestRejected as rejected:
            self._unparsed.clear()
            self.held_bytes = 0
            self.rejected = rejected

    def serialize_rejection(self, rejected: RequestRejected) -> bytes:
        """Return the response to what was rejected as a whole message, which ends the connection."""
        parser, context = self._made_parser(), self._context
        return context.writer.serialize(
            parser.error_response(rejected),
            parser.request_id,
            arrived_at=parser.arrived_at,
            now=context.loop.clock(),
            connection=CLOSE,
            is_head=parser.is_head,
        )

    def close(self) -> None:
        """Hold nothing any more, and free the parser. Idempotent."""
        self._unparsed.clear()
        self.held_bytes = 0
        self.requests.clear()
        self.rejected = None
        parser = self._parser
        if parser is not None:
            if parser.held_body_bytes:
                self.release_body(parser.held_body_bytes)
            parser.close()

    def _made_parser(self) -> RequestParser:
        parser = self._parser
        if parser is None:
            context = self._context
            self._parser = parser = RequestParser(
                context.limits,
                self.requests.append,
                context.whole_heads,
                context.handler.max_body_bytes if context.passes_headers else None,
                context.bodies,
            )
            parser.arrived_at = context.loop.clock()  # of a client that is rejected before anything was read
        return parser

    def _arrived_at(self, stream: Stream) -> float:
        """Return when the kernel had what was just read: our own lag is charged to us, not to the client."""
        loop = self._context.loop
        now = loop.clock()
        if self._first_read or loop.clients.lag or now > loop.clients.are_fresh_until:
            self._first_read = False
            age_s = receive_queue_age_s(stream.sock)
            loop.clients.was_queued(age_s)
            # Of now, not of before: the process may have been stopped between the two, which makes the age greater.
            return min(now, loop.clock() - age_s) if age_s else now
        return now
