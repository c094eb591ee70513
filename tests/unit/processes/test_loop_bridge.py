"""An event loop within asyncio: it runs when it has something to do, and only then."""

import asyncio
import socket
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.eventloop.poller import READABLE
from hedgerow.processes.loop_bridge import LoopBridge


class Bridge:
    """An event loop, its bridge, and how often it was iterated."""

    def __init__(self) -> None:
        self.iterations = 0
        self.errors = 0
        self.loop = EventLoop(monotonic, on_internal_error=self._count_error)
        self.loop.on_iteration = self._count
        self.bridge = LoopBridge(self.loop)

    def _count(self, _took_s: float, _ended_at: float) -> None:
        self.iterations += 1

    def _count_error(self) -> None:
        self.errors += 1


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    bridge = Bridge()
    yield bridge
    bridge.bridge.close()
    bridge.loop.close()


class Fires(EventHandler):
    """A deadline, and the instant at which it fired."""

    def __init__(self, bridge: Bridge, again_after_s: float | None = None) -> None:
        self.fired = asyncio.Event()
        self.fired_at: list[float] = []
        self._bridge = bridge
        self._again_after_s = again_after_s

    def on_deadline(self) -> None:
        self.fired_at.append(self._bridge.loop.clock())
        if self._again_after_s is not None and len(self.fired_at) < 3:
            self._bridge.loop.call_at(self._bridge.loop.clock() + self._again_after_s, self)
        else:
            self.fired.set()


async def test_a_deadline_fires_at_its_instant_and_not_before(bridge: Bridge) -> None:
    at = bridge.loop.clock() + 0.05
    waiter = Fires(bridge)
    bridge.loop.call_at(at, waiter)
    bridge.bridge.run_once()
    await waiter.fired.wait()
    assert waiter.fired_at[0] >= at
    assert bridge.iterations <= 6, "it does not spin until then"


async def test_a_deadline_that_is_set_by_another_fires_too(bridge: Bridge) -> None:
    waiter = Fires(bridge, again_after_s=0.01)
    bridge.loop.call_at(bridge.loop.clock() + 0.01, waiter)
    bridge.bridge.run_once()
    await waiter.fired.wait()
    assert len(waiter.fired_at) == 3


async def test_an_earlier_deadline_takes_the_timer_over(bridge: Bridge) -> None:
    late, early = Fires(bridge), Fires(bridge)
    bridge.loop.call_at(bridge.loop.clock() + 3_600, late)
    bridge.bridge.run_once()
    bridge.loop.call_at(bridge.loop.clock() + 0.01, early)
    bridge.bridge.run_once()
    await early.fired.wait()
    assert late.fired_at == []


async def test_a_cancelled_deadline_does_not_fire(bridge: Bridge) -> None:
    cancelled, waiter = Fires(bridge), Fires(bridge)
    tick = bridge.loop.call_at(bridge.loop.clock() + 0.01, cancelled)
    bridge.loop.call_at(bridge.loop.clock() + 0.02, waiter)
    bridge.bridge.run_once()
    bridge.loop.cancel(tick, cancelled)
    await waiter.fired.wait()
    assert cancelled.fired_at == []


class Reads(EventHandler):
    """A descriptor, and what came of it."""

    def __init__(self, sock: socket.socket, *, fails: bool = False) -> None:
        self.sock = sock
        self.came = asyncio.Event()
        self.received = b""
        self._fails = fails

    def on_ready(self, mask: int) -> None:
        assert mask == READABLE
        self.received += self.sock.recv(1)
        self.came.set()
        if self._fails:
            raise ZeroDivisionError

    def abort(self) -> None:
        """Go on."""


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("is_client", [False, True])
async def test_what_is_readable_runs_it(bridge: Bridge, is_client: bool, fails: bool) -> None:
    """An exception in one handler does not cut the bridge off."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        source = Reads(near, fails=fails)
        register = bridge.loop.clients.register if is_client else bridge.loop.register
        register(near.fileno(), source, READABLE)
        for number in range(1, 4):
            far.send(b"x")
            await source.came.wait()
            source.came.clear()
            assert source.received == b"x" * number
        assert bridge.errors == (3 if fails else 0)
        (bridge.loop.clients.unregister if is_client else bridge.loop.unregister)(near.fileno())


async def test_closed_it_leaves_the_loop_alone(bridge: Bridge) -> None:
    waiter = Fires(bridge)
    bridge.loop.call_at(bridge.loop.clock() + 0.01, waiter)
    bridge.bridge.run_once()
    bridge.bridge.close()
    iterations = bridge.iterations
    after = asyncio.Event()
    asyncio.get_running_loop().call_later(0.03, after.set)
    await after.wait()
    assert (waiter.fired_at, bridge.iterations) == ([], iterations)


async def test_once_closed_it_may_still_be_called() -> None:
    """What is cancelled as the supervisor ends reports its end when the event loop is closed already."""
    closed = Bridge()
    closed.bridge.close()
    closed.loop.close()
    closed.bridge.run_once()
    assert closed.iterations == 0
