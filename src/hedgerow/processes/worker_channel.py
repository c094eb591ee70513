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
"""Requests that a worker may have to answer; one that is stopped is not asked more."""
READ_BYTES: Final = 256 * 1024
"""Of one read, before the other workers' are."""

_REPLY_TO: Final[dict[type[ControlRequest], type[ControlReply]]] = {
    GetSnapshot: SnapshotReply,
    GetRecent: RecentReply,
    GetObservations: ObservationsReply,
}


class ChannelListener(Protocol):
    """Is called about one channel."""

    def on_serving(self) -> None:
        """Called when the worker says that it serves."""

    def on_asked(self) -> None:
        """Called when there is a first request that the worker has not answered."""

    def on_answered(self, *, all_requests: bool) -> None:
        """Called when the worker has answered a request, or all."""

    def on_closed(self, reason: str) -> None:
        """Called once, when the worker has closed its end, or sent what is no reply: then with the reason."""


class WorkerChannel:
    """What a worker says, and what it is asked."""

    def __init__(self, sock: socket.socket, listener: ChannelListener) -> None:
        """Takes the socket over."""
        self.ready = False
        """The worker serves."""
        self.last = Snapshot()
        """The worker's last counts."""
        self._loop = asyncio.get_running_loop()
        self.last_heard_at = self._loop.time()
        """When the worker last said anything; an instant of the event loop's clock."""
        self.unanswered: deque[tuple[ControlRequest, asyncio.Future[ControlReply]]] = deque()
        self._listener = listener
        self._received = bytearray()
        self._sock = sock
        self.is_closed = False
        sock.setblocking(False)
        self._loop.add_reader(sock, self._on_readable)

    def send(self, data: bytes) -> None:
        """Send a line; a worker that has no room for it, or is gone, closes the channel."""
        try:
            if self._sock.send(data) < len(data):
                self.close("it does not read its channel")
        except BlockingIOError:
            self.close("it does not read its channel")
        except OSError:
            self.close()

    def ask(self, request: ControlRequest) -> "asyncio.Future[ControlReply] | None":
        """Ask; None if the worker does not serve or has too many to answer. Cancelled when the channel closes."""
        if not self.ready or len(self.unanswered) >= MAX_UNANSWERED:
            return None
        self.send(encode(request))
        if self.is_closed:
            return None
        reply: asyncio.Future[ControlReply] = self._loop.create_future()
        self.unanswered.append((request, reply))
        if len(self.unanswered) == 1:
            self._listener.on_asked()
        return reply

    def read_rest(self) -> None:
        """Read what is left when the worker's process has ended: a process that it left behind may hold its end."""
        while not self.is_closed and self._on_readable():
            pass
        self.close()

    def close(self, reason: str = "") -> None:
        """Close the channel: a worker without one ends by itself. Requests that it has not answered are cancelled."""
        if self.is_closed:
            return
        self.is_closed = True
        self.ready = False
        self._loop.remove_reader(self._sock)
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
            self.close()  # a worker that is killed in the middle of a reply leaves a part of a line
            return False
        start = len(self._received)
        self._received += data
        if b"\n" in data:
            *lines, rest = bytes(self._received).split(b"\n")
            self._received = bytearray(rest)
            for line in lines:
                self._receive_line(line)
        elif start + len(data) > MAX_LINE_BYTES:
            self.close("it sent a line without an end")
        return True

    def _receive_line(self, line: bytes) -> None:
        if self.is_closed:
            return
        try:
            self._receive(decode_reply(line))
        except Exception as error:  # noqa: BLE001 (whatever it is that a worker sends, it must not end its supervisor)
            self.close(f"it sent what is no reply: {type(error).__name__}: {error}")

    def _receive(self, reply: ControlReply) -> None:
        self.last_heard_at = self._loop.time()
        if isinstance(reply, Ready):
            self.ready = True
            self._listener.on_serving()
            return
        if isinstance(reply, SnapshotReply | Exiting):
            add(Snapshot(), reply.snapshot)  # raises for counts that are not of our shape
            self.last = reply.snapshot
        if isinstance(reply, Exiting):
            return
        request, waiting = self.unanswered[0]
        if not isinstance(reply, (_REPLY_TO[type(request)], Failed)):
            raise TypeError("another request was asked")
        self.unanswered.popleft()
        if not waiting.done():  # what asked may have stopped waiting
            waiting.set_result(reply)
        self._listener.on_answered(all_requests=not self.unanswered)
