"""C15: few descriptors, little memory, outputs that are full or without a reader: it goes on, and in time."""

import asyncio
import signal
import socket
import time
from collections import Counter
from contextlib import suppress

import psutil
import uvloop

from hedgerow.processes.process_tuning import raise_descriptor_limit
from hedgerow.telemetry.line_writer import MAX_WAITING_LINES
from support.processes import FAULTLESS, GatewayProcess, simulator
from support.unwritable_streams import full_disk, unread_pipe
from verification.harness.campaign import Campaign, Findings
from verification.harness.processes import gateway, settle, unsettled

SECONDS = 30.0
"""Each trial at full size."""
KEPT, FRESH = 8, 8
"""Clients that keep their connection, and clients that open one for each request."""
TIMEOUT_MS = 1_000
SLACK_S = 0.05
"""On the client's clock, besides our own loop's lag."""
PAUSE_S = 0.01
"""Between two requests of a client: the trials are about resources, not about load."""

DESCRIPTORS = 200
"""The gateway keeps 128 for itself, so 16 requests in flight and 24 clients are left."""
CROWD = 400
"""Clients that come, say nothing, and stay until they are closed, or for a while after; then they come again."""

MEMORY_BYTES = 16 * 1024 * 1024
"""Of address space above what the worker has. The greedy would like twice that: 8 KiB of a head each."""
GREEDY = 3_000
GREEDY_HEAD = b"GET /api/smart HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 8_000

HEAD = b"GET /api/smart?timeout=%d HTTP/1.1\r\nHost: x\r\n\r\n" % TIMEOUT_MS
LAW = "no answer is late"


class Clients:
    """Good clients, who look at their own clock."""

    def __init__(
        self, port: int, findings: Findings, *, refusals: bool = False, may_fail: bool = False
    ) -> None:
        self.answers: Counter[str] = Counter()
        self.slowest_s = 0.0
        self.lag_s = 0.0
        self.over = asyncio.Event()
        self._port = port
        self._findings = findings
        self._for_new = ("200", "503") if refusals else ("200",)
        """New connections may be refused, if it is said in time."""
        self._may_fail = may_fail
        """Connections may break; then they are opened again."""

    async def ask_for(self, seconds: float) -> None:
        """Ask for this long, all of them."""
        async with asyncio.TaskGroup() as group:
            lag = group.create_task(self._measure_lag())
            clients = [group.create_task(self._kept()) for _ in range(KEPT)]
            clients += [group.create_task(self._fresh()) for _ in range(FRESH)]
            await asyncio.sleep(seconds)
            self.over.set()
            await asyncio.wait(clients)
            lag.cancel()

    async def _measure_lag(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            self.lag_s = max(self.lag_s, time.monotonic() - before - 0.01)

    async def _kept(self) -> None:
        connection = None
        while not self.over.is_set():
            began = time.monotonic()
            if connection is None:
                connection = await asyncio.open_connection("127.0.0.1", self._port)
            if not await self._ask(*connection, began, ("200",)):
                connection[1].close()
                connection = None
            await asyncio.sleep(PAUSE_S)
        if connection is not None:
            connection[1].close()

    async def _fresh(self) -> None:
        while not self.over.is_set():
            began = time.monotonic()
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            await self._ask(reader, writer, began, self._for_new)
            writer.close()
            await asyncio.sleep(PAUSE_S)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, began: float, good: tuple[str, ...]
    ) -> bool:
        """Ask once; return whether the connection can be used again."""
        try:
            async with asyncio.timeout(TIMEOUT_MS / 1000 * 10):
                writer.write(HEAD)
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0]))
            status = head[9:12].decode()
        except (OSError, RuntimeError, asyncio.IncompleteReadError, TimeoutError) as error:
            status = type(error).__name__  # a RuntimeError is uvloop's word for a connection that is closed
        took_s = time.monotonic() - began
        self.slowest_s = max(self.slowest_s, took_s)
        self.answers[status] += 1
        self._findings.count += 1
        if status not in good and self._may_fail:
            return False
        self._findings.check(status in good, "every client is answered", status)
        self._findings.check(took_s <= TIMEOUT_MS / 1000 + SLACK_S + self.lag_s, LAW, f"{took_s:.3f} s")
        return status == "200"


def record(name: str, clients: Clients, findings: Findings, more: str = "") -> None:
    answers = ", ".join(f"{status} {times}" for status, times in clients.answers.items())
    slowest = f"the slowest {clients.slowest_s * 1000:.0f} ms, own lag {clients.lag_s * 1000:.0f} ms"
    findings.figures[name] = f"{answers}; {slowest}{more}"


def ends_well(served: GatewayProcess, findings: Findings, name: str) -> None:
    """Stop it, and see that it had lived until then and ends as it should."""
    findings.check(served.process.poll() is None, "no exit", f"{name}: {served.process.returncode}")
    served.process.send_signal(signal.SIGTERM)
    code = served.process.wait(30)
    findings.check(code == 0, "it stops on SIGTERM, with 0", f"{name}: {code}")


# -- the trials


