"""C19: the requests that other servers are tested with, held against a reading of the RFCs that is not the product's.

Each goes over a connection of its own to the default route and to a pass-through route that accepts bodies. A client
has a loopback address of its own, which X-Forwarded-For tells the recording upstream: no request is changed.
"""

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from hedgerow.settings import ClientLimits
from support.processes import GatewayProcess
from verification.harness.campaign import Campaign, Findings, counted
from verification.harness.corpora import Sample, requests
from verification.harness.processes import gateway
from verification.harness.rfc_oracle import Message, Verdict, read

LIMITS = ClientLimits()
AT_ONCE = 32
PATIENCE_S = 30.0
"""Beyond the gateway's own timeouts of heads (5 s) and bodies (10 s)."""
ROUTE = """
[upstreams.recording]
endpoints = ["http://127.0.0.1:{port}/"]

[[routes]]
path_prefix = "/"
methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
idempotent = true
upstream = "recording"
hedge = {{ max_hedges = 0 }}
"""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
REJECTIONS = frozenset({400, 405, 408, 413, 414, 417, 431, 501, 505})
_STATUS = re.compile(rb"(?:^|\r\n\r\n|[\x7d\n])HTTP/1\.1 ([0-9]{3}) ")
_PLAIN_PATH = re.compile(rb"/(?!/)[A-Za-z0-9\-._~!$&'()*+,;=:@/]*(\?[\x21-\x7e]*)?")
_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})

Received = list[tuple[bytes, bytes]]
"""Method and body of each request of one client, as they came to the upstream."""


class Recorder:
    """The upstream: reads requests of the gateway, which have a Content-Length or no body."""

    def __init__(self) -> None:
        self.by_client: dict[str, Received] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)\r\n", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                client = re.search(rb"(?i)\r\nx-forwarded-for: *([^\r]*)", head)
                if client:
                    address = client[1].split(b",")[-1].strip().decode()
                    self.by_client.setdefault(address, []).append((head.partition(b" ")[0], body))
                writer.write(OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def address_of(number: int) -> str:
    """Return a client's own loopback address."""
    return f"127.{20 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


async def exchange(port: int, address: str, wire: bytes, answers: int) -> list[int]:
    """Send all, read until this many answers or the end; return their statuses (not 1xx)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    data = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            writer.write(wire)
            while len(final(data)) < answers and (piece := await reader.read(65536)):
                data += piece
            writer.write_eof()
            while piece := await reader.read(65536):
                data += piece
    except OSError:  # TimeoutError is one: what has come counts
        pass
    writer.close()
    return final(data)


def final(data: bytes) -> list[int]:
    """Return the statuses that are not 1xx."""
    return [int(status) for status in _STATUS.findall(data) if status[:1] != b"1"]


def stricter(message: Message) -> str:
    """Return the rule of docs/reference/routing-rules.md by which a valid message is rejected, or nothing."""
    if message.method not in _METHODS:
        return "ours: a method that no route has"
    if not _PLAIN_PATH.fullmatch(message.target):
        return "ours: paths and targets"
    if message.head_bytes > LIMITS.max_head_bytes or message.fields > LIMITS.max_headers:
        return "ours: limits of heads"
    return ""


def judge(
    sample: Sample,
    statuses: Sequence[int],
    received: Received | None,
    findings: Findings,
    rules: Counter[str],
) -> None:
    """Hold what came of one connection against the oracle; `received` is None where nothing passes through."""
    shown = f"{sample.source}: {sample.wire[:300]!r} -> {statuses} {received}"
    left = list(received or [])
    for number, message in enumerate(read(sample.wire)):
        status = statuses[number] if number < len(statuses) else 0
        rejected = status == 0 or status in REJECTIONS or status == 404
        rule = message.rule
        if message.verdict is Verdict.VALID:
            rule = (
                stricter(message)
                if received is not None
                else "ours: the default route's path, method, no body"
            )
        if message.verdict in (Verdict.REJECT, Verdict.INCOMPLETE):
            findings.check(
                status == 0 or status in REJECTIONS, "what must be rejected is", f"{message.rule}; {shown}"
            )
        if message.verdict is Verdict.VALID and received is not None and not rule:
            findings.check(status == 200, "what is valid is accepted", shown)
        if rejected:
            rules[f"{message.verdict.value}: {rule or 'no rule'}"] += 1
            break
        if received is not None:
            passed = left.pop(0) if left else None
            findings.check(
                passed == (message.method, message.body), "the upstream gets what the oracle reads", shown
            )
    findings.check(not left, "the upstream gets nothing else", shown)


async def ask_all(
    name: str,
    served: GatewayProcess,
    samples: Sequence[Sample],
    recorder: Recorder | None,
    findings: Findings,
) -> None:
    """Send each sample once."""
    limit, rules = asyncio.Semaphore(AT_ONCE), Counter[str]()
    statuses: Counter[int] = Counter()

    async def one(number: int, sample: Sample) -> None:
        async with limit:
            expected = sum(1 for _ in read(sample.wire))
            found = await exchange(served.port, address_of(number), sample.wire, expected)
        received = None if recorder is None else recorder.by_client.get(address_of(number), [])
        statuses.update(found)
        judge(sample, found, received, findings, rules)

    async with asyncio.TaskGroup() as group:
        for number, sample in enumerate(samples):
            group.create_task(one(number, sample))
    findings.figures[f"answers, {name}"] = ", ".join(
        f"{status} {n}" for status, n in sorted(statuses.items())
    )
    findings.figures[f"rejected, {name}"] = "; ".join(f"{rule} {n}" for rule, n in rules.most_common())
    findings.check("Traceback" not in served.log(), "nothing is raised", served.log()[-2000:])


async def campaign(samples: Sequence[Sample], findings: Findings) -> None:
    """Send them to a gateway for each kind of route."""
    recorder = Recorder()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with gateway("--upstream", f"http://127.0.0.1:{port}/work", "--shedding=off") as served:
        await ask_all("default route", served, samples, None, findings)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "hedgerow.toml"
        file.write_text(ROUTE.format(port=port))
        with gateway(f"--config={file}", "--shedding=off") as served:
            await ask_all("pass-through", served, samples, recorder, findings)
    server.close()


def run(seed: int, share: float) -> Findings:
    """Send a share of the corpora, drawn by the seed."""
    samples = requests()
    Random(seed).shuffle(samples)
    samples = samples[: counted(len(samples), share)]
    findings = Findings(count=len(samples))
    asyncio.run(campaign(samples, findings))
    return findings


CAMPAIGN = Campaign(
    id="C19",
    title="requests of others' tests",
    proves="What the RFCs reject is rejected, what they accept passes through with its body or is rejected by a named "
    "rule, for the requests that other servers are tested with.",
    acceptance_threshold="all requests of the corpora, 0 disagreements, each rejection by a named rule",
    run=run,
)
