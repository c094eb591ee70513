"""The gateway as a process whose log is kept, and measurements of it that the system makes."""

import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from hedgerow.settings import ClientLimits
from support.processes import POLL_S, GatewayProcess, serve_command
from verification.harness.campaign import Findings

AT_REST = {
    "hedgerow_requests_in_flight": 0.0,
    "hedgerow_client_connections": 0.0,
    'hedgerow_upstream_connections{state="active"}': 0.0,
    'hedgerow_upstream_connections{state="connecting"}': 0.0,
    'hedgerow_upstream_connections{state="loser"}': 0.0,
}
"""The gateway's own gauges without requests. Idle connections to the upstream may be open."""
REST_S = 2.0
REST_WAKEUPS_PER_S = 20
"""Of a worker at rest, which wakes some 4 times a second, for sweeps and for the counts that it is asked for."""
REST_SHARE = 0.1
"""Of one core. Sweeps take a thousandth, and what loops takes all. In between is the machine: where it takes memory
back from a process that rests (DAMON), each wake-up waits for pages, and 4 a second took 2 to 6 %."""


@contextmanager
def gateway(
    *flags: str,
    by: Sequence[str] = (),
    limits: ClientLimits | None = None,
    stdout: int = subprocess.PIPE,
    stderr: int | None = None,
) -> Iterator[GatewayProcess]:
    """Run `hedgerow serve` on free ports, with one worker unless `flags` say otherwise, until the block ends.

    `by` are words before the command, like those of `prlimit`, which becomes the command. With `limits` it has
    these in place of its own, for which there are no flags. `stdout` and `stderr` are descriptors to write to;
    without `stderr` the log is kept for `GatewayProcess.log`.
    """
    program: tuple[str, ...] = ("-m", "hedgerow")
    if limits is not None:
        program = ("-m", "verification.harness.cli_with_limits", msgspec.json.encode(limits).decode())
    command = [*by, *serve_command("--access-log=off", *flags, program=program)]
    with tempfile.NamedTemporaryFile("w+") as log:
        running = GatewayProcess(command, stdout=stdout, stderr=log if stderr is None else stderr)
        try:
            yield running
        finally:
            running.end()


def settle(running: GatewayProcess, within_s: float) -> dict[str, float]:
    """Wait until the gateway's own gauges are at rest, or the time is over; return the metrics then."""
    give_up_at = time.monotonic() + within_s
    while True:
        metrics = running.metrics()
        if unsettled(metrics) == {} or time.monotonic() > give_up_at:
            return metrics
        time.sleep(POLL_S)


def unsettled(metrics: dict[str, float]) -> dict[str, float]:
    """Return the gauges that are not at rest."""
    return {name: metrics[name] for name, rest in AT_REST.items() if metrics[name] != rest}


def sum_of(metrics: dict[str, float], name: str) -> float:
    """Return the sum of a metric over all its labels."""
    return sum(value for key, value in metrics.items() if key.partition("{")[0] == name)


def own_descriptors(running: GatewayProcess, *, but_upstream_port: int) -> int:
    """Return the number of the worker's open descriptors without its connections to the upstream."""
    return running.worker.num_fds() - connections_to(running.worker, but_upstream_port)


def connections_to(process: psutil.Process, port: int) -> int:
    """Return the number of a process' TCP connections to a port of its peers, in any state."""
    sockets = process.net_connections(kind="tcp")
    return sum(each.raddr[1:] == (port,) for each in sockets)  # of a listening socket it is ()


def memory_bytes(process: psutil.Process) -> int:
    """Return what the system would have back if the process ended (unique set size)."""
    return int(process.memory_full_info().uss)


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU time of all threads; to the nanosecond, where psutil counts in ticks of 10 ms."""
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def check_rest(findings: Findings, process: psutil.Process) -> float:
    """Check that a worker without requests does next to nothing; return the share of one core that it takes."""
    woken, busy_s, began = process.num_ctx_switches().voluntary, cpu_s(process), time.monotonic()
    time.sleep(REST_S)
    watched_s = time.monotonic() - began
    wakeups = (process.num_ctx_switches().voluntary - woken) / watched_s
    share = (cpu_s(process) - busy_s) / watched_s
    findings.check(wakeups <= REST_WAKEUPS_PER_S, "no timer is left afterwards", f"woken {wakeups:.0f}/s")
    findings.check(share <= REST_SHARE, "the CPU is idle afterwards", f"{share:.1%} of a core")
    return share
