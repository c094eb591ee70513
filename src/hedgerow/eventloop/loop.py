"""The event loop of a worker: one thread, one visible order of work.

An iteration goes through these steps, and what each does before the loop looks at the clock again is bounded:

    poll -> what is under way (answers of the upstream) -> due deadlines -> ready tasks -> clients -> new connections
         -> admission -> ready tasks -> send

Work that is under way goes before new work: hedges are sent, and requests time out, only after the answers that had
come were read; new requests get the time that is left. For this the clients' sockets are in a poller of their own, one
descriptor of the first. What is not read stays readable (level-triggered), so the kernel's buffer is the queue.

Redis has the same shape (`ae.c`, `beforeSleep`). Why not asyncio: docs/decisions/0017-event-loop.md.
"""

import select
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

from hedgerow.eventloop.client_sockets import ClientSockets
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop_monitor import LoopMonitor
from hedgerow.eventloop.poller import READABLE, Poller
from hedgerow.eventloop.scheduler import STEP_S, Scheduler
from hedgerow.eventloop.source_table import SourceTable

EVENTS_PER_POLL: Final = 128
"""Sockets that are looked at between two polls. Those that are polled and not handled go to the end of the kernel's
list. At three times the capacity 4 000 and 4 300 answers a second are good, and with 512 1 700 and 3 700 were."""
ANSWERS_S: Final = 0.004
"""Answers are read for this long before clients have their turn: 4 900 and 5 500 are good so; with 2 ms, the above."""
HEDGES_S: Final = 0.002
"""Hedges that waited for answers to be read are sent for this long, some 40; the others after the next answers."""
ADMIT_AGAIN_S: Final = 0.01
"""Admission runs again after this time when it has raised, which is an internal error."""
MAX_POLL_S: Final = 1.0
"""An idle loop wakes up this often, so that a clock that was set or a suspended machine cannot stop it for long."""


