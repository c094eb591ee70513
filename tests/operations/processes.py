"""The gateway and the testing server as processes, for what only processes show."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import IO, Any

import psutil

READ_TIMEOUT_S = 30
FAULTLESS = tuple(f"--{fault}-rate=0" for fault in ("error", "too-many", "malformed", "reset", "hang"))

Stream = int | IO[bytes]


class Served:
    """`hedgerow serve` on free ports. Whoever starts it ends it with `end`."""

    def __init__(self, *arguments: str, stderr: Stream = subprocess.PIPE) -> None:
        command = [
            sys.executable,
            "-m",
            "hedgerow",
            "serve",
            "--port=0",
            "--admin-port=0",
            "--workers=1",
            *arguments,
        ]
        self._start(command, stderr)

    @classmethod
    def of(cls, command: list[str]) -> "Served":
        """Start it by a command of the test's own."""
        served = cls.__new__(cls)
        served._start(command, None)
        return served

    def _start(self, command: list[str], stderr: Stream | None) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)
        assert self.process.stdout is not None
        self.lines = [self.process.stdout.readline().decode() for _ in range(4)]
        self.url = self.lines[0].split()[-1]
        self.admin = self.lines[2].split()[1].removesuffix("/metrics")

    def ask(self, query: str = "", request_id: str = "") -> int:
        """Ask the main port; tell the status."""
        headers = {"X-Request-Id": request_id} if request_id else {}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.url + query, headers=headers), timeout=READ_TIMEOUT_S
            ) as answer:
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                error.read()
                return error.code

    def fetch(self, path: str) -> tuple[int, bytes]:
        """Ask the admin port."""
        try:
            with urllib.request.urlopen(self.admin + path, timeout=READ_TIMEOUT_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def status(self, query: str = "") -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.fetch("/status.json" + query)[1])
        return answer

    def status_when(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask until something holds; pytest-timeout bounds it."""
        while not holds(status := self.status()):
            pass
        return status

    def metrics(self) -> dict[str, float]:
        lines = [line for line in self.fetch("/metrics")[1].decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def workers(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "hedgerow.processes.worker" in child.cmdline()]

    def end(self) -> None:
        family = (
            psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        )
        self.process.kill()
        self.process.communicate()
        assert not psutil.wait_procs(family, timeout=READ_TIMEOUT_S)[1], "nothing of it stays"


class Simulated:
    """The testing server; it ends when its standard input closes."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hedgerow_simulator", "--port=0", "--until-stdin-closes", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        self.url = next(word for word in line.split() if word.startswith("http://"))

    def end(self) -> None:
        self.process.communicate(timeout=READ_TIMEOUT_S)
