"""C10: clients that trickle heads, stay silent, do not read their answers or never end, while good ones are served."""

import asyncio
import json
import socket
import struct
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any

import psutil
import uvloop

from hedgerow.processes.process_tuning import raise_descriptor_limit
from hedgerow.server.timeouts import REAP_INTERVAL_S
from hedgerow.settings import ClientLimits
from support.processes import FAULTLESS, simulator
from verification.harness.campaign import Campaign, Findings, counted
from verification.harness.processes import gateway, memory_bytes, settle, unsettled

SLOW = 5_000
GOOD = 32
"""Keep-alive connections with one request after the other."""
GOOD_SHARE = 0.999
TIMEOUT_MS = 1_000
"""Of good requests; the upstream takes 10 ms to 50 ms."""
SLACK_S = 1.0
"""What a slow machine may add, besides the lag of our own loop, which is measured."""
SHORT = ClientLimits(head_timeout_s=0.3, idle_timeout_s=2.2, write_timeout_s=0.3, linger_s=0.3)
"""At small shares: 75 s of idleness would take as long at any share."""
MEMORY_PER_SLOW_BYTES = 100 * 1024
"""Of one that does not read: 64 KiB of answers wait for it, and up to 64 KiB of its requests are held."""

UNREAD = 700
"""Requests of one that does not read: some 280 KB of answers, more than the limits and the kernel's buffers hold."""
LOOK_AGAIN_S = 0.05

HEAD = b"GET /api/smart?timeout=%d HTTP/1.1\r\nHost: x\r\n" % TIMEOUT_MS
NOT_FOUND = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
_TCP_CLOSE = 7
"""`tcpi_state` of a connection that is gone, in `struct tcp_info` of linux/tcp.h."""


