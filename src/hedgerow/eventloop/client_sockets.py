"""The sockets of clients, in a poller of their own: they are read in the time that work under way leaves."""

from typing import TYPE_CHECKING, Final

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop_monitor import LAGGING_S
from hedgerow.eventloop.poller import Poller
from hedgerow.eventloop.source_table import SourceTable

if TYPE_CHECKING:
    from hedgerow.eventloop.loop import EventLoop

CLIENTS_S: Final = 0.02
"""Clients are read for at most this long before answers have their turn again; due work goes on meanwhile. In steady
overload an iteration needs 2 to 5 ms of it. What is not read becomes too old to be served, and its clients hold
connections: with 2 ms, and at times with 6, next to all that was read past twice the capacity had waited in the kernel
for its whole time, and thousands were late for want of connections (decision 0016)."""
CLIENTS_PER_POLL: Final = 16
"""Clients that are polled at a time: those that an iteration does not get to stay at the head of the kernel's list."""
POLLS_OF_CLIENTS: Final = 64
"""In one iteration, however quickly they are answered."""


class ClientSockets:
    """What of the clients is watched, and how old what they have sent may be."""

    __slots__ = (
        "_counted_at",
        "_loop",
        "_poller",
        "_sources",
        "_unread",
        "are_fresh_until",
        "lag",
        "read_at",
    )

    def __init__(self, loop: "EventLoop", poller: Poller) -> None:
        self._loop = loop
        self._poller = poller
        self._sources = SourceTable()
        self.lag = False
        """What is read from clients now may have arrived a while ago, so each read queries the kernel for its age."""
        self.are_fresh_until = 0.0
        """Until this instant `lag` holds; later the process may have been stopped since it was set."""
        self.read_at = loop.clock()
        """All that clients had sent by this instant was read, or left in the socket buffer on purpose."""
        self._unread = 0
        """Clients that may have been ready at the instant `_counted_at` and were not read since. They are polled oldest
        first, so those that are always ready again cannot keep `read_at` back."""
        self._counted_at = 0.0

    def register(self, fd: int, source: EventHandler, mask: int) -> None:
        """Watch a client's connection."""
        self._poller.register(fd, mask)
        self._sources.add(fd, source)

    def modify(self, fd: int, mask: int) -> None:
        """Change what a client's connection is watched for; 0 leaves errors and hang-ups alone."""
        self._poller.modify(fd, mask)

    def unregister(self, fd: int) -> None:
        """Stop watching a client's connection; events that were polled for it already are dropped."""
        self._sources.remove(fd)
        self._poller.unregister(fd)

    def was_queued(self, age_s: float) -> None:
        """Record the age of what was read from a client, where the kernel was queried for it.

        Clients are polled oldest first (what was not polled last time stays at the head of the kernel's list), so if
        the first of them is fresh the others are: one query per iteration is enough.
        """
        if age_s < LAGGING_S and not self._loop.monitor.is_lagging:
            self.lag = False

    def none_was_ready(self, asked_at: float) -> None:
        """Record that the poll which began at `asked_at` has found no client."""
        self.read_at = asked_at
        self._unread = 0

    def read(self, asked_at: float) -> None:
        """Read some of the clients that are ready; the poll that has found them began at `asked_at`."""
        loop = self._loop
        now = loop.clock()
        self.lag = now - self.read_at > LAGGING_S
        self.are_fresh_until = now + LAGGING_S
        if self._unread <= 0:
            self._unread = len(self._sources)
            self._counted_at = asked_at
        ends_at = now + CLIENTS_S
        for _ in range(POLLS_OF_CLIENTS):
            events = self._poller.poll(0, CLIENTS_PER_POLL)
            self._sources.polled()
            for fd, mask in events:
                source = self._sources.get(fd)
                if source is not None:
                    now = loop.handle(source, mask)
            if len(events) < CLIENTS_PER_POLL:
                self.none_was_ready(asked_at)
                return
            self._unread -= CLIENTS_PER_POLL
            if self._unread <= 0:
                self.read_at = self._counted_at
            if now >= ends_at:
                return

    def close(self) -> None:
        """Close the poller."""
        self._poller.close()
