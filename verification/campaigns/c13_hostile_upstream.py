"""C13: an upstream that answers with whatever may do harm, and a gateway that must not mind."""

import asyncio
import re
import socket
import struct
from collections import Counter
from itertools import count
from random import Random
from typing import Any, cast

import uvloop

from hedgerow.processes.process_tuning import raise_descriptor_limit
from support.answer_differential import opinion_on, without_our_leniencies
from support.raw_http import Client
from verification.harness.campaign import Campaign, Findings, counted
from verification.harness.hostile_responses import End, Response, draw, is_payload
from verification.harness.processes import connections_to, gateway, memory_bytes, settle, unsettled

REPLIES = 1_000_000
CLIENTS = 200
"""At once, each with one request after the other."""
ROUNDS = 10
"""After each all is at rest and memory is read; two at small shares, for each ends with a wait for the slowest."""
LONG_MS, LONG_MS_AT_SMALL_SHARES, SHORT_MS = 3_000, 1_000, 30
"""Most requests have time enough for any reply that ends; to the others some replies come too late."""
SHORT_SHARE = 0.1
SOON_S = 0.3
"""A reply that was sent so soon has time enough to be read, however busy the machine."""
MEMORY_BYTES = 8 * 1024 * 1024
PATIENCE_S = 30.0
"""An answer that has not come by then never will."""
SETTLE_S = 10.0
FLAGS = ("--hedge-after-ms=5", "--loser-grace-ms=50", "--shedding=off", "--drain-ms=1000")

_RST = struct.pack("ii", 1, 0)
_ASKED = re.compile(rb"X-Request-Id: ([^\r]+)\r\nHedgerow-Attempt: ([0-9]+)\r\n\r\n")


class Hostile:
    """The upstream: what it has sent, so that answers can be held against it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.replies: Counter[str] = Counter()
        self.sent: dict[bytes, list[Response]] = {}
        """The replies to each request that is under way, by its id."""
        self.promised: dict[bytes, float] = {}
        """When the first attempt of a request got a valid reply on a connection that is as it should be, by its id."""


class HostileConnection(asyncio.Protocol):
    """Reads requests, plays the replies drawn for them."""

    def __init__(self, upstream: Hostile) -> None:
        self._upstream = upstream
        self._loop = asyncio.get_running_loop()
        self._read = b""
        self._reply: Response | None = None
        self._left: list[bytes] = []
        self._promises = b""
        """The request whose first attempt is getting a valid reply."""
        self._tainted = False
        """What was sent on it before may still be in the way of the next reply."""
        self._timer: asyncio.Handle | None = None
        self._transport: asyncio.Transport
        self._writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        asked = _ASKED.search(self._read)
        if asked is None:
            return
        self._read = b""
        request_id, number = asked.groups()
        upstream = self._upstream
        token = b"%b-%b" % (request_id, number)
        reply = draw(Random(b"%d/%b" % (upstream.seed, token)), token)
        upstream.replies[reply.kind] += 1
        if request_id in upstream.sent:
            upstream.sent[request_id].append(reply)
        self._promises = request_id if number == b"1" and reply.valid and not self._tainted else b""
        self._tainted = self._tainted or not reply.valid
        if self._timer is not None:
            self._timer.cancel()
        self._reply, self._left = reply, reply.pieces[::-1]
        self._go_on()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self._reply is not None and self._timer is None:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's)
        self._reply = None
        if self._timer is not None:
            self._timer.cancel()

    def _go_on(self) -> None:
        """Send the next piece, then wait for a while or a turn of the loop."""
        self._timer = None
        reply = self._reply
        if reply is None or not self._writable:
            return
        if self._left:
            self._transport.write(self._left.pop())
        elif reply.endless:
            self._transport.write(reply.endless)
        if self._left or reply.endless:
            self._timer = self._loop.call_later(reply.pause_s, self._go_on)
            return
        self._reply = None
        if self._promises in self._upstream.sent:
            self._upstream.promised[self._promises] = self._loop.time()
        if reply.end is End.RESET:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            self._transport.abort()
        elif reply.end is End.CLOSE:
            self._transport.close()


class Clients:
    """They ask, and hold each answer against what their own attempts were sent."""

    def __init__(self, port: int, upstream: Hostile, findings: Findings, long_ms: int) -> None:
        self.statuses: Counter[int] = Counter()
        self._port = port
        self._upstream = upstream
        self._findings = findings
        self._long_ms = long_ms
        self._numbers = count()

    async def ask_until(self, replies: int) -> None:
        """Ask until the upstream has sent this many replies."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._ask(replies))

    async def _ask(self, replies: int) -> None:
        loop = asyncio.get_running_loop()
        client = await Client.connect(self._port)
        while self._upstream.replies.total() < replies:
            number = next(self._numbers)
            request_id = b"r%d" % number
            timeout_ms = SHORT_MS if Random(number).random() < SHORT_SHARE else self._long_ms
            self._upstream.sent[request_id] = []
            began = loop.time()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    status, _, body = await client.get(
                        f"/api/smart?timeout={timeout_ms}", X_Request_Id=request_id.decode()
                    )
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                self._findings.violation("every request is answered", f"{request_id!r}: {error!r}")
                client.close()
                client = await Client.connect(self._port)
                status, body = 0, b""
            self.statuses[status] += 1
            sent = self._upstream.sent.pop(request_id)
            promised = self._upstream.promised.pop(request_id, None)
            # One that lay unread for all its time is refused; the machine is busy.
            if not (status == 503 and timeout_ms == SHORT_MS):
                self._judge(request_id, status, body, sent)
            if promised is not None and timeout_ms == self._long_ms and promised - began < SOON_S:
                self._findings.check(
                    status == 200, "a valid reply is a success", f"{request_id!r}: {body[:500]!r}"
                )
        client.close()

    def _judge(self, request_id: bytes, status: int, body: bytes, sent: list[Response]) -> None:
        invariant = "every answer is a success, all failed or out of time"
        self._findings.check(status in (0, 200, 502, 504), invariant, f"{status} {body[:200]!r}")
        if status != 200:
            return
        self._findings.check(is_payload(body), "no success but a valid payload", body[:200])
        if b'"token":"%b-' % request_id not in body and not any(h11_reads(body, reply) for reply in sent):
            self._findings.violation("a body is that of an own attempt", f"{request_id!r}: {body[:200]!r}")


