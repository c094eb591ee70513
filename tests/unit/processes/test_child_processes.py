"""How children are started and reaped. They are real processes, each of a module that a test writes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hedgerow.processes.child_processes import (
    TAIL_BYTES,
    UNSAFE_VARIABLES,
    ChildProcess,
    ChildProcesses,
    OutputTail,
    isolated_environment,
)
from support.own_process import has_children, open_descriptors, take_exit_code

Spawn = Callable[..., tuple[ChildProcess, "asyncio.Future[int | None]"]]


@pytest.fixture
async def children() -> AsyncIterator[ChildProcesses]:
    children = ChildProcesses()
    yield children
    children.close()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a module that children find; return its name."""

    def write(source: str) -> str:
        folder = tmp_path / "modules"
        folder.mkdir(exist_ok=True)
        (folder / "child_of_a_test.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        return "child_of_a_test"

    return write


@pytest.fixture
def spawn(children: ChildProcesses, module: Callable[[str], str]) -> Spawn:
    """Start a child of this source; return it and its exit code to come."""

    def start(source: str, **options: int) -> tuple[ChildProcess, "asyncio.Future[int | None]"]:
        ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        return children.spawn(module(source), (), ended.set_result, **options), ended  # type: ignore[arg-type]

    return start


@pytest.mark.parametrize("code", [0, 3])
async def test_the_exit_code_is_reported(spawn: Spawn, code: int) -> None:
    _, ended = spawn(f"raise SystemExit({code})")
    assert await ended == code


async def test_a_signal_is_reported_as_its_negative_number(spawn: Spawn) -> None:
    child, ended = spawn("import signal; signal.pause()")
    child.send_signal(signal.SIGKILL)
    assert await ended == -signal.SIGKILL
    child.send_signal(signal.SIGKILL)  # goes to no other process that may have its id by now


async def test_many_that_end_at_once_are_all_reaped(spawn: Spawn) -> None:
    """One SIGCHLD may stand for several."""
    started = [spawn("") for _ in range(10)]
    assert [await ended for _, ended in started] == [0] * 10
    assert not has_children()


async def test_a_child_whose_end_another_took_is_reported_all_the_same(
    spawn: Spawn, children: ChildProcesses
) -> None:
    child, ended = spawn("import signal; signal.pause()")
    os.kill(child.pid, signal.SIGKILL)
    take_exit_code(child.pid)
    children.reap()
    assert await ended is None


async def test_no_other_child_of_the_process_is_reaped(spawn: Spawn) -> None:
    other = start_other_child()
    _, ended = spawn("")
    await ended
    assert take_exit_code(other) == 7


async def test_its_last_words_are_kept_and_no_more(spawn: Spawn) -> None:
    tail = OutputTail()
    _, ended = spawn("import sys; sys.stderr.write('x' * 50_000); raise KeyError('ü')", stderr=tail.writer)
    tail.close_writer()
    await ended
    words = tail.close()
    assert words.endswith("KeyError: 'ü'\n")
    assert len(words.encode()) <= TAIL_BYTES


async def test_a_child_does_not_wait_for_its_words_to_be_read(spawn: Spawn) -> None:
    """The supervisor may be stopped."""
    tail = OutputTail()
    asyncio.get_running_loop().remove_reader(tail._reader)
    _, ended = spawn(
        "import os\ntry:\n  while True: os.write(2, b'x' * 10_000)\nexcept BlockingIOError: pass",
        stderr=tail.writer,
    )
    tail.close_writer()
    assert await ended == 0
    tail.close()


@pytest.mark.parametrize(
    "breaks",
    [
        lambda patch: patch.setattr(sys, "executable", "/nowhere/python"),
        lambda patch: patch.setattr(sys, "executable", "/"),
        lambda patch: patch.setattr(
            subprocess, "_fork_exec", failing(BlockingIOError(11, "no more processes"))
        ),
        lambda patch: patch.setattr(subprocess.Popen, "_execute_child", failing(MemoryError())),
        lambda patch: patch.setattr(os, "pipe", failing(OSError(24, "Too many open files"))),
    ],
    ids=["no interpreter", "no program", "EAGAIN", "ENOMEM", "EMFILE"],
)
async def test_e1_what_the_system_rejects_is_raised_and_leaks_nothing(
    children: ChildProcesses, monkeypatch: pytest.MonkeyPatch, breaks: Callable[[pytest.MonkeyPatch], None]
) -> None:
    before = open_descriptors()
    with monkeypatch.context() as broken:
        breaks(broken)
        for _ in range(3):
            with pytest.raises((OSError, MemoryError)):
                children.spawn("child_of_a_test", (), lambda _: None)
    assert open_descriptors() == before
    children.reap()


def start_other_child() -> int:
    return os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], {})


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


async def test_e5_a_child_runs_nothing_that_lies_in_the_current_folder(
    spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("random.py", "usercustomize.py", "hedgerow.py", "startup.py"):
        (tmp_path / name).write_text(f"raise SystemExit('{name} was run')")
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "startup.py"))
    _, ended = spawn("import random, hedgerow, sys; assert '' not in sys.path")
    assert await ended == 0


def test_e5_an_empty_entry_of_pythonpath_is_dropped_for_it_is_the_current_folder() -> None:
    entries = isolated_environment({"PYTHONPATH": ":/a::/b:"})["PYTHONPATH"].split(":")
    assert entries[:2] == ["/a", "/b"]
    assert "" not in entries


def test_e5_what_would_have_an_interpreter_run_something_else_is_not_passed_on() -> None:
    given = dict.fromkeys(UNSAFE_VARIABLES, "x") | {"PATH": "/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    made = isolated_environment(given)
    assert made.pop("PYTHONPATH", "") != "x"
    assert made == {"PATH": "/bin", "PYTHONDONTWRITEBYTECODE": "1"}
