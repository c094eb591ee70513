"""The event loop of a worker: one thread, one visible order of work.

An iteration goes through these steps, and what each does before the loop looks at the clock again is bounded:

    poll -> what is under way (answers of the upstream) -> due deadlines -> ready tasks -> clients -> new connections
         -> admission -> ready tasks -> send -> close

Work that is under way goes before new work: hedges are sent, and requests time out, only after the answers that had
come were read; new requests get the time that is left. For this the sockets of clients are in a poller of their own,
which is only one more descriptor of the first. A socket that is not read stays readable (level-triggered), so the
kernel's buffer is the queue, and its bounds are TCP's.

Redis has the same shape (`ae.c`, `beforeSleep`). Why not asyncio: docs/decisions/0017-event-loop.md.
"""

import select
from collections.abc import Callable
from math import inf
from typing import Final, Protocol

from hedgerow.eventloop.deadlines import DeadlineQueue
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop_monitor import LAGGING_S, LoopMonitor

READABLE: Final = select.EPOLLIN
WRITABLE: Final = select.EPOLLOUT

STEP_S: Final = 0.001
"""After this long in one step, due deadlines are looked at and what was written is sent; then the step goes on."""
EVENTS_PER_POLL: Final = 512
"""Sockets that are looked at between two polls; the others come up in the next one, first in line."""
ANSWERS_S: Final = 0.002
"""Answers are read for this long before clients have their turn: 100 answers, or 4 TLS handshakes."""
CLIENTS_S: Final = 0.002
"""Clients are read for this long, some 60 of them, before answers have their turn again (decision 0016)."""
CLIENTS_PER_POLL: Final = 16
"""Clients that are polled at a time: those that an iteration does not get to stay at the head of the kernel's list."""
POLLS_OF_CLIENTS: Final = 8
"""In one iteration, however quickly they are answered."""
ADMIT_AGAIN_S: Final = 0.01
"""Admission is asked again after this time when it has raised, which is an internal error."""
MAX_POLL_S: Final = 1.0
"""An idle loop wakes up this often, so that a clock that was set or a suspended machine cannot stop it for long."""


class Closable(Protocol):
    """A socket."""

    def close(self) -> None: ...


class Poller(Protocol):
    """`select.epoll`, or what stands for it in a simulation."""

    def register(self, fd: int, eventmask: int) -> None: ...
    def modify(self, fd: int, eventmask: int) -> None: ...
    def unregister(self, fd: int) -> None: ...
    def poll(self, timeout: float, maxevents: int) -> list[tuple[int, int]]: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


