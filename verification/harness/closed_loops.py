"""Closed loops from a cold start: the load, what disturbs the gateway meanwhile, and what became of it.

All clients connect at once, each asks again as soon as it has its answer, and they leave without waiting: as wrk does.
"""

import contextlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench import load_generators
from bench.processes import foreign_cpu_s, free_port, running, wait_until_answering
from bench.workloads import SERVER_CORE
from verification.harness.campaign import Findings

SETTLED_S = 3
"""From this second on a load is judged: every start may be rough for a moment."""
REJECTED_SHARE = 0.001
GOOD_SHARE = 0.9
"""Of the peak, where not all can be served."""
REQUEST_S = 0.38
"""The mean time of a request before the reference upstream, so that N clients ask N / REQUEST_S a second."""
SURELY = 0.8
"""Of the peak: a load that is smaller can be served."""
OF_THE_BARE_RACE = 0.6
"""Good answers, beside the bare race with admission under the same load: less is a collapse, also if all runs agree."""
NOT_SERVED = ("503", "no_answer", "not_sent")
BOTH_CORES = "0,1"


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What takes the gateway's time, one after the other: a stopped worker, then a competitor for its core."""

    at_s: float = 0.5
    stopped_s: float = 0.0
    competitor_s: float = 0.0

    @property
    def name(self) -> str:
        parts = (
            (f"stopped {self.stopped_s:g} s", self.stopped_s),
            (f"busy {self.competitor_s:g} s", self.competitor_s),
        )
        return " and ".join(name for name, lasts_s in parts if lasts_s) or "undisturbed"

    def strike(self, server: psutil.Process) -> None:
        """Disturb a server now; return when it is over."""
        time.sleep(self.at_s)
        if self.stopped_s:
            stop_for(workers(server), self.stopped_s)
        if self.competitor_s:
            compete(self.competitor_s)


UNDISTURBED = Disturbance()


def workers(server: psutil.Process) -> list[psutil.Process]:
    """Return the processes that a server's work is done by."""
    children = server.children(recursive=True)
    return [child for child in children if "hedgerow_simulator" not in child.cmdline()] or [server]


