"""The supervisor's end of the channel to one worker."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from hedgerow.processes.control_channel import (
    ControlReply,
    ControlRequest,
    Exiting,
    Ready,
    SnapshotReply,
    decode_reply,
    encode,
)
from hedgerow.telemetry.snapshot import Snapshot

MAX_UNANSWERED: Final = 8
"""Requests that a worker may have to answer; one that is stopped is not asked more."""


class WorkerChannel:
    """What a worker says, and what it is asked."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_ready: Callable[[], None]
    ) -> None:
        self.ready = False
        """The worker serves."""
        self.last = Snapshot()
        """The worker's last counts."""
        self.last_heard_at = asyncio.get_running_loop().time()
        """When the worker last said anything; an instant of the event loop's clock."""
        self.unanswered: deque[asyncio.Future[ControlReply]] = deque()
        self._reader = reader
        self._writer = writer
        self._on_ready = on_ready

    async def listen(self) -> None:
        """Receive what the worker sends until it closes its end, or sends what is no reply. Never raises.

        A worker that is killed in the middle of a reply leaves a part of a line. The others it ends by itself, for its
        end of the channel closes, too.
        """
        try:
            while line := await self._reader.readline():
                self._receive(decode_reply(line))
        except (OSError, ValueError, IndexError):  # msgspec's errors are ValueErrors
            pass
        finally:
            self.ready = False
            self._writer.close()
            for waiting in self.unanswered:
                waiting.cancel()

    def ask(self, request: ControlRequest) -> "asyncio.Future[ControlReply] | None":
        """Ask; None if the worker does not serve or has too many to answer. Cancelled when the worker ends."""
        if not self.ready or len(self.unanswered) >= MAX_UNANSWERED:
            return None
        self._writer.write(encode(request))
        reply: asyncio.Future[ControlReply] = asyncio.get_running_loop().create_future()
        self.unanswered.append(reply)
        return reply

    def _receive(self, reply: ControlReply) -> None:
        self.last_heard_at = asyncio.get_running_loop().time()
        if isinstance(reply, Ready):
            self.ready = True
            self._on_ready()
            return
        if isinstance(reply, SnapshotReply | Exiting):
            self.last = reply.snapshot
        if isinstance(reply, Exiting):
            return
        waiting = self.unanswered.popleft()
        if not waiting.done():  # what asked may have stopped waiting
            waiting.set_result(reply)
