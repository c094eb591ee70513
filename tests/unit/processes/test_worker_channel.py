"""The supervisor's end of the channel to a worker; the worker's end is the test's."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from hedgerow.processes.control_channel import (
    MAX_LINE_BYTES,
    ControlReply,
    ControlRequest,
    Exiting,
    Failed,
    GetRecent,
    GetSnapshot,
    Ready,
    RecentReply,
    SnapshotReply,
    encode,
)
from hedgerow.processes.worker_channel import MAX_UNANSWERED, ChannelListener, WorkerChannel
from hedgerow.telemetry.request_record import RequestRecord
from hedgerow.telemetry.snapshot import LagHistogram, Snapshot

RECORD = RequestRecord("a", "/api/smart", "success", 1.0, 2.0, None, None, [])
SNAPSHOT = SnapshotReply(Snapshot(internal_errors=1))


class Linked(ChannelListener):
    """A channel, the worker's end of it, and what the channel reported."""

    def __init__(self) -> None:
        self.reports: list[str] = []
        ours, self.worker = socket.socketpair()
        self.worker.settimeout(0)
        self.channel = WorkerChannel(ours, self)

    def on_serving(self) -> None:
        self.reports.append("serving")

    def on_request_sent(self) -> None:
        self.reports.append("asked")

    def on_reply(self, *, all_requests: bool) -> None:
        self.reports.append("answered all" if all_requests else "answered")

    def on_closed(self, reason: str) -> None:
        self.reports.append(f"closed: {reason}")

    def request(self, request: ControlRequest) -> "asyncio.Future[ControlReply]":
        reply = self.channel.request(request)
        assert reply is not None
        return reply

    async def send(self, data: bytes) -> None:
        """Have the channel receive something."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.worker, data)
        await asyncio.sleep(0)  # polls
        await asyncio.sleep(0)  # the callback has run

    async def reply(self, *replies: ControlReply) -> None:
        await self.send(b"".join(map(encode, replies)))


@pytest.fixture
async def it() -> AsyncIterator[Linked]:
    """Both ends, the worker being ready."""
    linked = Linked()
    assert linked.channel.request(GetSnapshot()) is None, "the worker does not serve yet"
    await linked.reply(Ready())
    assert linked.reports == ["serving"]
    linked.reports.clear()
    yield linked
    linked.channel.close()
    linked.worker.close()


async def test_requests_are_answered_in_turn(it: Linked) -> None:
    counts, recent = it.request(GetSnapshot()), it.request(GetRecent(0.0, 2))
    assert it.worker.recv(1000) == encode(GetSnapshot()) + encode(GetRecent(0.0, 2))
    await it.reply(SNAPSHOT, RecentReply([RECORD]))
    assert (await counts, await recent) == (SNAPSHOT, RecentReply([RECORD]))
    assert it.channel.last.internal_errors == 1
    assert it.reports == ["asked", "answered", "answered all"]


async def test_a_reply_may_come_in_pieces(it: Linked) -> None:
    counts = it.request(GetSnapshot())
    line = encode(SNAPSHOT)
    for at in range(0, len(line), 7):
        assert not counts.done()
        await it.send(line[at : at + 7])
    assert await counts == SNAPSHOT


async def test_last_counts_outlive_the_worker_and_what_waits_is_cancelled(it: Linked) -> None:
    waiting = it.request(GetRecent(0.0, 1))
    await it.reply(Exiting(Snapshot(internal_errors=3)))
    it.worker.close()
    it.channel.read_rest()
    assert waiting.cancelled()
    assert it.channel.last.internal_errors == 3
    assert not it.channel.ready
    assert it.channel.request(GetSnapshot()) is None
    assert it.reports == ["asked", "closed: "]


async def test_what_a_worker_said_last_is_read_though_another_process_holds_its_end(it: Linked) -> None:
    it.worker.send(encode(Exiting(Snapshot(internal_errors=3))))
    it.channel.read_rest()
    assert it.channel.last.internal_errors == 3
    assert it.reports == ["closed: "]


async def test_a_worker_that_is_stopped_is_not_asked_for_ever(it: Linked) -> None:
    asked = [it.request(GetSnapshot()) for _ in range(MAX_UNANSWERED)]
    assert it.channel.request(GetSnapshot()) is None
    asked[0].cancel()  # what asked has given up; the reply comes all the same
    await it.reply(*[SNAPSHOT] * MAX_UNANSWERED)
    assert [await each for each in asked[1:]] == [SNAPSHOT] * (MAX_UNANSWERED - 1)
    assert it.channel.last.internal_errors == 1
    assert it.channel.request(GetSnapshot()) is not None


async def test_a_reply_that_could_not_be_made_is_one(it: Linked) -> None:
    recent = it.request(GetRecent(0.0, 1))
    await it.reply(Failed())
    assert await recent == Failed()
    assert it.reports == ["asked", "answered all"]


@pytest.mark.parametrize("cut", [encode(SNAPSHOT)[:-20], b"x" * 100, b""])
async def test_e1_a_worker_that_is_killed_in_the_middle_of_a_reply_closes_the_channel(
    it: Linked, cut: bytes
) -> None:
    """FAULTS E1: it was never replaced, and nothing was logged."""
    waiting = it.request(GetSnapshot())
    it.worker.send(cut)
    it.worker.close()
    it.channel.read_rest()
    assert waiting.cancelled()
    assert it.reports == ["asked", "closed: "]


JUNK = {
    "no object": b"{}\n",
    "no text": b"\xff\n",
    "an empty line": b"\n",
    "another type": b'{"type":"other"}\n',
    "a reply to another request": encode(RecentReply([])),
    "one reply too many": encode(SNAPSHOT) * 2,
    "counts of another shape": encode(SnapshotReply(Snapshot(lag=LagHistogram(counts=[1, 2])))),
    "deeply nested": b'{"type":"snapshot","x":' + b"[" * 100_000 + b"\n",
    "a request": encode(GetSnapshot()),
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
async def test_e1_a_worker_that_sends_what_is_no_reply_is_reported_once(it: Linked, junk: bytes) -> None:
    waiting = it.request(GetSnapshot())
    await it.send(junk + junk)
    assert it.reports[-1].startswith("closed: it sent an invalid reply: ")
    assert [report[:6] for report in it.reports].count("closed") == 1
    assert waiting.done()
    assert not it.channel.ready
    it.worker.settimeout(1)
    assert it.worker.recv(1000) == encode(GetSnapshot())
    assert it.worker.recv(1) == b"", "the worker sees the end, and ends itself"


async def test_e1_a_line_without_an_end_is_not_kept(it: Linked) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):
        while not it.channel.is_closed:
            await it.send(b"x" * (MAX_LINE_BYTES // 8))
    assert it.reports == ["closed: it sent a line without end"]


async def test_e1_a_question_to_a_worker_that_has_gone(it: Linked) -> None:
    it.worker.close()
    assert it.channel.request(GetSnapshot()) is None
    assert it.reports == ["closed: "]


async def received(it: Linked, size: int) -> bytes:
    """Read what the channel sends, up to this many bytes."""
    loop, data = asyncio.get_running_loop(), b""
    while len(data) < size and (some := await loop.sock_recv(it.worker, 100_000)):
        data += some
    return data


async def test_what_the_worker_has_no_room_for_is_sent_as_it_reads(it: Linked) -> None:
    """Else a worker that is stopped for a while is lost, and one whose configuration is long never starts."""
    lines = bytes(range(256)) * 10_000, b"and\n", b"so on\n"
    for line in lines:
        it.channel.send(line)
    assert await received(it, sum(map(len, lines))) == b"".join(lines)
    counts = it.request(GetSnapshot())
    question = encode(GetSnapshot())
    assert await received(it, len(question)) == question
    await it.reply(SNAPSHOT)
    assert await counts == SNAPSHOT


async def test_e1_a_worker_that_goes_in_the_middle_of_a_line_closes_the_channel_once(it: Linked) -> None:
    it.channel.send(b"x" * 1_000_000)
    it.worker.close()
    await asyncio.sleep(0)  # polls
    await asyncio.sleep(0)  # the callbacks have run
    assert it.reports == ["closed: "]
