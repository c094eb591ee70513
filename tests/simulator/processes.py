"""The simulator as a process of its own, for the tests of the command and of its workers."""

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

FAULTLESS = ["--error-rate=0", "--too-many-rate=0", "--malformed-rate=0", "--reset-rate=0", "--hang-rate=0"]
AT_ONCE = ["--port=0", "--latency-ms=0", *FAULTLESS]
ANNOUNCEMENT = re.compile(
    r"hedgerow simulate: answering on http://127\.0\.0\.1:([0-9]+)/api/work \(seed ([0-9]+)\)\n"
)
BOUND_S = 20
"""No step of these tests takes longer, unless something is broken."""


@dataclass
class Running:
    process: subprocess.Popen[str]
    port: int
    seed: int

    def get(self, target: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=BOUND_S)
        try:
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = json.loads(self.get("/stats")[1])
        return stats

    def rest_of_stdout(self) -> str:
        """Until every process that holds it has ended."""
        assert self.process.stdout
        return self.process.stdout.read()


def command(*flags: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "hedgerow_simulator", *flags]


def clean_environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HEDGEROW_")} | more


def run_to_end(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*flags),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
        env=clean_environment(**environment),
    )


@contextmanager
def running(*flags: str, **environment: str) -> Iterator[Running]:
    """Started and announced; killed at the end if the test has not ended it."""
    with subprocess.Popen(
        command(*flags),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(**environment),
        start_new_session=True,  # so that a test can signal the whole group, as a terminal does
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            announced = ANNOUNCEMENT.fullmatch(line)
            assert announced, (line, process.stderr)
            yield Running(process, int(announced[1]), int(announced[2]))
        finally:
            process.kill()
