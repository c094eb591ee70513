"""The load generators, as functions: each reports when its window begins and ends, and returns what it saw."""

import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.toolchain import build_go

Report = dict[str, Any]


@contextlib.contextmanager
def child(command: Sequence[str], core: int | str) -> Iterator[subprocess.Popen[str]]:
    """Run a load generator on a core; it ends with the block."""
    process = subprocess.Popen(
        ["taskset", "--cpu-list", str(core), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=sys.stderr if os.environ.get("BENCH_VERBOSE") else subprocess.DEVNULL,
        start_new_session=True,
        text=True,
        env=os.environ | {"GOMAXPROCS": "1"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def load(
    arguments: Sequence[str], *, core: int, at_begin: Callable[[], None], at_end: Callable[[int], None]
) -> Report:
    """Run bench/load with one step; call `at_begin` and `at_end(answered)` as its window opens and closes."""
    report = run_load(arguments, core=core, at_begin=at_begin, at_end=at_end)
    step: Report = report["steps"][0]
    return step | {"kernel_time": report["kernel_time"], "connections_opened": report["connections_opened"]}


def steps(arguments: Sequence[str], *, core: int) -> list[Report]:
    """Run bench/load with several steps, and return what it saw in each."""
    report = run_load(arguments, core=core, at_begin=lambda: None, at_end=lambda _: None)
    seen: list[Report] = report["steps"]
    return seen


def run_load(
    arguments: Sequence[str], *, core: int | str, at_begin: Callable[[], None], at_end: Callable[[int], None]
) -> Report:
    """Run bench/load to its end and return all that it reported."""
    report: Report | None = None
    with child([str(build_go("load")), *arguments], core) as process:
        for line in process.stdout or ():
            event = json.loads(line)
            match event["event"]:
                case "begin":
                    at_begin()
                case "end":
                    at_end(event.get("answered", 0))
                case "result":
                    report = event
        if process.wait() or report is None:
            raise RuntimeError(f"load {' '.join(arguments)}: exit {process.returncode}")
    return report


def cold_loop(
    address: str,
    *,
    clients: int,
    timeout_ms: int,
    seconds: int,
    core: int | str,
    at_begin: Callable[[], None] = lambda: None,
) -> list[dict[str, int]]:
    """Run a closed loop from a cold start, as wrk does; return the outcomes of each of its seconds.

    All clients connect at once and each asks again at once. In the end they leave without waiting for answers.
    """
    arguments = [
        *("-addr", address, "-cold", "-inflight", str(clients), "-conns", str(clients)),
        *("-timeout", str(timeout_ms), "-seconds", str(seconds), "-settle", "0"),
    ]
    report = run_load(arguments, core=core, at_begin=at_begin, at_end=lambda _: None)
    outcomes: list[dict[str, int]] = report["seconds"]
    return outcomes[:seconds]


def warm_up(address: str, *, in_flight: int, seconds: float, core: int) -> None:
    """Ask a little, so that code is loaded and caches are filled before anything is measured."""
    arguments = ["-addr", address, "-inflight", str(in_flight), "-seconds", str(seconds), "-settle", "0.1"]
    load(arguments, core=core, at_begin=lambda: None, at_end=lambda _: None)


def wrk(url: str, *, connections: int, seconds: float, core: int, script: Path | None = None) -> Report:
    """Run wrk with one thread, by a script in Lua if there is one, and return its totals."""
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds:.0f}s"]
    if script is not None:
        command += ["--script", str(script)]
    began_s, used_s = time.monotonic(), ended_children_cpu_s()
    with child([*command, "--latency", url], core) as process:
        text, _ = process.communicate()
    cpu_share = (ended_children_cpu_s() - used_s) / (time.monotonic() - began_s)
    if process.returncode:
        raise RuntimeError(f"wrk: exit {process.returncode}\n{text}")
    return parse_wrk(text) | {"cpu_share": cpu_share}


def ended_children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def parse_wrk(text: str) -> Report:
    """Read wrk's report."""
    requests = re.search(r"(\d+) requests in", text)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: (.*)", text)
    percentiles = dict(re.findall(r"^\s+(50|75|90|99)%\s+(\S+)", text, re.MULTILINE))
    if requests is None:
        raise RuntimeError("wrk said:\n" + text)
    return {
        "answered": int(requests[1]),
        "not_2xx": int(failed[1]) if failed else 0,
        "socket_errors": errors[1] if errors else "",
        "latency": percentiles,
    }
