"""What the supervisor and a worker say to each other: one JSON object a line, each question answered in turn.

Besides its answers a worker says `Ready` when it serves, and `Farewell` with its last counts before it ends.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import msgspec

from hedgerow.telemetry.snapshot import Snapshot
from hedgerow.telemetry.told import RequestTold

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Of one answer. Counts have a few KiB; the limit is for the reader's peace."""
MAX_UNANSWERED = 8
"""Questions that a worker may owe an answer to; one that stands still is not asked more."""


class AskCounts(msgspec.Struct, tag="counts"):
    """Tell your counts."""


class AskRecent(msgspec.Struct, tag="recent"):
    """Tell your newest requests; or those with one id.

    Added to an instant of the clock, which all processes share, `utc_offset_s` makes seconds since 1970.
    """

    utc_offset_s: float
    most: int = 0
    request_id: str | None = None


Question: TypeAlias = AskCounts | AskRecent


class Ready(msgspec.Struct, tag="ready"):
    """I serve."""


class Counts(msgspec.Struct, tag="counts"):
    """My counts."""

    snapshot: Snapshot


class RecentRequests(msgspec.Struct, tag="recent"):
    """My requests, newest first."""

    requests: list[RequestTold]


class Farewell(msgspec.Struct, tag="farewell"):
    """I end; my last counts."""

    snapshot: Snapshot


Answer: TypeAlias = Ready | Counts | RecentRequests | Farewell

_ENCODE = msgspec.json.Encoder()
_QUESTIONS: msgspec.json.Decoder[Question] = msgspec.json.Decoder(Question)
_ANSWERS: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def line(message: Question | Answer) -> bytes:
    """Write a message as it goes over the channel."""
    return _ENCODE.encode(message) + b"\n"


async def answer_questions(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Callable[[Question], Answer]
) -> None:
    """Answer what the supervisor asks until the channel closes: then the supervisor is gone."""
    with suppress(OSError):
        while asked := await reader.readline():
            writer.write(line(answer(_QUESTIONS.decode(asked))))


class Link:
    """The supervisor's end of the channel to one worker."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_ready: Callable[[], None]
    ) -> None:
        self.ready = False
        """The worker serves."""
        self.last = Snapshot()
        """What the worker told last."""
        self.told_at = asyncio.get_running_loop().time()
        """When the worker last said anything; an instant of the event loop's clock."""
        self.unanswered: deque[asyncio.Future[Answer]] = deque()
        self._reader = reader
        self._writer = writer
        self._on_ready = on_ready

    async def listen(self) -> None:
        """Hear what the worker says until it closes its end."""
        try:
            while said := await self._reader.readline():
                self._hear(_ANSWERS.decode(said))
        except OSError:
            pass
        finally:
            self.ready = False
            self._writer.close()
            for waiting in self.unanswered:
                waiting.cancel()

    def ask(self, question: Question) -> "asyncio.Future[Answer] | None":
        """Ask; None if the worker does not serve or owes too many answers. Cancelled when the worker ends."""
        if not self.ready or len(self.unanswered) >= MAX_UNANSWERED:
            return None
        self._writer.write(line(question))
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.unanswered.append(answered)
        return answered

    def _hear(self, answer: Answer) -> None:
        self.told_at = asyncio.get_running_loop().time()
        if isinstance(answer, Ready):
            self.ready = True
            self._on_ready()
            return
        if isinstance(answer, Counts | Farewell):
            self.last = answer.snapshot
        if isinstance(answer, Farewell):
            return
        answered = self.unanswered.popleft()
        if not answered.done():  # whoever asked may have stopped waiting
            answered.set_result(answer)
