"""A gateway before an upstream of finite capacity, second by second: what C18 is made of.

The upstream is `hedgerow simulate --capacity`, the load an open loop by `bench/load`. One run by hand, into a file for
`verification.hold_plot`: `python -m verification.harness.finite_upstream "100/s, dip" --mode auto --out run.json`.
"""

import json
import os
import shlex
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import click

from bench import load_generators
from bench.processes import free_port, running, wait_until_answering
from bench.servers import Command, Place
from bench.toolchain import VENV_BIN, ensure_peers
from bench.workloads import LOAD_CORE, SERVER_CORE
from support.processes import SimulatorProcess, simulator
from verification.harness.processes import gateway

SECONDS: Final = 120
DISTURBED_AT_S: Final = 30
"""After the beginning of the load, about: it is the simulator that counts, from its own start."""
START_S: Final = 5
"""For the gateway, from the start of the simulator to the first request."""
WARM_S: Final = 10
"""The first seconds, in which connections are opened, are in no share."""
TIMEOUT_MS: Final = 800
CONNECTIONS: Final = 4_000
FAULTS: Final = (
    "--error-rate=0.1",
    "--too-many-rate=0",
    "--malformed-rate=0",
    "--reset-rate=0",
    "--hang-rate=0",
)
RESTART_AFTER_S: Final = 8
"""After the disturbance has begun."""
GOOD_AGAIN: Final = 0.03
"""A gateway has recovered when its share of good answers is this close to what it was before, over `CALM_S`."""
CALM_S: Final = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One row of C18's table."""

    name: str
    per_s: int
    capacity: int = 100
    latency_ms: str = "100-600"
    upstream: str = ""
    """Further flags; `{at}` is where the disturbance begins."""
    lasts_s: int = 0
    """The disturbance."""
    workers: int = 1
    restarts: bool = False
    """All workers are replaced in the disturbance."""
    modes: tuple[str, ...] = ("none", "off", "auto")


ROWS: Final = (
    Row("57/s", 57, modes=("off", "auto")),
    Row("100/s, dip", 100, upstream="--dip={at}:10:0.5", lasts_s=10, modes=("none", "off", "auto", "envoy")),
    Row("171/s", 171, modes=("none", "off", "auto", "envoy")),
    Row("229/s, dip", 229, upstream="--dip={at}:10:0.5", lasts_s=10, modes=("none", "off", "auto", "envoy")),
    Row("171/s, slow", 171, upstream="--slow={at}:15:3", lasts_s=15),
    Row("171/s, queue, dip", 171, upstream="--queue=143 --dip={at}:10:0.5", lasts_s=10),
    Row("143/s, restart", 143, upstream="--dip={at}:10:0.5", lasts_s=10, workers=8, restarts=True),
    Row("171/s, ceiling", 171, modes=("ceiling",)),
    Row("570/s, slow by nature", 570, capacity=1_000, latency_ms="200-700", modes=("off", "auto")),
)

FLAGS: Final = {
    "none": ("--hedges=0",),
    "off": ("--hedge-hold=off",),
    "auto": ("--hedge-hold=auto",),
    "ceiling": ("--hedge-hold=off", "--hedge-ceiling=100"),
}
"""What a mode is for the gateway; `envoy` is another program."""


@dataclass(slots=True)
class Run:
    """What one run came to. Lists have an entry for each second of the load."""

    row: str
    mode: str
    seed: int
    disturbed_at_s: float
    """In seconds of the load."""
    disturbed_for_s: int
    asked: list[int] = field(default_factory=list)
    good: list[int] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    attempts: list[float] = field(default_factory=list)
    """That reached the upstream in this second."""
    working: list[int] = field(default_factory=list)
    """Requests on the upstream's workers and before them."""
    wasted: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)

    def good_share(self, begin_s: int = WARM_S, end_s: int | None = None) -> float:
        return sum(self.good[begin_s:end_s]) / max(sum(self.asked[begin_s:end_s]), 1)

    def attempts_per_request(self) -> float:
        return sum(self.attempts[WARM_S:]) / max(sum(self.asked[WARM_S:]), 1)

    def typical_ms(self) -> float:
        """Return the median of good answers: that of the seconds' medians; 0 where none was good."""
        medians = [p50 for p50 in self.p50_ms[WARM_S:] if p50]
        return statistics.median(medians) if medians else 0.0

    @property
    def before(self) -> float:
        """Return the share of good answers before the disturbance."""
        return self.good_share(WARM_S, int(self.disturbed_at_s))

    def lost_s(self, reference: float) -> float:
        """Return how many seconds' worth of requests failed since the disturbance, beyond those that fail anyway."""
        begin = int(self.disturbed_at_s)
        pairs = zip(self.asked[begin:], self.good[begin:], strict=True)
        return sum(max(reference - good / max(asked, 1), 0.0) for asked, good in pairs)

    def recovery_s(self) -> float:
        """Return after how many seconds from the disturbance's end all was as before; infinite if it never was."""
        over = int(self.disturbed_at_s + self.disturbed_for_s + 0.999)
        for begin in range(over, len(self.good) - CALM_S + 1):
            if self.good_share(begin, begin + CALM_S) >= self.before - GOOD_AGAIN:
                return begin - over
        return float("inf")


