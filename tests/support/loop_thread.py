"""Runs an event loop in a thread of the test's process, and gives the test a way onto that thread."""

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.eventloop.poller import READABLE

T = TypeVar("T")

ENDS_WITHIN_S = 20
"""A loop that has not ended by then hangs. After a failure pytest-timeout does not look any more."""


class LoopThread(EventHandler):
    """One `EventLoop` in a thread of its own. What belongs to the loop is touched by `call` alone."""

    def __init__(self, loop: EventLoop) -> None:
        """Start it."""
        self.loop = loop
        self._calls: deque[Callable[[], None]] = deque()
        self._conditions: list[tuple[Callable[[], bool], Future[None]]] = []
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        loop.register(self._receiver.fileno(), self, READABLE)
        self._on_iteration = loop.on_iteration
        loop.on_iteration = self._iteration_finished
        self._thread = threading.Thread(target=loop.run, name="event loop under test")
        self._thread.start()

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the loop's thread, in an iteration, and return what it returns. Blocks."""
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(function())
            except BaseException as error:  # noqa: BLE001 (it is raised where it was called for)
                result.set_exception(error)

        self._submit(run)
        return result.result(ENDS_WITHIN_S)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds` is true after an iteration of the loop. The loop is not woken up for it meanwhile."""
        reached: Future[None] = Future()
        self._submit(lambda: self._conditions.append((holds, reached)))
        await asyncio.wrap_future(reached)

    def stop(self) -> None:
        """End the thread after the iteration that runs, and give back what the loop was extended by."""
        self.call(self.loop.stop)
        self._thread.join(ENDS_WITHIN_S)
        assert not self._thread.is_alive()
        self.loop.on_iteration = self._on_iteration
        self.loop.unregister(self._receiver.fileno())
        self._receiver.close()
        self._sender.close()

    # -- called on the loop's thread

    def on_ready(self, _mask: int) -> None:
        self._receiver.recv(4096)
        while self._calls:
            self._calls.popleft()()

    def abort(self) -> None:
        """Go on: a call reports its own exceptions."""

    def _iteration_finished(self, took_s: float, ended_at: float) -> None:
        self._on_iteration(took_s, ended_at)
        for condition in list(self._conditions):
            holds, reached = condition
            try:
                if not reached.cancelled() and not holds():
                    continue
                if reached.set_running_or_notify_cancel():
                    reached.set_result(None)
            except BaseException as error:  # noqa: BLE001 (it is raised where it was waited for)
                reached.set_exception(error)
            self._conditions.remove(condition)

    def _submit(self, run: Callable[[], None]) -> None:
        self._calls.append(run)
        self._sender.send(b"!")
