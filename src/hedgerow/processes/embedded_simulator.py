"""The embedded simulator: a process that starts with the gateway, is started again when it dies, and ends with it."""

import asyncio
import signal
import socket
import subprocess
from contextlib import suppress
from typing import Final

from click import ClickException
from structlog.typing import FilteringBoundLogger

from hedgerow.configuration.sources import SIMULATE_PREFIX
from hedgerow.processes.child_processes import ChildProcess, ChildProcesses, OutputTail
from hedgerow.settings import SettingsError, Target, parse_target

HOST: Final = "127.0.0.1"
MODULE: Final = "hedgerow_simulator"
RESTART_DELAY_S: Final = 0.5
"""Between its end and its next start: no busy loop if it cannot run."""
STARTUP_S: Final = 20.0
"""It has this long until it serves; it takes 0.3 s of CPU."""
KILL_AFTER_S: Final = 2.0
"""It is killed if it has not ended this long after SIGTERM; it ends within milliseconds, unless it was stopped."""


def _flags(port: int) -> tuple[object, ...]:
    """Return the flags for what the gateway chooses: they win over variables, which are for another simulator, too."""
    return "--host", HOST, "--port", port, "--workers", 1


def check_variables() -> None:
    """Raise SettingsError for HEDGEROW_SIMULATE_… with which it would not start."""
    from hedgerow_simulator.cli import simulate  # noqa: PLC0415 (40 ms, and only where there are such variables)

    try:
        simulate.main([*map(str, _flags(0)), "--check"], standalone_mode=False)
    except ClickException as error:
        raise SettingsError(f"{SIMULATE_PREFIX}…: {error.format_message()}") from None


class EmbeddedSimulator:
    """`start`, `wait_until_ready`, then `stop`."""

    def __init__(self, children: ChildProcesses, log: FilteringBoundLogger) -> None:
        self._children = children
        self._log = log
        self._port = 0
        self._child: ChildProcess | None = None
        self._is_ready = False
        self._is_stopping = False
        self._changed = asyncio.Event()
        """It serves, or has ended."""
        self._restart: asyncio.TimerHandle | None = None

    def start(self) -> Target:
        """Start it, and return its URL. The socket listens already: an early client waits until it accepts.

        So the workers can start beside it, and not after it. Raises whatever the system rejects.
        """
        with socket.create_server((HOST, 0)) as sock:
            self._port = sock.getsockname()[1]
            self._spawn("--descriptor", sock.fileno(), pass_fds=(sock.fileno(),))
        return parse_target(f"http://{HOST}:{self._port}/api/work")

    async def wait_until_ready(self) -> bool:
        """Wait until it serves, and keep it running from then on; False if it ends or hangs instead."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STARTUP_S):
                await self._changed.wait()
        return self._is_ready

    async def stop(self) -> None:
        """End it."""
        self._is_stopping = True
        if self._restart is not None:
            self._restart.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_AFTER_S):
                await self._end(signal.SIGTERM)
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> None:
        while self._child is not None:
            self._changed.clear()
            self._child.send_signal(number)
            await self._changed.wait()

    def _spawn(self, *more: object, pass_fds: tuple[int, ...] = ()) -> None:
        output = OutputTail(on_output=self._on_output)
        try:
            # It ends when its standard input does, so it ends with this process, however this process ends.
            self._child = self._children.spawn(
                MODULE, (*_flags(self._port), "--until-stdin-closes", *more), lambda code: self._on_exit(code, output),
                pass_fds=pass_fds, stdin=subprocess.PIPE, stdout=output.writer,
            )  # fmt: skip
        except BaseException:
            output.close()
            raise
        finally:
            output.close_writer()

    def _on_output(self) -> None:
        """Note that it serves: it has printed its address."""
        self._is_ready = True
        self._changed.set()

    def _on_exit(self, code: int | None, output: OutputTail) -> None:
        self._child = None
        output.close()
        self._changed.set()
        if self._is_ready and not self._is_stopping:
            self._log.error("the embedded simulator died", exit_code=code, restart_in_s=RESTART_DELAY_S)
            self._start_later()

    def _start_later(self) -> None:
        self._restart = asyncio.get_running_loop().call_later(RESTART_DELAY_S, self._start_again)

    def _start_again(self) -> None:
        try:
            self._spawn()
        except Exception as error:  # noqa: BLE001 (whatever the system rejects, it is tried again)
            self._log.error(
                "the embedded simulator cannot be started", error=str(error), restart_in_s=RESTART_DELAY_S
            )
            self._start_later()
