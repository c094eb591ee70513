"""C19's requests through nginx and HAProxy, which may reject or repair them: C11's invariants hold there."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

from verification.harness.campaign import Findings
from verification.harness.corpus_formats import Sample
from verification.harness.corpus_rules import due
from verification.harness.entry_paths import Counts, Exchange
from verification.harness.hostile_bodies import BodyCase, Sent
from verification.harness.hostile_requests import Part
from verification.harness.passed_on import ProxiedPassedOn
from verification.harness.rfc_requests import read

AT_ONCE = 32


def body_case(sample: Sample) -> BodyCase:
    """Return a sample as an input of C11, with the requests that have to come whole if the proxy passes them on."""
    case = BodyCase(sample.source, [Part(sample.source, sample.wire), Part("what a proxy makes of it", b"")])
    case.sent = []
    for request in read(sample.wire):
        if due(request, passes=True).statuses != {200} or not request.target.startswith(b"/"):
            break
        case.sent.append(Sent(request.method, request.target, request.body))
    return case


async def ask_all(
    path: ProxiedPassedOn, samples: Sequence[Sample], counts: Counts, findings: Findings
) -> None:
    """Send each sample through the proxy, and check the invariants once all are answered."""
    waiting, exchanges = iter([body_case(sample) for sample in samples]), list[Exchange]()

    async def some(waiting: Iterator[BodyCase]) -> None:
        for case in waiting:
            exchange = await path.exchange(case)
            if exchange is not None:
                exchanges.append(exchange)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some(waiting))
    if exchanges:
        await path.classify_response(exchanges, counts)
    statuses = Counter(answer.status for each in exchanges for answer in each.answers)
    findings.figures[f"answers, {path.name}"] = ", ".join(
        f"{status} {n}" for status, n in sorted(statuses.items())
    )
