"""Drives the core's coroutines: one per request, no task, no future, no timer of the loop for each.

A request's coroutine is resumed when an attempt of it has reported, together with all others for which that is
so, once per turn of the event loop; or when the instant has come until which it sleeps. What is due is resumed
at once, inside whatever I/O callback notices it first, for a turn of the loop with 2 000 ready sockets lasts
100 ms, and asyncio's own timers would wait for its end.

Why it is not one `asyncio.Task` per request: docs/decisions/0002-a-trampoline-of-our-own.md.
"""

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from math import ceil, inf
from typing import Any, Final, Generic, Protocol, TypeVar

from hedgerow.eventloop.deadlines import DeadlineQueue, Waiter
from hedgerow.turns import Turns

R = TypeVar("R")

MAIL_WAITS_S: Final = 0.005
"""Mail is delivered when a turn ends, or within this time: libuv goes on polling for as long as 1 024 sockets are
ready (up to 48 times), so that a turn under overload lasts seconds. Successes would be overtaken by deadlines."""
DUE_PER_FLUSH: Final = 64
"""So many of what is due at once, or has mail, are answered, some 3 ms, before they are sent: of a burst of callers
thousands are."""
LONG_TURN_S: Final = 0.020
"""In a turn that is older nobody must wait for its end who need not: see `in_long_turn`."""


