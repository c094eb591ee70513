"""C08: clients that leave, by FIN, RST and half-close, at random moments before, in and after their answer."""

import asyncio
import socket
import struct
from collections import Counter
from random import Random

import uvloop

from hedgerow.processes.process_tuning import raise_descriptor_limit
from support.processes import FAULTLESS, GatewayProcess, SimulatorProcess, simulator
from verification.harness.campaign import Campaign, Findings, counted
from verification.harness.processes import (
    check_rest,
    connections_to,
    gateway,
    memory_bytes,
    own_descriptors,
    settle,
    unsettled,
)

CLIENTS = 100_000
AT_ONCE = 400
ROUNDS = 5
"""After each all is at rest and is looked at; what grows from the first to the last is a leak."""
LONGEST_STAY_S = 0.08
"""The upstream takes up to 60 ms and hedges leave at 20 ms, so clients leave before, between and after them."""
STAYS = 0.02
"""Share of clients that do not leave: they must get their answer, however the others behave."""
PATIENCE_S = 10.0
"""For what comes at once unless something is broken: the end of a half-closed connection, an answer."""
SETTLE_S = 5.0
"""LoserPolicy have a grace of 1 s; the rest is for a slow machine."""
MEMORY_BYTES = 2 * 1024 * 1024
"""From the first round to the last: 26 bytes for each of 80 000 clients, less than any object of Python's."""
CONNECTION_BYTES = 2 * 1024
"""What a pooled connection takes (1.6 KB were measured, not compiled). It stays for 50 s after its last use, and some
hundred more are pooled after each round, so they are not counted as growth."""
SEEN_SHARE = 0.1
"""Of the clients at least this share leaves in the middle of a race; about a quarter do. It must not go unseen."""

HEAD = b"GET /api/smart HTTP/1.1\r\nHost: x\r\n\r\n"
SAID = (
    b"", b"GET /api/sm", b"GET /api/smart HTTP/1.1\r\nHost: x\r\nX: ", HEAD, HEAD, HEAD, HEAD, HEAD * 2,
    HEAD + HEAD[:20], HEAD * 40,
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", b"no HTTP at all\r\n\r\n",
)  # fmt: skip
"""Nothing, part of a head, a request, several, and what is refused."""
_RST = struct.pack("ii", 1, 0)
"""`SO_LINGER`, on, 0 seconds: `close` sends RST (socket(7))."""


