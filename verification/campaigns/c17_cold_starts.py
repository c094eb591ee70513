"""C17: closed loops from a cold start, disturbed and not: no start collapses, and what can be served is served."""

import asyncio
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil

from bench.processes import free_port
from bench.servers import BARE_RACE_ADMISSION, Server
from bench.toolchain import PEERS, ensure_peers
from bench.workloads import LOAD_CORE, Settings, Upstream, running_server
from support.processes import simulator
from support.raw_http import Client
from verification.harness import processes
from verification.harness.campaign import Campaign, Findings, counted
from verification.harness.closed_loops import (
    BOTH_CORES,
    UNDISTURBED,
    Comparison,
    Disturbance,
    Load,
    Run,
    on_both_cores,
    run_on,
)
from verification.harness.load import hedgerow, program

CLIENTS = (64, 600, 2_000, 4_000)
STARTS = 20
"""Of each number of clients, plain and by TLS."""
TIMEOUT_MS = 900
"""Of every other four starts; the others give none."""
SECONDS = 7
KINDS: dict[str, Upstream] = {"plain": "seed", "TLS": "tls"}
DISTURBANCES = (UNDISTURBED, Disturbance(competitor_s=1), UNDISTURBED, Disturbance(stopped_s=0.5))
"""In turn. Each is over long before second 3."""

SERIES = 6
"""Of `make run` as it is, with all loads one after the other."""
SERIES_LOADS = (Load(600), Load(2_000, TIMEOUT_MS), Load(4_000, TIMEOUT_MS), Load(3_000))
SERIES_SECONDS = 8

DISTURBED_SERIES = 4
"""Of a gateway on a core of its own, disturbed under each load."""
DISTURBED_LOADS = (Load(2_000, TIMEOUT_MS), Load(3_000))
DISTURBED_BY = Disturbance(at_s=2, stopped_s=0.5, competitor_s=2)
NORMAL_AGAIN_S = 7
"""Two seconds after the disturbance is over, and a half."""
DISTURBED_SECONDS = 11

SMALL = 0.01
"""At shares below this one gateway is asked by 64 clients in Python: bench/load needs Go, and a machine for itself."""
SMALL_SECONDS = 5

SETTINGS = Settings(SECONDS, 0.0, 0, 0, (), "go")


def run(seed: int, share: float) -> Findings:
    """Run the campaign. It draws nothing: a seed changes nothing."""
    del seed
    findings = Findings()
    if share < SMALL:
        smallest().judge(findings)
        return findings
    ensure_peers()
    for comparison in (*cold_starts(counted(STARTS, share)), *series(share), *disturbed_series(share)):
        comparison.judge(findings)
    return findings


def cold_starts(starts: int) -> list[Comparison]:
    """Start a gateway for each load, in turns: a machine that drifts then drifts for all."""
    found = {name: Comparison(f"cold starts, {name}") for name in KINDS}
    for name, kind in KINDS.items():
        for clients in CLIENTS:
            bare = one_start(BARE_RACE_ADMISSION, kind, Load(clients))
            found[name].bare_race_per_s[clients] = bare.good_per_s
    for number in range(starts):
        timeout_ms = TIMEOUT_MS if number // len(DISTURBANCES) % 2 else 0
        disturbance = DISTURBANCES[number % len(DISTURBANCES)]
        for name, kind in KINDS.items():
            for clients in CLIENTS:
                started = one_start(hedgerow(), kind, Load(clients, timeout_ms), disturbance)
                report(found[name], started)
                found[name].runs.append(started)
    return list(found.values())


def one_start(server: Server, kind: Upstream, load: Load, disturbance: Disturbance = UNDISTURBED) -> Run:
    with running_server(server, SETTINGS, kind) as target:
        return run_on(
            target.server, target.address, load, seconds=SECONDS, core=LOAD_CORE, disturbance=disturbance
        )


def series(share: float) -> list[Comparison]:
    """Start the gateway as `make run` does, on all cores beside its load, which is one load after the other."""
    found = Comparison("make run as it is", bare_race_on_both_cores())
    for _ in range(counted(SERIES, share)):
        with on_both_cores(serve_as_make_run) as (server, address):
            for load in SERIES_LOADS:
                found.runs.append(run_on(server, address, load, seconds=SERIES_SECONDS, core=BOTH_CORES))
                report(found, found.runs[-1])
    return [found]


def serve_as_make_run(port: int) -> list[str | Path]:
    return [program(), "serve", "--port", str(port), "--admin-port", str(free_port())]


def bare_race_on_both_cores() -> dict[int, float]:
    """Return the good answers a second of the bare race with admission in the gateway's place, by clients."""
    with simulator() as upstream:

        def command(port: int) -> list[str | Path]:
            return [sys.executable, PEERS / "bare_race_admission.py", str(port), upstream.url]

        with on_both_cores(command) as (server, address):
            return {
                load.clients: run_on(
                    server, address, load, seconds=SERIES_SECONDS, core=BOTH_CORES
                ).good_per_s
                for load in SERIES_LOADS
            }


def disturbed_series(share: float) -> list[Comparison]:
    """Disturb a gateway on a core of its own under each load."""
    found = Comparison("disturbed")
    for _ in range(counted(DISTURBED_SERIES, share)):
        with running_server(hedgerow(), SETTINGS) as target:
            for load in DISTURBED_LOADS:
                disturbed = run_on(
                    target.server,
                    target.address,
                    load,
                    seconds=DISTURBED_SECONDS,
                    core=LOAD_CORE,
                    disturbance=DISTURBED_BY,
                    judged_from_s=NORMAL_AGAIN_S,
                )
                found.runs.append(disturbed)
                report(found, disturbed)
    return [found]


def report(comparison: Comparison, ended: Run) -> None:
    """Print a run as it ends: the whole takes half an hour."""
    print(f"  {comparison.name}, {ended.load.name}, {ended}", flush=True)


def smallest() -> Comparison:
    """Load one gateway before the embedded simulator by 64 clients from here, and stop its worker meanwhile."""
    disturbance = DISTURBANCES[-1]
    with processes.gateway() as served:
        server = psutil.Process(served.process.pid)
        thread = threading.Thread(target=disturbance.strike, args=(server,))
        thread.start()
        seconds = asyncio.run(ask_again_at_once(served.port, CLIENTS[0], SMALL_SECONDS))
        thread.join()
    return Comparison("smallest", runs=[Run(Load(CLIENTS[0]), disturbance, seconds)])


async def ask_again_at_once(port: int, clients: int, seconds: int) -> list[Counter[str]]:
    """Run a closed loop from here; return the outcomes of each second."""
    outcomes: list[Counter[str]] = [Counter() for _ in range(seconds)]
    began_at = time.monotonic()

    async def client() -> None:
        client = await Client.connect(port)
        while True:
            status, _, _ = await client.get()
            second = int(time.monotonic() - began_at)
            if second >= seconds:
                break
            outcomes[second]["good" if status == 200 else str(status)] += 1
        client.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return outcomes


CAMPAIGN = Campaign(
    id="C17",
    title="cold starts",
    proves="Clients that ask again at once are served, from a cold start on and after a disturbance: none collapses.",
    acceptance_threshold=(
        "of 160 starts none differs; from second 3 on under 0.1 % rejected where the load can be served, "
        "else good >= 90 % of the peak; without a timeout nothing is rejected"
    ),
    run=run,
    exhaustive=True,
)
