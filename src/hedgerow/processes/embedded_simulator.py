"""The embedded simulator: a process that starts with the gateway, is started again when it dies, and ends with it."""

import asyncio
import signal
import socket
import sys
from contextlib import suppress
from typing import Final

from structlog.typing import FilteringBoundLogger

from hedgerow.settings import Target, parse_target

HOST: Final = "127.0.0.1"
RESTART_DELAY_S: Final = 0.5
"""Between its end and its next start: no busy loop if it cannot run."""
KILL_AFTER_S: Final = 2.0
"""It is killed if it has not ended this long after SIGTERM; it ends within milliseconds, unless it was stopped."""


class EmbeddedSimulator:
    """`start`, `wait_until_ready`, then `stop`."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> Target:
        """Start it, and return its URL. The socket listens already: an early client waits until it accepts.

        So the workers can start beside it, and not after it.
        """
        with socket.create_server((HOST, 0)) as sock:
            port = sock.getsockname()[1]
            self._process = await _spawn("--descriptor", sock.fileno())
        return parse_target(f"http://{HOST}:{port}/api/work")

    async def wait_until_ready(self, port: int) -> bool:
        """Wait until it serves, and keep it running on `port` from then on; False if it has ended instead."""
        assert self._process is not None  # noqa: S101 (for mypy)
        assert self._process.stdout is not None  # noqa: S101
        if not await self._process.stdout.readline():
            return False
        self._watch = asyncio.get_running_loop().create_task(self._restart_on_exit(self._process, port))
        return True

    async def _restart_on_exit(self, process: asyncio.subprocess.Process, port: int) -> None:
        while True:
            code = await process.wait()
            self._log.error("the embedded simulator died", exit_code=code, restart_in_s=RESTART_DELAY_S)
            await asyncio.sleep(RESTART_DELAY_S)
            process = self._process = await _spawn("--port", port)

    async def stop(self) -> None:
        """End it."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        process = self._process
        if process is not None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(KILL_AFTER_S):
                    await process.wait()
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _spawn(option: str, number: int) -> asyncio.subprocess.Process:
    # It ends when its standard input does, so it ends with this process, however this process ends.
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hedgerow_simulator", option, str(number), "--until-stdin-closes",
        pass_fds=(number,) if option == "--descriptor" else (), start_new_session=True,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
