import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from hedgerow.telemetry.channel import (
    MAX_UNANSWERED,
    Answer,
    AskCounts,
    AskRecent,
    Counts,
    Farewell,
    Link,
    Question,
    Ready,
    RecentRequests,
    answer_questions,
    line,
)
from hedgerow.telemetry.told import RequestTold

from hedgerow.telemetry.snapshot import Snapshot

TOLD = RequestTold("a", "success", 1.0, 2.0, None, None, [])


def answer(question: Question) -> Answer:
    if isinstance(question, AskCounts):
        return Counts(Snapshot(bugs=1))
    return RecentRequests([TOLD] * question.most)


Writer = asyncio.StreamWriter


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[Link, asyncio.StreamReader, Writer, asyncio.Task[None]]]:
    """Both ends of a channel; the worker's end is the test's."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    worker_reader, worker_writer = await asyncio.open_connection(sock=theirs)
    ready = asyncio.Event()
    link = Link(reader, writer, ready.set)
    listening = asyncio.create_task(link.listen())
    assert link.ask(AskCounts()) is None, "nobody is there yet"
    worker_writer.write(line(Ready()))
    await ready.wait()
    try:
        yield link, worker_reader, worker_writer, listening
    finally:
        worker_writer.close()
        await listening
        await worker_writer.wait_closed()


def answered(link: Link, question: Question) -> Awaitable[Answer]:
    answering = link.ask(question)
    assert answering is not None
    return answering


async def test_questions_are_answered_in_turn() -> None:
    async with linked() as (link, reader, writer, _):
        working = asyncio.create_task(answer_questions(reader, writer, answer))
        counts, recent = answered(link, AskCounts()), answered(link, AskRecent(0.0, 2))
        assert await recent == RecentRequests([TOLD, TOLD])
        assert await counts == Counts(Snapshot(bugs=1))
        assert link.last.bugs == 1
        working.cancel()


async def test_last_counts_outlive_the_worker_and_whoever_waits_is_told() -> None:
    async with linked() as (link, _, writer, listening):
        waiting = link.ask(AskRecent(0.0, 1))
        writer.write(line(Farewell(Snapshot(bugs=3))))
        writer.close()
        await listening
        assert waiting is not None
        assert waiting.cancelled()
        assert link.last.bugs == 3
        assert not link.ready
        assert link.ask(AskCounts()) is None


async def test_a_worker_that_stands_still_is_not_asked_for_ever() -> None:
    async with linked() as (link, reader, writer, _):
        asked = [link.ask(AskCounts()) for _ in range(MAX_UNANSWERED + 1)]
        assert asked[-1] is None
        first = asked[0]
        assert first is not None
        first.cancel()  # whoever asked has given up; the answer comes all the same
        working = asyncio.create_task(answer_questions(reader, writer, answer))
        await asyncio.wait([waiting for waiting in asked if waiting is not None])
        assert link.last.bugs == 1
        assert link.ask(AskCounts()) is not None
        working.cancel()
