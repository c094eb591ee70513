import subprocess
from collections.abc import Callable, Iterator

import pytest

from operations.processes import Served, Simulated, Stream

Serve = Callable[..., Served]
Simulate = Callable[..., Simulated]


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Served] = []

    def start(*arguments: str, stderr: Stream = subprocess.PIPE) -> Served:
        started.append(Served(*arguments, stderr=stderr))
        return started[-1]

    yield start
    for served in started:
        served.end()


@pytest.fixture
def simulate() -> Iterator[Simulate]:
    started: list[Simulated] = []

    def start(*arguments: str) -> Simulated:
        started.append(Simulated(*arguments))
        return started[-1]

    yield start
    for simulated in started:
        simulated.end()
