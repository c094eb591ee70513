"""The gateway and the simulator as processes, on ports that the system chooses."""

import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

import psutil

from support.ended import still_running

READ_TIMEOUT_S = 30
"""For an answer that comes at once unless something is broken."""
END_TIMEOUT_S = 60
"""For a process that was signalled; the gateway's own bound (`--drain-ms`) is below."""
POLL_S = 0.02
"""Between two looks at what is waited for: without it, waiting takes a core from what is waited for."""
FAULTLESS = ("--error-rate=0", "--too-many-rate=0", "--malformed-rate=0", "--reset-rate=0", "--hang-rate=0")

Stream = int | IO[Any]

_ROUTE_LABELS: Final = re.compile(r'(?:route|upstream)="(?:[^"\\]|\\.)*",?')


def serve_command(*flags: str, program: Sequence[str] = ("-m", "hedgerow")) -> list[str]:
    """Return the command of a gateway with one worker on free ports, unless `flags` say otherwise."""
    return [sys.executable, *program, "serve", "--port=0", "--admin-port=0", "--workers=1", *flags]


class GatewayProcess:
    """`hedgerow serve`. Its owner ends it with `end`, or with `stop` and its exit code."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdout: Stream = subprocess.PIPE,
        stderr: Stream | None = subprocess.PIPE,
    ) -> None:
        """Start it, and return when it serves. Raises RuntimeError if it ends before.

        A gateway whose standard output is not read here is asked for its ports through the system.
        """
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, text=True,
            env=as_installed(), start_new_session=True,
        )  # fmt: skip
        self._stderr = stderr
        self.lines: list[str] = []
        if self.process.stdout is None:
            port, admin_port = _listening_ports_of_gateway(self.process)
            self.url = f"http://127.0.0.1:{port}/api/smart"
            self.admin = f"http://127.0.0.1:{admin_port}"
        else:
            self.lines = [self.process.stdout.readline() for _ in range(4)]
            if not self.lines[2]:
                end(self.process)
                raise RuntimeError(f"the gateway does not start: {self.lines}")
            self.url = self.lines[0].split()[-1]
            self.admin = self.lines[2].split()[1].removesuffix("/metrics")
        self.authority = urlsplit(self.url).netloc
        self.port = int(self.authority.rpartition(":")[2])

    # -- both ports

    def get(self, query: str = "", path: str = "") -> tuple[int, dict[str, Any]]:
        """Send a request to the main port; return status and JSON."""
        return get_json(self.url + path + query)

    def status_of(self, query: str = "", request_id: str = "") -> int:
        """Send a request to the main port; return the status."""
        headers = {"X-Request-Id": request_id} if request_id else {}
        return fetch(urllib.request.Request(self.url + query, headers=headers))[0]

    def fetch(self, path: str) -> tuple[int, bytes]:
        """Send a request to the admin port."""
        return fetch(self.admin + path)

    def metrics(self) -> dict[str, float]:
        """Return the values of `/metrics` by name and labels; those of all routes and upstreams are added up."""
        values: defaultdict[str, float] = defaultdict(float)
        for line in self.fetch("/metrics")[1].decode().splitlines():
            if not line.startswith("#"):
                name, value = _ROUTE_LABELS.sub("", line).replace(",}", "}").replace("{}", "").rsplit(" ", 1)
                values[name] += float(value)
        return dict(values)

    def readiness(self) -> str:
        """Return the reason that `/readyz` gives."""
        return str(json.loads(self.fetch("/readyz")[1])["reason"])

    def status(self, query: str = "") -> dict[str, Any]:
        """Return `/status.json`."""
        status: dict[str, Any] = json.loads(self.fetch("/status.json" + query)[1])
        return status

    # -- waiting; pytest-timeout bounds it

    def status_when(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read `/status.json` until something holds, and return it."""
        while not holds(status := self.status()):
            time.sleep(POLL_S)
        return status

    def until_readiness(self, holds: Callable[[str], bool]) -> None:
        """Read `/readyz` until its reason is the expected one."""
        while not holds(self.readiness()):
            time.sleep(POLL_S)

    def until_all_ready(self) -> None:
        """Wait until all workers serve."""
        self.until_readiness(lambda reason: reason.split(" of ")[0] == reason.split(" of ")[-1].split()[0])

    def until_draining(self) -> None:
        """Wait until it drains."""
        self.until_readiness(lambda reason: reason == "draining")

    # -- its processes

    def children(self) -> list[psutil.Process]:
        """Return the workers, and the embedded simulator if there is one."""
        return psutil.Process(self.process.pid).children()

    def family(self) -> list[psutil.Process]:
        """Return all its processes but itself."""
        return psutil.Process(self.process.pid).children(recursive=True)

    @property
    def workers(self) -> list[psutil.Process]:
        """The workers that the system knows."""
        found = []
        for child in self.family():
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                if "hedgerow.processes.worker_main" in child.cmdline():
                    found.append(child)
        return found

    @property
    def worker(self) -> psutil.Process:
        """The only worker."""
        (worker,) = self.workers
        return worker

    def log(self) -> str:
        """Return what it has written to standard error so far, if that is a file with a name."""
        assert isinstance(self._stderr, io.IOBase | tempfile._TemporaryFileWrapper)
        return Path(self._stderr.name).read_text(errors="replace")

    # -- its end

    def stop_and_read(self, number: signal.Signals = signal.SIGTERM) -> str:
        """Stop it as its user does, and return the rest of its standard error. Raises if its exit code is not 0."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=READ_TIMEOUT_S)
        assert self.process.returncode == 0, errors
        return str(errors or "")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it as its user does, and return its exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=READ_TIMEOUT_S)
        return self.process.returncode

    def kill(self) -> None:
        """Kill the supervisor. Raises if any of its processes is left after that: none may outlive it."""
        family = self.family() if self.process.poll() is None else []
        self.process.kill()
        left = still_running(family, READ_TIMEOUT_S)
        for process in left:  # they would hold the pipes that are read here
            process.kill()
        self.process.communicate()
        assert not left, f"{left} outlived the supervisor"

    def end(self) -> None:
        """Stop it, or kill it after `END_TIMEOUT_S`."""
        end(self.process)


class SimulatorProcess:
    """`hedgerow simulate`. Its owner ends it with `end`."""

    def __init__(self, *flags: str, **environment: str) -> None:
        """Start it, and return when it serves."""
        self.process = subprocess.Popen(
            simulate_command(*flags),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=clean_environment(**{"HEDGEROW_SIMULATE_PORT": "0"} | environment),
            start_new_session=True,  # so that a test can signal the whole group, as a terminal does
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        announced = ANNOUNCEMENT.fullmatch(line)
        if announced is None:
            end(self.process)
            raise RuntimeError(f"the simulator does not start: {line!r}")
        self.port, self.seed = int(announced[1]), int(announced[2])
        self.url = f"http://127.0.0.1:{self.port}/api/work"

    def get(self, target: str, **headers: str) -> tuple[int, bytes]:
        """Send a request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=READ_TIMEOUT_S)
        try:
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stats(self) -> dict[str, Any]:
        """Return what it has counted."""
        stats: dict[str, Any] = json.loads(self.get("/stats")[1])
        return stats

    def rest_of_stdout(self) -> str:
        """Read until every process that holds its standard output has ended."""
        assert self.process.stdout
        return self.process.stdout.read()

    def end(self) -> None:
        """Stop it, or kill it after `END_TIMEOUT_S`."""
        end(self.process)


