"""The supervisor's end of the channel to one worker. Nothing that a worker sends raises here."""

import asyncio
import socket
from collections import deque
from typing import Final, Protocol

from hedgerow.processes.control_channel import (
    MAX_LINE_BYTES,
    ControlReply,
    ControlRequest,
    Exiting,
    Failed,
    GetObservations,
    GetRecent,
    GetSnapshot,
    ObservationsReply,
    Ready,
    RecentReply,
    SnapshotReply,
    decode_reply,
    encode,
)
from hedgerow.telemetry.snapshot import Snapshot, add

MAX_UNANSWERED: Final = 8
"""Requests to which a worker has not replied yet; a stopped worker gets no more."""
READ_BYTES: Final = 256 * 1024
"""Of one read, before other channels are read."""

_REPLY_TO: Final[dict[type[ControlRequest], type[ControlReply]]] = {
    GetSnapshot: SnapshotReply,
    GetRecent: RecentReply,
    GetObservations: ObservationsReply,
}


class ChannelListener(Protocol):
    """Receives the events of one channel."""

    def on_serving(self) -> None:
        """Handle the worker's report that it serves."""

    def on_request_sent(self) -> None:
        """Note that a request is sent and no other is unanswered."""

    def on_reply(self, *, all_requests: bool) -> None:
        """Note that the worker has replied to a request, or to all."""

    def on_closed(self, reason: str) -> None:
        """Handle, once, that the worker has closed its end; `reason` is set if it sent an invalid reply."""


class WorkerChannel:
    """Requests to a worker, and its replies."""

    def __init__(self, sock: socket.socket, listener: ChannelListener) -> None:
        """Take over the socket."""
        self.ready = False
        """The worker serves."""
        self.last = Snapshot()
        """The worker's last counts."""
        self._loop = asyncio.get_running_loop()
        self.last_heard_at = self._loop.time()
        """When the worker last sent a message; an instant of the event loop's clock."""
        self.unanswered: deque[tuple[ControlRequest, asyncio.Future[ControlReply]]] = deque()
        self._listener = listener
        self._received = bytearray()
        self._unsent = bytearray()
        """At most a configuration, or `MAX_UNANSWERED` requests."""
        self._sock = sock
        self.is_closed = False
        sock.setblocking(False)
        self._loop.add_reader(sock, self._on_readable)

    def send(self, data: bytes) -> None:
        """Send a line, as the worker reads it. Closes the channel if the worker is gone."""
        self._unsent += data
        self._send_unsent()

    def _send_unsent(self) -> None:
        try:
            del self._unsent[: self._sock.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self._unsent:
            self._loop.add_writer(self._sock, self._send_unsent)
        else:
            self._loop.remove_writer(self._sock)

    def request(self, request: ControlRequest) -> "asyncio.Future[ControlReply] | None":
        """Send a request; None if the worker does not serve or has too many. Cancelled when the channel closes."""
        if not self.ready or len(self.unanswered) >= MAX_UNANSWERED:
            return None
        self.send(encode(request))
        if self.is_closed:
            return None
        reply: asyncio.Future[ControlReply] = self._loop.create_future()
        self.unanswered.append((request, reply))
        if len(self.unanswered) == 1:
            self._listener.on_request_sent()
        return reply

    def read_rest(self) -> None:
        """Read the rest after the worker's process has ended: a child of it may still hold the other end."""
        while not self.is_closed and self._on_readable():
            pass
        self.close()

    def close(self, reason: str = "") -> None:
        """Close the channel: a worker without one ends on its own. Unanswered requests are cancelled."""
        if self.is_closed:
            return
        self.is_closed = True
        self.ready = False
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        for _, reply in self.unanswered:
            reply.cancel()
        self._listener.on_closed(reason)

    def _on_readable(self) -> bool:
        """Receive once; return whether there was anything."""
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()  # a worker that is killed while it replies leaves a partial line
            return False
        start = len(self._received)
        self._received += data
        if b"\n" in data:
            *lines, rest = bytes(self._received).split(b"\n")
            self._received = bytearray(rest)
            for line in lines:
                self._receive_line(line)
        elif start + len(data) > MAX_LINE_BYTES:
            self.close("it sent a line without end")
        return True

    def _receive_line(self, line: bytes) -> None:
        if self.is_closed:
            return
        try:
            self._receive(decode_reply(line))
        except Exception as error:  # noqa: BLE001 (whatever a worker sends must not end its supervisor)
            self.close(f"it sent an invalid reply: {type(error).__name__}: {error}")

    def _receive(self, reply: ControlReply) -> None:
        self.last_heard_at = self._loop.time()
        if isinstance(reply, Ready):
            self.ready = True
            self._listener.on_serving()
            return
        if isinstance(reply, SnapshotReply | Exiting):
            add(Snapshot(), reply.snapshot)  # raises for counts of another shape
            self.last = reply.snapshot
        if isinstance(reply, Exiting):
            return
        request, waiting = self.unanswered[0]
        if not isinstance(reply, (_REPLY_TO[type(request)], Failed)):
            raise TypeError("not the reply to this request")
        self.unanswered.popleft()
        if not waiting.done():  # the requester may have been cancelled
            waiting.set_result(reply)
        self._listener.on_reply(all_requests=not self.unanswered)