def few_descriptors(url: str, seconds: float, findings: Findings) -> None:
    """Let a crowd take all descriptors there are."""
    limit = ("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}")
    with gateway("--upstream", url, "--shedding=off", "--drain-ms=2000", by=limit) as served:
        clients = Clients(served.port, findings, refusals=True)
        most = uvloop.run(_crowded(clients, served, seconds))
        record(f"{DESCRIPTORS} descriptors, a crowd of {CROWD}", clients, findings, f"; {most} open at most")
        findings.check(most < DESCRIPTORS, "accepting never meets a lack of descriptors", f"{most} open")
        findings.check("Traceback" not in served.log(), "nothing is raised", served.log()[:1000])
        ends_well(served, findings, "few descriptors")


async def _crowded(clients: Clients, served: GatewayProcess, seconds: float) -> int:
    worker, most = served.worker, 0

    async def one_of_the_crowd(number: int) -> None:
        while not clients.over.is_set():
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            try:
                with suppress(OSError):
                    await reader.read()  # nothing, or a refusal
                if number % 2:
                    await asyncio.sleep(0.5)  # it does not hurry to close its side
            finally:
                writer.close()

    async def watch() -> None:
        nonlocal most
        while not clients.over.is_set():
            most = max(most, worker.num_fds())
            await asyncio.sleep(0.02)

    asking = asyncio.create_task(clients.ask_for(seconds))
    await asyncio.sleep(0.1)  # those that keep their connection have it
    crowd = [asyncio.create_task(one_of_the_crowd(number)) for number in range(CROWD)]
    await asyncio.gather(asking, watch())
    for each in crowd:
        each.cancel()
    await asyncio.wait(crowd)
    return most


def little_memory(url: str, seconds: float, findings: Findings) -> None:
    """Let clients want more memory than there is. The C library then ends the worker, and another takes its place."""
    with gateway("--upstream", url, "--shedding=off", "--drain-ms=2000") as served:
        worker = served.worker
        uvloop.run(Clients(served.port, findings).ask_for(0.3))
        limit = worker.memory_info().vms + MEMORY_BYTES
        psutil.Process(worker.pid).rlimit(psutil.RLIMIT_AS, (limit, limit))
        during = Clients(served.port, findings, may_fail=True)
        uvloop.run(_greedy(during, served.port, seconds))
        afterwards = Clients(served.port, findings)
        uvloop.run(afterwards.ask_for(0.3))
        metrics = settle(served, within_s=10.0)
        findings.check(not unsettled(metrics), "at rest the gateway's own gauges are 0", unsettled(metrics))
        fate = "the worker lived" if served.worker.pid == worker.pid else "the worker was replaced"
        record("little memory", during, findings, f"; {fate}")
        record("little memory, afterwards", afterwards, findings)
        ends_well(served, findings, "little memory")


async def _greedy(clients: Clients, port: int, seconds: float) -> None:
    async def one() -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", port))
            with suppress(OSError):
                await loop.sock_sendall(sock, GREEDY_HEAD)
                await clients.over.wait()

    asking = asyncio.create_task(clients.ask_for(seconds))
    await asyncio.sleep(0.1)
    greedy = [asyncio.create_task(one()) for _ in range(GREEDY)]
    await asking
    await asyncio.wait(greedy)


def output(kind: str, url: str, seconds: float, findings: Findings) -> None:
    """Let the log, or standard output, go where it cannot be written."""
    sink = full_disk if "full" in kind else unread_pipe
    flags = ("--upstream", url, "--shedding=off", "--drain-ms=2000", "--access-log=all")
    with sink() as descriptor:
        streams = {"stdout" if "output" in kind else "stderr": descriptor}
        with gateway(*flags, **streams) as served:  # type: ignore[arg-type] # mypy knows no keywords by name
            clients = Clients(served.port, findings)
            uvloop.run(clients.ask_for(seconds))
            lost = served.metrics()["hedgerow_log_lines_dropped_total"]
            if "log" in kind and ("full" in kind or clients.answers.total() > 2 * MAX_WAITING_LINES):
                findings.check(lost > 0, "what is lost of the log is counted", lost)
            record(kind, clients, findings, f"; {lost:g} log lines lost")
            ends_well(served, findings, kind)


OUTPUTS = (
    "a log on a full disk",
    "a log without a reader",
    "standard output on a full disk",
    "standard output without a reader",
)
SMALL = 0.05
"""At shares below this only the first of the outputs is tried, and not how it is without memory: each takes a start."""


def run(seed: int, share: float) -> Findings:
    """Run one trial after the other."""
    findings = Findings()
    raise_descriptor_limit()
    seconds = max(SECONDS * share, 0.3)
    with simulator("--latency-ms=10-50", f"--seed={seed}", *FAULTLESS) as upstream:
        few_descriptors(upstream.url, seconds, findings)
        if share >= SMALL:
            little_memory(upstream.url, seconds, findings)
        for kind in OUTPUTS if share >= SMALL else OUTPUTS[:1]:
            output(kind, upstream.url, seconds, findings)
    return findings


CAMPAIGN = Campaign(
    id="C15",
    title="resources",
    proves="With few descriptors or little memory, and with outputs that are full or unread, the gateway goes on, in "
    "time.",
    acceptance_threshold="no exit, no late answer from an accept pause",
    run=run,
)
