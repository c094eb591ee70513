"""Start programs on a chosen core, read what they cost, and stop them: always, and by their own pids only."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

START_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 12.0  # the slow upstream takes up to 9.5 s
STOP_TIMEOUT_S = 5.0


_given: set[int] = set()


def free_port() -> int:
    """Return a port without a listener, and that was not returned before: two of one server's must differ."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


@contextlib.contextmanager
def running(command: Sequence[str | Path], *, core: int | str, log: Path) -> Iterator[psutil.Process]:
    """Run a program with its children on a core or a list of them, its output in a file, until the block ends."""
    pinned = ["taskset", "--cpu-list", str(core), *map(str, command)]
    with log.open("wb") as output:
        child = subprocess.Popen(
            pinned,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours: we stop our children in order
            env=os.environ | {"GOMAXPROCS": "1"},
        )
        try:
            yield psutil.Process(child.pid)
        finally:
            stop(child)


def stop(child: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started: first politely, then surely."""
    try:
        family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    child.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(STOP_TIMEOUT_S)
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    child.wait()


def wait_until_answering(
    url: str,
    process: psutil.Process,
    log: Path,
    *,
    look_again_s: float = 0.05,
    context: ssl.SSLContext | None = None,
) -> None:
    """Return after the first success of a server; its upstream may fail at times."""
    give_up_at = time.monotonic() + START_TIMEOUT_S
    seen = "nothing"
    while time.monotonic() < give_up_at:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            break
        try:
            with urllib.request.urlopen(url, timeout=ANSWER_TIMEOUT_S, context=context) as response:
                seen = response.read().decode()
            if "time" in json.loads(seen):
                return
        except (OSError, ValueError, urllib.error.URLError) as error:
            seen = str(error)
        time.sleep(look_again_s)
    tail = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"{url} does not answer ({seen}); {log}:\n{tail}")


def tree(process: psutil.Process) -> list[psutil.Process]:
    """Return the process and every descendant that lives."""
    return [process, *process.children(recursive=True)]


def tree_cpu_s(process: psutil.Process) -> float:
    """Return user plus system time of a process and its descendants, those that ended included."""
    total = 0.0
    for member in tree(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            spent = member.cpu_times()
            total += spent.user + spent.system + spent.children_user + spent.children_system
    return total


def tree_uss_bytes(process: psutil.Process) -> int:
    """Return the memory that would be free again if the tree ended (unique set size)."""
    total = 0
    for member in tree(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += member.memory_full_info().uss
    return total


def foreign_cpu_s() -> float:
    """Return the CPU time of all processes on the machine but this one and what it started."""
    me = psutil.Process()
    ours = {member.pid for member in tree(me)}
    total = 0.0
    for process in psutil.process_iter():
        if process.pid not in ours:
            with contextlib.suppress(psutil.NoSuchProcess):
                spent = process.cpu_times()
                total += spent.user + spent.system + spent.children_user + spent.children_system
    return total


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters at one instant; two of them make a window. (Cores' busy time is counted in ticks: useless.)"""

    at_s: float
    server_cpu_s: float
    upstream_cpu_s: float
    foreign_cpu_s: float
    stolen_s: float


def sample(server: psutil.Process, upstream: psutil.Process) -> Sample:
    """Read all counters, one after the other, within a few milliseconds; the server's first."""
    return Sample(
        at_s=time.monotonic(),
        server_cpu_s=tree_cpu_s(server),
        upstream_cpu_s=tree_cpu_s(upstream),
        foreign_cpu_s=foreign_cpu_s(),
        stolen_s=psutil.cpu_times().steal,
    )
