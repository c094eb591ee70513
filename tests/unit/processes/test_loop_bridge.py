"""An event loop of ours within asyncio."""

import asyncio
from time import monotonic

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.processes.loop_bridge import LoopBridge


class Woken(EventHandler):
    """Counts how often it is resumed, and notes when its deadline has come."""

    def __init__(self) -> None:
        self.resumed = 0
        self.due = asyncio.Event()

    def resume(self) -> None:
        self.resumed += 1

    def on_deadline(self) -> None:
        self.due.set()


def fail() -> None:
    raise AssertionError("an internal error")


def test_runs_what_is_ready_and_what_is_due() -> None:
    async def run() -> int:
        loop = EventLoop(monotonic, on_internal_error=fail)
        bridge = LoopBridge(loop)
        task = Woken()
        loop.wake(task)
        loop.call_at(monotonic() + 0.001, task)
        bridge.run_once()
        await task.due.wait()
        bridge.close()
        loop.close()
        return task.resumed

    assert asyncio.run(run()) == 1


def test_does_nothing_once_closed() -> None:
    async def run() -> int:
        loop = EventLoop(monotonic, on_internal_error=fail)
        bridge = LoopBridge(loop)
        task = Woken()
        loop.wake(task)
        bridge.close()
        loop.close()
        bridge.run_once()
        return task.resumed

    assert asyncio.run(run()) == 0
