"""How a race's coroutine waits without a task, a future or an event loop.

A coroutine of the core awaits `wait(until=...)`. What it yields is the instant until which it wants to sleep;
whoever drives the coroutine (`trampoline.py` in production, a loop of ten lines in the tests) resumes it when
there is mail or when that instant has come, whichever is first. That keeps the core free of I/O and of asyncio
("sans I/O"), so a million races run in virtual time in a minute.
"""

from collections.abc import Generator
from types import coroutine


@coroutine
def wait(*, until: float) -> Generator[float, None, None]:
    """Sleep until an attempt reports or the clock reads `until` (seconds); may also wake for nothing.

    An instant that has already passed means: let the I/O that is ready be read once, then go on.
    Closing the coroutine raises GeneratorExit here: the caller has left.
    """
    yield until
