"""Services of other frameworks as processes, on ports that stay theirs while they are restarted."""

import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.toolchain import VENV_BIN, build_go, ensure_peers

FOLDER = Path(__file__).parent

Command = Sequence[str | Path]


def fastapi_command() -> Command:
    """Return the command of the FastAPI service, without its port."""
    ensure_peers()
    return [VENV_BIN / "python", FOLDER / "fastapi_service.py"]


def go_command() -> Command:
    """Return the command of the Go service, without its port."""
    ensure_peers()
    return [build_go("go_service", FOLDER)]


COMMANDS: dict[str, Callable[[], Command]] = {"fastapi": fastapi_command, "go": go_command}


class ServiceProcess:
    """A service that can be restarted where it was.

    Its port is held by a socket that does not listen: connects are refused while the service is down, and nothing
    else takes the port.
    """

    def __init__(self, command: Command) -> None:
        """Start it, and return when it listens."""
        self._command = command
        self._reservation = socket.socket()
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind(("127.0.0.1", 0))
        self.port = int(self._reservation.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Start it, and return when it listens."""
        self._process = subprocess.Popen(
            [*self._command, str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{self.port}\n", "it does not start"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, by a signal that lets it finish what it does, or not."""
        self._process.send_signal(number)
        self._process.communicate()

    def close(self) -> None:
        """Kill it, and let its port go."""
        self.stop(signal.SIGKILL)
        self._reservation.close()
