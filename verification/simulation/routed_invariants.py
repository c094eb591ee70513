"""What passes through a route and what does not, either way (docs/reference/routing-rules.md)."""

from collections import defaultdict

from verification.simulation.answer_invariants import PROBLEM
from verification.simulation.clients import Answer, Asked
from verification.simulation.evidence import Evidence
from verification.simulation.requests import PassedRequest
from verification.simulation.upstream import Received

Fields = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade expect".split()
)
OURS_TO_UPSTREAM = frozenset(
    b"host x-forwarded-for x-forwarded-proto x-forwarded-host via content-length x-request-id hedgerow-attempt".split()
)
OURS_TO_CLIENT = frozenset(b"connection content-length date x-request-id server-timing".split())


def check_routed(evidence: Evidence) -> None:
    """Check all requests that were passed on."""
    for client in evidence.played.clients:
        for asked in client.asked:
            if asked.plan.passed is None:
                continue
            received = evidence.played.upstream.received[asked.plan.request_id]
            for one in received:
                _check_request(evidence, asked, asked.plan.passed, one)
            _check_same(evidence, received)
            for answer in asked.answers:
                _check_answer(evidence, asked, answer, received)


def _check_request(evidence: Evidence, asked: Asked, passed: PassedRequest, received: Received) -> None:
    must = evidence.must
    line, fields, body = parsed(received.message)
    must(line == passed.line, "a request has the target of its route", line, passed.line)
    must(body == passed.body, "a body is sent whole by each attempt", asked.plan.request_id, len(body))
    must(
        b"secret" not in received.message[: -len(body) or None], "nothing hop-by-hop passes", received.message
    )
    by_name = _by_name(fields)
    must(not by_name.keys() & HOP_BY_HOP, "nothing hop-by-hop passes", received.message)
    must(
        all(len(by_name[name]) == 1 for name in by_name.keys() & OURS_TO_UPSTREAM - {b"via"}),
        "what the gateway writes it writes once", received.message,
    )  # fmt: skip
    expected = _by_name(list(passed.fields))
    expected[b"via"].append(b"1.1 hedgerow")
    if evidence.settings.routes[0].success.json is not None:
        expected[b"accept-encoding"] = [b"identity"]
    for name in OURS_TO_UPSTREAM - {b"via"}:
        by_name.pop(name, None)
    must(by_name == expected, "request headers are neither lost, doubled nor reordered", by_name, expected)


def _check_same(evidence: Evidence, received: list[Received]) -> None:
    """Attempts of one request differ in their number only, and in the endpoint."""
    seen = set()
    for one in received:
        line, fields, body = parsed(one.message)
        kept = tuple(field for field in fields if field[0] not in (b"Hedgerow-Attempt", b"Host"))
        seen.add((line, kept, body))
    evidence.must(len(seen) <= 1, "each attempt sends the same", seen)


def _check_answer(evidence: Evidence, asked: Asked, answer: Answer, received: list[Received]) -> None:
    """An answer that was passed on is one of its own attempts', with its headers."""
    if PROBLEM in answer.head or (answer.status == 408 and not answer.body):  # ours, or unrequested
        return
    must = evidence.must
    must(b"secret" not in answer.head, "nothing hop-by-hop passes", answer.head)
    line, fields, _ = parsed(answer.head + b"\r\n\r\n")
    by_name = _by_name(fields)
    for name in OURS_TO_CLIENT:
        must(
            len(by_name.get(name, ())) <= 1 or name == b"server-timing",
            "what the gateway writes it writes once",
            line,
        )
    must(not by_name.keys() & HOP_BY_HOP - {b"connection"}, "nothing hop-by-hop passes", answer.head)
    by_name[b"server-timing"] = by_name[b"server-timing"][:-1]
    own = [
        one.behaviour
        for one in received
        if one.behaviour.status == answer.status
        and (asked.plan.is_head or one.behaviour.body == answer.body)
        and _passes(one.behaviour.fields, by_name)
    ]
    must(bool(own), "answer headers are neither lost, doubled nor reordered", answer, received)


def _passes(fields: tuple[tuple[bytes, bytes], ...], by_name: dict[bytes, list[bytes]]) -> bool:
    expected = _by_name(list(fields))
    expected[b"server-timing"] += []
    names = by_name.keys() - (OURS_TO_CLIENT - {b"server-timing"})
    return {name: by_name[name] for name in names} == dict(expected)


def parsed(message: bytes) -> tuple[bytes, Fields, bytes]:
    """Return the first line, the headers and the body of a message."""
    head, _, body = message.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    fields = []
    for each in lines:
        name, _, value = each.partition(b":")
        fields.append((name, value.strip(b" \t")))
    return line, fields, body


def _by_name(fields: Fields) -> defaultdict[bytes, list[bytes]]:
    found: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for name, value in fields:
        found[name.lower()].append(value)
    return found