class Trampoline:
    """The alarms of one worker and the coroutines that wait for them."""

    def __init__(self, loop: AbstractEventLoop, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.alarms = DeadlineQueue()
        self.turns = Turns()
        self.on_turn: Callable[[float], None] = _ignore
        """Told the length of each turn that had I/O, in seconds."""
        self.flush: Callable[[], None] = _nothing
        """Sends what has been written since the last call: when a turn ends, or in the middle of a long one."""
        self.in_long_turn: Callable[[], None] = _nothing
        """Called each 5 ms from when a turn is `LONG_TURN_S` old: accepts who waits, and has the turn end soon."""
        self._loop = loop
        self._with_mail: deque[Run[Any]] = deque()
        self._deliver_at = 0.0
        self._too_long_at = inf
        self._timer: _Timer | None = None
        self._timer_at = inf

    def set_alarm(self, at: float, sleeper: Waiter) -> int:
        """Wake `sleeper` at the instant `at`; see `DeadlineQueue.set`."""
        tick = self.alarms.set(at, sleeper)
        if self.alarms.next_due_at < self._timer_at:
            self._arm()
        return tick

    def wake_due(self, now: float) -> None:
        """Answer what is due before doing anything else: each I/O callback calls this first."""
        if not self.turns.running:
            self.turns.begin(now)
            self._deliver_at = now + MAIL_WAITS_S
            self._too_long_at = now + LONG_TURN_S
            self._loop.call_soon(self._end_turn)
        elif now >= self._deliver_at:
            self._deliver_at = now + MAIL_WAITS_S
            self._deliver()
            if now >= self._too_long_at:
                self._too_long_at = self._deliver_at
                self.in_long_turn()
        if now >= self.alarms.next_due_at:
            self.turns.alarm_was_late(now - self.alarms.next_due_at, now)
            for count, sleeper in enumerate(self.alarms.pop_due(now), 1):
                sleeper.on_deadline()
                if count % DUE_PER_FLUSH == 0:
                    self.flush()

    def hurry(self) -> None:
        """Something that is due has been written: send it with the next I/O callback, not when the turn ends."""
        self._deliver_at = 0.0

    def close(self) -> None:
        """Leave no timer behind. Runs that still wait must have been cancelled."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = inf

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self.alarms.next_due_at
        # uvloop rounds a delay to the nearest millisecond, so it would ring early every other time.
        delay_ms = ceil((self._timer_at - self.clock()) * 1000)
        self._timer = self._loop.call_later(max(delay_ms, 0) / 1000, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = inf
        try:
            self.wake_due(self.clock())
        finally:
            if self.alarms.next_due_at < self._timer_at:
                self._arm()

    def post(self, run: "Run[Any]") -> None:
        """Resume `run` once, before this turn of the loop ends."""
        self.begin_turn()
        self._with_mail.append(run)

    def begin_turn(self) -> None:
        """Something is to be done before this turn ends, and perhaps no I/O began it."""
        if not self.turns.running:
            self.wake_due(self.clock())

    def _end_turn(self) -> None:
        try:
            self._deliver()
        finally:
            if self._with_mail:  # a bug flew out of one run; the others shall not wait for ever
                self._loop.call_soon(self._end_turn)
            else:
                self.on_turn(self.turns.end(self.clock()))

    def _deliver(self) -> None:
        """Resume the runs that have mail; what is due goes first here, too."""
        runs, alarms, clock = self._with_mail, self.alarms, self.clock
        count = 0
        while runs:
            runs.popleft().resume()
            now = clock()
            if now >= alarms.next_due_at:
                for sleeper in alarms.pop_due(now):
                    sleeper.on_deadline()
            count += 1
            if count % DUE_PER_FLUSH == 0:
                self.flush()
        self.flush()

    def after_io(self, run: "Run[Any]") -> None:
        """Resume `run` after the I/O that is ready has been read."""
        # Two hops: callbacks that are ready go before the poll for I/O, both in uvloop and in asyncio's own loop.
        self._loop.call_soon(self._loop.call_soon, self._resume_after_io, run)

    def _resume_after_io(self, run: "Run[Any]") -> None:
        """After a stall hundreds do so in a row, each to launch two hedges: what is due goes first."""
        self.wake_due(self.clock())
        run.resume()


class _Timer(Protocol):
    """A timer of the event loop."""

    def cancel(self) -> None: ...


def _nothing() -> None:
    """Nobody has said what to do."""


def _ignore(took_s: float) -> None:
    """Nobody asked."""


class Run(Generic[R]):
    """One coroutine on the trampoline, and the mailbox of its attempts."""

    __slots__ = ("_has_mail", "_on_return", "_result", "_steps", "_tick", "_trampoline", "_until")

    def __init__(self, trampoline: Trampoline, on_return: Callable[[R], None]) -> None:
        self._trampoline = trampoline
        self._steps: Generator[float, None, None] | None = None
        self._result: R | None = None
        self._on_return = on_return
        self._until = -inf
        self._tick = 0
        self._has_mail = False

    def begin(self, coroutine: Coroutine[float, None, None]) -> None:
        """Run `coroutine` up to its first wait, here and now. It tells its result by `returns`."""
        self._steps = coroutine.__await__()
        self.resume()

    def returns(self, result: R) -> None:
        """Take the result; `on_return` gets it when the coroutine has ended, perhaps at once."""
        self._result = result

    def post(self) -> None:
        """An attempt has ended: resume in this turn of the loop. Does nothing when the run is over."""
        if self._steps is not None and not self._has_mail:
            self._has_mail = True
            self._trampoline.post(self)

    def resume(self) -> None:
        """Go on to the next wait, or to the end."""
        self._has_mail = False
        if self._steps is None:
            return
        try:
            until = next(self._steps, None)  # what returns nothing ends without an exception
        except BaseException:
            self._forget()
            raise
        if until is None:
            self._forget()
            assert self._result is not None  # noqa: S101 (for mypy)
            self._on_return(self._result)
        elif until != self._until:
            self._set_alarm(until)

    def cancel(self) -> None:
        """The caller has left: close the coroutine where it waits. `on_return` is not called. Idempotent."""
        if self._steps is not None:
            steps = self._steps
            self._forget()
            steps.close()

    def on_deadline(self) -> None:
        """The instant has come until which the coroutine sleeps."""
        self._until = -inf
        self.resume()

    def _set_alarm(self, until: float) -> None:
        self._cancel_alarm()
        trampoline = self._trampoline
        if until > trampoline.clock():
            self._until = until
            self._tick = trampoline.set_alarm(until, self)
        else:
            trampoline.after_io(self)

    def _cancel_alarm(self) -> None:
        if self._until != -inf:
            self._until = -inf
            self._trampoline.alarms.cancel(self._tick, self)

    def _forget(self) -> None:
        self._steps = None
        self._cancel_alarm()
