"""The order of an iteration's steps and their bounds, in virtual time; real sockets where descriptors matter."""

import socket
import time
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path

import pytest

from hedgerow.eventloop.client_sockets import CLIENTS_PER_POLL, POLLS_OF_CLIENTS
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import ANSWERS_S, EVENTS_PER_POLL, HEDGES_S, MAX_POLL_S, EventLoop
from hedgerow.eventloop.loop_monitor import LAGGING_S
from hedgerow.eventloop.poller import READABLE, WRITABLE
from hedgerow.eventloop.scheduler import STEP_S
from support.fake_network import VirtualLoop

UPSTREAM, CLIENT, LISTENER = 11, 12, 13
CLIENTS_PER_ITERATION = CLIENTS_PER_POLL * POLLS_OF_CLIENTS


class Probe(EventHandler):
    """A source, task, waiter, writer and socket that notes what is called, and may do something then."""

    def __init__(self, log: list[str], name: str, act: Callable[[], object] = lambda: None) -> None:
        self.log = log
        self.name = name
        self.act = act

    def _note(self, what: str) -> None:
        self.log.append(f"{self.name} {what}".strip())
        self.act()

    def on_ready(self, mask: int) -> None:
        self._note("")

    def resume(self) -> None:
        self._note("")

    def on_deadline(self) -> None:
        self._note("")

    def flush(self) -> None:
        self._note("")

    def close(self) -> None:
        self._note("")

    def abort(self) -> None:
        self.log.append(f"{self.name} aborted")


@pytest.fixture
def virtual() -> VirtualLoop:
    return VirtualLoop()


@pytest.fixture
def log() -> list[str]:
    return []


def client_ready(virtual: VirtualLoop, fd: int = CLIENT) -> None:
    virtual.client_poller.event_at(virtual.clock.now, fd, READABLE)
    virtual.poller.event_at(virtual.clock.now, virtual.client_poller.fileno(), READABLE)


def ready(virtual: VirtualLoop, fd: int) -> None:
    virtual.poller.event_at(virtual.clock.now, fd, READABLE)


# -- order


def test_an_iteration_goes_through_its_steps_in_order(virtual: VirtualLoop, log: list[str]) -> None:
    loop = virtual.loop
    loop.register_listener(LISTENER, Probe(log, "listener"))
    loop.clients.register(CLIENT, Probe(log, "client"), READABLE)
    loop.register(UPSTREAM, Probe(log, "upstream"), READABLE)
    loop.flush_later(Probe(log, "flush"))
    loop.wake(Probe(log, "task"))
    loop.call_at(virtual.clock.now, Probe(log, "deadline"))

    def admit(_now: float) -> float:
        log.append("admission")
        loop.wake(Probe(log, "admitted"))
        return inf

    loop.admit = admit
    loop.on_iteration = lambda _took_s, _ended_at: log.append("end")
    ready(virtual, LISTENER)
    client_ready(virtual)
    ready(virtual, UPSTREAM)
    loop.request_admission()
    loop.run_once(1.0)
    assert log == [
        "upstream", "deadline", "task", "client", "listener", "admission", "admitted", "flush", "end",
    ]  # fmt: skip


def test_a_deadline_sees_the_answers_that_were_ready(virtual: VirtualLoop, log: list[str]) -> None:
    """Hedges are sent only after the answers that had come were read."""
    at = virtual.clock.now + 0.3
    answered = Probe(log, "answer", lambda: virtual.loop.cancel(tick, hedge))
    hedge = Probe(log, "hedge")
    tick = virtual.loop.call_at(at, hedge)
    virtual.loop.register(UPSTREAM, answered, READABLE)
    virtual.poller.event_at(at, UPSTREAM, READABLE)
    virtual.run_for(0.5)
    assert log == ["answer"]


def test_what_a_source_wakes_and_writes_is_done_in_the_same_iteration(
    virtual: VirtualLoop, log: list[str]
) -> None:
    writer = Probe(log, "flush")
    task = Probe(log, "task", lambda: virtual.loop.flush_later(writer))
    virtual.loop.register(UPSTREAM, Probe(log, "answer", lambda: virtual.loop.wake(task)), READABLE)
    ready(virtual, UPSTREAM)
    virtual.loop.run_once(1.0)
    assert log == ["answer", "task", "flush"]


