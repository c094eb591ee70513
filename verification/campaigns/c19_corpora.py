"""C19: the requests that other servers are tested with, held against a reading of the RFCs that is not the product's.

Each goes over a connection of its own to the default route and to a pass-through route that accepts bodies. A client
has a loopback address of its own, which X-Forwarded-For tells the recording upstream: no request is changed.
"""

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
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
CLOSING = frozenset({400, 408, 413, 414, 417, 431, 501, 505})
"""After these the gateway must close the connection, whatever else was sent."""
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings proxy-authenticate "
    b"proxy-authentication-info proxy-authorization".split()
)
OWN = frozenset(
    b"host x-forwarded-for x-forwarded-proto x-forwarded-host via x-request-id hedgerow-attempt traceparent "
    b"tracestate expect content-length".split()
)
"""What the gateway sets by itself, as docs/reference/routing-rules.md has it."""
MAX_BODY_BYTES = 64 * 1024
"""The default of `max_request_body`."""
_STATUS = re.compile(rb"(?:^|\r\n\r\n|[\x7d\n])HTTP/1\.1 ([0-9]{3}) ")
_PLAIN_PATH = re.compile(rb"/(?!/)[A-Za-z0-9\-._~!$&'()*+,;=:@/]*(\?[\x21-\x7e]*)?")
_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})

Passed = tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]
"""Method, target, end-to-end headers and body."""
Received = list[Passed]
"""Each request of one client, as it came to the upstream."""


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
                    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
                    method, target, _ = lines[0].split(b" ")
                    pairs = (line.partition(b":") for line in lines[1:])
                    fields = end_to_end([(name.lower(), value.strip()) for name, _, value in pairs])
                    self.by_client.setdefault(address, []).append((method, target, fields, body))
                writer.write(OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def address_of(number: int) -> str:
    """Return a client's own loopback address."""
    return f"127.{20 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


def end_to_end(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return what must pass as it is: no header of the connection, none that the gateway sets."""
    fields = list(fields)
    named = {
        each.strip().lower() for name, value in fields if name == b"connection" for each in value.split(b",")
    }
    dropped = HOP_BY_HOP | OWN | named
    return [(name, value) for name, value in fields if name.replace(b"_", b"-") not in dropped]


async def exchange(port: int, address: str, wire: bytes, answers: int) -> tuple[list[int], bool]:
    """Send all, read this many answers; return the statuses (not 1xx), and whether the gateway closed by itself.

    Its close is waited for only where it is due: behind an error of framing, or a `Connection: close` of its own.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    data, closed = b"", False
    try:
        async with asyncio.timeout(PATIENCE_S):
            writer.write(wire)
            while len(found := final(data)) < answers or (found and found[-1] in CLOSING):
                piece = await reader.read(65536)
                if not piece:
                    closed = True
                    break
                data += piece
            writer.write_eof()
            while piece := await reader.read(65536):
                data += piece
    except ConnectionResetError:  # it closed while some of ours lay unread
        closed = True
    except OSError:  # TimeoutError is one: what has come counts
        pass
    writer.close()
    return final(data), closed


def final(data: bytes) -> list[int]:
    """Return the statuses that are not 1xx."""
    return [int(status) for status in _STATUS.findall(data) if status[:1] != b"1"]


def due(message: Message, *, passes: bool) -> tuple[str, set[int]]:
    """Return the rule that a message falls under, and the statuses that it allows. 200 alone: it must be accepted."""
    rule, verdict = message.rule, message.verdict
    bodies = set() if passes else {400, 405}
    if verdict is Verdict.INCOMPLETE:
        return rule or "waited for", {408} | ({400} if rule else set()) | (
            bodies if message.in_body else set()
        )
    if verdict is Verdict.REJECT:
        if rule.startswith("9110 2.5"):
            return rule, {505}
        coding = {501} if passes and rule.endswith("chunked is not the last coding") else set()
        return rule, {400} | coding | (bodies if rule.startswith("9112 6") else set())
    if message.head_bytes > LIMITS.max_head_bytes or len(message.fields) > LIMITS.max_headers:
        return "ours: limits of heads", {414, 431}
    if verdict is Verdict.EITHER:
        accepted = {200} if passes else {404, 405}
        return rule, accepted | {400} | ({501} if "transfer coding" in rule else set())
    if not _PLAIN_PATH.fullmatch(message.target):
        return "ours: paths and targets", {400, 404}
    if not passes:
        return _of_default_route(message)
    if message.method not in _METHODS:
        return "ours: a method that no route has", {405}
    if len(message.body) > MAX_BODY_BYTES:
        return "ours: the limit of bodies", {413}
    return "", {200}


def _of_default_route(message: Message) -> tuple[str, set[int]]:
    """Return the same for a valid message to the default route; none of the corpora has its path."""
    if not message.body and all(name != b"transfer-encoding" for name, _ in message.fields):
        return "ours: the default route's path", {404}
    if message.method in (b"GET", b"HEAD"):
        return "ours: the default route has no bodies", {400}
    return "ours: the default route's methods", {405}


def judge(
    sample: Sample,
    statuses: Sequence[int],
    closed: bool,
    received: Received | None,
    findings: Findings,
    rules: Counter[str],
) -> None:
    """Hold what came of one connection against the oracle; `received` is None where nothing passes through."""
    shown = f"{sample.source}: {sample.wire[:300]!r} -> {statuses} {closed=} {received}"
    left = list(received or [])
    for number, message in enumerate(read(sample.wire)):
        status = statuses[number] if number < len(statuses) else 0
        rule, allowed = due(message, passes=received is not None)
        findings.check(
            status in allowed,
            "each answer is that of the rule which the request falls under",
            f"{rule or 'valid'}, {sorted(allowed)}: {shown}",
        )
        if status in CLOSING:
            findings.check(closed, "the connection of a rejected request is closed", shown)
        if status != 200:
            rules[f"{message.verdict.value}: {rule or 'no rule'}"] += 1
            if status in (404, 405) and number + 1 < len(statuses):
                continue
            break
        if received is not None:
            passed = left.pop(0) if left else None
            wanted = (message.method, message.target, end_to_end(message.fields), message.body)
            findings.check(passed == wanted, "the upstream gets what the oracle reads", f"{wanted}: {shown}")
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
            found, closed = await exchange(served.port, address_of(number), sample.wire, expected)
        received = None if recorder is None else recorder.by_client.get(address_of(number), [])
        statuses.update(found)
        judge(sample, found, closed, received, findings, rules)

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