class EventLoop:
    """One thread's sockets, deadlines and tasks. Instants are seconds of `clock`."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        on_internal_error: Callable[[], None],
        make_poller: Callable[[], Poller] = select.epoll,
    ) -> None:
        """`on_internal_error` is called in the handler of an exception that a source or a task has let out."""
        self.clock = clock
        self.deadlines = DeadlineQueue()
        self.monitor = LoopMonitor()
        self.admit: Callable[[float], float] = _nothing_waits
        """Called after `request_admission`: starts waiting requests, and returns when to call it again."""
        self.on_iteration: Callable[[float, float], None] = _ignore
        """Called after each iteration with its length in seconds and the instant of its end."""
        self.iteration = 0
        """The number of the current iteration: for bounds on what is done in one."""
        self.clients_lag = False
        """What is read from clients now may have come a while ago, so each asks the kernel when."""
        self.clients_are_fresh_until = 0.0
        """Until this instant `clients_lag` holds; later the process may have been stopped since it was set."""
        self.clients_read_at = clock()
        """All that clients had sent by this instant was read, or left unread on purpose."""
        self.answers_unread = True
        """Answers of the upstream may have come that were not read yet: hedges that are due wait for them."""
        self._unread_clients = 0
        """Clients that may have been ready at the instant `_counted_at` and were not read since. They are polled oldest
        first, so those that are always ready again cannot keep `clients_read_at` back."""
        self._counted_at = 0.0
        self._on_internal_error = on_internal_error
        self._poller = make_poller()
        self._client_poller = make_poller()
        self._client_poller_fd = self._client_poller.fileno()
        self._poller.register(self._client_poller_fd, READABLE)
        self._sources: dict[int, EventHandler] = {}
        self._client_sources: dict[int, EventHandler] = {}
        self._listeners: dict[int, EventHandler] = {}
        self._ready: list[EventHandler] = []
        self.has_more_answers = False
        """More had come than was read in this iteration."""
        self._after_reading: list[EventHandler] = []
        self._writers: list[EventHandler] = []
        self._closing: list[Closable] = []
        self._step_ends_at = 0.0
        self._admit_at = inf
        self._running = True

    # -- registration

    def register(self, fd: int, source: EventHandler, mask: int) -> None:
        """Watch a descriptor of work that is under way: a connection to the upstream, a channel, a wake-up."""
        self._sources[fd] = source
        self._poller.register(fd, mask)

    def modify(self, fd: int, mask: int) -> None:
        """Change what a descriptor of `register` is watched for."""
        self._poller.modify(fd, mask)

    def replace_source(self, fd: int, source: EventHandler) -> None:
        """Hand a descriptor of `register` over to another source, watched as it is. Costs no system call."""
        self._sources[fd] = source

    def unregister(self, fd: int) -> None:
        """Stop watching a descriptor of `register`; events that were polled for it already are dropped."""
        del self._sources[fd]
        self._poller.unregister(fd)

    def register_client(self, fd: int, source: EventHandler, mask: int) -> None:
        """Watch a client's connection: it is read in the time that work under way leaves."""
        self._client_poller.register(fd, mask)
        self._client_sources[fd] = source

    def modify_client(self, fd: int, mask: int) -> None:
        """Change what a client's connection is watched for; 0 leaves errors and hang-ups alone."""
        self._client_poller.modify(fd, mask)

    def unregister_client(self, fd: int) -> None:
        """Stop watching a client's connection."""
        del self._client_sources[fd]
        self._client_poller.unregister(fd)

    def register_listener(self, fd: int, source: EventHandler) -> None:
        """Watch a listening socket. The kernel wakes each process that shares it.

        Not with EPOLLEXCLUSIVE, by which it wakes one: if that one is stopped, no other hears of the connection.
        """
        self._listeners[fd] = source
        self._poller.register(fd, READABLE)

    def unregister_listener(self, fd: int) -> None:
        """Stop watching a listening socket."""
        del self._listeners[fd]
        self._poller.unregister(fd)

    # -- what is to be done in this iteration

    def wake(self, task: EventHandler) -> None:
        """Resume `task` in this iteration."""
        self._ready.append(task)

    def wake_after_reading(self, task: EventHandler) -> None:
        """Resume `task` once the answers that have come were read, in this iteration or the next."""
        self._after_reading.append(task)

    def flush_later(self, writer: EventHandler) -> None:
        """Have `writer` send what it holds in this iteration."""
        self._writers.append(writer)

    def close_later(self, sock: Closable) -> None:
        """Close `sock`, which is not registered any more, when the iteration ends.

        Until then no other socket gets its number, so an event that was polled for one never reaches the other.
        """
        self._closing.append(sock)

    def call_at(self, at: float, waiter: EventHandler) -> int:
        """Call `waiter.on_deadline` at the instant `at`. Return what `cancel` needs."""
        return self.deadlines.set(at, waiter)

    def cancel(self, tick: int, waiter: EventHandler) -> None:
        """Forget a deadline; one that has fired is forgotten already."""
        self.deadlines.cancel(tick, waiter)

    def internal_error(self) -> None:
        """Called in the handler of an exception that ends one connection, and not the iteration."""
        self._on_internal_error()

    # -- iterations

    def run(self) -> None:
        """Iterate until `stop`."""
        while self._running:
            self.run_once(MAX_POLL_S)

    def stop(self) -> None:
        """Have `run` return after this iteration."""
        self._running = False

    def fileno(self) -> int:
        """Return a descriptor that is readable when an iteration has something to do, deadlines apart."""
        return self._poller.fileno()

    def run_once(self, max_wait_s: float) -> None:
        """Run one iteration; its poll waits for `max_wait_s` at most."""
        next_at = min(self.deadlines.next_due_at, self._admit_at)
        is_busy = self._ready or self._writers or self._after_reading
        asked_at = (
            self.clock()
        )  # what comes between the poll's return and the next look at the clock is not in it
        wait_s = 0.0 if is_busy else min(max(next_at - asked_at, 0.0), max_wait_s)
        events = self._poller.poll(wait_s, EVENTS_PER_POLL)
        self.iteration += 1
        polled_at = self.clock()
        self.monitor.iteration_started(polled_at, self.deadlines.next_due_at)
        self._step_ends_at = polled_at + STEP_S
        clients_ready, listeners = self._read_answers(events, polled_at)
        self._run_due()
        if self._ready:
            self._run_ready()
        self.answers_unread = True
        if not clients_ready or self._read_clients(asked_at):
            self.clients_read_at = asked_at
            self._unread_clients = 0
        for fd in listeners:
            source = self._listeners.get(fd)
            if source is not None:
                self._handle(source, READABLE)
        if self._admit_at < inf:
            self._admit()
        if self._ready:
            self._run_ready()
        self._flush()
        self._close()
        ended_at = self.clock()
        self._report_iteration(self.monitor.iteration_finished(ended_at), ended_at)

    def _read_answers(self, events: list[tuple[int, int]], now: float) -> tuple[bool, list[int]]:
        """Read what is under way; return whether clients are ready, and the listening sockets that are."""
        ends_at = now + ANSWERS_S
        self.has_more_answers = len(events) >= EVENTS_PER_POLL
        clients_ready = False
        listeners: list[int] = []
        for fd, mask in events:
            source = self._sources.get(fd)
            if source is not None:
                if now < ends_at:
                    now = self._handle(source, mask)
                else:
                    self.has_more_answers = True
            elif fd == self._client_poller_fd:
                clients_ready = True
            elif fd in self._listeners:
                listeners.append(fd)
        self.answers_unread = self.has_more_answers
        if not self.answers_unread:
            self._ready += self._after_reading
            self._after_reading = []
        return clients_ready, listeners

    def client_was_queued(self, age_s: float) -> None:
        """Called with the age of what was read from a client, where the kernel was asked for it.

        Clients are polled oldest first (what was not polled last time stays at the head of the kernel's list), so if
        the first of them is fresh the others are: only one of an iteration has to ask.
        """
        if age_s < LAGGING_S and not self.monitor.is_lagging:
            self.clients_lag = False

    def request_admission(self) -> None:
        """Have `admit` called in this iteration: a request waits."""
        self._admit_at = 0.0

    def _read_clients(self, asked_at: float) -> bool:
        """Read some of the clients that are ready; return whether it was all of them."""
        now = self.clock()
        self.clients_lag = now - self.clients_read_at > LAGGING_S
        self.clients_are_fresh_until = now + LAGGING_S
        if self._unread_clients <= 0:
            self._unread_clients = len(self._client_sources)
            self._counted_at = asked_at
        ends_at = now + CLIENTS_S
        for _ in range(POLLS_OF_CLIENTS):
            events = self._client_poller.poll(0, CLIENTS_PER_POLL)
            for fd, mask in events:
                source = self._client_sources.get(fd)
                if source is not None:
                    now = self._handle(source, mask)
            if len(events) < CLIENTS_PER_POLL:
                return True
            self._unread_clients -= CLIENTS_PER_POLL
            if self._unread_clients <= 0:
                self.clients_read_at = self._counted_at
            if now >= ends_at:
                break
        return False

    def _handle(self, source: EventHandler, mask: int) -> float:
        """Have a source handled; return the instant after it."""
        try:
            source.on_ready(mask)
        except Exception:  # noqa: BLE001 (a border: one connection pays for an internal error, the worker lives)
            self._on_internal_error()
            self._abort(source)
        now = self.clock()
        if now >= self._step_ends_at:
            self._step_ends_at = now + STEP_S
            self._run_due()
            self._run_ready()
            self._flush()
        return now

    def _abort(self, source: EventHandler) -> None:
        try:
            source.abort()
        except Exception:  # noqa: BLE001 (the same border)
            self._on_internal_error()

    def _admit(self) -> None:
        try:
            self._admit_at = self.admit(self.clock())
        except Exception:  # noqa: BLE001 (the same border)
            self._admit_at = self.clock() + ADMIT_AGAIN_S
            self._on_internal_error()

    def _report_iteration(self, took_s: float, ended_at: float) -> None:
        try:
            self.on_iteration(took_s, ended_at)
        except Exception:  # noqa: BLE001 (the same border)
            self._on_internal_error()

    def _run_due(self) -> None:
        now = self.clock()
        if now < self.deadlines.next_due_at:
            return
        while True:
            waiter = self.deadlines.pop_due(now)
            if waiter is None:
                return
            try:
                waiter.on_deadline()
            except Exception:  # noqa: BLE001 (the same border)
                self._on_internal_error()
            read_at = self.clock()
            if read_at >= self._step_ends_at:  # a burst of hedges is due at once
                self._step_ends_at = read_at + STEP_S
                self._flush()

    def _run_ready(self) -> None:
        while self._ready:
            ready, self._ready = self._ready, []
            for task in ready:
                try:
                    task.resume()
                except Exception:  # noqa: BLE001 (the same border)
                    self._on_internal_error()
                now = self.clock()
                if now >= self._step_ends_at:  # a lookup that ends may start thousands of connects
                    self._step_ends_at = now + STEP_S
                    self._run_due()
                    self._flush()

    def _flush(self) -> None:
        while self._writers:
            writers, self._writers = self._writers, []
            for writer in writers:
                writer.flush()

    def _close(self) -> None:
        if self._closing:
            closing, self._closing = self._closing, []
            for sock in closing:
                sock.close()

    def close(self) -> None:
        """Close the pollers. What is registered must have been closed before."""
        self._close()
        self._client_poller.close()
        self._poller.close()


def _nothing_waits(_now: float) -> float:
    return inf


def _ignore(_took_s: float, _ended_at: float) -> None:
    return