def test_what_a_client_wakes_is_done_in_the_same_iteration(virtual: VirtualLoop, log: list[str]) -> None:
    task = Probe(log, "task")
    virtual.loop.clients.register(CLIENT, Probe(log, "client", lambda: virtual.loop.wake(task)), READABLE)
    client_ready(virtual)
    virtual.loop.run_once(1.0)
    assert log == ["client", "task"]


def test_a_task_that_wakes_another_is_followed_by_it(virtual: VirtualLoop, log: list[str]) -> None:
    second = Probe(log, "second")
    virtual.loop.wake(Probe(log, "first", lambda: virtual.loop.wake(second)))
    virtual.loop.run_once(1.0)
    assert log == ["first", "second"]


# -- how long a poll waits


def polled_for(virtual: VirtualLoop, max_wait_s: float = MAX_POLL_S) -> float:
    began_at = virtual.clock.now
    virtual.loop.run_once(max_wait_s)
    return round(virtual.clock.now - began_at, 3)


def test_an_idle_loop_wakes_up_now_and_then(virtual: VirtualLoop) -> None:
    assert polled_for(virtual) == MAX_POLL_S


def test_a_poll_ends_at_the_next_deadline(virtual: VirtualLoop, log: list[str]) -> None:
    virtual.loop.call_at(virtual.clock.now + 0.2, Probe(log, "deadline"))
    assert polled_for(virtual) == 0.2
    assert log == ["deadline"]


def test_a_poll_ends_when_admission_wants_to_be_called(virtual: VirtualLoop) -> None:
    wanted_at = virtual.clock.now + 0.05
    virtual.loop.admit = lambda _now: wanted_at
    virtual.loop.request_admission()
    virtual.loop.run_once(0)
    assert polled_for(virtual) == 0.05


@pytest.mark.parametrize("what", ["task", "writer"])
def test_a_poll_does_not_wait_while_there_is_something_to_do(
    virtual: VirtualLoop, log: list[str], what: str
) -> None:
    probe = Probe(log, what)
    if what == "task":
        virtual.loop.wake(probe)
    else:
        virtual.loop.flush_later(probe)
    assert polled_for(virtual) == 0.0
    assert log == [what]


def test_a_deadline_that_is_over_does_not_make_the_poll_wait_for_ever(
    virtual: VirtualLoop, log: list[str]
) -> None:
    """epoll takes a negative timeout for none at all."""
    virtual.loop.call_at(virtual.clock.now - 5.0, Probe(log, "deadline"))
    assert polled_for(virtual) == 0.0
    assert log == ["deadline"]


# -- bounded steps


def slow(virtual: VirtualLoop, span_s: float) -> Callable[[], object]:
    def pass_time() -> None:
        virtual.clock.now += span_s

    return pass_time


def test_in_a_long_step_what_is_due_and_what_was_written_comes_in_between(
    virtual: VirtualLoop, log: list[str]
) -> None:
    loop = virtual.loop
    for fd in range(20, 24):
        loop.register(fd, Probe(log, f"answer {fd}", slow(virtual, 0.6 * STEP_S)), READABLE)
        ready(virtual, fd)
    loop.flush_later(Probe(log, "flush"))
    loop.call_at(virtual.clock.now + STEP_S, Probe(log, "deadline"))
    loop.wake(Probe(log, "task"))
    loop.run_once(1.0)
    assert log == ["answer 20", "answer 21", "deadline", "task", "flush", "answer 22", "answer 23"]


def test_in_a_short_step_nothing_comes_in_between(virtual: VirtualLoop, log: list[str]) -> None:
    for fd in range(20, 24):
        virtual.loop.register(fd, Probe(log, f"answer {fd}", slow(virtual, 0.2 * STEP_S)), READABLE)
        ready(virtual, fd)
    virtual.loop.flush_later(Probe(log, "flush"))
    virtual.loop.run_once(1.0)
    assert log == ["answer 20", "answer 21", "answer 22", "answer 23", "flush"]