class EventLoop(Scheduler):
    """One thread's sockets, deadlines and tasks. Instants are seconds of `clock`."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        on_internal_error: Callable[[], None],
        make_poller: Callable[[], Poller] = select.epoll,
    ) -> None:
        """`on_internal_error` is called in the handler of an exception that a source or a task has let out."""
        super().__init__(clock, on_internal_error)
        self.monitor = LoopMonitor()
        self.admit: Callable[[float], float] = _nothing_waits
        """Called after `request_admission`: starts waiting requests, and returns when to call it again."""
        self.on_iteration: Callable[[float, float], None] = _ignore
        """Called after each iteration with its length in seconds and the instant of its end."""
        self.answers_unread = True
        """Answers of the upstream may have come that were not read yet: hedges that are due wait for them."""
        self._poller = make_poller()
        client_poller = make_poller()
        self.clients = ClientSockets(self, client_poller)
        self._client_poller_fd = client_poller.fileno()
        self._poller.register(self._client_poller_fd, READABLE)
        self._sources = SourceTable()
        self._listeners: dict[int, EventHandler] = {}
        self.unread: set[int] = set()
        """Descriptors that were ready in this iteration and are not handled yet, if tasks resume before that."""
        self._events: list[tuple[int, int]] = []
        self._handled = 0
        self._unfinished: deque[EventHandler] = deque()
        """Sources that are read again in this step."""
        self._unread_from = -1
        """The value of `_handled` that `unread` is made from."""
        self._admit_at = inf
        self._running = True

    # -- registration

    def register(self, fd: int, source: EventHandler, mask: int) -> None:
        """Watch a descriptor of work that is under way: a connection to the upstream, a channel, a wake-up."""
        self._poller.register(fd, mask)
        self._sources.add(fd, source)

    def modify(self, fd: int, mask: int) -> None:
        """Change what a descriptor of `register` is watched for."""
        self._poller.modify(fd, mask)

    def replace_source(self, fd: int, source: EventHandler) -> None:
        """Hand a descriptor of `register` over to another source, watched as it is. Costs no system call."""
        self._sources.replace(fd, source)

    def unregister(self, fd: int) -> None:
        """Stop watching a descriptor of `register`; events that were polled for it already are dropped.

        So it can be closed at once, though the kernel gives its number to the next one.
        """
        self._sources.remove(fd)
        self._poller.unregister(fd)

    def register_listener(self, fd: int, source: EventHandler) -> None:
        """Watch a listening socket. The kernel wakes each process that shares it.

        Not with EPOLLEXCLUSIVE, which wakes one process: if that one is stopped, no other learns of the connection.
        """
        self._poller.register(fd, READABLE)
        self._listeners[fd] = source

    def unregister_listener(self, fd: int) -> None:
        """Stop watching a listening socket."""
        del self._listeners[fd]
        self._poller.unregister(fd)

    # -- iterations

    def run(self) -> None:
        """Iterate until `stop`."""
        while self._running:
            self.run_once(MAX_POLL_S)

    def stop(self) -> None:
        """Have `run` return after this iteration."""
        self._running = False

    def run_once(self, max_wait_s: float) -> None:
        """Run one iteration; its poll waits for `max_wait_s` at most."""
        next_at = min(self.deadlines.next_due_at, self._admit_at)
        is_busy = self._ready or self._writers or self._after_reading or self._next
        asked_at = self.clock()  # what comes after the poll's return, and before it is dated, is not in it
        wait_s = 0.0 if is_busy else min(max(next_at - asked_at, 0.0), max_wait_s)
        events = self._poller.poll(wait_s, EVENTS_PER_POLL)
        self._sources.polled()
        polled_at = self.clock()
        self.monitor.iteration_started(polled_at, self.deadlines.next_due_at)
        self._step_ends_at = polled_at + STEP_S
        if self._next:
            self._ready += self._next
            self._next = []
        clients_ready, listeners = self._read_answers(events, polled_at)
        self._run_due()
        if self._ready:
            self._run_ready()
        if self._after_reading and not self.answers_unread:
            self._run_after_reading(HEDGES_S)
        self.answers_unread = True
        if clients_ready:
            self.clients.read(asked_at)
        else:
            self.clients.none_was_ready(asked_at)
        for fd in listeners:
            source = self._listeners.get(fd)
            if source is not None:
                self.handle(source, READABLE)
        if self._admit_at < inf:
            self._admit()
        if self._ready:
            self._run_ready()
        self._flush()
        ended_at = self.clock()
        self._report_iteration(self.monitor.iteration_finished(ended_at), ended_at)

    def _read_answers(self, events: list[tuple[int, int]], now: float) -> tuple[bool, list[int]]:
        """Read what is under way; return whether clients are ready, and the listening sockets that are."""
        ends_at = now + ANSWERS_S
        is_full = more_have_come = len(events) >= EVENTS_PER_POLL
        clients_ready = False
        listeners: list[int] = []
        self._events, self._handled, self._unread_from = events, 0, -1
        for fd, mask in events:
            source = self._sources.get(fd)
            if now < ends_at:
                self._handled += 1
            if source is not None:
                if now < ends_at:
                    now = self.handle(source, mask)
                else:
                    more_have_come = True
            elif fd == self._client_poller_fd:
                clients_ready = True
            elif fd in self._listeners:
                listeners.append(fd)
        while self._unfinished and now < ends_at:
            now = self.handle(self._unfinished.popleft(), READABLE)
        if self._unfinished:  # the next poll finds them
            more_have_come = True
            self._unfinished.clear()
        if is_full:  # answers may have kept these out of it
            clients_ready, listeners = True, list(self._listeners)
        self.answers_unread = more_have_come
        self._note_unread()
        return clients_ready, listeners

    def read_again(self, source: EventHandler) -> None:
        """Have a source that is handled now handled again after the others: it has more than it reads at a time."""
        self._unfinished.append(source)

    def request_admission(self) -> None:
        """Have `admit` called in this iteration: a request waits."""
        self._admit_at = 0.0

    def handle(self, source: EventHandler, mask: int) -> float:
        """Have a source handled; return the instant after it."""
        try:
            source.on_ready(mask)
        except Exception:  # noqa: BLE001 (a border: one connection pays for an internal error, the worker lives)
            self._on_internal_error()
            self._abort(source)
        return self.run_due_work()

    def _note_unread(self) -> None:
        if self._handled == self._unread_from:  # as in the steps after that of the answers
            return
        self._unread_from = self._handled
        if self._handled < len(self._events):
            self.unread = {fd for fd, _ in self._events[self._handled :]}
        elif self.unread:
            self.unread = set()

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

    def close(self) -> None:
        """Close the pollers. What is registered must have been closed before."""
        self.clients.close()
        self._poller.close()


def _nothing_waits(_now: float) -> float:
    return inf


def _ignore(_took_s: float, _ended_at: float) -> None:
    return
