"""The signals of a worker's process; its start and end: tests/end_to_end/test_workers.py."""

import os
import signal
from collections.abc import Iterator

import pytest

from hedgerow.eventloop.loop import EventLoop
from hedgerow.processes.worker_main import _Signals


@pytest.fixture
def signals() -> Iterator[None]:
    """Put back what a worker does to the signals of its process."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_poll_and_is_handled_on_the_loop(number: signal.Signals) -> None:
    clock = iter(range(1_000_000))
    loop = EventLoop(lambda: next(clock) / 1_000, on_internal_error=lambda: None)
    received: list[bool] = []
    signals = _Signals(loop, lambda: received.append(True))
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), number)
    assert received == []
    loop.run_once(3_600.0)
    assert received == [True], "two at once are one"
    os.kill(os.getpid(), number)
    loop.run_once(3_600.0)
    assert received == [True, True]
    signal.set_wakeup_fd(-1)
    signals._receiver.close()
    signals._sender.close()
    loop.close()