def test_b1_a_slow_client_step_lets_deadlines_and_answers_through(
    virtual: VirtualLoop, log: list[str]
) -> None:
    for fd in range(20, 23):
        virtual.loop.clients.register(fd, Probe(log, f"client {fd}", slow(virtual, 2 * STEP_S)), READABLE)
        client_ready(virtual, fd)
    virtual.loop.call_at(virtual.clock.now + 3 * STEP_S, Probe(log, "deadline"))
    virtual.loop.run_once(1.0)
    assert log == ["client 20", "client 21", "deadline", "client 22"]


def test_tasks_that_go_on_within_a_step_know_what_is_unread(virtual: VirtualLoop, log: list[str]) -> None:
    unread: list[set[int]] = []

    def be_slow_and_wake() -> None:
        virtual.clock.now += max(ANSWERS_S, STEP_S)
        virtual.loop.wake(Probe(log, "task", lambda: unread.append(set(virtual.loop.unread))))

    for fd in (30, 31, 32):
        virtual.loop.register(
            fd, Probe(log, str(fd), be_slow_and_wake if fd == 30 else lambda: None), READABLE
        )
        ready(virtual, fd)
    virtual.loop.run_once(1.0)
    assert unread == [{31, 32}]
    assert log == ["30", "task"], "the time of the step is over"
    assert virtual.loop.unread == {31, 32}
    virtual.loop.run_once(1.0)
    assert virtual.loop.unread == set()


def test_ready_tasks_are_a_bounded_step_too(virtual: VirtualLoop, log: list[str]) -> None:
    """A lookup that ends starts every connect that has waited for it."""
    for number in range(4):
        virtual.loop.wake(Probe(log, f"task {number}", slow(virtual, 0.6 * STEP_S)))
    virtual.loop.flush_later(Probe(log, "flush"))
    virtual.loop.call_at(virtual.clock.now + STEP_S, Probe(log, "deadline"))
    virtual.loop.run_once(1.0)
    assert log == ["task 0", "task 1", "deadline", "flush", "task 2", "task 3"]


def test_due_deadlines_are_a_bounded_step_too(virtual: VirtualLoop, log: list[str]) -> None:
    for number in range(3):
        virtual.loop.call_at(virtual.clock.now, Probe(log, f"deadline {number}", slow(virtual, 0.6 * STEP_S)))
    virtual.loop.flush_later(Probe(log, "flush"))
    virtual.loop.run_once(1.0)
    assert log == ["deadline 0", "deadline 1", "flush", "deadline 2"]


def test_what_is_due_when_the_loop_closes_does_not_run(virtual: VirtualLoop, log: list[str]) -> None:
    virtual.loop.call_at(virtual.clock.now, Probe(log, "deadline"))
    virtual.loop.close()
    assert log == []


def test_b1_a_bounded_number_of_clients_is_read_in_one_iteration_the_others_next(
    virtual: VirtualLoop, log: list[str]
) -> None:
    fds = range(1_000, 1_000 + CLIENTS_PER_ITERATION + 5)
    for fd in fds:
        virtual.loop.clients.register(fd, Probe(log, str(fd)), READABLE)
        client_ready(virtual, fd)
    virtual.loop.run_once(0)
    assert len(log) == CLIENTS_PER_ITERATION
    virtual.poller.event_at(virtual.clock.now, virtual.client_poller.fileno(), READABLE)
    virtual.loop.run_once(0)
    assert log == [str(fd) for fd in fds]


def test_a_bounded_number_of_events_is_polled(virtual: VirtualLoop, log: list[str]) -> None:
    for fd in range(1_000, 1_000 + EVENTS_PER_POLL + 5):
        virtual.loop.register(fd, Probe(log, str(fd)), READABLE)
        ready(virtual, fd)
    virtual.loop.run_once(0)
    assert len(log) == EVENTS_PER_POLL