def run_row(row: Row, mode: str, seed: int, seconds: int = SECONDS) -> Run:
    """Run one row in one mode."""
    ensure_peers()
    disturbed_at_s = START_S + DISTURBED_AT_S
    more = shlex.split(row.upstream.format(at=disturbed_at_s))
    with ExitStack() as stack:
        played = (f"--capacity={row.capacity}", f"--latency-ms={row.latency_ms}", f"--seed={seed}")
        upstream = stack.enter_context(simulator(*played, *FAULTS, *more))
        began = time.monotonic()
        address, pid = stack.enter_context(server(mode, upstream, row.workers))
        time.sleep(
            max(began + START_S - time.monotonic(), 0.0)
        )  # the disturbance comes at its second of the load
        run = Run(row.name, mode, seed, 0.0, row.lasts_s)
        load = Load(upstream, disturbed_at_s + began, run)
        if row.restarts and pid is not None:
            delay_s = began + disturbed_at_s + RESTART_AFTER_S - time.monotonic()
            timer = threading.Timer(delay_s, os.kill, (pid, signal.SIGHUP))
            timer.start()
            stack.callback(timer.cancel)
        load.run(row.per_s, seconds, seed, address)
    return run


@contextmanager
def server(mode: str, upstream: SimulatorProcess, workers: int) -> Iterator[tuple[str, int | None]]:
    """Run the gateway, or Envoy; give its address, and the process that takes SIGHUP."""
    if mode != "envoy":
        flags = (f"--upstream={upstream.url}", f"--workers={workers}", *FLAGS[mode])
        with gateway(*flags) as hedgerow:
            yield f"127.0.0.1:{hedgerow.port}", hedgerow.process.pid
        return
    with tempfile.TemporaryDirectory(prefix="hedgerow-c18-") as name:
        place = Place(free_port(), upstream.port, Path(name), TIMEOUT_MS / 1000)
        config = place.fill_in("envoy_budget.yaml")
        command: Command = [
            VENV_BIN / "envoy",
            "--config-path",
            config,
            "--concurrency",
            "1",
            "--disable-hot-restart",
        ]
        log = Path(name) / "envoy.log"
        with running(command, core=SERVER_CORE, log=log) as process:
            wait_until_answering(f"http://127.0.0.1:{place.port}/api/smart", process, log)
            yield f"127.0.0.1:{place.port}", None


class Load:
    """The load, and what the upstream says of itself each second meanwhile."""

    def __init__(self, upstream: SimulatorProcess, disturbed_at: float, run: Run) -> None:
        self._upstream = upstream
        self._disturbed_at = disturbed_at
        self._run = run
        self._begun = threading.Event()
        self._ended = threading.Event()

    def run(self, per_s: int, seconds: int, seed: int, address: str) -> None:
        """Offer it, and note what came of it."""
        run = self._run
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            report = load_generators.run_load(
                [
                    *("-addr", address, "-rate", ",".join([str(per_s)] * seconds), "-seconds", "1", "-settle", "0"),
                    *("-timeout", str(TIMEOUT_MS), "-conns", str(CONNECTIONS), "-seed", str(seed)),
                ],
                core=LOAD_CORE, at_begin=self._begun.set, at_end=lambda _: None,
            )  # fmt: skip
        finally:
            self._begun.set()
            self._ended.set()
            watcher.join()
        for step in report["steps"]:
            run.asked.append(step["planned"])
            run.good.append(step["outcomes"]["good"])
            run.p50_ms.append(step["latency_of_good"]["p50_ms"])
            for outcome, number in step["outcomes"].items():
                run.outcomes[outcome] = run.outcomes.get(outcome, 0) + number
        run.wasted = self._upstream.stats()["wasted"]

    def _watch(self) -> None:
        self._begun.wait()
        begun = time.monotonic()
        self._run.disturbed_at_s = self._disturbed_at - begun
        before = self._upstream.stats()
        number = 1
        while not self._ended.wait(max(begun + number - time.monotonic(), 0.0)):
            now = self._upstream.stats()
            self._run.attempts.append(now["total"] - before["total"])
            self._run.working.append(now["busy"] + now["queued"])
            before = now
            number += 1


@click.command()
@click.argument("row", type=click.Choice([row.name for row in ROWS]))
@click.option("--mode", type=click.Choice([*FLAGS, "envoy"]), required=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--seconds", default=SECONDS, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="A file of JSON, for verification.hold_plot.")
def main(row: str, mode: str, seed: int, seconds: int, out: Path | None) -> None:
    """Run one row once, and print what it came to."""
    run = run_row(next(each for each in ROWS if each.name == row), mode, seed, seconds)
    print(describe(run))
    if out is not None:
        out.write_text(json.dumps(asdict(run)))


def describe(run: Run) -> str:
    """Return a run in a line."""
    words = f"{run.good_share():.1%} good, p50 {run.typical_ms():.0f} ms, {run.attempts_per_request():.2f} attempts"
    if run.disturbed_for_s:
        words += f"; before {run.before:.1%}, lost {run.lost_s(run.before):.1f} s, recovery {run.recovery_s():.0f} s"
    return words


if __name__ == "__main__":
    main()
