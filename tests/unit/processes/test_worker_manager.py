"""The worker manager with real processes, of modules that misbehave in the place of a worker's."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest
from structlog.testing import CapturingLogger

from hedgerow.processes import supervision, worker_manager, worker_state
from hedgerow.processes.child_processes import ChildProcesses
from hedgerow.processes.control_channel import WorkerConfig
from hedgerow.processes.worker_manager import StartupError, WorkerManager
from hedgerow.settings import Settings, parse_target
from hedgerow.settings.routes import MAX_ROUTES, RouteRule, UpstreamRule
from hedgerow.telemetry.snapshot import RouteCounts, Snapshot
from support.own_process import has_children, open_descriptors

READY = 'import sys, os; fd = int(sys.argv[2]); os.read(fd, 99_999); os.write(fd, b\'{"type":"ready"}\\n\'); '
WAIT = "import signal; signal.pause()"


class Managed:
    """A manager of one worker, whose process runs the source in `source`."""

    def __init__(self, folder: Path) -> None:
        self.log = CapturingLogger()
        self.children = ChildProcesses()
        self.manager = WorkerManager(Settings(upstream="http://127.0.0.1:1/"), self.log, self.children)
        self._module = folder / "worker_of_a_test.py"
        self.sock = socket.socket()
        self._passed_s = 0.0

    def start(self, source: str) -> None:
        self._module.write_text(source)
        self.manager.start(self.sock, parse_target("http://127.0.0.1:1/"))

    def next_is(self, source: str) -> None:
        self._module.write_text(source)

    @property
    def waits_s(self) -> list[float]:
        """Return how long was waited after each start that the system rejected."""
        return [report["restart_in_s"] for report in self.logged("worker cannot be started")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [call.kwargs for call in self.log.calls if call.args == (event,)]

    def pass_time(self, seconds: float) -> None:
        """Let the manager's clock be later by this, and its timer fire if it is due then."""
        self._passed_s += seconds
        if self.manager._timer is not None:
            self.manager._timer.cancel()
        self.manager._on_timer()

    def clock(self) -> float:
        return monotonic() + self._passed_s

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that an event brings about; pytest-timeout bounds it."""
        await self.manager._wait_until(holds)

    async def until_serving(self) -> None:
        await self.until(lambda: bool(self.manager.serving))


@pytest.fixture
async def it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Managed]:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(worker_manager, "MODULE", "worker_of_a_test")
    before = open_descriptors()
    managed = Managed(tmp_path)
    yield managed
    await managed.manager.close()
    managed.children.close()
    managed.sock.close()
    assert not has_children()
    assert open_descriptors() == before, "no descriptor is left"


async def test_a_worker_that_dies_is_replaced_and_its_last_words_are_logged(it: Managed) -> None:
    it.start(READY + "raise KeyError('its last words')")
    await it.until(lambda: bool(it.logged("worker died")))
    (report,) = it.logged("worker died")[:1]
    assert report["exit_code"] == 1
    assert report["last_words"].endswith("KeyError: 'its last words'\n")
    it.next_is(READY + WAIT)
    await it.until_serving()
    assert it.manager.retired.worker_restarts == len(it.logged("worker died"))


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ('os.write(fd, b\'{"type":"snap\'); os.kill(os.getpid(), 9)', None),
        ("os.kill(os.getpid(), 11)", None),
        ("os.write(fd, b'junk\\n'); os.read(fd, 1); os._exit(0)", "it sent an invalid reply"),
        ("os.write(fd, b'[' * 1_000_000 + b'\\n'); os.read(fd, 1); os._exit(0)", "it sent an invalid reply"),
        ("os.close(fd); os._exit(0)", None),
        ("os.close(fd);" + WAIT, None),
    ],
    ids=["mid-line", "segfault", "junk", "nested junk", "closes and ends", "closes and goes on"],
)
async def test_e1_nothing_that_a_worker_does_ends_its_supervision(
    it: Managed, last: str, reason: str | None
) -> None:
    it.start(READY + last)
    await it.until(lambda: it.manager.plan.restarts > 0)
    it.next_is(READY + WAIT)
    await it.until_serving()
    died = it.logged("worker died")
    assert len(died) == it.manager.plan.restarts
    assert str(died[0].get("reason")).startswith(str(reason))


async def test_e1_a_process_that_a_dead_worker_left_behind_holds_nothing_up(
    it: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the worker's channel and standard error, which so do not close. It ends as its standard input does."""
    reader, writer = os.pipe()
    monkeypatch.setattr(it.children, "spawn", partial(it.children.spawn, stdin=reader))
    it.start(READY + "\nos.kill(os.getpid(), 9) if os.fork() else os.read(0, 1)")
    await it.until(lambda: it.manager.plan.restarts > 0)
    assert it.logged("worker died")[0]["exit_code"] == -9
    it.next_is(READY + WAIT)
    await it.until_serving()
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("what", ["interpreter", "socketpair", "pipe", "_execute_child"])
async def test_e1_a_start_that_the_system_rejects_is_logged_and_tried_again(
    it: Managed, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(worker_manager, "monotonic", it.clock)

    def reject(*_: object, **__: object) -> None:
        raise OSError(24, "rejected by a test")

    it.start(READY + WAIT)
    await it.until_serving()
    it.next_is(READY + WAIT)
    with monkeypatch.context() as rejecting:
        if what == "interpreter":
            rejecting.setattr(sys, "executable", "/nowhere/python")
        else:
            place: object = {"socketpair": socket, "pipe": os, "_execute_child": subprocess.Popen}[what]
            rejecting.setattr(place, what, reject)
        it.manager._processes[0].send_signal(signal.SIGKILL)
        await it.until(lambda: len(it.waits_s) == 1)
        it.pass_time(0.1)
        await it.until(lambda: len(it.waits_s) == 2)
        it.pass_time(0.5)
        await it.until(lambda: len(it.waits_s) == 3)
    it.pass_time(1.0)
    await it.until_serving()
    assert it.waits_s == [0.1, 0.5, 1.0]


async def test_a_start_that_cannot_succeed_ends_with_the_childs_own_last_words(
    it: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_state, "RESTART_BACKOFF_S", (0.0,))
    it.start("import nowhere_to_be_found")
    with pytest.raises(StartupError) as raised:
        await it.manager.wait_until_one_serves()
    assert str(raised.value) == (
        "no worker can be started: ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    )
    assert len(it.logged("worker died")) == supervision.START_ATTEMPTS


async def test_a_worker_that_hangs_before_it_serves_is_killed(
    it: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_state, "STARTUP_KILL_S", 0.01)
    it.start(WAIT)
    await it.until(lambda: bool(it.logged("worker died")))
    monkeypatch.setattr(worker_state, "STARTUP_KILL_S", 60.0)
    assert it.logged("worker died")[0]["exit_code"] == -9
    it.next_is(READY + WAIT)
    await it.until_serving()


async def test_a_worker_whose_drain_takes_too_long_is_killed(
    it: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    it.start(READY + "import signal; signal.signal(15, signal.SIG_IGN); os.write(fd, b''); signal.pause()")
    await it.until_serving()
    monkeypatch.setattr(it.manager.plan, "_kill_after_s", 0.05)
    it.manager.terminate()
    await it.manager.wait_until_ended()


async def test_after_a_reload_every_process_that_is_started_gets_the_new_settings(
    it: Managed, tmp_path: Path
) -> None:
    log = tmp_path / "configurations"
    record = (
        f"import sys, os; fd = int(sys.argv[2]); line = os.read(fd, 99_999); open({str(log)!r}, 'ab').write(line); "
        'os.write(fd, b\'{"type":"ready"}\\n\'); '
    )
    it.start(record + WAIT)
    await it.until_serving()
    routes = (RouteRule(name="/a", path="/a", upstream="u"),)
    upstreams = (UpstreamRule(name="u", endpoints=(parse_target("http://h/new"),)),)
    new = Settings(hedges=7, routes=routes, upstreams=upstreams)
    it.manager.replace(new, parse_target("http://h/new"))
    await it.until(lambda: bool(it.logged("workers replaced")))
    it.manager.do(it.manager.plan.hangup(monotonic()))
    await it.until(lambda: len(it.logged("workers replaced")) == 2)
    configs = [msgspec.json.decode(line, type=WorkerConfig) for line in log.read_bytes().splitlines()]
    assert [config.settings.hedges for config in configs] == [2, 7, 7]
    assert [config.target.path for config in configs] == ["/", "/new", "/new"]
    assert configs[1].settings == new


async def test_a_worker_that_drains_after_it_was_replaced_is_heard_and_not_counted(it: Managed) -> None:
    it.start("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + WAIT)
    await it.until_serving()
    (replaced,) = it.manager.staying
    it.next_is(READY + WAIT)
    it.manager.replace(Settings(), parse_target("http://127.0.0.1:1/"))
    await it.until(lambda: len(it.manager.serving) == 2)
    (successor,) = it.manager.staying
    assert it.manager.serving == [replaced, successor]


async def test_routes_that_no_worker_has_any_more_are_forgotten_when_they_are_too_many(it: Managed) -> None:
    """Each reload may name its routes differently, and each name is a label of metrics."""
    it.start(READY + WAIT)
    await it.until_serving()
    manager = it.manager
    for number in range(3 * MAX_ROUTES):
        manager._processes[1] = manager._processes[0]
        manager.ended(1, Snapshot(requests={"success": 1}, routes={str(number): {"u": RouteCounts()}}))
        assert len(manager._retired.routes) <= MAX_ROUTES + 1
    assert str(3 * MAX_ROUTES - 1) in manager._retired.routes
    assert manager._retired.requests == {"success": 3 * MAX_ROUTES}