def test_b1_clients_and_new_connections_have_their_turn_however_many_answers_come(
    virtual: VirtualLoop, log: list[str]
) -> None:
    """A poll that is full of answers says nothing of the others: they may be behind thousands in the kernel's list."""
    virtual.loop.register_listener(LISTENER, Probe(log, "listener"))
    virtual.loop.clients.register(CLIENT, Probe(log, "client"), READABLE)
    for iteration in range(1, 4):
        for fd in range(1_000, 1_000 + 5 * EVENTS_PER_POLL):
            if iteration == 1:
                virtual.loop.register(fd, Probe([], "answer"), READABLE)
            ready(virtual, fd)
        client_ready(virtual)
        ready(virtual, LISTENER)
        virtual.loop.run_once(0)
        assert log == ["client", "listener"] * iteration


def test_a_poll_that_is_not_full_has_found_all(virtual: VirtualLoop, log: list[str]) -> None:
    virtual.loop.register_listener(LISTENER, Probe(log, "listener"))
    virtual.loop.clients.register(CLIENT, Probe(log, "client"), READABLE)
    for fd in range(1_000, 1_000 + EVENTS_PER_POLL - 1):
        virtual.loop.register(fd, Probe([], "answer"), READABLE)
        ready(virtual, fd)
    virtual.client_poller.event_at(virtual.clock.now, CLIENT, READABLE)
    virtual.loop.run_once(0)
    assert not log


# -- what was unregistered meanwhile


def test_an_event_of_a_source_that_another_has_unregistered_is_dropped(
    virtual: VirtualLoop, log: list[str]
) -> None:
    virtual.loop.register(20, Probe(log, "first", lambda: virtual.loop.unregister(21)), READABLE)
    virtual.loop.register(21, Probe(log, "second"), READABLE)
    ready(virtual, 20)
    ready(virtual, 21)
    virtual.loop.run_once(1.0)
    assert log == ["first"]


def test_an_event_of_a_client_that_another_has_unregistered_is_dropped(
    virtual: VirtualLoop, log: list[str]
) -> None:
    virtual.loop.clients.register(
        20, Probe(log, "first", lambda: virtual.loop.clients.unregister(21)), READABLE
    )
    virtual.loop.clients.register(21, Probe(log, "second"), READABLE)
    client_ready(virtual, 20)
    client_ready(virtual, 21)
    virtual.loop.run_once(1.0)
    assert log == ["first"]


def test_b13_a_listener_that_was_unregistered_in_this_iteration_accepts_no_more(
    virtual: VirtualLoop, log: list[str]
) -> None:
    virtual.loop.register_listener(LISTENER, Probe(log, "listener"))
    ready(virtual, LISTENER)
    virtual.loop.wake(Probe(log, "stop", lambda: virtual.loop.unregister_listener(LISTENER)))
    virtual.loop.run_once(1.0)
    assert log == ["stop"]


def test_a_source_that_was_replaced_gets_the_next_event_without_an_epoll_ctl(
    virtual: VirtualLoop, log: list[str]
) -> None:
    virtual.loop.register(UPSTREAM, Probe(log, "connect"), WRITABLE)
    virtual.poller.calls.clear()
    virtual.loop.replace_source(UPSTREAM, Probe(log, "connection"))
    ready(virtual, UPSTREAM)
    virtual.loop.run_once(1.0)
    assert log == ["connection"]
    assert virtual.poller.calls == []


# -- internal errors


def fail() -> None:
    raise RuntimeError("an internal error")


@pytest.mark.parametrize("what", ["upstream", "client", "listener"])
def test_b12_a_source_that_raises_is_aborted_and_the_others_go_on(
    virtual: VirtualLoop, log: list[str], what: str
) -> None:
    loop = virtual.loop
    loop.register(UPSTREAM, Probe(log, "upstream", fail if what == "upstream" else lambda: None), READABLE)
    loop.clients.register(CLIENT, Probe(log, "client", fail if what == "client" else lambda: None), READABLE)
    loop.register_listener(LISTENER, Probe(log, "listener", fail if what == "listener" else lambda: None))
    ready(virtual, UPSTREAM)
    client_ready(virtual)
    ready(virtual, LISTENER)
    loop.run_once(1.0)
    expected = ["upstream", "client", "listener"]
    expected.insert(expected.index(what) + 1, f"{what} aborted")
    assert log == expected
    assert virtual.internal_errors == 1


