"""What hedging does to the upstream, calculated and counted: `python -m verification.hedging_cost`.

The upstream takes 100 to 600 ms, evenly spread, and fails in a share of cases; nothing else goes wrong. It counts
what it is asked (`/stats`), so the figure is not the gateway's own. Writes `docs/verification/hedging-cost.md`.
"""

import asyncio
import sys
from dataclasses import dataclass
from math import sqrt

import click
import uvloop

from bench.machine import measured_commit
from support.processes import FAULTLESS, simulator
from verification import ROOT
from verification.harness.processes import gateway, settle
from verification.harness.results import machine

SHARES = (0.0, 0.1, 0.3)
"""Of failures."""
FASTEST_MS, SLOWEST_MS, MARK_MS, HEDGES = 100, 600, 300, 2
AT_ONCE = 50
"""Clients; each asks again as soon as it has its answer. About 130 requests/s: no client waits for a CPU."""
ERRORS = 4
"""Standard errors within which the count must come: a correct gateway misses that once in 16 000 times."""
ON_THE_WAY_MS = 10
"""What an answer may need besides the upstream's work, here and there: by so much later it is at the mark."""
SETTLE_S = 5.0
REPORT = ROOT / "docs/verification/hedging-cost.md"
WORK_MS = SLOWEST_MS - FASTEST_MS
HEADER = f"""# What hedging does to the upstream

Written by `python -m verification.hedging_cost`. {{requests}} requests for each row, {AT_ONCE} at once, no `timeout`;
the upstream takes {FASTEST_MS} to {SLOWEST_MS} ms, evenly spread; {HEDGES} hedges at {MARK_MS} ms. Seed {{seed}},
commit {{commit}}, {{machine}}.

Share hedged *q* = 1 - (1 - *f*) · {MARK_MS - FASTEST_MS} / {WORK_MS}; requests to the upstream for each of ours
*a* = 1 + {HEDGES} · *q*. The count is the upstream's own, with its standard error. What an answer needs on its way
comes off the {MARK_MS} ms: each ms of it adds {HEDGES} · (1 - *f*) / {WORK_MS}. Successes: 1 - *f*³ with
hedging, 1 - *f* without; the latter as the gateway counts it (`hedgerow_first_attempt_total`).

| failures *f* | *q* | *a* calculated | *a* counted | successes, calculated and seen | without hedging |
|---|---|---|---|---|---|
"""
HEAD = b"GET /api/smart HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Calculated:
    """What arithmetic says of a share of failures; the upstream's work is spread evenly over `WORK_MS`."""

    failures: float

    @property
    def hedged(self) -> float:
        """Share of requests without success by the mark."""
        return 1 - (1 - self.failures) * (MARK_MS - FASTEST_MS) / WORK_MS

    @property
    def asked(self) -> float:
        """Requests to the upstream for each of ours."""
        return 1 + HEDGES * self.hedged

    @property
    def at_most(self) -> float:
        """The same, if each answer takes `ON_THE_WAY_MS` longer."""
        late = (1 - self.failures) * ON_THE_WAY_MS / WORK_MS
        return self.asked + HEDGES * late

    @property
    def standard_deviation(self) -> float:
        """Of what one request asks: 1 or 3."""
        return HEDGES * sqrt(self.hedged * (1 - self.hedged))


@dataclass(frozen=True, slots=True)
class Counted:
    """What one run came to."""

    requests: int
    asked: int
    """By the upstream's own count."""
    succeeded: int
    first_succeeded: int
    """Clients that would have got a success without hedging."""


async def ask(port: int, requests: int) -> int:
    """Ask so often; return how many were answered with 200."""
    numbers, succeeded = iter(range(requests)), 0

    async def client() -> None:
        nonlocal succeeded
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in numbers:
            writer.write(HEAD)
            head = await reader.readuntil(b"\r\n\r\n")
            (length,) = (
                line.split()[1] for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")
            )
            await reader.readexactly(int(length))
            succeeded += head.startswith(b"HTTP/1.1 200 ")
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, requests)):
            group.create_task(client())
    return succeeded


def count(failures: float, requests: int, seed: int) -> Counted:
    """Ask a gateway before an upstream that fails so often."""
    flags = (
        *FAULTLESS,
        f"--latency-ms={FASTEST_MS}-{SLOWEST_MS}",
        f"--error-rate={failures}",
        f"--seed={seed}",
    )
    plan = (f"--hedge-after-ms={MARK_MS}", f"--hedges={HEDGES}")
    with simulator(*flags) as upstream, gateway("--upstream", upstream.url, *plan) as served:
        succeeded = uvloop.run(ask(served.port, requests))
        metrics = settle(served, SETTLE_S)  # losers run on after the last answer
        return Counted(
            requests,
            asked=upstream.stats()["total"],
            succeeded=succeeded,
            first_succeeded=int(metrics['hedgerow_first_attempt_total{outcome="success"}']),
        )


def row(failures: float, counted: Counted) -> tuple[str, bool]:
    """Return a run as a row of the table, and whether it is as calculated."""
    calculated = Calculated(failures)
    asked = counted.asked / counted.requests
    error = calculated.standard_deviation / sqrt(counted.requests)
    holds = calculated.asked - ERRORS * error <= asked <= calculated.at_most + ERRORS * error
    cells = (
        f"{failures:.0%}",
        f"{calculated.hedged:.2f}",
        f"{calculated.asked:.2f}",
        f"{asked:.3f} ± {error:.3f}",
        f"{1 - failures**3:.1%}, {counted.succeeded / counted.requests:.1%}",
        f"{1 - failures:.1%}, {counted.first_succeeded / counted.requests:.1%}",
    )
    return "| " + " | ".join(cells) + " |", holds


@click.command()
@click.option("--requests", default=6000, show_default=True, help="For each share of failures.")
@click.option("--seed", default=1, show_default=True)
def main(requests: int, seed: int) -> None:
    """Count, compare, write the report; exit code 1 if a count is not as calculated."""
    rows = [row(failures, count(failures, requests, seed)) for failures in SHARES]
    head = HEADER.format(requests=requests, seed=seed, commit=measured_commit(), machine=machine())
    REPORT.write_text(head + "".join(f"{line}\n" for line, _ in rows))
    print(REPORT.read_text())
    sys.exit(not all(holds for _, holds in rows))


if __name__ == "__main__":
    main()