def h11_reads(body: bytes, reply: Response) -> bool:
    """Return whether h11 finds this body in what was sent; for replies whose token was damaged on the way."""
    wire = without_our_leniencies(b"".join(reply.pieces))
    opinion = opinion_on(wire, then_close=reply.end is End.CLOSE)
    return opinion is not None and (opinion.answer.status, opinion.answer.body) == (200, body)


async def campaign(seed: int, share: float, findings: Findings) -> None:
    """Serve before the hostile upstream in rounds; look at the gateway after each."""
    replies = counted(REPLIES, share, at_least=100)
    rounds, long_ms = (ROUNDS, LONG_MS) if share > 0.01 else (2, LONG_MS_AT_SMALL_SHARES)
    loop = asyncio.get_running_loop()
    hostile = Hostile(seed)
    server = await loop.create_server(lambda: HostileConnection(hostile), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    with gateway("--upstream", f"http://127.0.0.1:{port}/work", *FLAGS) as served:
        worker = served.worker
        clients = Clients(served.port, hostile, findings, long_ms)
        memory = []
        for number in range(1, rounds + 1):
            await clients.ask_until(replies * number // rounds)
            metrics = await asyncio.to_thread(settle, served, SETTLE_S)
            invariant = "at rest the gateway's own gauges are 0"
            findings.check(not unsettled(metrics), invariant, unsettled(metrics))
            memory.append(memory_bytes(worker))
        invariant = "every connection to the upstream is one that the pool knows"
        open_connections, idle = (
            connections_to(worker, port),
            metrics['hedgerow_upstream_connections{state="idle"}'],
        )
        findings.check(
            open_connections == idle, invariant, f"the system has {open_connections}, the pool {idle:g}"
        )
        findings.check(served.worker.pid == worker.pid, "no worker died", served.log()[-500:])
        findings.check("Traceback" not in served.log(), "nothing is raised", served.log()[:6000])
    server.close()
    grown = max(memory) - memory[0]
    findings.check(grown <= MEMORY_BYTES, "memory stays within 8 MiB", f"{grown / 2**20:.1f} MiB more")
    findings.count = hostile.replies.total()
    findings.figures = {
        "replies": listed(hostile.replies),
        "taken for": listed(outcomes(metrics)),
        "answers": listed(clients.statuses),
        "memory after each round": ", ".join(f"{each / 2**20:.1f}" for each in memory) + " MiB",
    }


def outcomes(metrics: dict[str, float]) -> Counter[str]:
    """Add up the attempts by outcome."""
    counts: Counter[str] = Counter()
    for name, times in metrics.items():
        if name.startswith("hedgerow_attempts_total{") and times:
            counts[name.partition('outcome="')[2].partition('"')[0]] += int(times)
    return counts


def listed(counts: Counter[Any]) -> str:
    """Write counts down, the most frequent first."""
    return ", ".join(f"{name} {times}" for name, times in counts.most_common())


def run(seed: int, share: float) -> Findings:
    """Have this many replies sent."""
    raise_descriptor_limit()
    findings = Findings()
    uvloop.run(campaign(seed, share, findings))
    return findings


CAMPAIGN = Campaign(
    id="C13",
    title="a hostile upstream",
    proves="Whatever the upstream sends, each client gets an answer, no success that is none or another's, and nothing "
    "of it stays.",
    acceptance_threshold="1 000 000 replies, 0 crashes, memory + at most 8 MiB",
    run=run,
)
