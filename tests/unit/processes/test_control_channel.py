"""The worker's end of the channel, on an event loop of ours; the supervisor's end is the test's."""

import socket
from collections.abc import Iterator
from time import monotonic

import msgspec
import pytest

from hedgerow.eventloop.loop import EventLoop
from hedgerow.planning.observations import Observations
from hedgerow.processes.control_channel import (
    ControlEndpoint,
    ControlReply,
    ControlRequest,
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
from hedgerow.telemetry.request_record import RequestRecord
from hedgerow.telemetry.snapshot import Snapshot

RECORD = RequestRecord("a", "/api/smart", "success", 1.0, 2.0, None, None, [])


class Worker:
    """An endpoint on a loop that the test iterates."""

    def __init__(self) -> None:
        self.internal_errors = 0
        self.closed = 0
        self.requests: list[ControlRequest] = []
        self.loop = EventLoop(monotonic, on_internal_error=self._on_internal_error)
        self.supervisor, channel = socket.socketpair()
        self.supervisor.settimeout(0)
        self.channel_fd = channel.fileno()
        self.endpoint = ControlEndpoint(self.loop, channel, self.answer, on_closed=self._on_closed)

    def _on_internal_error(self) -> None:
        self.internal_errors += 1

    def _on_closed(self) -> None:
        self.closed += 1

    def answer(self, request: ControlRequest) -> ControlReply:
        self.requests.append(request)
        if isinstance(request, GetSnapshot):
            return SnapshotReply(Snapshot(internal_errors=1))
        if isinstance(request, GetObservations):
            return ObservationsReply(Observations(span_s=5.0))
        if request.most < 0:
            raise ZeroDivisionError
        return RecentReply([RECORD] * request.most)

    def receive(self, data: bytes) -> None:
        """Have the endpoint receive something."""
        self.supervisor.send(data)
        self.loop.run_once(0.0)

    @property
    def replies(self) -> list[ControlReply]:
        """Return what has been sent since the last look."""
        try:
            data = self.supervisor.recv(1_000_000)
        except BlockingIOError:
            return []
        return [decode_reply(line) for line in data.splitlines()]


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.endpoint.abort()
    assert worker.closed == 1
    assert not worker.loop._sources
    worker.loop.close()
    worker.supervisor.close()


def test_each_request_is_answered_in_turn(worker: Worker) -> None:
    worker.receive(encode(GetSnapshot()) + encode(GetRecent(0.5, 2)) + encode(GetObservations("hour", "/a")))
    assert worker.requests == [GetSnapshot(), GetRecent(0.5, 2), GetObservations("hour", "/a")]
    assert worker.replies == [
        SnapshotReply(Snapshot(internal_errors=1)),
        RecentReply([RECORD] * 2),
        ObservationsReply(Observations(span_s=5.0)),
    ]


def test_a_request_that_is_cut_in_two_is_answered_once_it_is_whole(worker: Worker) -> None:
    lines = encode(GetSnapshot()) + encode(GetRecent(0.5, 1, "ü"))
    for at in range(len(lines)):
        worker.receive(lines[at : at + 1])
    assert worker.requests == [GetSnapshot(), GetRecent(0.5, 1, "ü")]
    assert len(worker.replies) == 2


def test_the_worker_may_speak_unasked(worker: Worker) -> None:
    worker.endpoint.send(Ready())
    assert worker.replies == [Ready()]


def test_a_supervisor_that_is_gone_is_noticed_once(worker: Worker) -> None:
    worker.supervisor.close()
    worker.loop.run_once(0.0)
    worker.loop.run_once(0.0)
    assert (worker.closed, worker.internal_errors) == (1, 0)
    worker.endpoint.send(Ready())
    assert worker.closed == 1


def test_a_supervisor_that_is_gone_is_noticed_by_what_is_sent(worker: Worker) -> None:
    worker.supervisor.close()
    worker.endpoint.send(Ready())
    assert worker.closed == 1


def test_a_supervisor_that_does_not_read_closes_the_channel(worker: Worker) -> None:
    while not worker.closed:
        worker.endpoint.send(RecentReply([RECORD] * 1_000))
    assert worker.internal_errors == 0


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"type":"other"}\n', b"\xff\n", encode(Ready())])
def test_what_is_no_request_is_an_internal_error_and_ends_the_worker(worker: Worker, line: bytes) -> None:
    worker.receive(line)
    assert (worker.internal_errors, worker.closed) == (1, 1)
    worker.loop.run_once(0.0)
    assert worker.supervisor.recv(1) == b"", "the supervisor sees the end, and replaces it"


def test_an_error_in_an_answer_is_an_internal_error_and_ends_nothing(worker: Worker) -> None:
    worker.receive(encode(GetRecent(0.0, -1)) + encode(GetSnapshot()))
    assert (worker.internal_errors, worker.closed) == (1, 0)
    assert worker.replies == [Failed(), SnapshotReply(Snapshot(internal_errors=1))], (
        "each request has its reply"
    )


def test_a_reply_that_was_cut_is_no_reply() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_reply(encode(Ready())[:-4])
