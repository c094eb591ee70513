"""How a race's coroutine waits without a task, a future or an event loop.

A coroutine of the core awaits `wait(until=...)`, which yields the instant until which it waits. The scheduler (a loop
of ten lines in the tests) resumes the coroutine when an attempt has reported or when that instant has come, whichever
is first. That keeps the core free of I/O ("sans I/O"), so a million races run in virtual time in a minute.
"""

from collections.abc import Generator
from types import coroutine


@coroutine
def wait(*, until: float) -> Generator[float, None, None]:
    """Wait until an attempt reports or the clock reads `until` (seconds); may also resume without a reason.

    An instant that has already passed means: read the I/O that is ready once, then resume. Closing the coroutine
    raises GeneratorExit here: the client has disconnected.
    """
    yield until
