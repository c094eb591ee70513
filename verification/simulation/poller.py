"""The gateway's kernel: descriptors, and pollers that behave as `select.epoll` does (level-triggered).

Numbers are given out as Linux does, the lowest that is free: an event for a closed socket would reach the next one.
"""

from collections.abc import Callable
from errno import EBADF, EEXIST, ENOENT
from heapq import heappop, heappush
from math import ceil
from select import EPOLLERR, EPOLLHUP, EPOLLIN

from verification.simulation.timeline import Endless, Timeline

FIRST_DESCRIPTOR = 9
POLL_S = 3e-6
CONTROL_S = 1e-6
"""What epoll_wait(2) and epoll_ctl(2) take of the process's time."""
TIMER_SLACK_S = 60e-6
"""A poll that times out returns this much later (prctl(2), PR_SET_TIMERSLACK)."""
MAX_POLLS = 10_000
"""A simulation that polls this often does not come to an end. Usual ones do a few hundred times."""
_ALWAYS = EPOLLERR | EPOLLHUP


class Kernel:
    """The open descriptors of the process."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.files: dict[int, File] = {}
        """By their numbers."""
        self.max_files = 0
        """The most that were open at once."""
        self.polls = 0
        self.on_poll: Callable[[SimulatedPoller], None] = _ignore
        """Called as a poll returns."""
        self._free: list[int] = []
        self._next = FIRST_DESCRIPTOR

    def open(self, file: "File") -> int:
        """Return the descriptor of a file."""
        fd = heappop(self._free) if self._free else self._next
        if fd == self._next:
            self._next += 1
        self.files[fd] = file
        self.max_files = max(self.max_files, len(self.files))
        return fd

    def close(self, fd: int) -> None:
        """Free a descriptor."""
        del self.files[fd]
        heappush(self._free, fd)

    def make_poller(self) -> "SimulatedPoller":
        """Stand in for `select.epoll`."""
        return SimulatedPoller(self)


class File:
    """What has a descriptor: a socket, a poller, a wake-up."""

    def __init__(self, kernel: Kernel, *, opened: bool = True) -> None:
        self.kernel = kernel
        self.timeline = kernel.timeline
        self.closed = False
        self.pollers: list[SimulatedPoller] = []
        """Those that it is registered in."""
        self._fd = kernel.open(self) if opened else -1

    def open(self) -> None:
        """Give it a descriptor: a connection has none before it is accepted."""
        self._fd = self.kernel.open(self)

    def fileno(self) -> int:
        return -1 if self.closed else self._fd

    def readiness(self) -> int:
        """Return what it is ready for, as epoll says it."""
        raise NotImplementedError

    def changed(self) -> None:
        """Called when it may be ready for more than before."""
        for poller in self.pollers:
            poller.touch(self._fd)

    def release(self) -> None:
        """Close the descriptor; pollers forget it, as epoll(7) does."""
        self.closed = True
        for poller in self.pollers:
            poller.forget(self._fd)
        self.pollers = []
        if self._fd >= 0:
            self.kernel.close(self._fd)


class SimulatedWakeup(File):
    """In place of an eventfd."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._is_set = False

    def readiness(self) -> int:
        return EPOLLIN if self._is_set else 0

    def set(self) -> None:
        self._is_set = True
        self.changed()

    def clear(self) -> None:
        self._is_set = False


class SimulatedPoller(File):
    """In place of `select.epoll`."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._masks: dict[int, int] = {}
        self._maybe_ready: dict[int, None] = {}
        """Descriptors in the order in which they became ready; what was reported goes to the end, as in epoll."""

    @property
    def registered(self) -> int:
        """Return how many descriptors are registered."""
        return len(self._masks)

    def register(self, fd: int, eventmask: int) -> None:
        file = self._control(fd)
        if fd in self._masks:
            raise FileExistsError(EEXIST, "registered already")
        self._masks[fd] = eventmask
        file.pollers.append(self)
        self.touch(fd)

    def modify(self, fd: int, eventmask: int) -> None:
        self._control(fd)
        if fd not in self._masks:
            raise FileNotFoundError(ENOENT, "not registered")
        self._masks[fd] = eventmask
        self.touch(fd)

    def unregister(self, fd: int) -> None:
        file = self._control(fd)
        if fd not in self._masks:
            raise FileNotFoundError(ENOENT, "not registered")
        file.pollers.remove(self)
        self.forget(fd)

    def _control(self, fd: int) -> File:
        self.timeline.charge(CONTROL_S)
        if fd not in self.kernel.files:
            raise OSError(EBADF, "no such descriptor")
        return self.kernel.files[fd]

    def forget(self, fd: int) -> None:
        """Watch a descriptor no longer."""
        del self._masks[fd]
        self._maybe_ready.pop(fd, None)

    def touch(self, fd: int) -> None:
        """Look at a descriptor in the next poll."""
        if fd not in self._maybe_ready:
            self._maybe_ready[fd] = None
            self.changed()

    def readiness(self) -> int:
        return EPOLLIN if self._is_any_ready() else 0

    def poll(self, timeout: float, maxevents: int) -> list[tuple[int, int]]:
        kernel, timeline = self.kernel, self.timeline
        kernel.polls += 1
        if kernel.polls > MAX_POLLS:
            raise Endless
        timeline.charge(POLL_S)
        timeline.run_due()
        events = self._take(maxevents)
        if not events and timeout > 0:
            # `select.epoll` rounds up to whole milliseconds.
            timeline.sleep(timeline.now + ceil(timeout * 1000) / 1000 + TIMER_SLACK_S, self._is_any_ready)
            events = self._take(maxevents)
        kernel.on_poll(self)
        return events

    def _ready_mask(self, fd: int) -> int:
        return self.kernel.files[fd].readiness() & (self._masks[fd] | _ALWAYS)

    def _is_any_ready(self) -> bool:
        for fd in list(self._maybe_ready):
            if self._ready_mask(fd):
                return True
            del self._maybe_ready[fd]
        return False

    def _take(self, maxevents: int) -> list[tuple[int, int]]:
        events: list[tuple[int, int]] = []
        for fd in list(self._maybe_ready):
            if len(events) == maxevents:
                break
            del self._maybe_ready[fd]
            if mask := self._ready_mask(fd):
                events.append((fd, mask))
                self._maybe_ready[fd] = None
        return events

    def close(self) -> None:
        self.release()


def _ignore(_: SimulatedPoller) -> None:
    return
