"""The gateway and the testing server as processes, and what the system says of them."""

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec
import psutil

from end_to_end.conftest import listening_ports
from hedgerow.settings import ClientLimits
from verification import ROOT

READ_TIMEOUT_S = 30
"""For what answers at once unless something is broken."""
END_TIMEOUT_S = 60
"""For a process that was told to end; the gateway's own bound (`--drain-ms`) is below."""
LOOK_AGAIN_S = 0.02
FAULTLESS = ("--error-rate=0", "--too-many-rate=0", "--malformed-rate=0", "--reset-rate=0", "--hang-rate=0")

SETTLED = {
    "hedgerow_requests_in_flight": 0.0,
    "hedgerow_client_connections": 0.0,
    'hedgerow_upstream_connections{state="busy"}': 0.0,
    'hedgerow_upstream_connections{state="dialing"}': 0.0,
    'hedgerow_upstream_connections{state="loser"}': 0.0,
}
"""The gateway's own gauges when nobody wants anything of it. Idle connections to the upstream may stand."""


@dataclass(slots=True)
class Gateway:
    """`hedgerow serve` with one worker or more, as a process of its own."""

    process: subprocess.Popen[str]
    port: int
    admin: str
    errors: IO[str]

    @property
    def workers(self) -> list[psutil.Process]:
        """The workers as the system knows them."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                if "hedgerow.processes.worker" in child.cmdline():
                    found.append(child)
        return found

    @property
    def worker(self) -> psutil.Process:
        """The only worker."""
        (worker,) = self.workers
        return worker

    def metrics(self) -> dict[str, float]:
        """Read `/metrics`, by name and labels."""
        with urllib.request.urlopen(self.admin + "/metrics", timeout=READ_TIMEOUT_S) as answer:
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def readiness(self) -> str:
        """Read the reason that `/readyz` gives."""
        try:
            with urllib.request.urlopen(self.admin + "/readyz", timeout=READ_TIMEOUT_S) as answer:
                return str(json.loads(answer.read())["reason"])
        except urllib.error.HTTPError as error:
            with error:
                return str(json.loads(error.read())["reason"])

    def log(self) -> str:
        """Read what it wrote to standard error so far."""
        return Path(self.errors.name).read_text(errors="replace")

    def settle(self, within_s: float) -> dict[str, float]:
        """Wait until its own gauges say that nothing is under way, or the time is over; tell the metrics then."""
        give_up_at = time.monotonic() + within_s
        while True:
            metrics = self.metrics()
            if unsettled(metrics) == {} or time.monotonic() > give_up_at:
                return metrics
            time.sleep(LOOK_AGAIN_S)

    def descriptors(self, *, but_upstream_port: int) -> int:
        """Count the worker's open descriptors but for its connections to the upstream."""
        return self.worker.num_fds() - connections_to(self.worker, but_upstream_port)


def unsettled(metrics: dict[str, float]) -> dict[str, float]:
    """Tell the gauges that are not as they are at rest."""
    return {name: metrics[name] for name, rest in SETTLED.items() if metrics.get(name, 0.0) != rest}


def sum_of(metrics: dict[str, float], name: str) -> float:
    """Add up a metric over all its labels."""
    return sum(value for key, value in metrics.items() if key.partition("{")[0] == name)


@contextmanager
def gateway(
    *flags: str,
    by: Sequence[str] = (),
    limits: ClientLimits | None = None,
    stdout: int = subprocess.PIPE,
    stderr: int | None = None,
) -> Iterator[Gateway]:
    """Run `hedgerow serve` on free ports, with one worker unless told otherwise; end it at the end.

    `by` are words before the command, like those of `prlimit`, which becomes the command. With `limits` it has
    these in place of its own, for which there are no flags. `stdout` and `stderr` are descriptors to write to.
    """
    serve = (
        ["-m", "hedgerow"]
        if limits is None
        else ["-m", "verification.harness.cli_with_limits", msgspec.json.encode(limits)]
    )
    with tempfile.NamedTemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [
                *by, sys.executable, *serve, "serve",
                "--port=0", "--admin-port=0", "--workers=1", "--access-log=off", *flags,
            ],
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=errors if stderr is None else stderr, text=True,
            start_new_session=True, cwd=ROOT,
        )  # fmt: skip
        try:
            port, admin_port = told_ports(process) if process.stdout is not None else found_ports(process)
            if not port:
                raise RuntimeError(f"the gateway does not start: {Path(errors.name).read_text()}")
            yield Gateway(process, port, f"http://127.0.0.1:{admin_port}", errors)
        finally:
            end(process)


def told_ports(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Read the ports of the gateway, main and operations, from the lines that it prints; 0 if it prints none."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(4)]
    ports = [
        int(port) for line in (lines[0], lines[2]) for port in re.findall(r"127\.0\.0\.1:([0-9]+)/", line)
    ]
    return (ports[0], ports[1]) if ports else (0, 0)


def found_ports(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Ask the system for the ports of a gateway that cannot print them, and wait until it serves; 0 if it ends."""
    while process.poll() is None:
        ports = listening_ports(process.pid)
        for port in ports:
            url = f"http://127.0.0.1:{port}/readyz"
            with suppress(OSError), urllib.request.urlopen(url, timeout=READ_TIMEOUT_S):
                others = [each for each in listening_ports(process.pid) if each != port]  # it listens by now
                if others:
                    return others[0], port
        time.sleep(LOOK_AGAIN_S)
    return 0, 0


@dataclass(slots=True)
class Simulator:
    """`hedgerow simulate` as a process of its own."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.split("/")[2].rsplit(":", 1)[1])

    def stats(self) -> dict[str, int]:
        """Read what it has seen."""
        url = self.url.removesuffix("/api/work") + "/stats"
        with urllib.request.urlopen(url, timeout=READ_TIMEOUT_S) as answer:
            stats: dict[str, int] = json.loads(answer.read())
        return stats


@contextmanager
def simulator(*flags: str) -> Iterator[Simulator]:
    """Run `hedgerow simulate` on a free port; end it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hedgerow_simulator", "--port=0", *flags],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield Simulator(process, next(word for word in line.split() if word.startswith("http://")))
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """End a process and all that it started: politely, then surely."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for member in psutil.wait_procs(family, timeout=END_TIMEOUT_S)[1]:
        member.kill()
    if process.stdout is not None:
        process.stdout.close()


def connections_to(process: psutil.Process, port: int) -> int:
    """Count a process' TCP connections to a port of its peers, in whatever state."""
    sockets = process.net_connections(kind="tcp")
    return sum(each.raddr[1:] == (port,) for each in sockets)  # of a listening socket it is ()


def memory_bytes(process: psutil.Process) -> int:
    """Tell what the system would have back if the process ended (unique set size)."""
    return int(process.memory_full_info().uss)


def cpu_s(process: psutil.Process) -> float:
    """Tell the CPU time of all threads; to the nanosecond, where psutil counts in ticks of 10 ms."""
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def idle_share(process: psutil.Process, window_s: float) -> float:
    """Watch a process for a while, and tell which share of one core it took."""
    before, began = cpu_s(process), time.monotonic()
    time.sleep(window_s)
    return (cpu_s(process) - before) / (time.monotonic() - began)
