"""A transport on a simulated socket. What uvloop's does and asyncio's does not is done as in uvloop 0.22:
writes leave at the end of the turn, and what is cancelled as it comes about is closed without `connection_lost`.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from prove.world.ends import SimulatedSocket

if TYPE_CHECKING:
    from prove.world.loop import SimulatedLoop

READ_BYTES = 256 * 1024


class SimulatedTransport(asyncio.Transport):
    """Between a protocol and a simulated socket."""

    def __init__(
        self,
        loop: "SimulatedLoop",
        sock: SimulatedSocket,
        protocol: asyncio.Protocol,
        waiter: "asyncio.Future[None]",
    ) -> None:
        super().__init__()
        self._loop = loop
        self._sock = sock
        self._protocol: asyncio.Protocol | None = protocol
        self._buffer = b""
        self._high, self._low = 64 * 1024, 16 * 1024
        self._closing = self._lost = self._dropped = self._made = False
        self._paused = self._protocol_paused = self._ends = False
        loop.call_soon(self._begin, waiter)

    def _begin(self, waiter: "asyncio.Future[None]") -> None:
        if not self._dropped:
            assert self._protocol is not None
            self._made = True
            self._protocol.connection_made(self)
            self._watch()
        if not waiter.done():
            waiter.set_result(None)

    def _watch(self) -> None:
        sock = self._sock
        sock.reader = self._on_readable if self._made and not (self._paused or self._closing) else None
        sock.writer = self.flush if self._buffer and not self._lost else None
        self._loop.network.touched(sock)

    # -- what asyncio promises

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._sock if name == "socket" else default

    def is_closing(self) -> bool:
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def pause_reading(self) -> None:
        self._paused = True
        self._watch()

    def resume_reading(self) -> None:
        self._paused = False
        self._watch()

    def write(self, data: Any) -> None:
        if self._lost or not data:
            return
        self._buffer += bytes(data)
        if len(self._buffer) > self._high and not self._protocol_paused and self._protocol is not None:
            self._protocol_paused = True
            self._protocol.pause_writing()
        self._loop.queue_write(self)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._ends = True
        if not self._buffer:
            self._sock.shut()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._watch()
            if not self._buffer:
                self._lose(None)

    def abort(self) -> None:
        self._force_close(None)

    def drop(self) -> None:
        """Close without a word: nobody waits for the connection any more."""
        self._closing = self._lost = self._dropped = True
        self._protocol = None
        self._watch()
        self._sock.close()

    # -- its own

    def flush(self) -> None:
        """Send what waits, as far as the kernel takes it."""
        if self._lost or not self._buffer:
            return
        try:
            sent = self._sock.send(self._buffer)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._force_close(error)
            return
        self._buffer = self._buffer[sent:]
        self._watch()
        if self._protocol_paused and len(self._buffer) <= self._low and self._protocol is not None:
            self._protocol_paused = False
            self._protocol.resume_writing()
        if not self._buffer and not self._lost:
            if self._ends:
                self._sock.shut()
            if self._closing:
                self._lose(None)

    def _on_readable(self) -> None:
        protocol, sock = self._protocol, self._sock
        assert protocol is not None
        try:
            data = sock.recv(READ_BYTES)
        except OSError as error:
            self._force_close(error)
            return
        try:
            if data:
                protocol.data_received(data)
            elif not protocol.eof_received():
                self.close()
            else:
                self.pause_reading()
        except Exception as error:  # noqa: BLE001 (as uvloop does; here it is a finding)
            self._loop.call_exception_handler({"message": "a protocol failed", "exception": error})
            self._force_close(error)
        if not self._lost:
            self._watch()

    def _force_close(self, error: Exception | None) -> None:
        if not self._lost:
            self._closing = True
            self._buffer = b""
            self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        self._lost = True
        self._watch()
        self._loop.call_soon(self._connection_lost, error)

    def _connection_lost(self, error: Exception | None) -> None:
        protocol, self._protocol = self._protocol, None
        if self._dropped:
            return
        try:
            if self._made and protocol is not None:
                protocol.connection_lost(error)
        finally:
            self._dropped = True
            self._watch()
            self._sock.close()
