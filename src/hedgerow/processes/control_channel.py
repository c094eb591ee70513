"""The protocol between supervisor and worker: one JSON object per line, requests answered in order.

Besides its replies a worker sends `Ready` when it serves, and `Exiting` with its last counts before it ends.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal, TypeAlias

import msgspec

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.eventloop.poller import READABLE
from hedgerow.planning.observations import Observations
from hedgerow.settings import Settings, Target
from hedgerow.telemetry.request_record import RequestRecord
from hedgerow.telemetry.snapshot import Snapshot

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""Of one reply. Counts take a few KiB; the limit keeps a broken worker from filling the supervisor's memory."""
SEND_TIMEOUT_S: Final = 0.1
"""A reply waits this long for a supervisor that does not read; then the channel is closed. 200 KiB fit at once."""


class WorkerConfig(msgspec.Struct):
    """The configuration of a worker: the first line that the supervisor sends."""

    settings: Settings
    target: Target
    slot: int
    """The index of this worker's connection count."""


class GetSnapshot(msgspec.Struct, tag="snapshot"):
    """Requests the counts of a worker."""


class GetRecent(msgspec.Struct, tag="recent"):
    """Requests the newest records of a worker, of one route if it is given, or those with one request id.

    Instants of the clock, which all processes share, plus `utc_offset_s` are seconds since 1970.
    """

    utc_offset_s: float
    most: int = 0
    request_id: str | None = None
    route: str | None = None


class GetObservations(msgspec.Struct, tag="observations"):
    """Requests what a worker has observed of a route's first attempts in a window of `latency_sketch.WINDOWS`."""

    window: Literal["minute", "hour", "day"]
    route: str
    """Its name."""


ControlRequest: TypeAlias = GetSnapshot | GetRecent | GetObservations


class Ready(msgspec.Struct, tag="ready"):
    """The worker serves."""


class SnapshotReply(msgspec.Struct, tag="snapshot"):
    """The worker's counts."""

    snapshot: Snapshot


class RecentReply(msgspec.Struct, tag="recent"):
    """The worker's requests, newest first."""

    requests: list[RequestRecord]


class ObservationsReply(msgspec.Struct, tag="observations"):
    """What the worker has observed."""

    observations: Observations


class Failed(msgspec.Struct, tag="failed"):
    """The worker could not reply because of an internal error, which it has logged."""


class Exiting(msgspec.Struct, tag="exiting"):
    """The worker ends; its last counts."""

    snapshot: Snapshot


ControlReply: TypeAlias = Ready | SnapshotReply | RecentReply | ObservationsReply | Failed | Exiting

_ENCODER = msgspec.json.Encoder()
_REQUESTS: msgspec.json.Decoder[ControlRequest] = msgspec.json.Decoder(ControlRequest)
_REPLIES: msgspec.json.Decoder[ControlReply] = msgspec.json.Decoder(ControlReply)


def encode(message: ControlRequest | ControlReply) -> bytes:
    """Return a message as a line of the channel."""
    return _ENCODER.encode(message) + b"\n"


def decode_reply(line: bytes) -> ControlReply:
    """Parse a worker's message; raises msgspec.DecodeError for a truncated or invalid line."""
    return _REPLIES.decode(line)


class ControlEndpoint(EventHandler):
    """The worker's end of the channel, on its event loop."""

    def __init__(
        self,
        loop: EventLoop,
        channel: socket.socket,
        answer: Callable[[ControlRequest], ControlReply],
        on_closed: Callable[[], None],
    ) -> None:
        """`on_closed` is called when the supervisor has ended."""
        channel.setblocking(False)
        self._loop = loop
        self._channel = channel
        self._answer = answer
        self._on_closed = on_closed
        self._received = b""
        self._closed = False
        loop.register(channel.fileno(), self, READABLE)

    def on_ready(self, _mask: int) -> None:
        """Reply to the requests that were received."""
        try:
            data = self._channel.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.abort()
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self.send(self._reply_to(_REQUESTS.decode(line)))

    def _reply_to(self, request: ControlRequest) -> ControlReply:
        try:
            return self._answer(request)
        except Exception:  # noqa: BLE001 (an error in a report must not end the worker)
            self._loop.internal_error()
            return Failed()

    def send(self, message: ControlReply) -> None:
        """Send a message. Closes the channel if the supervisor is gone or does not read."""
        if self._closed:
            return
        try:
            self._channel.settimeout(SEND_TIMEOUT_S)
            self._channel.sendall(encode(message))
            self._channel.setblocking(False)
        except OSError:
            self.abort()

    def abort(self) -> None:
        """Close the channel: a worker without a supervisor ends on its own."""
        if not self._closed:
            self._closed = True
            self._loop.unregister(self._channel.fileno())
            with suppress(OSError):
                self._channel.shutdown(socket.SHUT_RDWR)
            self._channel.close()
            self._on_closed()
