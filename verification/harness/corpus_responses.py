"""C19's responses: sent by an upstream; what clients of a passing route get is held against the RFC and h11."""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from support.answer_differential import broken_rules, opinion_on, without_our_leniencies
from verification.harness.campaign import Findings
from verification.harness.corpus_client import Got, ask
from verification.harness.corpus_formats import Sample
from verification.harness.corpus_requests import HOP_BY_HOP
from verification.harness.corpus_requests import listed as counts_of
from verification.harness.rfc_responses import Response, read
from verification.harness.rfc_wire import Fields, Verdict, listed

AT_ONCE = 64
ROUTES = """
[upstreams.scripted]
endpoints = ["http://127.0.0.1:{port}/"]

[[routes]]
path_prefix = "/"
upstream = "scripted"
timeout = {{ default = "1s" }}
success = {{ status = ["200-599"] }}
hedge = {{ mode = "off" }}
"""
"""What waits for the rest of a response ends with the timeout."""
MAX_BODY_BYTES, MAX_HEAD_BYTES = 1024 * 1024, 32 * 1024
_OWN = frozenset(b"content-length x-request-id date connection".split())
"""What the gateway writes itself for clients; `Server-Timing` it adds behind the upstream's."""
_CASE = re.compile(rb"(GET|HEAD) /([0-9]+)/([a-z]+) ")


@dataclass(frozen=True, slots=True)
class Way:
    """How a response is asked for and how it ends."""

    name: str
    method: bytes
    is_closed: bool
    """The upstream closes behind it; else it waits."""


WAYS = (Way("closed", b"GET", True), Way("open", b"GET", False), Way("head", b"HEAD", False))


class ScriptedUpstream:
    """Sends the response that a request's path names, in one way."""

    def __init__(self, samples: Sequence[Sample], chance: Random, findings: Findings) -> None:
        self._samples = samples
        self._chance = chance
        self._findings = findings

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        before = ""
        try:
            while True:
                asked = _CASE.match(await reader.readuntil(b"\r\n\r\n"))
                if asked is None:
                    self._findings.violation("the upstream gets whole requests alone", "not of a case")
                    break
                self._findings.check(not before, "no connection in doubt is used again", before)
                sample, way = self._samples[int(asked[2])], _way(asked[3].decode())
                expected = read(sample.wire, is_closed=way.is_closed, is_head=way.method == b"HEAD")
                # Between an answer and what comes behind it a gateway that is ahead may send the next request.
                *pieces, last = [sample.wire] if expected.surplus else self._pieces(sample.wire)
                for piece in pieces:
                    writer.write(piece)
                    await asyncio.sleep(0)
                writer.write(last)
                if way.is_closed:
                    writer.write_eof()  # at once, so that the gateway does not use the connection again
                    break
                before = "" if expected.is_reusable else f"{way.name}, {sample.source}: {sample.wire[:300]!r}"
        except (asyncio.IncompleteReadError, OSError):  # the gateway may have closed already
            pass
        writer.close()

    def _pieces(self, wire: bytes) -> list[bytes]:
        cuts = sorted(self._chance.randint(0, len(wire)) for _ in range(self._chance.randint(0, 3)))
        return [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]


def _way(name: str) -> Way:
    return next(way for way in WAYS if way.name == name)


def passed_fields(fields: Fields) -> Fields:
    """Return what must pass of an upstream's header lines, as it is."""
    named = {
        each.strip(b" \t").lower()
        for name, value in fields
        if name == b"connection"
        for each in value.split(b",")
    }
    dropped = HOP_BY_HOP | _OWN | named
    return tuple((name, value) for name, value in fields if name not in dropped)


