"""As much of an event loop as the trampoline uses, turned by hand, with a clock that the test sets."""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, cast


class Timer:
    """A callback that is due at an instant."""

    def __init__(self, at: float, callback: Callable[..., Any]) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualLoop:
    """Callbacks first in, first out; those that are added in a turn wait for the next one."""

    def __init__(self) -> None:
        self.now = 0.0
        self._soon: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._timers: list[Timer] = []

    def as_loop(self) -> AbstractEventLoop:
        return cast("AbstractEventLoop", self)

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        self._soon.append((callback, args))

    def call_later(self, delay: float, callback: Callable[..., Any]) -> Timer:
        self._timers.append(Timer(self.now + delay, callback))
        return self._timers[-1]

    @property
    def pending(self) -> int:
        return len(self._soon) + sum(not timer.cancelled for timer in self._timers)

    def turn(self) -> None:
        soon, self._soon = self._soon, []
        for callback, args in soon:
            callback(*args)

    def advance_to(self, at: float) -> None:
        """Let the time pass, ringing each timer at its own instant, and let the loop turn after each."""
        while True:
            self._timers = [timer for timer in self._timers if not timer.cancelled]
            due = min(
                (timer for timer in self._timers if timer.at <= at), key=lambda timer: timer.at, default=None
            )
            if due is None:
                break
            self._timers.remove(due)
            self.now = max(self.now, due.at)
            due.callback()
            while self._soon:
                self.turn()
        self.now = at
