"""Accepting: beyond the limits, without descriptors, and side by side with other workers."""

import errno
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.scheduler import STEP_S
from hedgerow.processes.accept_balancer import SLACK_SHARE, AcceptBalancer, ConnectionCounts
from hedgerow.server.listener import (
    ACCEPT_BATCH,
    ACCEPT_PAUSE_S,
    ACCEPT_YIELD_S,
    MAX_ACCEPT_YIELDS,
    MIN_LINGER_S,
    REJECT_PAUSE_S,
)
from hedgerow.settings import DescriptorBudget
from support.server_harness import GET, FakeClock, RawSocket, ServerHarness, server_harness

REJECTED_IN_RESERVE = DescriptorBudget.REJECTED_IN_RESERVE


def test_a_burst_is_accepted_in_batches() -> None:
    with server_harness(max_clients=2 * ACCEPT_BATCH) as harness:
        clients = [harness.connect() for _ in range(ACCEPT_BATCH + 5)]
        harness.step()
        assert harness.server.connections == ACCEPT_BATCH
        harness.until(lambda: harness.server.connections == len(clients))


@pytest.mark.parametrize("drains", [False, True])
def test_what_is_due_goes_before_the_rest_of_a_burst(drains: bool) -> None:
    slow = SlowBalancer()
    with server_harness(max_clients=2 * ACCEPT_BATCH, balancer=slow) as harness:
        slow.clock = harness.clock
        clients = [harness.connect() for _ in range(ACCEPT_BATCH)]
        waiter = Waiter(harness)
        harness.loop.call_at(harness.clock.now + STEP_S, waiter)
        if drains:
            harness.server.drain(lambda: None)
            assert harness.server.connections == len(clients)
        harness.until(lambda: harness.server.connections == len(clients))
        assert waiter.connections is not None
        assert waiter.connections <= 3 * 10, "its tick is over, and a step"


class SlowBalancer:
    """Has each connection take a tenth of a step."""

    def __init__(self) -> None:
        self.clock: FakeClock | None = None

    def set_count(self, connections: int) -> None:
        if self.clock is not None:
            self.clock.now += STEP_S / 10

    def withdraw(self) -> None:
        pass

    def may_accept(self) -> bool:
        return True


class Waiter(EventHandler):
    """Notes how many connections there are when it is due."""

    def __init__(self, harness: ServerHarness) -> None:
        self.harness = harness
        self.connections: int | None = None

    def on_deadline(self) -> None:
        self.connections = self.harness.server.connections


def test_beyond_the_limit_a_connection_is_answered_503_and_lingers() -> None:
    with server_harness(max_clients=1) as harness:
        harness.handler.answer_at_once()
        first, second = harness.client(), harness.client()
        harness.until_responses(second, 1)
        assert second.statuses() == [503]
        assert b"\r\nRetry-After: 1\r\n" in second.received
        assert b"\r\nServer-Timing: total;dur=0.0\r\n" in second.received, "C10: not the age of the machine"
        assert harness.rejected == [("overloaded", "connections")]
        assert harness.server.connections == 2
        first.send(GET)
        harness.until_responses(first, 1)
        first.close()
        second.close()
        harness.until(lambda: harness.server.connections == 0)
        third = harness.client()
        third.send(GET)
        harness.until_responses(third, 1)
        assert third.statuses() == [200], "there is room again"


class Sharing:
    """Room for one client, and the instants at which others were rejected."""

    def __init__(self) -> None:
        self.rejected_at: list[float] = []

    def max_clients(self) -> int:
        return 1

    def set_clients(self, connected: int) -> None:
        pass

    def is_crowded(self) -> bool:
        return False

    def client_rejected(self, now: float) -> None:
        self.rejected_at.append(now)


def test_a_client_that_is_rejected_as_it_connects_is_reported_to_who_shares_descriptors_out() -> None:
    sharing = Sharing()
    with server_harness(sharing=sharing) as harness:
        harness.client()
        harness.until(lambda: harness.server.connections == 1)
        assert sharing.rejected_at == []
        second = harness.client()
        harness.until_responses(second, 1)
        assert second.statuses() == [503]
        assert len(sharing.rejected_at) == 1


def test_accepting_pauses_when_there_is_no_room_for_a_rejection() -> None:
    """C15: rejected connections linger, so a flood of them met the limit of open files."""
    with server_harness(max_clients=1) as harness:
        inside = [harness.client() for _ in range(1 + REJECTED_IN_RESERVE)]
        outside = harness.connect()
        harness.step()
        assert not harness.loop._listeners, "or the loop would spin on it"
        harness.step(REJECT_PAUSE_S - 0.001)
        assert outside.read() == b""
        assert harness.server.connections == 1 + REJECTED_IN_RESERVE
        for _ in range(12):
            harness.step(MIN_LINGER_S / 4 + 0.001)
        assert outside.statuses() == [503], "the others have lingered for long enough"
        assert inside[-1].is_ended()
        assert not inside[-1].was_reset
        assert not inside[0].is_ended()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_descriptors_accepting_pauses_and_goes_on(harness: ServerHarness, number: int) -> None:
    harness.handler.answer_at_once()
    served = harness.client()
    errors = harness.faults.accepting
    errors += [number, number]
    waiting = harness.connect()
    harness.until(lambda: len(errors) == 1)
    harness.step()
    assert len(errors) == 1, "it is not tried again at once"
    served.send(GET)
    harness.until_responses(served, 1)
    harness.step(ACCEPT_PAUSE_S + 0.001)
    harness.step()
    assert errors == []
    assert harness.server.connections == 1
    harness.step(ACCEPT_PAUSE_S + 0.001)
    waiting.send(GET)
    harness.until_responses(waiting, 1)