class Judge:
    """Holds answers against what was sent for them."""

    def __init__(self, findings: Findings) -> None:
        self._check = findings.check
        self.rules: Counter[str] = Counter()
        """Of what has failed: verdicts of the RFC, or hedgerow's own."""
        self.passed: Counter[str] = Counter()
        """Of what has passed, and might have failed."""

    def judge(self, sample: Sample, way: Way, got: Got) -> None:
        """Judge one answer."""
        expected = read(sample.wire, is_closed=way.is_closed, is_head=way.method == b"HEAD")
        own_rule = stricter_rule(expected, way)
        shown = f"{way.name}, {sample.source}: {sample.wire[:300]!r} {expected} {own_rule} -> {got}"
        self._check(got.status != 0, "every request is answered", shown)
        has_failed = got.failure != ""
        self._by_rfc(expected, own_rule, got, shown, has_failed=has_failed)
        if way.method == b"GET" and len(sample.wire) < MAX_HEAD_BYTES:
            self._by_h11(sample, way, got, shown, is_own_rule=bool(own_rule))
        if has_failed:
            self.rules[own_rule or expected.verdict.value] += 1
        elif expected.verdict is Verdict.EITHER:
            self.passed[expected.rule] += 1

    def _by_rfc(self, expected: Response, own_rule: str, got: Got, shown: str, *, has_failed: bool) -> None:
        if own_rule or expected.verdict in (Verdict.REJECT, Verdict.INCOMPLETE):
            self._check(has_failed, "what is no response does not pass", shown)
        elif expected.verdict is Verdict.VALID:
            self._check(not has_failed, "a valid response passes", shown)
        if has_failed or own_rule:
            return
        self._check(
            (got.status, got.body) == (expected.status, expected.body),
            "status and body pass as they are",
            shown,
        )
        self._check(
            _lengths(got.fields) == self._due_lengths(expected, got),
            "the length is that of the body, or of none",
            shown,
        )
        fields = passed_fields(got.fields)
        wanted = passed_fields(expected.fields)
        timings = [value for name, value in fields if name == b"server-timing"]
        self._check(bool(timings), "the gateway's Server-Timing is there", shown)
        self._check(
            _without_last_timing(fields) == sorted(wanted), "end-to-end headers pass as they are", shown
        )
        of_connection = [field for field in got.fields if field[0] in HOP_BY_HOP]
        invariant = "no header of the connection passes"
        self._check(of_connection == [(b"connection", b"close")], invariant, shown)  # the gateway's own

    @staticmethod
    def _due_lengths(expected: Response, got: Got) -> list[bytes]:
        """Return the values of Content-Length that a client must get (RFC 9110 section 8.6)."""
        if expected.status == 204:
            return []
        if expected.is_bodiless:
            return _lengths(expected.fields)
        return [b"%d" % len(got.body)]

    def _by_h11(self, sample: Sample, way: Way, got: Got, shown: str, *, is_own_rule: bool) -> None:
        if not got.failure:
            opinion = opinion_on(without_our_leniencies(sample.wire), then_close=way.is_closed)
            alike = opinion is not None and (opinion.answer.status, opinion.answer.body) == (
                got.status,
                got.body,
            )
            self._check(alike, "h11 reads what passes alike", shown)
        elif not is_own_rule:
            opinion = opinion_on(sample.wire, then_close=way.is_closed)
            is_named = opinion is None or broken_rules(opinion) != []
            self._check(is_named, "what h11 reads and does not pass is by a rule of hedgerow's", shown)


def _lengths(fields: Fields) -> list[bytes]:
    return [value for name, value in fields if name == b"content-length"]


def _without_last_timing(fields: Fields) -> list[tuple[bytes, bytes]]:
    left = list(fields)
    timings = [each for each in left if each[0] == b"server-timing"]
    if timings:
        left.reverse()
        left.remove(timings[-1])
    return sorted(left)


def stricter_rule(expected: Response, way: Way) -> str:
    """Return hedgerow's own rule by which a response fails, or nothing."""
    if expected.verdict in (Verdict.REJECT, Verdict.INCOMPLETE):
        return ""
    if expected.status > 599:
        return "ours: statuses of success"
    if expected.head_bytes > MAX_HEAD_BYTES:
        return "ours: limits of heads"
    if len(expected.body) > MAX_BODY_BYTES:
        return "ours: the limit of bodies"
    codings = set(listed(expected.fields, b"transfer-encoding")) - {b"", b"identity", b"chunked"}
    if way.method == b"GET" and not expected.is_bodiless and codings:
        return "ours: transfer codings"
    types = [
        value.lower().partition(b";")[0].strip() for name, value in expected.fields if name == b"content-type"
    ]
    return "ours: streams" if way.method == b"GET" and b"text/event-stream" in types[-1:] else ""


async def ask_all(port: int, samples: Sequence[Sample], findings: Findings) -> None:
    """Have each response sent each way, and judge it."""
    limit, judge = asyncio.Semaphore(AT_ONCE), Judge(findings)
    statuses: Counter[int] = Counter()

    async def one(number: int, way: Way) -> None:
        async with limit:
            got = await ask(port, way.method, f"/{number}/{way.name}")
        statuses[got.status] += 1
        judge.judge(samples[number], way, got)

    async with asyncio.TaskGroup() as group:
        for number in range(len(samples)):
            for way in WAYS:
                group.create_task(one(number, way))
    findings.figures["answers, responses"] = ", ".join(
        f"{status} {n}" for status, n in sorted(statuses.items())
    )
    findings.figures["failed, responses"] = counts_of(judge.rules)
    findings.figures["passed, responses"] = counts_of(judge.passed)
