"""Child processes: started isolated, and reaped in one place. As PID 1, so are orphans that the kernel hands over.

A child runs the modules that its parent runs, and none that lie in the folder in which the gateway was started: that
may be a folder into which others write.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import hedgerow

TAIL_BYTES: Final = 4096
"""Of what a child writes to a pipe: a traceback has about 2 KiB."""
READ_BYTES: Final = 65_536
"""What a pipe holds."""
INIT_PID: Final = 1

UNSAFE_VARIABLES: Final = frozenset(
    {
        "PYTHONSTARTUP",
        "PYTHONINSPECT",
        "PYTHONBREAKPOINT",
        "PYTHONEXECUTABLE",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
    }
)
"""Make an interpreter run other code, or notify the service manager, which only the supervisor does."""


def isolated_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child: an empty entry of PYTHONPATH would be the current folder."""
    kept = {name: value for name, value in environment.items() if name not in UNSAFE_VARIABLES}
    path = [entry for entry in kept.pop("PYTHONPATH", "").split(os.pathsep) if entry]
    source = str(Path(hedgerow.__file__).resolve().parents[1])
    if Path(source).name not in ("site-packages", "dist-packages") and source not in path:
        path.append(source)  # where the parent's code is from, if it is not installed
    if path:
        kept["PYTHONPATH"] = os.pathsep.join(path)
    return kept


class OutputTail:
    """The end of what a child writes to a pipe. The pipe is read, so a child never waits for room in it."""

    def __init__(self, on_output: Callable[[], None] = lambda: None) -> None:
        """`on_output` is called when something was read. Raises OSError if there is no pipe to be had."""
        self._reader, self.writer = os.pipe()
        """The child's end; to be closed with `close_writer` once it is started."""
        os.set_blocking(self._reader, False)
        os.set_blocking(self.writer, False)  # a child does not wait for us either, if we are stopped
        self._on_output = on_output
        self._tail = b""
        asyncio.get_running_loop().add_reader(self._reader, self._read)

    def close_writer(self) -> None:
        """Close the child's end in this process."""
        os.close(self.writer)

    def close(self) -> str:
        """Return the end of what was written; close the pipe."""
        while self._reader >= 0 and self._read():
            pass
        self._close_reader()
        return self._tail.decode(errors="replace")

    def _read(self) -> bool:
        """Read once; return whether there may be more."""
        try:
            data = os.read(self._reader, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._close_reader()
            return False
        self._tail = (self._tail + data)[-TAIL_BYTES:]
        self._on_output()
        return True

    def _close_reader(self) -> None:
        if self._reader >= 0:
            asyncio.get_running_loop().remove_reader(self._reader)
            os.close(self._reader)
            self._reader = -1


class ChildProcess:
    """A process that was started by `ChildProcesses.spawn`."""

    def __init__(self, process: "subprocess.Popen[bytes]", on_exit: Callable[[int | None], None]) -> None:
        self._process = process
        self._on_exit = on_exit
        self._is_reaped = False

    @property
    def pid(self) -> int:
        """The process id; after the end it may be another's."""
        return self._process.pid

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if not self._is_reaped:  # until then its id is not given to another
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def close_input(self) -> None:
        """Close the pipe to its standard input, if there is one."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def reaped(self, code: int | None) -> None:
        """Handle its end: its exit code, negative for a signal; None if another has taken it."""
        self._is_reaped = True
        self._process.returncode = -1 if code is None else code  # Popen does not look for it any more
        self.close_input()
        self._on_exit(code)


class ChildProcesses:
    """All children of this process. One for each process, made in its main thread."""

    def __init__(self) -> None:
        self._children: dict[int, ChildProcess] = {}
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self.reap)

    def close(self) -> None:
        """Take no more notice of ends."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    def spawn(
        self,
        module: str,
        arguments: Sequence[object],
        on_exit: Callable[[int | None], None],
        *,
        pass_fds: Sequence[int] = (),
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> ChildProcess:
        """Run a module in a process and a session of its own; `on_exit` is called with its exit code, later.

        Raises whatever the system rejects: OSError for descriptors, processes or an interpreter that is not there.
        """
        process = subprocess.Popen(  # noqa: S603 (own modules, and numbers)
            [sys.executable, "-P", "-m", module, *map(str, arguments)],
            stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds, start_new_session=True,
            env=isolated_environment(os.environ),
        )  # fmt: skip
        child = self._children[process.pid] = ChildProcess(process, on_exit)
        return child

    def reap(self) -> None:
        """Take the exit codes of all children that have ended. Called at SIGCHLD."""
        for pid in tuple(self._children):
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                self._children.pop(pid).reaped(None)
            else:
                self._reaped(ended, status)
        if os.getpid() == INIT_PID:
            with suppress(ChildProcessError):
                while (found := os.waitpid(-1, os.WNOHANG))[0]:
                    self._reaped(*found)

    def _reaped(self, pid: int, status: int) -> None:
        child = self._children.pop(pid, None)
        if child is not None:
            child.reaped(os.waitstatus_to_exitcode(status))
