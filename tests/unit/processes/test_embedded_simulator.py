"""The embedded simulator, as the supervisor starts, watches and ends it. Its processes are real."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator

import psutil
import pytest
from structlog.testing import CapturingLogger

from hedgerow.processes import embedded_simulator
from hedgerow.processes.child_processes import ChildProcesses
from hedgerow.processes.embedded_simulator import EmbeddedSimulator


@pytest.fixture
async def children() -> AsyncIterator[ChildProcesses]:
    children = ChildProcesses()
    yield children
    children.close()


def child() -> psutil.Process:
    """Return the simulator's process."""
    (found,) = [
        each for each in psutil.Process().children() if "hedgerow_simulator" in " ".join(each.cmdline())
    ]
    return found


def stats(connection: socket.socket) -> bytes:
    connection.sendall(b"GET /stats HTTP/1.1\r\nHost: x\r\n\r\n")
    return connection.recv(65_536)


async def test_who_connects_before_it_accepts_is_served(children: ChildProcesses) -> None:
    simulator = EmbeddedSimulator(children, CapturingLogger())
    target = simulator.start()
    with socket.create_connection((target.host, target.port)) as early:
        assert await simulator.wait_until_ready()
        assert stats(early).startswith(b"HTTP/1.1 200 OK\r\n")
        running = child()
        await simulator.stop()
    assert not running.is_running()


async def test_it_is_started_again_on_its_port_when_it_dies(
    children: ChildProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HOST": "127.0.0.2", "PORT": "x", "WORKERS": "2", "CAPACITY": "1"}.items():
        monkeypatch.setenv(f"HEDGEROW_SIMULATE_{name}", value)  # the gateway chooses the first three
    embedded_simulator.check_variables()
    log = CapturingLogger()
    simulator = EmbeddedSimulator(children, log)
    target = simulator.start()
    assert await simulator.wait_until_ready()
    monkeypatch.setattr(embedded_simulator, "RESTART_DELAY_S", 0.0)
    child().send_signal(signal.SIGKILL)
    async with asyncio.timeout(20):
        while not log.calls:  # noqa: ASYNC110 (its death is not yet known, and its socket may still be open)
            await asyncio.sleep(0)
        while True:
            try:
                _, writer = await asyncio.open_connection(target.host, target.port)
                break
            except OSError:
                await asyncio.sleep(0)
    writer.close()
    assert [(call.method_name, call.kwargs["exit_code"]) for call in log.calls] == [
        ("error", -signal.SIGKILL)
    ]
    await simulator.stop()


async def test_one_that_serves_only_as_it_is_stopped_is_not_started_again(
    children: ChildProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_simulator, "RESTART_DELAY_S", 0.0)
    log = CapturingLogger()
    simulator = EmbeddedSimulator(children, log)
    simulator.start()
    stopping = asyncio.ensure_future(simulator.stop())
    simulator._on_output()  # what it has written is read after SIGTERM was sent
    await asyncio.sleep(0)
    simulator._on_output()
    await stopping
    assert log.calls == []
    assert simulator._restart is None


async def test_one_that_ends_instead_is_reported(
    children: ChildProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    simulator = EmbeddedSimulator(children, CapturingLogger())
    simulator.start()
    assert not await simulator.wait_until_ready()
    await simulator.stop()


async def test_one_that_was_stopped_is_killed(
    children: ChildProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_simulator, "KILL_AFTER_S", 0.0)
    simulator = EmbeddedSimulator(children, CapturingLogger())
    simulator.start()
    assert await simulator.wait_until_ready()
    running = child()
    running.send_signal(signal.SIGSTOP)
    await simulator.stop()
    assert not running.is_running()
