"""What the supervisor and a worker say to each other: one JSON object a line, each request answered in turn.

Besides its replies a worker says `Ready` when it serves, and `Exiting` with its last counts before it ends.
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
"""Of one reply. Counts have a few KiB; the limit keeps a worker that is broken from filling the supervisor's memory."""
SEND_TIMEOUT_S: Final = 0.1
"""A reply waits this long for a supervisor that does not read; then the channel is broken. 200 KiB fit without."""


class WorkerConfig(msgspec.Struct):
    """What the supervisor gives a worker at its start: the first line of the channel."""

    settings: Settings
    target: Target
    slots: int
    """Of the connection counts."""
    slot: int
    """This worker's."""


class GetSnapshot(msgspec.Struct, tag="snapshot"):
    """Return your counts."""


class GetRecent(msgspec.Struct, tag="recent"):
    """Return your newest requests; or those with one id.

    Added to an instant of the clock, which all processes share, `utc_offset_s` makes seconds since 1970.
    """

    utc_offset_s: float
    most: int = 0
    request_id: str | None = None


class GetObservations(msgspec.Struct, tag="observations"):
    """Return what you have observed of first attempts in a window of `planning.latency_sketch.WINDOWS`."""

    window: Literal["minute", "hour", "day"]


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
    """The worker could not answer: an internal error, which it has logged."""


class Exiting(msgspec.Struct, tag="exiting"):
    """The worker ends; its last counts."""

    snapshot: Snapshot


ControlReply: TypeAlias = Ready | SnapshotReply | RecentReply | ObservationsReply | Failed | Exiting

_ENCODER = msgspec.json.Encoder()
_REQUESTS: msgspec.json.Decoder[ControlRequest] = msgspec.json.Decoder(ControlRequest)
_REPLIES: msgspec.json.Decoder[ControlReply] = msgspec.json.Decoder(ControlReply)


def encode(message: ControlRequest | ControlReply) -> bytes:
    """Return a message as it goes over the channel."""
    return _ENCODER.encode(message) + b"\n"


def decode_reply(line: bytes) -> ControlReply:
    """Return what a worker said; raises msgspec.DecodeError for a line that was cut, or is none."""
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
        """`on_closed` is called when the supervisor has gone."""
        channel.setblocking(False)
        self._loop = loop
        self._channel = channel
        self._answer = answer
        self._on_closed = on_closed
        self._received = b""
        self._closed = False
        loop.register(channel.fileno(), self, READABLE)

    def on_ready(self, _mask: int) -> None:
        """Answer what the supervisor asks."""
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
        except Exception:  # noqa: BLE001 (an error in what is reported is no reason to end what serves)
            self._loop.internal_error()
            return Failed()

    def send(self, message: ControlReply) -> None:
        """Send a message; a supervisor that is gone or does not read closes the channel."""
        if self._closed:
            return
        try:
            self._channel.settimeout(SEND_TIMEOUT_S)
            self._channel.sendall(encode(message))
            self._channel.setblocking(False)
        except OSError:
            self.abort()

    def abort(self) -> None:
        """Close the channel: a worker without a supervisor ends by itself."""
        if not self._closed:
            self._closed = True
            self._loop.unregister(self._channel.fileno())
            with suppress(OSError):
                self._channel.shutdown(socket.SHUT_RDWR)
            self._loop.close_later(self._channel)
            self._on_closed()
