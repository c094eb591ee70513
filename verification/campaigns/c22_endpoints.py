"""C22: one of three endpoints is a hundred times slower, and then one fails each request: clients do not see it."""

import asyncio
import os
import random
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from time import monotonic

from support.processes import FAULTLESS, GatewayProcess, SimulatorProcess, serve_command
from verification.harness.campaign import Campaign, Findings
from verification.harness.processes import sum_of

USUAL, SLOW = "--latency-ms=10-20", "--latency-ms=1000-2000"
FAILING = ("--error-rate=1", *FAULTLESS[1:])
RATE_PER_S = 100
SECONDS = 50.0
"""Of each run at full size."""
WARM_UP_SHARE = 0.1
"""Of each run, of which the latencies do not count: the hedge delay is `LONGEST_DELAY_MS` until a hundred are known."""
LONGEST_DELAY_MS = 500
"""Where the delay did not follow the quantile, the slow endpoint would be seen."""
P99_FACTOR = 1.1
EXTRA_ATTEMPTS = 0.1
ROUTE = """
[upstreams.replicas]
endpoints = [{endpoints}]
outlier_detection = {{ consecutive_failures = 5, ejection_time = "10s" }}

[[routes]]
path_prefix = "/"
upstream = "replicas"
timeout = {{ default = "5s" }}
hedge = {{ after = {{ quantile = 0.95, min = "5ms", max = "{longest_ms}ms" }}, max_hedges = 1 }}
"""


class Phase:
    """What clients of one gateway have seen."""

    def __init__(self) -> None:
        self.took_ms: list[float] = []
        self.statuses: list[int] = []
        self.attempts = 0.0
        self.hedge_delay_ms = 0.0
        """In the end."""

    @property
    def p99_ms(self) -> float:
        counted = sorted(self.took_ms[int(len(self.took_ms) * WARM_UP_SHARE) :])
        return counted[int(len(counted) * 0.99)]

    def count(self, metrics: dict[str, float]) -> None:
        """Note what the gateway has counted in the end."""
        self.attempts = sum_of(metrics, "hedgerow_attempts_total")
        self.hedge_delay_ms = sum_of(metrics, "hedgerow_hedge_delay_seconds") * 1000


async def ask(port: int, phase: Phase, at: float) -> None:
    """Send one request on a connection of its own, at an instant: an open loop."""
    await asyncio.sleep(max(0.0, at - monotonic()))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began_at = monotonic()
    writer.write(b"GET /api/work HTTP/1.1\r\nHost: replicas\r\nConnection: close\r\n\r\n")
    head = await reader.read()
    phase.took_ms.append((monotonic() - began_at) * 1000)
    phase.statuses.append(int(head[9:12] or b"0"))
    writer.close()


async def load(port: int, phase: Phase, seconds: float, chance: random.Random) -> None:
    at, ends_at = monotonic(), monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        while at < ends_at:
            at += chance.expovariate(RATE_PER_S)
            group.create_task(ask(port, phase, at))


def play(simulators: Sequence[tuple[str, ...]], seconds: float, seed: int) -> Phase:
    """Run a gateway before simulators with these flags, and clients before it."""
    phase = Phase()
    with ExitStack() as stack:
        urls = []
        for flags in simulators:
            simulator = SimulatorProcess(*flags)
            stack.callback(simulator.end)
            urls.append(f'"http://127.0.0.1:{simulator.port}/"')
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "hedgerow.toml"
        file.write_text(ROUTE.format(endpoints=", ".join(urls), longest_ms=LONGEST_DELAY_MS))
        null = stack.enter_context(closing(os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")))
        gate = GatewayProcess(serve_command(f"--config={file}", "--access-log=off"), stderr=null)
        stack.callback(gate.end)
        asyncio.run(load(gate.port, phase, seconds, random.Random(seed)))
        phase.count(gate.metrics())
    return phase


def run(seed: int, share: float) -> Findings:
    findings = Findings()
    seconds = SECONDS * share
    usual = (USUAL, *FAULTLESS)
    phases = {
        "two good ones alone": play([usual, usual], seconds, seed),
        "and one that is 100 times slower": play([usual, usual, (SLOW, *FAULTLESS)], seconds, seed),
        "and one that fails": play([usual, usual, (USUAL, *FAILING)], seconds, seed),
    }
    usual_ms = phases["two good ones alone"].p99_ms
    for name, phase in phases.items():
        requests = len(phase.statuses)
        findings.count += requests
        extra = phase.attempts / requests - 1
        bound_ms = usual_ms * P99_FACTOR + phase.hedge_delay_ms
        findings.figures[name] = (
            f"p99 {phase.p99_ms:.1f} ms (allowed: {bound_ms:.1f}), hedge delay {phase.hedge_delay_ms:.1f} ms, "
            f"extra attempts {extra:.1%}, requests {requests:,}"
        )
        seen = f"{name}: {findings.figures[name]}"
        bad = [status for status in phase.statuses if status != 200]
        findings.check(not bad, "every request is answered 200", f"{name}: {bad[:5]}")
        findings.check(
            phase.p99_ms <= bound_ms, "p99 is at most 1.1 of the good ones' alone and the hedge delay", seen
        )
        findings.check(extra <= EXTRA_ATTEMPTS, "at most a tenth more attempts than requests", seen)
        follows = 0 < phase.hedge_delay_ms < LONGEST_DELAY_MS
        findings.check(follows, "the hedge delay follows the quantile", seen)
    return findings


CAMPAIGN = Campaign(
    id="C22",
    title="endpoints",
    proves="A slow or failing endpoint among three is not seen by clients, at little extra load.",
    acceptance_threshold=f"every answer 200; p99 <= {P99_FACTOR:g} of the good ones' alone and the hedge delay; "
    f"at most {EXTRA_ATTEMPTS:.0%} more attempts",
    run=run,
)
