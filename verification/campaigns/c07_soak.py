"""C07: a long time with three faults in ten, then rest: memory does not grow, and everything is as it was."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import psutil
import uvloop

from hedgerow.processes.process_tuning import raise_descriptor_limit
from hedgerow.processes.worker import Worker
from hedgerow.settings import AccessLog, Settings, UpstreamLimits, parse_target
from hedgerow_simulator import Behaviour, running_simulator
from support.loop_thread import LoopThread
from support.processes import simulator
from support.raw_http import Client
from verification.harness.campaign import Campaign, Findings
from verification.harness.processes import (
    check_rest,
    connections_to,
    gateway,
    memory_bytes,
    settle,
    unsettled,
)

SECONDS = 600.0
CLIENTS = 150
"""At once, on connections that are kept; some 300 requests/s before the reference upstream."""
FAULTS = {"error": 0.1, "too_many": 0.05, "malformed": 0.05, "reset": 0.05, "hang": 0.03, "drip": 0.02}
"""Three in ten."""
TIMEOUTS_MS = (150, 2_000)
SAMPLE_S = 2.0
WARM_UP = 0.4
"""Of the time: the allocator finds its size, the last requests that are remembered are all there."""
SLOPE_BYTES_PER_REQUEST = 8.0
"""Less than any object of Python's. What is left of the samples' own noise is smaller."""
SETTLE_S = 10.0
SMALL = 0.05
"""At shares below this there is no gateway of its own, whose memory would not have settled."""

QUICK_SECONDS = 20.0
"""Of the second part, at full size: inside one process, where tasks and timers can be seen. All times are a tenth."""
QUICK_SAMPLE_S = 0.02
QUICK = Settings(
    hedge_after_ms=30,
    loser_grace_ms=100,
    shedding="off",
    access_log=AccessLog.OFF,
    upstream_limits=UpstreamLimits(idle_timeout_s=0.3),
)


@dataclass
class Samples:
    """Memory by requests answered."""

    answered: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    memory: list[tuple[int, int]] = field(default_factory=list)

    def slope(self) -> float:
        """Return the bytes that each request adds, by least squares, after the warm-up."""
        kept = self.memory[int(len(self.memory) * WARM_UP) :]
        mean_x = sum(x for x, _ in kept) / len(kept)
        mean_y = sum(y for _, y in kept) / len(kept)
        spread = sum((x - mean_x) ** 2 for x, _ in kept)
        return sum((x - mean_x) * (y - mean_y) for x, y in kept) / spread if spread else 0.0


async def load(port: int, seed: int, seconds: float, timeouts_ms: tuple[int, int], samples: Samples) -> None:
    """Ask for `seconds`, on this many connections."""
    until = time.monotonic() + seconds

    async def call(number: int) -> None:
        chance = Random(f"{seed}/{number}")
        client = await Client.connect(port)
        while time.monotonic() < until:
            status, _, _ = await client.get(f"/api/smart?timeout={chance.randint(*timeouts_ms)}")
            samples.statuses[status] += 1
            samples.answered += 1
        client.close()

    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(call(number))


async def watched(
    asking: Coroutine[None, None, None], every_s: float, look: Callable[[], Awaitable[None]]
) -> None:
    """Look now and then while they ask."""
    task = asyncio.create_task(asking)
    while not task.done():
        await asyncio.wait([task], timeout=every_s)
        await look()
    await task


async def sampled(port: int, seed: int, seconds: float, worker: psutil.Process, samples: Samples) -> None:
    """The same, and look at a process' memory now and then."""

    async def look() -> None:
        samples.memory.append((samples.answered, await asyncio.to_thread(memory_bytes, worker)))

    await watched(load(port, seed, seconds, TIMEOUTS_MS, samples), SAMPLE_S, look)


