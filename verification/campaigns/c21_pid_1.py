"""C21: the gateway as PID 1 of a namespace, as in a container, through SIGHUPs and kill -9 of workers under load."""

import asyncio
import os
import random
import shutil
import signal
from contextlib import suppress
from time import monotonic

import psutil

from support.processes import END_TIMEOUT_S, FAULTLESS, GatewayProcess, simulator
from verification.harness.campaign import Campaign, Findings, counted
from verification.harness.persistent_clients import CLIENTS, POLL_S, Seen, ask_until, client_ports
from verification.harness.processes import gateway

HANGUPS = 50
KILLS = 20
WORKERS = 2
PAUSE_S = 3.0
"""The longest from one signal to the next; a rolling restart takes 2 s or so, so signals come in the middle of it."""
SETTLE_S = 60.0
"""Within this all workers serve again."""
AS_PID_1 = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def can_be_pid_1() -> bool:
    """Return whether a process may be given a PID namespace of its own here."""
    return os.geteuid() == 0 and shutil.which(AS_PID_1[0]) is not None


class Contained:
    """A gateway within `unshare`."""

    def __init__(self, gate: GatewayProcess) -> None:
        self.gate = gate
        (self.init,) = psutil.Process(gate.process.pid).children()

    @property
    def workers(self) -> list[psutil.Process]:
        """The workers that run."""
        found = []
        for child in self.init.children():
            with suppress(psutil.NoSuchProcess):
                if "hedgerow.processes.worker_main" in child.cmdline():
                    found.append(child)
        return found

    @property
    def zombies(self) -> int:
        """The number of processes that have ended and were not reaped."""
        zombies = 0
        for child in self.init.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                zombies += child.status() == psutil.STATUS_ZOMBIE
        return zombies

    async def settle(self) -> bool:
        """Wait until all workers serve, none beside them runs, and there is no zombie; False if that never is."""
        give_up_at = monotonic() + SETTLE_S
        while monotonic() < give_up_at:
            ready = await asyncio.to_thread(self.gate.readiness)
            all_serve = ready == f"{WORKERS} of {WORKERS} workers serve" and len(self.workers) == WORKERS
            if all_serve and not self.zombies:
                return True
            await asyncio.sleep(POLL_S)
        return False

    async def orphan(self) -> None:
        """Have a process within the namespace leave a child behind, as probes by a shell do."""
        words = ("nsenter", f"--target={self.init.pid}", "--pid", "--mount", "sh", "-c", "true & exit")
        process = await asyncio.create_subprocess_exec(*words)
        await process.wait()


async def kill_one(contained: Contained, seen: Seen, draw: random.Random) -> int:
    """Kill a worker; return what was in flight in it."""
    with suppress(psutil.NoSuchProcess, IndexError):
        victim = draw.choice(contained.workers)
        victim.suspend()  # so that the count is of the moment of its death
        own = sum(seen.in_flight.get(port, 0) for port in client_ports(victim))
        victim.kill()
        return own
    return 0


async def rounds(seed: int, share: float, upstream: str, findings: Findings) -> None:
    draw = random.Random(seed)
    signals = ["SIGHUP"] * counted(HANGUPS, share) + ["kill -9"] * counted(KILLS, share)
    draw.shuffle(signals)
    seen, stop, own = Seen(), asyncio.Event(), 0
    flags = (f"--workers={WORKERS}", f"--upstream={upstream}")
    with gateway(*flags, by=AS_PID_1) as gate:
        contained = Contained(gate)
        findings.check(await contained.settle(), "all workers serve", gate.log()[-500:])
        clients = [asyncio.create_task(ask_until(stop, gate, seen)) for _ in range(CLIENTS)]
        for number in signals:
            await asyncio.sleep(draw.random() ** 2 * PAUSE_S)
            findings.count += 1
            if number == "SIGHUP":
                contained.init.send_signal(signal.SIGHUP)
            else:
                own += await kill_one(contained, seen, draw)
            await contained.orphan()
        settled = await contained.settle()
        findings.check(settled, "all workers serve again, and there is no zombie", gate.log()[-500:])
        findings.check(not any(client.done() for client in clients), "every client can connect", "")
        findings.figures["zombies"] = str(contained.zombies)
        stop.set()
        await asyncio.wait(clients)
        restarts = gate.metrics()["hedgerow_worker_restarts_total"]
        contained.init.terminate()
        code = await asyncio.to_thread(gate.process.wait, END_TIMEOUT_S)
        log = gate.log()
    findings.check(code == 0, "SIGTERM ends with exit code 0", code)
    kills = signals.count("kill -9")
    invariant = "no request is lost but those of killed workers"
    findings.check(len(seen.lost) <= own, invariant, (len(seen.lost), own, seen.lost[:3]))
    findings.check(
        log.count('"worker died"') == restarts, "each death is logged once", log.count('"worker died"')
    )
    findings.check(restarts <= kills, "no worker dies but those that were killed", restarts)
    findings.check("Traceback" not in log, "nothing is raised", log[-500:])
    findings.figures["signals"] = f"{signals.count('SIGHUP')} SIGHUP, {kills} kill -9"
    findings.figures["requests answered"] = str(seen.answered)
    findings.figures["lost"] = f"{len(seen.lost)}, of {own} that were in flight in the killed workers"


def run(seed: int, share: float) -> Findings:
    """Run the campaign. It needs root, for a namespace of its own."""
    findings = Findings()
    with simulator(*FAULTLESS) as upstream:
        asyncio.run(rounds(seed, share, upstream.url, findings))
    return findings


CAMPAIGN = Campaign(
    id="C21",
    title="as PID 1 of a container",
    proves="As PID 1 the gateway goes through SIGHUPs and kill -9 of workers, in the middle of each other, and loses "
    "only what the killed workers had in flight; it reaps every process, also those that others leave behind.",
    acceptance_threshold="50 SIGHUPs, 20 kill -9 under load: only the killed workers' requests lost, 0 zombies, exit 0",
    run=run,
)
