"""asyncio on real sockets, whose clock runs while it waits: a process that is not run for a while loses no time."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import ParamSpec

P = ParamSpec("P")

ITERATION_S = 0.0001
"""What an iteration counts that does not wait to its timeout, so that time passes for a busy loop too."""


class _CountingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout)
        self.now += ITERATION_S if ready or not timeout else timeout
        return ready


class IdleTimeLoop(asyncio.SelectorEventLoop):
    """Its timers are due when it has waited for as long, whatever else the machine did."""

    def __init__(self) -> None:
        self._counting = _CountingSelector()
        super().__init__(self._counting)

    def time(self) -> float:
        return self._counting.now


def in_idle_time(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run an asynchronous test on such a loop."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=IdleTimeLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