def stop_for(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Stop processes by SIGSTOP, and let them go on after a while in any case."""
    try:
        for process in processes:
            process.suspend()
        time.sleep(seconds)
    finally:
        for process in processes:
            process.resume()


def compete(seconds: float) -> None:
    """Keep the gateway's core busy by a process of equal rights."""
    code = f"import time\nuntil = time.monotonic() + {seconds}\nwhile time.monotonic() < until: pass"
    command = ["taskset", "--cpu-list", str(SERVER_CORE), sys.executable, "-S", "-c", code]
    subprocess.run(command, check=True)


@dataclass(frozen=True, slots=True)
class Load:
    """A number of clients; 0 ms: they give no timeout."""

    clients: int
    timeout_ms: int = 0

    @property
    def name(self) -> str:
        return f"{self.clients} clients" + (f", timeout={self.timeout_ms}" if self.timeout_ms else "")

    @property
    def asked_per_s(self) -> float:
        """If all are served at once."""
        return self.clients / REQUEST_S


@dataclass(slots=True)
class Run:
    """One load on one server, and the outcomes of each of its seconds."""

    load: Load
    disturbance: Disturbance
    seconds: list[Counter[str]]
    judged_from_s: int = SETTLED_S
    foreign_share: float = 0.0
    """Of a core, taken by programs that are not ours: a run that was disturbed by them says little."""

    @property
    def settled(self) -> Counter[str]:
        return sum(self.seconds[self.judged_from_s :], Counter())

    @property
    def rejected(self) -> int:
        """Over the whole load."""
        return sum(second[name] for second in self.seconds for name in NOT_SERVED)

    @property
    def rejected_share(self) -> float:
        """Once it has settled."""
        return sum(self.settled[name] for name in NOT_SERVED) / max(self.settled.total(), 1)

    @property
    def good_per_s(self) -> float:
        """Once it has settled."""
        return self.settled["good"] / len(self.seconds[self.judged_from_s :])

    def __str__(self) -> str:
        seconds = (f"{each['good']}+{sum(each[name] for name in NOT_SERVED)}" for each in self.seconds)
        return (
            f"{self.disturbance.name}: {' '.join(seconds)} (others took {self.foreign_share:.0%} of a core)"
        )


def run_on(
    server: psutil.Process,
    address: str,
    load: Load,
    *,
    seconds: int,
    core: int | str,
    disturbance: Disturbance = UNDISTURBED,
    judged_from_s: int = SETTLED_S,
) -> Run:
    """Load a server that is running; disturb it meanwhile."""
    thread = threading.Thread(target=disturbance.strike, args=(server,))
    began_s, foreign_s = time.monotonic(), foreign_cpu_s()
    outcomes = load_generators.cold_loop(
        address,
        clients=load.clients,
        timeout_ms=load.timeout_ms,
        seconds=seconds,
        core=core,
        at_begin=thread.start,
    )
    thread.join()
    foreign_share = (foreign_cpu_s() - foreign_s) / (time.monotonic() - began_s)
    seen = [Counter(second) for second in outcomes]
    return Run(load, disturbance, seen, judged_from_s, foreign_share)


@contextlib.contextmanager
def on_both_cores(command: Callable[[int], Sequence[str | Path]]) -> Iterator[tuple[psutil.Process, str]]:
    """Run a server, started by its port, on all cores beside its load; return it and its address."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="hedgerow-verification-") as folder:
        log = Path(folder) / "server.log"
        with running(command(port), core=BOTH_CORES, log=log) as process:
            wait_until_answering(f"http://127.0.0.1:{port}/api/smart", process, log)
            yield process, f"127.0.0.1:{port}"


@dataclass(slots=True)
class Comparison:
    """Runs that are judged by each other: of one server before one upstream."""

    name: str
    bare_race_per_s: dict[int, float] = field(default_factory=dict)
    """Good answers that the bare race with admission gives to this many clients."""
    runs: list[Run] = field(default_factory=list)

    def of(self, load: Load) -> list[Run]:
        return [run for run in self.runs if run.load == load]

    @property
    def loads(self) -> list[Load]:
        return list(dict.fromkeys(run.load for run in self.runs))

    def typical_per_s(self, load: Load) -> float:
        return statistics.median(run.good_per_s for run in self.of(load))

    @property
    def peak_per_s(self) -> float:
        return max(map(self.typical_per_s, self.loads))

    def can_be_served(self, load: Load) -> bool:
        """Whether it is surely below what can be done, or was served at least once."""
        capacity = max(self.peak_per_s, *self.bare_race_per_s.values(), 0.0)
        served = any(run.rejected_share < REJECTED_SHARE for run in self.of(load))
        return load.asked_per_s <= SURELY * capacity or served

    def judge(self, findings: Findings) -> None:
        """Note what was seen, and each run that does not keep the invariants."""
        for load in self.loads:
            runs = self.of(load)
            good = [run.good_per_s for run in runs]
            findings.count += len(runs)
            findings.figures[f"{self.name}, {load.name}"] = (
                f"{len(runs)} runs; good/s {min(good):.0f} to {max(good):.0f}; rejected from second "
                f"{runs[0].judged_from_s} on: {max(run.rejected_share for run in runs):.2%} in the worst, "
                f"in all {sum(run.rejected for run in runs)}"
            )
            if load.clients in self.bare_race_per_s:
                findings.figures[f"{self.name}, {load.name}"] += (
                    f"; the bare race {self.bare_race_per_s[load.clients]:.0f} good/s"
                )
            for run in runs:
                self.judge_run(findings, run)

    def judge_run(self, findings: Findings, run: Run) -> None:
        seen = f"{self.name}, {run.load.name}, {run} (good+rejected each second)"
        if not run.load.timeout_ms:
            findings.check(run.rejected == 0, "without a timeout nothing is rejected", seen)
        if self.can_be_served(run.load):
            invariant = f"what can be served is served: under {REJECTED_SHARE:.1%} rejected"
            findings.check(run.rejected_share < REJECTED_SHARE, invariant, seen)
        else:
            invariant = f"where not all can be served: good answers {GOOD_SHARE:.0%} of the peak"
            findings.check(run.good_per_s >= GOOD_SHARE * self.peak_per_s, invariant, seen)
        least = OF_THE_BARE_RACE * self.bare_race_per_s.get(run.load.clients, 0.0)
        findings.check(run.good_per_s >= least, f"good answers {OF_THE_BARE_RACE} of the bare race's", seen)
        typical = self.typical_per_s(run.load)
        findings.check(run.good_per_s >= GOOD_SHARE * typical, "no run differs from the others", seen)
