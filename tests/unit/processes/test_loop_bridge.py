"""An event loop of ours within asyncio: it iterates when it has something to do, and only then."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import READABLE, EventLoop
from hedgerow.processes.loop_bridge import LoopBridge


class Handler(EventHandler):
    """Notes what it is called for, and lets the test wait for it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.called = asyncio.Event()

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.called.set()

    def on_ready(self, mask: int) -> None:
        self._note("ready")

    def on_deadline(self) -> None:
        self._note("deadline")

    def resume(self) -> None:
        self._note("resume")


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


class Bridged:
    """A bridge, with a handler on its loop; both are in the running loop of asyncio."""

    def __init__(self) -> None:
        self.errors = 0
        self.iterations = 0
        self.loop = EventLoop(asyncio.get_running_loop().time, on_internal_error=self._on_error)
        self.loop.on_iteration = self._on_iteration
        self.bridge = LoopBridge(self.loop)
        self.handler = Handler()

    def _on_error(self) -> None:
        self.errors += 1

    def _on_iteration(self, took_s: float, ended_at: float) -> None:
        self.iterations += 1

    def close(self) -> None:
        self.bridge.close()
        self.loop.close()


async def test_a_descriptor_that_is_ready_is_handled(sockets: tuple[socket.socket, socket.socket]) -> None:
    it = Bridged()
    ours, theirs = sockets
    it.loop.register(ours.fileno(), it.handler, READABLE)
    theirs.send(b"x")
    await it.handler.called.wait()
    assert set(it.handler.calls) == {"ready"}
    it.loop.unregister(ours.fileno())
    it.close()


async def test_a_deadline_fires() -> None:
    it = Bridged()
    it.loop.call_at(it.loop.clock() + 0.01, it.handler)
    it.bridge.run_once()
    await it.handler.called.wait()
    assert it.handler.calls == ["deadline"]
    it.close()


async def test_an_earlier_deadline_takes_the_place_of_a_later_one() -> None:
    it = Bridged()
    later = Handler()
    it.loop.call_at(it.loop.clock() + 3_600.0, later)
    it.bridge.run_once()
    it.loop.call_at(it.loop.clock() + 0.01, it.handler)
    it.bridge.run_once()
    await it.handler.called.wait()
    assert (it.handler.calls, later.calls) == (["deadline"], [])
    it.close()


async def test_a_deadline_that_a_deadline_sets_fires_too() -> None:
    it = Bridged()

    class Chain(EventHandler):
        left = 3

        def on_deadline(self) -> None:
            self.left -= 1
            next_one = self if self.left else it.handler
            it.loop.call_at(it.loop.clock() + 0.001, next_one)

    it.loop.call_at(it.loop.clock(), Chain())
    it.bridge.run_once()
    await it.handler.called.wait()
    assert it.handler.calls == ["deadline"]
    it.close()


async def test_what_was_woken_from_outside_is_resumed_by_run_once() -> None:
    it = Bridged()
    it.loop.wake(it.handler)
    assert it.handler.calls == []
    it.bridge.run_once()
    assert it.handler.calls == ["resume"]
    it.close()


async def test_an_idle_loop_does_not_iterate() -> None:
    it = Bridged()
    it.loop.call_at(it.loop.clock() + 3_600.0, it.handler)
    it.bridge.run_once()
    before = it.iterations
    for _ in range(20):
        await asyncio.sleep(0)
    assert it.iterations == before
    it.close()


async def test_a_closed_bridge_leaves_nothing_in_asyncio(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    it = Bridged()
    ours, theirs = sockets
    it.loop.register(ours.fileno(), it.handler, READABLE)
    it.loop.call_at(it.loop.clock() + 3_600.0, it.handler)
    it.bridge.run_once()
    timer = it.bridge._timer
    assert timer is not None
    it.bridge.close()
    assert timer.cancelled()
    theirs.send(b"x")
    for _ in range(20):
        await asyncio.sleep(0)
    assert it.handler.calls == []
    it.loop.close()