def test_a_connection_that_is_gone_again_does_not_stop_accepting(harness: ServerHarness) -> None:
    harness.faults.accepting += [errno.ECONNABORTED, errno.ECONNABORTED]
    harness.client()
    assert harness.faults.accepting == []


class FullPoller:
    """A poller that refuses new descriptors while `is_full`."""

    is_full = False

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.modify = self._epoll.modify
        self.unregister = self._epoll.unregister
        self.poll = self._epoll.poll
        self.fileno = self._epoll.fileno
        self.close = self._epoll.close

    def register(self, fd: int, eventmask: int) -> None:
        if FullPoller.is_full:
            raise OSError(errno.ENOSPC, "beyond /proc/sys/fs/epoll/max_user_watches")
        self._epoll.register(fd, eventmask)


def test_a_connection_that_cannot_be_watched_is_closed_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """epoll_ctl(2): ENOSPC."""
    with server_harness(make_poller=FullPoller) as harness:
        client = harness.connect()
        with monkeypatch.context() as full:
            full.setattr(FullPoller, "is_full", True)
            harness.until(lambda: client.is_ended() or client.was_reset)
            for _ in range(3):
                harness.step(ACCEPT_PAUSE_S + 0.001)  # nor can the listening socket
        assert harness.server.connections == 0
        harness.connect()
        harness.step(ACCEPT_PAUSE_S + 0.001)
        harness.until(lambda: harness.server.connections == 1)


def test_a_closed_listener_accepts_nothing_and_its_deadline_does_nothing(harness: ServerHarness) -> None:
    listener = harness.server._listener
    assert listener is not None
    listener._pause(0.01)
    listener.close()
    listener.close()
    harness.step(0.02)
    assert not harness.loop._listeners
    with pytest.raises(ConnectionRefusedError):
        harness.connect()


# -- beside other workers


@pytest.fixture
def counts() -> Iterator[ConnectionCounts]:
    counts = ConnectionCounts.create(2)
    yield counts
    counts.close()


@pytest.fixture
def workers(counts: ConnectionCounts) -> "Iterator[list[ServerHarness]]":
    """Two servers that share a listening socket."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    with ExitStack() as stack:
        yield [
            stack.enter_context(server_harness(sock=each, balancer=AcceptBalancer(counts, slot)))
            for slot, each in enumerate((sock, sock.dup()))
        ]


def connect_and_wait(workers: "list[ServerHarness]", number: int) -> "list[RawSocket]":
    clients = []
    for _ in range(number):
        clients.append(workers[0].connect())
        before = sum(worker.server.connections for worker in workers)
        while sum(worker.server.connections for worker in workers) == before:
            for worker in workers:
                worker.step(ACCEPT_YIELD_S, wait_s=0)
    return clients


def test_two_workers_come_out_even(workers: "list[ServerHarness]") -> None:
    connect_and_wait(workers, 40)
    first, second = (worker.server.connections for worker in workers)
    assert first + second == 40
    assert abs(first - second) <= 2 + min(first, second) * SLACK_SHARE


def test_what_a_stopped_worker_does_not_accept_the_other_does(
    workers: "list[ServerHarness]", counts: ConnectionCounts
) -> None:
    clients = [workers[0].connect() for _ in range(20)]
    for _ in range(20 * (MAX_ACCEPT_YIELDS + 1)):
        workers[0].step(ACCEPT_YIELD_S + 0.001, wait_s=0)
    assert workers[0].server.connections == len(clients)
    assert not counts.may_accept(0)


def test_a_burst_is_taken_by_the_only_worker_that_runs_without_a_wait_for_each(
    workers: "list[ServerHarness]",
) -> None:
    clients = [workers[0].connect() for _ in range(20)]
    for _ in range(2 * MAX_ACCEPT_YIELDS + 1):  # one iteration ends the wait, the next one accepts
        workers[0].step(ACCEPT_YIELD_S + 0.001, wait_s=0)
    assert workers[0].server.connections == len(clients)


def test_a_worker_that_drains_is_not_waited_for(
    workers: "list[ServerHarness]", counts: ConnectionCounts
) -> None:
    connect_and_wait(workers, 4)
    workers[1].server.drain(lambda: None)
    assert counts.may_accept(0)
    before = workers[0].server.connections
    workers[0].connect()
    workers[0].step()
    assert workers[0].server.connections == before + 1


def test_connections_that_close_count_no_more(
    workers: "list[ServerHarness]", counts: ConnectionCounts
) -> None:
    clients = connect_and_wait(workers, 10)
    for client in clients:
        client.close()
    for worker in workers:
        worker.until(lambda worker=worker: worker.server.connections == 0)  # type: ignore[misc]
    assert list(counts._counts) == [0, 0]