class Crowd:
    """The slow ones. Each method is one way to be slow, and ends when the gateway has closed the connection."""

    def __init__(self, port: int, limits: ClientLimits, findings: Findings) -> None:
        self.kinds: dict[str, tuple[int, Callable[[Random], Coroutine[Any, Any, None]]]] = {
            "trickling": (12, self.trickle),
            "trickling after an answer": (2, self.trickle_after_an_answer),
            "idle": (3, self.idle),
            "idle after an answer": (1, self.idle_after_an_answer),
            "not reading": (1, self.not_reading),
            "sending on after a refusal": (1, self.sending_on),
        }
        """The first number is how many there are of it, in 20."""
        self.lag_s = 0.0
        """The longest that our own loop was late."""
        self.closed_after_s: defaultdict[str, list[float]] = defaultdict(list)
        self.all_here = asyncio.Event()
        self._here = 0
        self._port = port
        self._limits = limits
        self._findings = findings

    async def come(self, seed: int, count: int) -> None:
        """Let this many come, at about the same time; return when all are gone."""
        self._all = count
        chance = Random(seed)
        names = chance.choices(list(self.kinds), [weight for weight, _ in self.kinds.values()], k=count)
        async with asyncio.TaskGroup() as group:
            lag = group.create_task(self._measure_lag())
            slow = [group.create_task(self.kinds[name][1](Random(chance.random()))) for name in names]
            await asyncio.wait(slow)
            lag.cancel()

    async def _measure_lag(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            self.lag_s = max(self.lag_s, time.monotonic() - before - 0.05)

    # -- ways to be slow

    async def trickle(self, chance: Random, after: bytes = b"", kind: str = "trickling") -> None:
        """Send a head in pieces of a few bytes, never to its end."""
        with await self._connect(chance) as sock:
            if after:
                await self._ask(sock, after)
            began = time.monotonic()
            endless = HEAD + b"".join(b"X-%d: y\r\n" % number for number in range(1000))
            trickling = asyncio.create_task(self._trickle(sock, endless, chance))
            said = await self._until_closed(sock, kind, began, self._limits.head_timeout_s)
            trickling.cancel()
            self._findings.check(b" 408 " in said, "a slow header is answered with 408", said[:80])

    async def trickle_after_an_answer(self, chance: Random) -> None:
        """The same on a connection that has had an answer."""
        await self.trickle(chance, HEAD + b"\r\n", "trickling after an answer")

    async def idle(self, chance: Random, after: bytes = b"", kind: str = "idle") -> None:
        """Say nothing."""
        with await self._connect(chance) as sock:
            if after:
                await self._ask(sock, after)
            said = await self._until_closed(sock, kind, time.monotonic(), self._limits.idle_timeout_s)
            self._findings.check(said == b"", "a silent client gets no response", said[:80])

    async def idle_after_an_answer(self, chance: Random) -> None:
        """Say nothing more."""
        await self.idle(chance, HEAD + b"\r\n", "idle after an answer")

    async def not_reading(self, chance: Random) -> None:
        """Ask for more than the buffers on the way hold, and read nothing."""
        with await self._connect(chance, receive_bytes=4096) as sock:
            await asyncio.sleep(
                chance.random() * self._limits.idle_timeout_s / 10
            )  # all at once would be a flood
            began = time.monotonic()
            await asyncio.get_running_loop().sock_sendall(sock, NOT_FOUND * UNREAD)
            await self._until_gone(sock, self._limits.write_timeout_s)
            self._note("not reading", began, self._limits.write_timeout_s)

    async def sending_on(self, chance: Random) -> None:
        """Send what is refused, and then a body without end."""
        with await self._connect(chance) as sock:
            began = time.monotonic()
            await asyncio.get_running_loop().sock_sendall(
                sock, b"POST /api/smart HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n"
            )
            await self._until_gone(sock, self._limits.linger_s, sending=b"x" * 100)
            self._note("sending on after a refusal", began, self._limits.linger_s)

    # -- parts of them

    async def _connect(self, chance: Random, receive_bytes: int = 0) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.sleep(chance.random() * self._limits.idle_timeout_s / 20)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        self._here += 1
        if self._here == self._all:
            self.all_here.set()
        return sock

    async def _ask(self, sock: socket.socket, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, request)
        said = await loop.sock_recv(sock, 65_536)
        self._findings.check(said[9:12] == b"200", "a slow client's good request is answered", said[:80])

    async def _trickle(self, sock: socket.socket, data: bytes, chance: Random) -> None:
        loop = asyncio.get_running_loop()
        pause_s = self._limits.head_timeout_s / 10
        with suppress(OSError):  # it is closed at last
            while data:
                size = chance.randint(1, 3)
                await loop.sock_sendall(sock, data[:size])
                data = data[size:]
                await asyncio.sleep(chance.random() * 2 * pause_s)

    async def _until_closed(self, sock: socket.socket, kind: str, began: float, limit_s: float) -> bytes:
        loop = asyncio.get_running_loop()
        said = b""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(limit_s * 2 + 10):
                while piece := await loop.sock_recv(sock, 65_536):
                    said += piece
        self._note(kind, began, limit_s)
        return said

    async def _until_gone(self, sock: socket.socket, limit_s: float, sending: bytes = b"") -> None:
        give_up_at = time.monotonic() + limit_s * 2 + 10
        with suppress(ConnectionError):
            while not is_gone(sock) and time.monotonic() < give_up_at:
                with suppress(BlockingIOError):
                    sock.send(sending)
                await asyncio.sleep(LOOK_AGAIN_S)

    def _note(self, kind: str, began: float, limit_s: float) -> None:
        """A connection has been closed: see whether that was in time, and not before its time."""
        took_s = time.monotonic() - began
        self.closed_after_s[kind].append(took_s)
        most_s = limit_s + REAP_INTERVAL_S + SLACK_S + self.lag_s
        invariant = f"{kind}: closed within {limit_s:g} s and a sweep, and not before"
        self._findings.check(limit_s * 0.98 <= took_s <= most_s, invariant, f"{took_s:.2f} s")


class Good:
    """Clients that behave."""

    def __init__(self, port: int) -> None:
        self.answers: Counter[str] = Counter()
        self.slowest_s = 0.0
        self._port = port

    async def keep_asking(self, until: asyncio.Event) -> None:
        """Ask on this many connections, one request after the other on each."""
        async with asyncio.TaskGroup() as group:
            for _ in range(GOOD):
                group.create_task(self._ask(until))

    async def _ask(self, until: asyncio.Event) -> None:
        while not until.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                while not until.is_set():
                    began = time.monotonic()
                    writer.write(HEAD + b"\r\n")
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0])
                    json.loads(await reader.readexactly(length))
                    took_s = time.monotonic() - began
                    self.slowest_s = max(self.slowest_s, took_s)
                    status = head[9:12].decode()
                    self.answers["good" if status == "200" and took_s <= TIMEOUT_MS / 1000 else status] += 1
                writer.close()
            except (OSError, asyncio.IncompleteReadError) as error:
                self.answers[type(error).__name__] += 1