ANNOUNCEMENT = re.compile(
    r"hedgerow simulate: answering on http://127\.0\.0\.1:([0-9]+)/api/work \(seed ([0-9]+)\)\n"
)


def simulate_command(*flags: str) -> list[str]:
    """Return the command of a simulator in which a warning is an error."""
    return [sys.executable, "-W", "error", "-m", "hedgerow_simulator", *flags]


@contextmanager
def simulator(*flags: str, **environment: str) -> Iterator[SimulatorProcess]:
    """Run a simulator until the block ends."""
    running = SimulatorProcess(*flags, **environment)
    try:
        yield running
    finally:
        running.end()


def as_installed() -> dict[str, str]:
    """Return the environment, in which a gateway finds no library that only its tests have and that it would import."""
    path = [str(Path(__file__).parent / "as_installed")]
    if "PYTHONPATH" in os.environ:
        path.append(os.environ["PYTHONPATH"])
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)}


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment without variables of hedgerow's, and with `more`."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HEDGEROW_")} | more


def end(process: "subprocess.Popen[str]") -> None:
    """End a process and all that it started: by SIGTERM, and by SIGKILL after `END_TIMEOUT_S`."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    if process.stdin is not None and process.stdin.closed:
        process.stdin = None  # `communicate` would flush it
    try:
        process.communicate(timeout=END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
    for member in still_running(family, END_TIMEOUT_S):
        member.kill()
    process.communicate()  # only now: a process that is left would hold the pipes that are read here


def fetch(request: str | urllib.request.Request, body: bytes | None = None) -> tuple[int, bytes]:
    """Send GET, or POST with a body; return status and body."""
    try:
        with urllib.request.urlopen(request, body, timeout=READ_TIMEOUT_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def get_json(url: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
    """Send GET, or POST with a body; return status and JSON."""
    status, answer = fetch(url, body)
    return status, json.loads(answer)


def listening_ports(pid: int) -> list[int]:
    """Return the TCP ports at which a process listens."""
    sockets = psutil.Process(pid).net_connections("tcp")
    return [each.laddr[1] for each in sockets if each.status == psutil.CONN_LISTEN]


def _listening_ports_of_gateway(process: "subprocess.Popen[str]") -> tuple[int, int]:
    """Find main and admin port of a gateway that cannot print them, once it serves."""
    while process.poll() is None:
        ports = listening_ports(process.pid)
        for port in ports:
            url = f"http://127.0.0.1:{port}/readyz"
            with suppress(OSError), urllib.request.urlopen(url, timeout=READ_TIMEOUT_S):
                others = [each for each in listening_ports(process.pid) if each != port]  # it listens by now
                if others:
                    return others[0], port
        time.sleep(POLL_S)
    raise RuntimeError(f"the gateway does not start; exit code {process.returncode}")


def attempt_outcomes(problem: dict[str, Any]) -> list[str]:
    """Return the outcome of each attempt that a problem document lists."""
    return [attempt["outcome"] for attempt in problem["attempts"]]
