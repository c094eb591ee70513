"""C09: SIGTERM under load, and kill -9 of one worker: what do clients lose? (`harness/persistent_clients.py`)"""

import asyncio
import random
import signal
from time import monotonic

from support.processes import FAULTLESS, simulator
from verification.harness.campaign import Campaign, Findings, counted
from verification.harness.persistent_clients import CLIENTS, POLL_S, Seen, ask_until, client_ports
from verification.harness.processes import gateway

TERMS = 100
KILLS = 20
WORKERS = 2
UNDER_LOAD_S = (0.2, 0.9)
"""The signal comes at a random moment of this span."""
DRAIN_MS = 10_000
END_S = DRAIN_MS / 1000 + 5
REPLACED_WITHIN_S = 1.0


async def terminate(upstream: str, moment_s: float) -> tuple[Seen, int | None, float]:
    """One round of SIGTERM: what was seen, the exit code, and how long the drain took."""
    seen, stop = Seen(), asyncio.Event()
    with gateway(f"--workers={WORKERS}", f"--drain-ms={DRAIN_MS}", f"--upstream={upstream}") as gate:
        clients = [asyncio.create_task(ask_until(stop, gate, seen)) for _ in range(CLIENTS)]
        await asyncio.sleep(moment_s)
        gate.process.send_signal(signal.SIGTERM)
        sent_at = monotonic()
        code = await asyncio.to_thread(gate.process.wait, END_S)
        took_s = monotonic() - sent_at
        stop.set()
        await asyncio.wait(clients)
    return seen, code, took_s


async def kill(upstream: str, moment_s: float) -> tuple[Seen, int, float]:
    """One round of kill -9: what was seen, what the victim had in flight, and how long until it was replaced."""
    seen, stop = Seen(), asyncio.Event()
    with gateway(f"--workers={WORKERS}", f"--drain-ms={DRAIN_MS}", f"--upstream={upstream}") as gate:
        while len(gate.workers) < WORKERS:  # noqa: ASYNC110 (a process' children are nothing to await)
            await asyncio.sleep(POLL_S)
        clients = [asyncio.create_task(ask_until(stop, gate, seen)) for _ in range(CLIENTS)]
        await asyncio.sleep(moment_s)
        victim, other = gate.workers
        victim.suspend()  # so that the count is of the moment of its death
        own = sum(seen.in_flight.get(port, 0) for port in client_ports(victim))
        known = {victim.pid, other.pid}
        victim.kill()
        killed_at = monotonic()
        while {worker.pid for worker in gate.workers} <= known:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
        new = next(worker for worker in gate.workers if worker.pid not in known)
        while not client_ports(new) & seen.in_flight.keys():
            clients.append(asyncio.create_task(ask_until(stop, gate, seen)))
            await asyncio.sleep(POLL_S)
        took_s = monotonic() - killed_at
        stop.set()
        await asyncio.wait(clients)
    return seen, own, took_s


async def rounds(seed: int, share: float, upstream: str, findings: Findings) -> None:
    draw = random.Random(seed)
    answered, drains_s, replaced_s, own_all, lost_all = 0, [0.0], [0.0], 0, 0
    for _ in range(counted(TERMS, share)):
        seen, code, took_s = await terminate(upstream, draw.uniform(*UNDER_LOAD_S))
        findings.count += 1
        answered += seen.answered
        drains_s.append(took_s)
        for lost in seen.lost:
            findings.violation("SIGTERM loses no request", lost)
        findings.check(code == 0, "SIGTERM ends with exit code 0", code)
        findings.check(took_s <= DRAIN_MS / 1000, "a drain ends within its time", took_s)
    for _ in range(counted(KILLS, share)):
        seen, own, took_s = await kill(upstream, draw.uniform(*UNDER_LOAD_S) + 0.5)
        findings.count += 1
        answered += seen.answered
        own_all += own
        lost_all += len(seen.lost)
        replaced_s.append(took_s)
        findings.check(
            len(seen.lost) <= own, "kill -9 costs no other worker's requests", (len(seen.lost), own)
        )
    if share == 1:  # a test has no machine of its own
        within = max(replaced_s) <= REPLACED_WITHIN_S
        findings.check(within, "a killed worker is replaced within 1 s", max(replaced_s))
    findings.figures["requests answered"] = str(answered)
    findings.figures["longest drain"] = f"{max(drains_s):.1f} s"
    findings.figures["lost by kill -9"] = (
        f"{lost_all}, of {own_all} that were in flight in the killed workers"
    )
    findings.figures["longest until a new worker had clients"] = f"{max(replaced_s):.2f} s"


def run(seed: int, share: float) -> Findings:
    """Run the campaign."""
    findings = Findings()
    with simulator(*FAULTLESS) as upstream:
        asyncio.run(rounds(seed, share, upstream.url, findings))
    return findings


CAMPAIGN = Campaign(
    id="C09",
    title="signals under load",
    proves="SIGTERM loses no request, and kill -9 of a worker only those that were in flight in it.",
    acceptance_threshold="SIGTERM x100: 0 lost; kill -9 x20: only the killed worker's own, replaced within 1 s",
    run=run,
)