def is_gone(sock: socket.socket) -> bool:
    """Ask the kernel whether a connection has ended; what has come in need not be read for it."""
    state: int = struct.unpack("B", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))[0]
    return state == _TCP_CLOSE


async def meet(crowd: Crowd, good: Good, seed: int, count: int, worker: psutil.Process) -> int:
    """Let the slow and the good come; return how much memory the worker has when all slow ones are there."""
    over = asyncio.Event()
    asking = asyncio.create_task(good.keep_asking(over))
    coming = asyncio.create_task(crowd.come(seed, count))
    await crowd.all_here.wait()
    memory = await asyncio.to_thread(memory_bytes, worker)
    await coming
    over.set()
    await asking
    return memory


def run(seed: int, share: float) -> Findings:
    """Let all slow clients come at once, and wait until each has been closed."""
    findings = Findings(count=counted(SLOW, share, at_least=20))
    raise_descriptor_limit()
    limits = ClientLimits() if share > 0.1 else SHORT
    with (
        simulator("--latency-ms=10-50", f"--seed={seed}", *FAULTLESS) as upstream,
        # What a busy machine makes the gateway refuse is the matter of other campaigns.
        gateway("--upstream", upstream.url, "--shedding=off", "--drain-ms=1000", limits=limits) as served,
    ):
        worker = served.worker
        before = memory_bytes(worker)
        crowd, good = Crowd(served.port, limits, findings), Good(served.port)
        memory = uvloop.run(meet(crowd, good, seed, findings.count, worker))
        metrics = settle(served, within_s=5.0)
        findings.check(not unsettled(metrics), "at rest the gateway's own gauges are 0", unsettled(metrics))
        findings.check("Traceback" not in served.log(), "nothing is raised", served.log()[-500:])
    asked = sum(good.answers.values())
    share_good = good.answers["good"] / max(asked, 1)
    each = (memory - before) / findings.count
    findings.check(share_good >= GOOD_SHARE, "good traffic goes on", dict(good.answers))
    invariant = "a slow client takes less memory than the limits say"
    findings.check(each <= MEMORY_PER_SLOW_BYTES, invariant, f"{each / 1024:.1f} KiB each")
    findings.figures = {
        "good traffic": f"{share_good:.3%} good of {asked}, the slowest {good.slowest_s * 1000:.0f} ms",
        "memory": f"{each / 1024:.1f} KiB for each slow client",
        "own lag": f"{crowd.lag_s * 1000:.0f} ms at most",
    }
    for kind, spans_s in crowd.closed_after_s.items():
        findings.figures[f"{kind} ({len(spans_s)})"] = (
            f"closed after {min(spans_s):.2f} to {max(spans_s):.2f} s"
        )
    return findings


CAMPAIGN = Campaign(
    id="C10",
    title="slow clients",
    proves="Clients that trickle, stay silent or do not read cost the others nothing, and each is closed in its time.",
    acceptance_threshold="5 000 slow clients, good traffic at least 99.9 % good, each slow one closed in time",
    run=run,
)
