"""Makes libuv end a turn of the event loop that would go on for seconds.

While 1 024 sockets are ready libuv polls again, up to 48 times (`uv__io_poll` in its src/unix/linux.c), and what is to
run between two turns waits: tasks, and the reading of connections that are new. It polls no more once it has seen a
signal. The only signal that uvloop leaves to libuv is SIGCHLD, and that only while a child of the loop lives. So there
is a child that does nothing, and a signal that tells of nothing. Figures: docs/decisions/0008-overload.md.
"""

import asyncio
import signal
import sys

_IDLE_CHILD = (sys.executable, "-I", "-S", "-c", "import os; os.read(0, 1)")
"""Ends when its standard input does: when we close it, or are gone ourselves."""


class PollBreaker:
    """One child process, in a session of its own, so that a terminal's Ctrl-C is not for it."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child

    @classmethod
    async def start(cls) -> "PollBreaker":
        """Start the child on the running loop; raises OSError."""
        return cls(
            await asyncio.create_subprocess_exec(
                *_IDLE_CHILD,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    def end_turn_soon(self) -> None:
        """Have the running turn end once each socket that is ready has been looked at, the signal's own last.

        Does nothing once the child is gone.
        """
        if self._child.returncode is None:
            signal.raise_signal(signal.SIGCHLD)

    async def close(self) -> None:
        """End the child, and wait for it."""
        assert self._child.stdin is not None  # noqa: S101 (for mypy)
        self._child.stdin.close()
        await self._child.wait()
