"""C19's bodies: each sent as an answer of 200, alone and within a payload, by the rules that read JSON."""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence

from verification.harness.campaign import Findings
from verification.harness.corpus_client import Got, ask
from verification.harness.json_cases import is_accepted, is_payload, parsed

AT_ONCE = 64
ROUTES = """
[upstreams.json]
endpoints = ["http://127.0.0.1:{port}/"]

[[routes]]
path = "/time"
contract = "smart"
upstream = "json"
hedge = {{ mode = "off" }}

[[routes]]
path = "/any"
upstream = "json"
success = {{ json = "any" }}
hedge = {{ mode = "off" }}

[[routes]]
path = "/object"
upstream = "json"
success = {{ json = "object" }}
hedge = {{ mode = "off" }}
"""
RULES = ("time", "any", "object")
MAX_BODY_BYTES = 64 * 1024
"""Of the contract; passing routes have more. What is longer fails by that."""
_ID = re.compile(rb"(?i)\r\nX-Request-Id: json-([0-9]+)-([a-z]+)\r\n")
Case = tuple[str, bytes]
"""Name and text."""


def body_of(text: bytes, form: str) -> bytes:
    """Return a body: the text alone, or as a member that the rule does not look into."""
    return text if form == "alone" else b'{"time":1,"x":%b}' % text


class JsonUpstream:
    """Answers with the text that a request's id names."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self._cases = cases

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = _ID.search(await reader.readuntil(b"\r\n\r\n"))
                number, form = asked.groups() if asked else (b"0", b"alone")
                body = body_of(self._cases[int(number)][1], form.decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def due(name: str, text: bytes, form: str, rule: str) -> str:
    """Return the outcome of the attempt, or nothing for a success."""
    body = body_of(text, form)
    if rule == "time" and len(body) > MAX_BODY_BYTES:
        return "too_large"
    if not is_accepted(name, text):
        return "bad_json"
    _, value = parsed(body)
    is_success = {"any": True, "object": isinstance(value, dict), "time": is_payload(value)}[rule]
    return "" if is_success else "bad_payload"


def judge(case: Case, form: str, rule: str, got: Got, findings: Findings) -> None:
    """Hold an answer against what the RFC and another parser say of the body."""
    name, text = case
    shown = f"{name}, {form}, {rule}: {text[:100]!r} -> {got.status} {got.failure} {got.body[:300]!r}"
    findings.check(got.failure == due(name, text, form, rule), "a body is JSON where the RFC says so", shown)
    if not got.failure:
        findings.check(
            (got.status, got.body) == (200, body_of(text, form)), "what passes passes as it is", shown
        )
    if not name.startswith("i"):
        findings.check(parsed(text)[0] is name.startswith("y"), "another parser reads the text alike", shown)


async def ask_all(port: int, cases: Sequence[Case], findings: Findings) -> None:
    """Ask for each text in each form by each rule."""
    limit = asyncio.Semaphore(AT_ONCE)
    outcomes: Counter[str] = Counter()

    async def one(number: int, form: str, rule: str) -> None:
        async with limit:
            got = await ask(
                port, b"GET", f"/{rule}", b"X-Request-Id: json-%d-%b\r\n" % (number, form.encode())
            )
        outcomes[got.failure or str(got.status)] += 1
        judge(cases[number], form, rule, got, findings)

    async with asyncio.TaskGroup() as group:
        for number in range(len(cases)):
            for form in ("alone", "within"):
                for rule in RULES:
                    group.create_task(one(number, form, rule))
    kinds = Counter(name[0] for name, _ in cases)
    findings.figures["texts of JSON"] = ", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items()))
    findings.figures["answers, JSON"] = ", ".join(f"{outcome} {n}" for outcome, n in outcomes.most_common())
