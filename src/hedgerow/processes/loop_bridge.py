"""Runs an event loop of ours within asyncio: for the admin port, which is the supervisor's."""

import asyncio
from math import inf

from hedgerow.eventloop.loop import EventLoop


class LoopBridge:
    """Iterates an `EventLoop` whenever it has something to do: its poller is one more descriptor of asyncio's loop,
    and its next deadline one more timer.
    """

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._asyncio_loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._closed = False
        self._asyncio_loop.add_reader(loop.fileno(), self.run_once)

    def run_once(self) -> None:
        """Run an iteration now. To be called after something was written from outside of the event loop.

        Does nothing once closed: what is cancelled as the supervisor ends is reported to it later still.
        """
        if self._closed:
            return
        loop = self._loop
        loop.run_once(0.0)
        next_due_at = loop.deadlines.next_due_at
        if next_due_at != self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = next_due_at
            self._timer = None
            if next_due_at < inf:
                self._timer = self._asyncio_loop.call_later(next_due_at - loop.clock(), self._on_timer)

    def _on_timer(self) -> None:
        self._timer_at = inf
        self.run_once()

    def close(self) -> None:
        """Leave the loop alone."""
        self._closed = True
        self._asyncio_loop.remove_reader(self._loop.fileno())
        if self._timer is not None:
            self._timer.cancel()