class Clients:
    """Comes and goes."""

    def __init__(self, port: int, seed: int, findings: Findings) -> None:
        self.left_by: Counter[str] = Counter()
        self._address = ("127.0.0.1", port)
        self._seed = seed
        self._findings = findings

    async def come(self, numbers: range) -> None:
        """Let these clients come, `AT_ONCE` of them together."""
        queue = iter(numbers)

        async def one_after_the_other() -> None:
            for number in queue:
                await self._call(Random(f"{self._seed}/{number}"))

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(one_after_the_other())

    async def _call(self, chance: Random) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setblocking(False)
            # A port that was closed first cannot be used again for a minute, so one address has too few.
            sock.bind((f"127.0.0.{chance.randint(2, 254)}", 0))
            await loop.sock_connect(sock, self._address)
            how = "staying" if chance.random() < STAYS else chance.choice(("FIN", "RST", "half-close"))
            self.left_by[how] += 1
            if how == "staying":
                await self._stay(sock)
                return
            try:
                await loop.sock_sendall(sock, chance.choice(SAID))
                if chance.random() < 0.9:
                    await asyncio.sleep(chance.random() * LONGEST_STAY_S)
                if how == "RST":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
                elif how == "half-close":
                    sock.shutdown(socket.SHUT_WR)
                    await self._until_closed(sock)
            except ConnectionError:  # it was refused, and closed before we were done
                self.left_by["(closed by the gateway before)"] += 1

    async def _until_closed(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while await loop.sock_recv(sock, 65_536):
                    pass
        except TimeoutError:
            self._findings.violation("a half-closed connection is closed", f"still open after {PATIENCE_S} s")

    async def _stay(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        answer = b""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await loop.sock_sendall(sock, HEAD)
                answer = await loop.sock_recv(sock, 65_536)
        except (TimeoutError, ConnectionError) as error:
            answer = repr(error).encode()
        self._findings.check(answer.startswith(b"HTTP/1.1 200 "), "who stays gets a success", answer[:200])


def look(
    served: GatewayProcess, upstream: SimulatorProcess, findings: Findings, descriptors: int
) -> tuple[int, int]:
    """Check that all is at rest as in the beginning; return bytes of memory and the number of pooled connections."""
    metrics = settle(served, SETTLE_S)
    findings.check(not unsettled(metrics), "at rest the gateway's own gauges are 0", unsettled(metrics))
    now = own_descriptors(served, but_upstream_port=upstream.port)
    findings.check(now == descriptors, "no descriptor is leaked", f"{now}, at the start {descriptors}")
    idle = metrics['hedgerow_upstream_connections{state="idle"}']
    open_connections = connections_to(served.worker, upstream.port)
    invariant = "every connection to the upstream is one that the pool knows"
    findings.check(
        open_connections == idle, invariant, f"the system has {open_connections}, the pool {idle:g}"
    )
    return memory_bytes(served.worker), int(idle)


def run(seed: int, share: float) -> Findings:
    """Let clients come in rounds; look at the gateway after each."""
    findings = Findings(count=counted(CLIENTS, share, at_least=ROUNDS))
    raise_descriptor_limit()
    with (
        simulator("--latency-ms=1-60", f"--seed={seed}", *FAULTLESS) as upstream,
        gateway(
            "--upstream", upstream.url, "--hedge-after-ms=20", "--shedding=off", "--drain-ms=1000"
        ) as served,
    ):
        worker = served.worker
        clients = Clients(served.port, seed, findings)
        descriptors = own_descriptors(served, but_upstream_port=upstream.port)
        memory: list[int] = []
        pooled: list[int] = []
        for number in range(ROUNDS):
            size = findings.count // ROUNDS
            uvloop.run(clients.come(range(number * size, (number + 1) * size)))
            used, connections = look(served, upstream, findings, descriptors)
            memory.append(used)
            pooled.append(connections)
        grown = memory[-1] - memory[0] - max(pooled[-1] - pooled[0], 0) * CONNECTION_BYTES
        more = f"{grown} bytes more after the first round, without those of pooled connections"
        findings.check(grown <= MEMORY_BYTES, "memory stays", more)
        busy = check_rest(findings, worker)
        findings.check(served.worker.pid == worker.pid, "no worker died", served.log()[-500:])
        metrics = served.metrics()
        bugs, seen = metrics["hedgerow_internal_errors_total"], metrics["hedgerow_client_disconnects_total"]
        findings.check(bugs == 0, "no internal error", bugs)
        invariant = "a race ends as its client leaves"
        findings.check(
            seen >= findings.count * SEEN_SHARE, invariant, f"{seen:g} of {findings.count} were seen"
        )
        findings.check("Traceback" not in served.log(), "nothing is raised", served.log()[-500:])
    findings.figures = {
        "left by": ", ".join(f"{how} {times}" for how, times in sorted(clients.left_by.items())),
        "memory after each round": ", ".join(f"{each / 2**20:.1f}" for each in memory) + " MiB",
        "pooled connections": ", ".join(map(str, pooled)),
        "CPU at rest afterwards": f"{busy:.2%} of a core",
        "descriptors before and after": str(descriptors),
        "left in the middle of a race": f"{seen:g}",
    }
    return findings


CAMPAIGN = Campaign(
    id="C08",
    title="clients that leave",
    proves="A client that disconnects, however and whenever, leaves nothing behind: descriptor, memory, timer, race.",
    acceptance_threshold="100 000 clients, 0 leaks, CPU idle afterwards",
    run=run,
)