def test_b12_a_source_that_raises_as_it_is_aborted_leaves_the_loop_alive(
    virtual: VirtualLoop, log: list[str]
) -> None:
    class Broken(Probe):
        def abort(self) -> None:
            fail()

    virtual.loop.register(20, Broken(log, "broken", fail), READABLE)
    virtual.loop.register(21, Probe(log, "other"), READABLE)
    ready(virtual, 20)
    ready(virtual, 21)
    virtual.loop.run_once(1.0)
    assert log == ["broken", "other"]
    assert virtual.internal_errors == 2


@pytest.mark.parametrize("what", ["task", "deadline"])
def test_b12_a_task_or_deadline_that_raises_leaves_the_others_alone(
    virtual: VirtualLoop, log: list[str], what: str
) -> None:
    for name, act in (("broken", fail), ("other", lambda: None)):
        if what == "task":
            virtual.loop.wake(Probe(log, name, act))
        else:
            virtual.loop.call_at(virtual.clock.now, Probe(log, name, act))
    virtual.loop.run_once(1.0)
    assert log == ["broken", "other"]
    assert virtual.internal_errors == 1


# -- telemetry


def test_each_iteration_is_reported_with_its_length_without_the_poll(
    virtual: VirtualLoop, log: list[str]
) -> None:
    reported: list[tuple[float, float]] = []
    virtual.loop.on_iteration = lambda took_s, ended_at: reported.append((round(took_s, 6), ended_at))
    virtual.loop.call_at(virtual.clock.now + 0.5, Probe(log, "deadline", slow(virtual, 0.25)))
    virtual.loop.run_once(1.0)
    assert reported == [(0.25, virtual.clock.now)]


def test_b2_clients_were_read_up_to_the_last_poll_that_left_none(
    virtual: VirtualLoop, log: list[str]
) -> None:
    for fd in range(1_000, 1_000 + CLIENTS_PER_ITERATION + 1):
        virtual.loop.clients.register(fd, Probe(log, str(fd)), READABLE)
    virtual.run_for(0.5)
    virtual.loop.run_once(0)
    before = virtual.loop.clients.read_at
    assert before == virtual.clock.now
    for fd in range(1_000, 1_000 + CLIENTS_PER_ITERATION):
        client_ready(virtual, fd)
    virtual.clock.now += 0.5
    virtual.loop.run_once(0)
    assert virtual.loop.clients.read_at == before, "there may be more"
    client_ready(virtual, 1_000)
    virtual.loop.run_once(0)
    assert virtual.loop.clients.read_at == virtual.clock.now


@pytest.mark.parametrize("clients_ready", [0, 1])
def test_b2_what_came_while_the_process_was_stopped_behind_a_poll_was_not_read(
    virtual: VirtualLoop, log: list[str], monkeypatch: pytest.MonkeyPatch, clients_ready: int
) -> None:
    """The simulation found a request that was answered late: it was dated as it was read, after the stop."""
    poll = virtual.loop._poller.poll

    def stopped_behind(timeout: float, maxevents: int) -> list[tuple[int, int]]:
        events = poll(timeout, maxevents)
        virtual.clock.now += 0.5
        return events

    for fd in range(1_000, 1_000 + clients_ready):
        virtual.loop.clients.register(fd, Probe(log, str(fd)), READABLE)
        client_ready(virtual, fd)
    polled_at = virtual.clock.now
    monkeypatch.setattr(virtual.loop._poller, "poll", stopped_behind)
    virtual.loop.run_once(0)
    assert len(log) == clients_ready
    assert virtual.loop.clients.read_at == polled_at


def test_b2_the_kernel_is_asked_for_ages_until_one_is_fresh(virtual: VirtualLoop, log: list[str]) -> None:
    asked: list[bool] = []

    def note_and_report() -> None:
        asked.append(virtual.loop.clients.lag)
        virtual.loop.clients.was_queued([0.5, 0.0, 0.0][len(asked) - 1])

    for fd in (20, 21, 22):
        virtual.loop.clients.register(fd, Probe(log, str(fd), note_and_report), READABLE)
        client_ready(virtual, fd)
    virtual.clock.now += 2 * LAGGING_S
    virtual.loop.run_once(0)
    assert asked == [True, True, False]


