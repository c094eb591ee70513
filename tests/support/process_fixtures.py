"""Fixtures that start the gateway and the simulator, for the `conftest.py` of tests that need processes."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from support.processes import GatewayProcess, SimulatorProcess, Stream, serve_command

Serve = Callable[..., GatewayProcess]
Simulate = Callable[..., SimulatorProcess]


@contextmanager
def _gateways() -> Iterator[Serve]:
    started: list[GatewayProcess] = []

    def start(*flags: str, by: Sequence[str] = (), stderr: Stream = subprocess.PIPE) -> GatewayProcess:
        started.append(GatewayProcess([*by, *serve_command(*flags)], stderr=stderr))
        return started[-1]

    yield start
    for gateway in started:
        gateway.kill()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start gateways; `by` are words before the command, which become it. None of their processes may outlive them."""
    with _gateways() as start:
        yield start


@pytest.fixture(scope="module")
def serve_shared() -> Iterator[Serve]:
    """Start gateways that a module's tests share."""
    with _gateways() as start:
        yield start


@pytest.fixture
def simulate() -> Iterator[Simulate]:
    """Start simulators."""
    started: list[SimulatorProcess] = []

    def start(*flags: str) -> SimulatorProcess:
        started.append(SimulatorProcess(*flags))
        return started[-1]

    yield start
    for simulator in started:
        simulator.end()
