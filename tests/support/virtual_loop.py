"""The event loop on a clock that the test sets, and a poller that finds what the test says."""

from collections.abc import Callable
from math import inf

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EVENTS_PER_POLL, EventLoop
from hedgerow.eventloop.poller import READABLE

_CLIENTS_FD, _MAIN_FD, _TEST_FD, _GONE_FD = 1, 2, 3, 0


class _Poller:
    """Finds `found`, at once."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.found: list[tuple[int, int]] = []
        self.masks: dict[int, int] = {}

    def register(self, fd: int, eventmask: int) -> None:
        assert fd not in self.masks
        self.masks[fd] = eventmask

    def modify(self, fd: int, eventmask: int) -> None:
        assert fd in self.masks
        self.masks[fd] = eventmask

    def unregister(self, fd: int) -> None:
        del self.masks[fd]

    def poll(self, timeout: float, maxevents: int) -> list[tuple[int, int]]:
        found, self.found = self.found, []
        return found

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        pass


class _Source(EventHandler):
    """A descriptor of its own, read by an action."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action

    def on_ready(self, mask: int) -> None:
        self._action()


class VirtualLoop(EventHandler):
    """An `EventLoop` in virtual time: `read` is what the upstream has sent, `advance_to` lets time pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self.clock_fails = False
        """The next look at the clock raises: an internal error wherever the test wants one."""
        self.internal_errors = 0
        self._pollers: list[_Poller] = []
        self._to_read: list[Callable[[], None]] = []
        self.loop = EventLoop(self.clock, on_internal_error=self._count_error, make_poller=self._make_poller)
        self.loop.register(_TEST_FD, self, READABLE)

    def clock(self) -> float:
        if self.clock_fails:
            self.clock_fails = False
            raise ZeroDivisionError
        return self.now

    def _count_error(self) -> None:
        self.internal_errors += 1

    def _make_poller(self) -> _Poller:
        self._pollers.append(_Poller(_CLIENTS_FD if self._pollers else _MAIN_FD))
        return self._pollers[-1]

    def read(self, *actions: Callable[[], None]) -> None:
        """Have the next iteration's poll find something, and call these to read it."""
        self._to_read.extend(actions)
        self._pollers[0].found = [(_TEST_FD, READABLE)]

    def ready(self, fd: int) -> None:
        """Have the next iteration's poll find a descriptor that something else has registered."""
        self._pollers[0].found.append((fd, READABLE))

    def read_apart(self, *actions: Callable[[], None]) -> None:
        """Have the next iteration's poll find several descriptors, each of which is read by one of these."""
        for action in actions:
            fd = max(self.masks) + 1
            self.loop.register(fd, _Source(action), READABLE)
            self._pollers[0].found.append((fd, READABLE))

    def read_client(self, action: Callable[[], None]) -> None:
        """Have the next iteration's poll find a client, which is read by this."""
        self.loop.clients.register(_TEST_FD, _Source(action), READABLE)
        self._pollers[0].found.append((_CLIENTS_FD, READABLE))
        self._pollers[1].found.append((_TEST_FD, READABLE))

    def fill_poll(self) -> None:
        """Have the next iteration's poll find as much as one may: there may be more."""
        self._pollers[0].found += [(_GONE_FD, READABLE)] * EVENTS_PER_POLL

    def on_ready(self, mask: int) -> None:
        actions, self._to_read = self._to_read, []
        for action in actions:
            action()

    def abort(self) -> None:
        raise AssertionError("what the test does itself does not fail")

    def iterate(self) -> None:
        """Run one iteration now."""
        self.loop.run_once(0.0)

    def advance_to(self, at: float) -> None:
        """Let the time pass; the loop iterates at each deadline, and at the end."""
        while (due_at := self.loop.deadlines.next_due_at) <= at and due_at < inf:
            self.now = max(self.now, due_at)
            self.iterate()
        self.now = at
        self.iterate()

    @property
    def masks(self) -> dict[int, int]:
        """Return what each descriptor of work under way is watched for."""
        return self._pollers[0].masks

    @property
    def deadlines(self) -> int:
        """Return how many deadlines are set."""
        return len(self.loop.deadlines)
