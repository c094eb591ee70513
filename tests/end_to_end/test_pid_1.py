"""The gateway as PID 1 of a namespace, as in a container; and the first instants of its start."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from support.processes import READ_TIMEOUT_S, serve_command
from support.tools import tool

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a process a namespace of its own")
ROOT = Path(__file__).parents[2]
NOWHERE = "--upstream=http://127.0.0.1:1/"

SLOW_CLICK = """
import sys
open({fifo!r}).read()  # until the test goes on
sys.path.remove({folder!r})
del sys.modules["click"]
import click
"""


def as_pid_1() -> list[str]:
    return [tool("unshare"), "--pid", "--fork", "--mount-proc", "--kill-child"]


@contextmanager
def started(by: Sequence[str], **environment: str) -> Iterator["subprocess.Popen[str]"]:
    command = [*by, *serve_command("--workers=2", NOWHERE)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def gateway_of(process: "subprocess.Popen[str]", by: Sequence[str]) -> psutil.Process:
    found = psutil.Process(process.pid)
    while by:
        if children := found.children():
            return children[0]
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("is_pid_1", [False, True])
def test_e3_a_signal_while_the_gateway_is_still_being_imported_stops_it(
    tmp_path: Path, number: signal.Signals, is_pid_1: bool
) -> None:
    """As PID 1 it was lost, and the gateway served on; else it ended with the signal's exit code."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "click.py").write_text(SLOW_CLICK.format(fifo=str(fifo), folder=str(tmp_path)))
    by = as_pid_1() if is_pid_1 else []
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with started(by, PYTHONPATH=path) as process:
        with fifo.open("w"):  # waits until `click` is being imported
            gateway_of(process, by).send_signal(number)
        output, _ = process.communicate(timeout=READ_TIMEOUT_S)
    assert (process.returncode, output) == (0, "")


def until_blocked(process: psutil.Process) -> None:
    """Wait until a process has blocked what `env` blocks; `unshare` itself blocks SIGTERM for a moment.

    pytest-timeout bounds it.
    """
    while True:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        (blocked,) = (line.split()[1] for line in lines if line.startswith("SigBlk:"))
        if int(blocked, 16) & 1 << signal.SIGHUP - 1:
            return


ENTRYPOINT = next(
    line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("ENTRYPOINT")
)
BY_THE_IMAGE = json.loads(ENTRYPOINT.partition(" ")[2])[:-1]


def test_e3_a_signal_in_the_first_instant_stops_the_gateway_of_the_image() -> None:
    by = [*as_pid_1(), *BY_THE_IMAGE]
    with started(by) as process:
        gateway = gateway_of(process, by)
        until_blocked(gateway)  # by `env`, before there is an interpreter
        gateway.terminate()
        output, _ = process.communicate(timeout=READ_TIMEOUT_S)
    assert (process.returncode, output) == (0, "")


def test_other_commands_of_the_image_end_by_signals_as_ever() -> None:
    command = [*BY_THE_IMAGE, sys.executable, "-m", "hedgerow", "simulate", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.terminate()
        assert process.wait(READ_TIMEOUT_S) in (0, -signal.SIGTERM)


def zombies(init: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in init.children(recursive=True):
        try:
            if child.status() == psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            pass
    return found


def test_e4_pid_1_leaves_no_zombie() -> None:
    by = as_pid_1()
    with started(by) as process:
        assert process.stdout is not None
        process.stdout.readline()
        init = gateway_of(process, by)
        before = init.children()
        before[0].kill()
        psutil.wait_procs(before[:1], timeout=READ_TIMEOUT_S)
        orphan = ["--pid", "--mount", "sh", "-c", "true & exit"]
        subprocess.run([tool("nsenter"), f"--target={init.pid}", *orphan], check=True, timeout=READ_TIMEOUT_S)
        init.send_signal(signal.SIGHUP)
        assert not psutil.wait_procs(before, timeout=READ_TIMEOUT_S)[1], "all have been replaced"
        assert not psutil.wait_procs(zombies(init), timeout=READ_TIMEOUT_S)[1]
        init.terminate()
        process.communicate(timeout=READ_TIMEOUT_S)
    assert process.returncode == 0
