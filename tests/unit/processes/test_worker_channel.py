"""The supervisor's end of the channel to a worker; the worker's end is the test's."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest

from hedgerow.processes.control_channel import (
    MAX_LINE_BYTES,
    ControlReply,
    ControlRequest,
    Exiting,
    GetRecent,
    GetSnapshot,
    Ready,
    RecentReply,
    SnapshotReply,
    encode,
)
from hedgerow.processes.worker_channel import MAX_UNANSWERED, WorkerChannel
from hedgerow.telemetry.request_record import RequestRecord
from hedgerow.telemetry.snapshot import Snapshot

RECORD = RequestRecord("a", "success", 1.0, 2.0, None, None, [])
SNAPSHOT = SnapshotReply(Snapshot(bugs=1))


class Linked:
    """A channel that is listened to, and the worker's end of it."""

    def __init__(
        self,
        channel: WorkerChannel,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        listening: "asyncio.Task[None]",
    ) -> None:
        self.channel = channel
        self.reader = reader
        self.writer = writer
        self.listening = listening

    def ask(self, request: ControlRequest) -> Awaitable[ControlReply]:
        reply = self.channel.ask(request)
        assert reply is not None
        return reply

    def reply(self, *replies: ControlReply) -> None:
        self.writer.write(b"".join(map(encode, replies)))


@asynccontextmanager
async def linked() -> AsyncIterator[Linked]:
    """Both ends, the worker being ready."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE_BYTES)
    worker_reader, worker_writer = await asyncio.open_connection(sock=theirs)
    ready = asyncio.Event()
    channel = WorkerChannel(reader, writer, ready.set)
    listening = asyncio.create_task(channel.listen())
    assert channel.ask(GetSnapshot()) is None, "the worker does not serve yet"
    worker_writer.write(encode(Ready()))
    await ready.wait()
    try:
        yield Linked(channel, worker_reader, worker_writer, listening)
    finally:
        worker_writer.close()
        await listening
        await worker_writer.wait_closed()


async def test_requests_are_answered_in_turn() -> None:
    async with linked() as it:
        counts, recent = it.ask(GetSnapshot()), it.ask(GetRecent(0.0, 2))
        assert await it.reader.readline() == encode(GetSnapshot())
        assert await it.reader.readline() == encode(GetRecent(0.0, 2))
        it.reply(SNAPSHOT, RecentReply([RECORD]))
        assert await recent == RecentReply([RECORD])
        assert await counts == SNAPSHOT
        assert it.channel.last.bugs == 1


async def test_a_reply_may_come_in_pieces() -> None:
    async with linked() as it:
        counts = it.ask(GetSnapshot())
        line = encode(SNAPSHOT)
        for at in range(0, len(line), 7):
            it.writer.write(line[at : at + 7])
            await it.writer.drain()
            await asyncio.sleep(0)
        assert await counts == SNAPSHOT


async def test_last_counts_outlive_the_worker_and_what_waits_is_cancelled() -> None:
    async with linked() as it:
        waiting = it.channel.ask(GetRecent(0.0, 1))
        it.reply(Exiting(Snapshot(bugs=3)))
        it.writer.close()
        await it.listening
        assert waiting is not None
        assert waiting.cancelled()
        assert it.channel.last.bugs == 3
        assert not it.channel.ready
        assert it.channel.ask(GetSnapshot()) is None


async def test_a_worker_that_is_stopped_is_not_asked_for_ever() -> None:
    async with linked() as it:
        asked = [it.channel.ask(GetSnapshot()) for _ in range(MAX_UNANSWERED + 1)]
        assert asked[-1] is None
        first = asked[0]
        assert first is not None
        first.cancel()  # what asked has given up; the reply comes all the same
        it.reply(*[SNAPSHOT] * MAX_UNANSWERED)
        await asyncio.wait([waiting for waiting in asked if waiting is not None])
        assert it.channel.last.bugs == 1
        assert it.channel.ask(GetSnapshot()) is not None


@pytest.mark.parametrize(
    "last",
    [
        encode(SNAPSHOT)[:-20],
        b"{}\n",
        b"\xff\n",
        b"\n",
        encode(SNAPSHOT) * 2,
        pytest.param(b"x" * (MAX_LINE_BYTES + 2), id="too long"),
    ],
)
async def test_e1_a_worker_that_ends_in_the_middle_of_a_reply_ends_the_channel_and_no_more(
    last: bytes,
) -> None:
    """FAULTS E1: by `kill -9` then, the worker was never replaced, and nothing logged."""
    async with linked() as it:
        first = it.ask(GetSnapshot())
        it.reply(SNAPSHOT)
        await first
        waiting = it.channel.ask(GetSnapshot()) if last != encode(SNAPSHOT) * 2 else None
        it.writer.write(last)
        it.writer.close()
        await it.listening
        assert it.listening.exception() is None
        assert waiting is None or waiting.cancelled()
        assert not it.channel.ready
        assert it.channel.last.bugs == 1