def soak(seed: int, seconds: float, findings: Findings) -> None:
    """The long part: a process of its own, seen from outside."""
    faults = [f"--{name.replace('_', '-')}-rate={rate}" for name, rate in FAULTS.items()]
    samples = Samples()
    with (
        simulator(f"--seed={seed}", *faults) as upstream,
        gateway("--upstream", upstream.url, "--shedding=off") as served,
    ):
        worker = served.worker
        descriptors, sockets = worker.num_fds(), len(worker.net_connections("tcp"))
        uvloop.run(sampled(served.port, seed, seconds, worker, samples))
        metrics = settle(served, SETTLE_S)
        findings.check(not unsettled(metrics), "at rest the gateway's own gauges are 0", unsettled(metrics))
        invariant = "every connection to the upstream is one that the pool knows"
        open_connections, idle = (
            connections_to(worker, upstream.port),
            metrics['hedgerow_upstream_connections{state="idle"}'],
        )
        findings.check(
            open_connections == idle, invariant, f"the system has {open_connections}, the pool {idle:g}"
        )
        time.sleep(UpstreamLimits().idle_timeout_s + 3)  # then the pool has closed what it had
        invariant = "sockets and descriptors are as many as in the beginning"
        after = worker.num_fds(), len(worker.net_connections("tcp"))
        findings.check(after == (descriptors, sockets), invariant, f"{after}, then {(descriptors, sockets)}")
        busy = check_rest(findings, worker)
        findings.check(served.worker.pid == worker.pid, "no worker died", served.log()[-500:])
        findings.check("Traceback" not in served.log(), "nothing is raised", served.log()[:1000])
        rested = memory_bytes(worker)
    slope = samples.slope()
    findings.check(
        slope <= SLOPE_BYTES_PER_REQUEST, "memory does not grow", f"{slope:.1f} bytes for each request"
    )
    findings.count += samples.answered
    mib = [each / 2**20 for _, each in samples.memory]
    findings.figures |= {
        "answers": ", ".join(f"{status} {times}" for status, times in samples.statuses.most_common()),
        "memory": f"{mib[0]:.1f} MiB soon after the start, {max(mib):.1f} at most, {rested / 2**20:.1f} at rest",
        "slope": f"{slope:.1f} bytes for each request after the warm-up",
        "CPU at rest afterwards": f"{busy:.2%} of a core",
    }


async def until(thread: LoopThread, holds: Callable[[], bool]) -> None:
    """Wait for something to hold on the worker's thread, for `SETTLE_S` at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_S):
            await thread.until(holds)


def deadlines_of(worker: Worker, kind: str) -> int:
    """Count the deadlines of one class of waiters."""
    buckets = worker.loop.deadlines._buckets.values()  # noqa: SLF001 (only a test asks what they are)
    return sum(type(waiter).__name__ == kind for bucket in buckets for waiter in bucket)


async def look_inside(seed: int, seconds: float, findings: Findings) -> None:
    """The short part: in this process, a tenth of all times; deadlines, tasks and connections are counted."""
    samples = Samples()
    rates = {f"{name}_rate": rate for name, rate in FAULTS.items()}
    behaviour = Behaviour(latency_ms=(10, 60), seed=seed, **rates)  # type: ignore[arg-type] # mypy: latency_ms?
    async with running_simulator(behaviour) as upstream:
        worker = Worker(QUICK, parse_target(upstream.url))
        sock = socket.create_server(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        worker.start(sock)
        thread = LoopThread(worker.loop)

        def count() -> tuple[int, int]:
            return deadlines_of(worker, "RequestTask"), worker.admission.in_flight

        async def look() -> None:
            deadlines, requests = await asyncio.to_thread(thread.call, count)
            invariant = "each request has one deadline"
            findings.check(deadlines <= requests, invariant, f"{deadlines} for {requests}")

        await watched(load(port, seed, seconds, (15, 200), samples), QUICK_SAMPLE_S, look)
        await until(
            thread, lambda: not worker.admission.in_flight and not worker.pool.connection_counts()["loser"]
        )
        deadlines = thread.call(
            lambda: deadlines_of(worker, "RequestTask") + deadlines_of(worker, "UpstreamConnection")
        )
        findings.check(deadlines == 0, "what is over has no deadline", deadlines)
        await until(thread, lambda: not worker.pool.connections and not worker.server.connections)
        left = thread.call(
            lambda: {
                "requests in flight": worker.admission.in_flight,
                "connections to the upstream": len(worker.pool.connections),
                "connections of clients": worker.server.connections,
            }
        )
        findings.check(not any(left.values()), "nothing is left", left)
        bugs = thread.call(worker.snapshot).internal_errors
        findings.check(bugs == 0, "there is no internal error", bugs)
        thread.stop()
        worker.close()
    findings.count += samples.answered
    findings.figures["inside one process"] = f"{samples.answered} requests; left: " + ", ".join(
        f"{name} {number}" for name, number in left.items()
    )


def run(seed: int, share: float) -> Findings:
    """Run both parts; at small shares only the one inside one process."""
    findings = Findings()
    raise_descriptor_limit()
    if share >= SMALL:
        soak(seed, SECONDS * share, findings)
    uvloop.run(look_inside(seed, max(QUICK_SECONDS * share, 0.5), findings))
    return findings


CAMPAIGN = Campaign(
    id="C07",
    title="a soak",
    proves="However long it serves an upstream that fails, it needs no more memory, and at rest nothing is left of it.",
    acceptance_threshold="memory slope about 0; sockets, tasks and timers back where they began",
    run=run,
)
