"""C19's requests: sent each over a connection of its own, and what came of them held against the RFC's reading.

A client has a loopback address of its own, which X-Forwarded-For reports to the recording upstream: no request is
changed.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from verification.harness.campaign import Findings
from verification.harness.corpus_formats import Sample
from verification.harness.corpus_rules import Due, due, expected_target
from verification.harness.rfc_requests import Request, read
from verification.harness.rfc_wire import Verdict

AT_ONCE = 64
PATIENCE_S = 30.0
"""Beyond all timeouts of the gateway."""
ROUTES = """
[upstreams.recording]
endpoints = ["http://127.0.0.1:{port}/"]

[[routes]]
path_prefix = "/"
methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
idempotent = true
upstream = "recording"
timeout = {{ default = "2s" }}
hedge = {{ mode = "off" }}
"""
"""Its timeout ends bodies that are not whole; its methods are those of `corpus_rules.METHODS`."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings proxy-authenticate "
    b"proxy-authentication-info proxy-authorization".split()
)
OWN = frozenset(
    b"host x-forwarded-for x-forwarded-proto x-forwarded-host via x-request-id hedgerow-attempt traceparent "
    b"tracestate expect content-length".split()
)
"""What the gateway sets by itself, as docs/reference/routing-rules.md has it."""
_STATUS = re.compile(rb"(?:^|\r\n\r\n|[\x7d\n])HTTP/1\.1 ([0-9]{3}) ")


@dataclass(frozen=True, slots=True)
class Passed:
    """What has to pass of a request, or has passed."""

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes


class Recorder:
    """The upstream: reads requests of the gateway, which have a Content-Length or no body."""

    def __init__(self) -> None:
        self.by_client: dict[str, list[Passed]] = {}
        """By the client's address."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
                pairs = (each.partition(b":") for each in lines)
                fields = [(name.lower(), value.strip(b" \t")) for name, _, value in pairs]
                headers = dict(fields)
                body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
                address = headers[b"x-forwarded-for"].rpartition(b",")[2].strip().decode()
                method, target, _ = line.split(b" ")
                passed = Passed(method, target, [field for field in fields if field[0] not in OWN], body)
                self.by_client.setdefault(address, []).append(passed)
                writer.write(OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def end_to_end(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return what must pass as it is: no header of the connection, none that the gateway sets."""
    fields = list(fields)
    named = {
        each.strip(b" \t").lower()
        for name, value in fields
        if name == b"connection"
        for each in value.split(b",")
    }
    dropped = HOP_BY_HOP | OWN | named
    return [(name, value) for name, value in fields if name not in dropped and not _is_forged(name)]


def _is_forged(name: bytes) -> bool:
    """Return whether some servers take the name for one of the gateway's own."""
    return b"_" in name and name.replace(b"_", b"-") in HOP_BY_HOP | OWN


def address_of(number: int) -> str:
    """Return a client's own loopback address."""
    return f"127.{20 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


async def exchange(port: int, address: str, wire: bytes, expected: Sequence[Due]) -> tuple[list[int], bool]:
    """Send all, read the answers; return their statuses (not 1xx), and whether the gateway closed by itself.

    Its close is waited for where `expected`, what each request is due, says that it must come.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    data, is_closed = b"", False
    try:
        async with asyncio.timeout(PATIENCE_S):
            writer.write(wire)
            while not _is_enough(final(data), expected):
                piece = await reader.read(65_536)
                if not piece:
                    is_closed = True
                    break
                data += piece
            writer.write_eof()
            while piece := await reader.read(65_536):
                data += piece
    except ConnectionResetError:  # it closed while some of ours lay unread
        is_closed = True
    except OSError:  # TimeoutError is one: what has come counts
        pass
    writer.close()
    return final(data), is_closed


def _is_enough(statuses: Sequence[int], expected: Sequence[Due]) -> bool:
    must_close = any(status in each.closing for status, each in zip(statuses, expected, strict=False))
    return len(statuses) >= len(expected) and not must_close


def final(data: bytes) -> list[int]:
    """Return the statuses that are not 1xx."""
    return [int(status) for status in _STATUS.findall(data) if status[:1] != b"1"]


def listed(counts: Counter[str]) -> str:
    """Write counts down, the most frequent first."""
    return "; ".join(f"{name} {n}" for name, n in counts.most_common())


class Judge:
    """Holds what came of one connection against the reading of the RFC, and counts the rules."""

    def __init__(self, findings: Findings, recorder: Recorder | None) -> None:
        """Without a recorder nothing passes."""
        self.rules: Counter[str] = Counter()
        """Of what was rejected: verdicts of the RFC, or hedgerow's own."""
        self.passed: Counter[str] = Counter()
        """Of what has passed, and might have been rejected."""
        self._findings = findings
        self._recorder = recorder

    def judge(self, sample: Sample, address: str, statuses: Sequence[int], *, is_closed: bool) -> None:
        """Judge one connection."""
        passes = self._recorder is not None
        received = list(self._recorder.by_client.get(address, [])) if self._recorder else []
        shown = f"{sample.source}: {sample.wire[:300]!r} -> {statuses} {is_closed=} {received}"
        check = self._findings.check
        judged = 0
        for number, request in enumerate(read(sample.wire)):
            status = statuses[number] if number < len(statuses) else 0
            expected = due(request, passes=passes)
            judged += 1
            invariant = "each answer is that of the rule which the request falls under"
            check(
                status in expected.statuses,
                invariant,
                f"{expected.rule or 'valid'}, {expected.statuses}: {shown}",
            )
            if status == 200 and passes:
                passed = received.pop(0) if received else None
                if request.verdict is Verdict.EITHER:
                    self.passed[request.rule] += 1
                check(
                    passed == wanted(request),
                    "the upstream gets what the RFC reads",
                    f"{wanted(request)}: {shown}",
                )
                continue
            self.rules[expected.rule if request.verdict is Verdict.VALID else request.verdict.value] += 1
            if status in expected.closing:
                check(is_closed, "the connection of a rejected request is closed", shown)
                break
        check(judged >= len(statuses), "nothing is answered behind a rejected request", shown)
        check(not received, "the upstream gets nothing else", shown)


def wanted(request: Request) -> Passed:
    """Return what the upstream has to get of a valid request."""
    return Passed(request.method, expected_target(request), end_to_end(request.fields), request.body)


async def ask_all(
    name: str,
    port: int,
    samples: Sequence[Sample],
    recorder: Recorder | None,
    findings: Findings,
) -> None:
    """Send each sample once, and judge it."""
    limit, judge = asyncio.Semaphore(AT_ONCE), Judge(findings, recorder)
    statuses: Counter[int] = Counter()

    async def one(number: int, sample: Sample) -> None:
        expected = [due(request, passes=recorder is not None) for request in read(sample.wire)]
        async with limit:
            found, is_closed = await exchange(port, address_of(number), sample.wire, expected)
        statuses.update(found)
        judge.judge(sample, address_of(number), found, is_closed=is_closed)

    async with asyncio.TaskGroup() as group:
        for number, sample in enumerate(samples):
            group.create_task(one(number, sample))
    findings.figures[f"answers, {name}"] = ", ".join(
        f"{status} {n}" for status, n in sorted(statuses.items())
    )
    findings.figures[f"rejected, {name}"] = listed(judge.rules)
    if judge.passed:
        findings.figures[f"passed, {name}"] = listed(judge.passed)
