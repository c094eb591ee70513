"""One client's connection: when its socket is read, how it is written to, and how it ends."""

import select
import socket
from math import inf
from typing import Final

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.poller import READABLE, WRITABLE
from hedgerow.net.stream import Stream
from hedgerow.net.tcp import peer_address
from hedgerow.server.context import ServerContext
from hedgerow.server.request_pipeline import RequestPipeline
from hedgerow.server.request_rejected import RequestRejected

_LEFT: Final = select.EPOLLRDHUP
"""The client has closed its side."""
_BROKEN: Final = select.EPOLLERR | select.EPOLLHUP
"""The connection was reset, or both sides have closed it."""


class ClientConnection(EventHandler):
    """Hands what a client sends to its `RequestPipeline`, and ends so that the last response arrives.

    It is open, with a pipeline; then closing, without one: what comes is dropped until the client has what is left to
    send, and for a while longer; then closed. A client that breaks the connection skips the middle.
    """

    __slots__ = ("_address", "_context", "_eof", "_fd", "_pipeline", "_stream", "idle_since", "paused")

    def __init__(self, context: ServerContext, sock: socket.socket) -> None:
        """Watch the socket. Raises OSError if it cannot be watched; the listener closes it then."""
        self._context = context
        self._stream = stream = Stream(context.loop, sock)
        stream.owner = self
        self._fd = sock.fileno()
        self._address = b""
        """The client's, once it was asked for."""
        self.paused = False
        """The socket is not read."""
        self._eof = False
        """The client will send no more, and gets what is left to send."""
        self.idle_since = context.loop.clock()
        """No request has been under way since this instant, though one may be held (`holds_requests`); infinite while
        there is one, or its body is read."""
        context.loop.clients.register(self._fd, self, READABLE)
        context.connections.add(self)
        self._pipeline: RequestPipeline | None = RequestPipeline(context, self, stream)
        """None: nothing further is answered."""

    # -- called by the event loop

    def on_ready(self, mask: int) -> None:
        """Read what has come; or send the rest of what the client did not take before."""
        stream = self._stream
        if stream.closed:
            return
        if mask & WRITABLE and stream.blocked:
            stream.flush()  # may close it
            if stream.blocked:  # the client is slow, but it reads
                self._context.timeouts.write_blocked(self, self._context.loop.clock())
        if mask & READABLE and not self.paused:
            self.read()
        elif mask & _BROKEN:
            self.abort()
        elif mask & _LEFT:  # while it is not read
            self._on_eof()

    def abort(self) -> None:
        """Close at once, dropping what is unsent."""
        self._end_pipeline()
        stream, context = self._stream, self._context
        if not stream.closed:
            context.loop.clients.unregister(self._fd)
            stream.close()
            context.connections.discard(self)
            context.timeouts.forget(self)
            context.on_closed()

    # -- called by the stream

    def on_write_blocked(self) -> None:
        """Begin no further pipelined request until the client has read what it was sent."""
        loop = self._context.loop
        loop.clients.modify(self._fd, self._read_mask() | WRITABLE)
        self._context.timeouts.write_blocked(self, loop.clock())

    def on_flushed(self) -> None:
        """Go on: all that was written has been sent."""
        if self._eof:
            self.abort()
            return
        self._context.loop.clients.modify(self._fd, self._read_mask())
        self._context.timeouts.write_unblocked(self)
        pipeline = self._pipeline
        if pipeline is None:
            self._linger()
        else:
            pipeline.process()

    # -- called by the server, its listener and its timeouts

    @property
    def holds_requests(self) -> bool:
        """Return whether requests were read that wait: until answers are read, or after a 503."""
        pipeline = self._pipeline
        return pipeline is not None and pipeline.holds_requests

    def close_idle(self) -> None:
        """Close, unless a request is under way, or its body is read; or one has come and is not read yet."""
        idle_since = self.idle_since
        if idle_since < inf:
            self.read()
            if self.idle_since == idle_since and not (self.holds_requests or self._stream.closed):
                self.close_gracefully()

    def reject(self, rejected: RequestRejected) -> None:
        """Answer out of turn, unless a request is under way; then close."""
        if self._pipeline is not None:
            self._pipeline.reject(rejected)

    def reset(self) -> None:
        """Close by RST: otherwise the kernel keeps what the client does not read for minutes."""
        self._stream.send_rst_on_close()
        self.abort()

    # -- called by the pipeline

    def client_address(self) -> bytes:
        """Return the client's address as text."""
        if not self._address:
            self._address = peer_address(self._stream.sock)
        return self._address

    def read(self) -> bool:
        """Hand on what has come; return whether there may be more."""
        stream = self._stream
        if stream.closed:
            return False
        try:
            data = stream.read()
        except OSError:
            self.abort()
            return False
        if data is None:
            return False
        if not data:
            self._on_eof()
            return False
        if self._pipeline is not None:
            self._pipeline.receive(data)
        return True

    def pause(self, *, paused: bool) -> None:
        """Read the socket no more for now, or again."""
        if paused != self.paused and not self._stream.closed:
            self.paused = paused
            mask = self._read_mask()
            self._context.loop.clients.modify(self._fd, mask | WRITABLE if self._stream.blocked else mask)

    def close_gracefully(self) -> None:
        """Send what is written and FIN; then read on for a while, so that closing does not take the response back.

        Closing with unread bytes sends RST, which may take the response from the client (RFC 9112 section 9.6).
        """
        self._end_pipeline()
        self._stream.flush()
        if not self._stream.unsent_bytes:
            self._linger()

    # -- the end

    def _on_eof(self) -> None:
        """Abandon the requests of a client that has left, or will send no more.

        A half-closed client cannot be distinguished from one that is gone before we write to it; nginx and Go's
        net/http take it as gone, too (decision 0005).
        """
        self._end_pipeline()
        self._eof = True
        self._stream.flush()
        if self._stream.unsent_bytes:  # the rest goes within the write timeout
            self._context.loop.clients.modify(self._fd, WRITABLE)
        else:
            self.abort()

    def _end_pipeline(self) -> None:
        self.idle_since = inf  # it waits for no request any more
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.end()

    def _linger(self) -> None:
        self.pause(paused=False)
        self._stream.end_writing()
        self._context.timeouts.lingering(self, self._context.loop.clock())

    def _read_mask(self) -> int:
        # A client that leaves while it is not read is noticed all the same.
        return _LEFT if self.paused else READABLE
