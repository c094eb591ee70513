"""How a race's coroutine waits without a task, a future or an event loop.

The coroutine awaits `wait(until=...)`, which yields that instant. What drives it (`gateway.RequestTask`, ten lines in
the tests) resumes it when an attempt has finished or when the instant has come, whichever is first. So the core has no
I/O ("sans I/O"), and a million races run in virtual time in a minute.
"""

from collections.abc import Generator
from types import coroutine


@coroutine
def wait(*, until: float) -> Generator[float, None, None]:
    """Wait until an attempt finishes or the clock reads `until` (seconds); may also return for nothing.

    Closing the coroutine raises GeneratorExit here: the client has left.
    """
    yield until
