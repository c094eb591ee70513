"""An event loop in virtual time, and sockets that connect, refuse and hang at instants of the test's."""

import errno
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Any

from hedgerow.eventloop.loop import EventLoop
from hedgerow.net.tcp import Address


class Clock:
    """Virtual time, in seconds."""

    def __init__(self) -> None:
        self.now = 1_000.0
        """Not 0: an instant that was forgotten shall not look like one that has come."""
        self.cost_s = 0.0
        """What looking at the clock costs, so that time goes by within a step."""

    def __call__(self) -> float:
        self.now += self.cost_s
        return self.now


class FakePoller:
    """Events at instants of virtual time; a poll goes to the next one at once."""

    _next_fd = 100_000

    def __init__(self, clock: Clock) -> None:
        FakePoller._next_fd += 1
        self._fd = FakePoller._next_fd
        self._clock = clock
        self._events: list[tuple[float, int, int, int]] = []
        self._number = 0
        self.registered: dict[int, int] = {}
        self.calls: list[str] = []
        """Each call that would be an epoll_ctl."""

    def register(self, fd: int, eventmask: int) -> None:
        assert fd not in self.registered
        self.calls.append("register")
        self.registered[fd] = eventmask

    def modify(self, fd: int, eventmask: int) -> None:
        assert fd in self.registered
        self.calls.append("modify")
        self.registered[fd] = eventmask

    def unregister(self, fd: int) -> None:
        self.calls.append("unregister")
        del self.registered[fd]

    def event_at(self, at: float, fd: int, mask: int) -> None:
        self._number += 1
        heappush(self._events, (at, self._number, fd, mask))

    def poll(self, timeout: float, maxevents: int) -> list[tuple[int, int]]:
        next_at = self._events[0][0] if self._events else inf
        self._clock.now = max(self._clock.now, min(next_at, self._clock.now + timeout))
        due: list[tuple[int, int]] = []
        while self._events and self._events[0][0] <= self._clock.now and len(due) < maxevents:
            _, _, fd, mask = heappop(self._events)
            if fd in self.registered:
                due.append((fd, mask))
        return due

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        pass


class VirtualLoop:
    """A loop whose pollers are fake: the first is that of work under way, the second that of clients."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.pollers: list[FakePoller] = []
        self.internal_errors = 0
        self.loop = EventLoop(self.clock, on_internal_error=self._on_error, make_poller=self._make_poller)

    @property
    def poller(self) -> FakePoller:
        return self.pollers[0]

    @property
    def client_poller(self) -> FakePoller:
        return self.pollers[1]

    def _make_poller(self) -> FakePoller:
        self.pollers.append(FakePoller(self.clock))
        return self.pollers[-1]

    def _on_error(self) -> None:
        self.internal_errors += 1

    def run_until(self, holds: Callable[[], bool], at_most_s: float = 3_600.0) -> None:
        ends_at = self.clock.now + at_most_s
        while not holds():
            assert self.clock.now < ends_at, "it never held"
            self.loop.run_once(ends_at - self.clock.now)

    def run_for(self, span_s: float) -> None:
        ends_at = self.clock.now + span_s
        while self.clock.now < ends_at:
            self.loop.run_once(ends_at - self.clock.now)


class Network:
    """What becomes of connects, by host. Hosts that are not named refuse at once."""

    def __init__(self, world: VirtualLoop) -> None:
        self.world = world
        self.answers: dict[str, tuple[float, int]] = {}
        """For each host: after how many seconds, and with what error number (0: it connects)."""
        self.no_descriptor = False
        self.attempts: list[tuple[str, float]] = []
        """The host of each connect, and its instant, in seconds from the first."""
        self.open: list[FakeSocket] = []
        self._first_at = -1.0

    def connects(self, host: str, after_s: float = 0.001) -> None:
        self.answers[host] = (after_s, 0)

    def refuses(self, host: str, after_s: float = 0.001) -> None:
        self.answers[host] = (after_s, errno.ECONNREFUSED)

    def hangs(self, host: str) -> None:
        self.answers[host] = (inf, 0)

    def unreachable(self, host: str) -> None:
        self.answers[host] = (-1.0, errno.ENETUNREACH)

    def open_socket(self, address: Address) -> Any:
        if self.no_descriptor:
            raise OSError(errno.EMFILE, "Too many open files")
        sock = FakeSocket(self)
        self.open.append(sock)
        return sock

    def note(self, host: str) -> None:
        now = self.world.clock.now
        if self._first_at < 0:
            self._first_at = now
        self.attempts.append((host, round(now - self._first_at, 3)))


class FakeSocket:
    """A TCP socket that connects as the network says."""

    _next_fd = 500

    def __init__(self, network: Network) -> None:
        FakeSocket._next_fd += 1
        self.fd = FakeSocket._next_fd
        self.host = ""
        self._network = network
        self._error = 0

    def connect_ex(self, sockaddr: Any) -> int:
        self.host = sockaddr[0]
        self._network.note(self.host)
        after_s, self._error = self._network.answers.get(self.host, (-1.0, errno.ECONNREFUSED))
        if after_s < 0:
            return self._error
        if after_s != inf:
            world = self._network.world
            world.poller.event_at(world.clock.now + after_s, self.fd, 4)
        return errno.EINPROGRESS

    def recv(self, _size: int) -> bytes:
        raise NotImplementedError

    def send(self, _data: bytes) -> int:
        raise NotImplementedError

    def getsockopt(self, _level: int, _option: int) -> int:
        return self._error

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        assert self.fd not in self._network.world.poller.registered, "closed while it is registered"
        self._network.open.remove(self)