def test_the_kernel_is_not_asked_for_ages_where_all_was_read_a_moment_ago(
    virtual: VirtualLoop, log: list[str]
) -> None:
    asked: list[bool] = []
    virtual.loop.clients.register(
        20, Probe(log, "20", lambda: asked.append(virtual.loop.clients.lag)), READABLE
    )
    for after_s in (LAGGING_S / 2, 2 * LAGGING_S):
        virtual.loop.run_once(0)
        virtual.clock.now += after_s
        client_ready(virtual, 20)
        virtual.loop.run_once(0)
    assert asked == [False, True]


# -- running


def test_run_iterates_until_it_is_stopped(virtual: VirtualLoop, log: list[str]) -> None:
    for number in range(3):
        virtual.loop.call_at(virtual.clock.now + number, Probe(log, str(number)))
    virtual.loop.call_at(virtual.clock.now + 2, Probe(log, "stop", virtual.loop.stop))
    virtual.loop.run()
    assert log == ["0", "1", "2", "stop"]


# -- with real descriptors


@pytest.fixture
def real() -> Iterator[EventLoop]:
    loop = EventLoop(time.monotonic, on_internal_error=lambda: pytest.fail("internal error"))
    yield loop
    loop.close()


class Reader(EventHandler):
    """Reads its socket, and notes what came."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received: list[bytes] = []

    def on_ready(self, _mask: int) -> None:
        self.received.append(self.sock.recv(3))

    def abort(self) -> None:
        raise AssertionError


def test_what_was_not_read_comes_up_again(real: EventLoop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = Reader(ours)
        real.clients.register(ours.fileno(), reader, READABLE)
        theirs.send(b"abcdef")
        real.run_once(1.0)
        real.run_once(1.0)
        assert reader.received == [b"abc", b"def"]
        real.clients.unregister(ours.fileno())


@pytest.mark.parametrize("of_clients", [False, True])
def test_an_event_of_a_closed_socket_never_reaches_the_next_one_with_its_number(
    real: EventLoop, *, of_clients: bool
) -> None:
    """A socket is closed at once, and the kernel gives out the lowest number that is free."""
    watched = real.clients if of_clients else real
    a, a_peer = socket.socketpair()
    b, b_peer = socket.socketpair()
    opened: list[socket.socket] = []
    log: list[str] = []
    with a_peer, b_peer:

        class ClosesBoth(EventHandler):
            """Closes both sockets, and opens two more; whichever of the two is handled first."""

            def on_ready(self, _mask: int) -> None:
                for sock in (a, b):
                    watched.unregister(sock.fileno())
                    sock.close()
                opened.extend(socket.socketpair())
                for number, sock in enumerate(opened):
                    watched.register(sock.fileno(), Probe(log, str(number)), READABLE)

            def abort(self) -> None:
                raise AssertionError

        numbers = {a.fileno(), b.fileno()}
        for sock in (a, b):
            watched.register(sock.fileno(), ClosesBoth(), READABLE)
        a_peer.send(b"x")
        b_peer.send(b"x")
        real.run_once(1.0)
        assert {sock.fileno() for sock in opened} == numbers
        assert log == [], "the other one's event is dropped"
        opened[0].send(b"y")
        real.run_once(1.0)
        assert log == ["1"]
        for sock in opened:
            watched.unregister(sock.fileno())
            sock.close()


def test_interest_can_be_changed(real: EventLoop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for register, modify, unregister in (
            (real.register, real.modify, real.unregister),
            (real.clients.register, real.clients.modify, real.clients.unregister),
        ):
            reader = Reader(ours)
            theirs.send(b"x")
            register(ours.fileno(), reader, 0)
            real.run_once(0)
            assert reader.received == []
            modify(ours.fileno(), READABLE)
            real.run_once(0)
            assert reader.received == [b"x"]
            unregister(ours.fileno())


def test_a_listener_is_handled_when_a_connection_waits(real: EventLoop, log: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        real.register_listener(listener.fileno(), Probe(log, "listener"))
        real.run_once(0)
        assert log == []
        with socket.create_connection(listener.getsockname()):
            real.run_once(1.0)
            assert log == ["listener"]
        real.unregister_listener(listener.fileno())


def test_hedges_wait_while_answers_are_unread_and_those_left_over_for_the_next_ones(
    virtual: VirtualLoop, log: list[str]
) -> None:
    def takes(seconds: float) -> Callable[[], object]:
        def act() -> None:
            virtual.clock.now += seconds

        return act

    for name in ("first hedge", "second hedge"):
        virtual.loop.wake_after_reading(Probe(log, name, takes(HEDGES_S)))
    for fd in (20, 21):
        virtual.loop.register(fd, Probe(log, f"answer {fd}", takes(ANSWERS_S)), READABLE)
        ready(virtual, fd)
    for still_unread in ([], [21], []):
        log.append("iteration")
        for fd in still_unread:
            ready(virtual, fd)
        virtual.loop.run_once(0)
    assert log == [
        *("iteration", "answer 20"),
        *("iteration", "answer 21", "first hedge"),
        *("iteration", "second hedge"),
    ]


def test_what_the_kernel_does_not_watch_is_not_kept(tmp_path: Path, log: list[str]) -> None:
    """Its descriptor is closed then, and the next one with its number was handled by it."""
    loop = EventLoop(time.monotonic, on_internal_error=lambda: None)
    with (tmp_path / "file").open("wb") as file:  # EPERM: files are always ready (epoll_ctl(2))
        fd = file.fileno()
        with pytest.raises(PermissionError):
            loop.register(fd, Probe(log, "source"), READABLE)
        with pytest.raises(PermissionError):
            loop.register_listener(fd, Probe(log, "listener"))
    assert (len(loop._sources), loop._listeners) == (0, {})
    loop.close()


def test_what_one_answer_has_more_is_read_after_the_others_and_before_deadlines(
    virtual: VirtualLoop, log: list[str]
) -> None:
    """Else the rest of an answer that has come is read after its hedges are sent, or after the 504."""
    loop = virtual.loop
    pieces = ["second", "third"]

    def act() -> None:
        if pieces:
            pieces.pop()
            loop.read_again(long)

    long = Probe(log, "long", act)
    loop.register(20, long, READABLE)
    loop.register(21, Probe(log, "short"), READABLE)
    loop.call_at(virtual.clock.now, Probe(log, "deadline"))
    loop.wake_after_reading(Probe(log, "hedge"))
    ready(virtual, 20)
    ready(virtual, 21)
    loop.run_once(0)
    assert log == ["long", "short", "long", "long", "deadline", "hedge"]


def test_an_answer_without_end_keeps_clients_waiting_no_longer_than_others_do(
    virtual: VirtualLoop, log: list[str]
) -> None:
    loop = virtual.loop

    def act() -> None:
        virtual.clock.now += 0.6 * ANSWERS_S
        loop.read_again(endless)

    endless = Probe(log, "endless", act)
    loop.register(UPSTREAM, endless, READABLE)
    loop.clients.register(CLIENT, Probe(log, "client"), READABLE)
    loop.wake_after_reading(Probe(log, "hedge"))
    for _ in range(2):
        ready(virtual, UPSTREAM)
        client_ready(virtual)
        loop.run_once(0)
    assert log == ["endless", "endless", "client"] * 2
    loop.run_once(0)
    assert log[6:] == ["hedge"], "nothing is handled again that was not ready"


def test_what_fails_as_it_is_read_again_costs_no_other(virtual: VirtualLoop, log: list[str]) -> None:
    loop = virtual.loop

    def fail() -> None:
        raise ZeroDivisionError

    broken = Probe(log, "broken", fail)
    loop.register(20, Probe(log, "first", lambda: loop.read_again(broken)), READABLE)
    loop.register(21, Probe(log, "second"), READABLE)
    ready(virtual, 20)
    ready(virtual, 21)
    loop.run_once(0)
    assert log == ["first", "second", "broken", "broken aborted"]
    assert virtual.internal_errors == 1
