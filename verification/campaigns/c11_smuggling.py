"""C11: requests that try to be taken for others, sent to the gateway directly and through nginx and HAProxy.

Directly nothing malformed may be accepted, and h11 has to read all that was accepted as we do. Behind a proxy the two
have to agree how many requests there were and whose they are. The proxy shows it by its log and gives each request
that it passes on an id of its own; the gateway shows it by its count, by what it asks of the upstream, and by the id
in each answer.

Requests with bodies go the same ways through a route that passes them on, to an upstream that records what it gets;
and through nginx as the upstream, before that one.
"""

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import cast

import uvloop

from hedgerow.processes.process_tuning import raise_descriptor_limit
from support.other_servers import nginx
from verification.harness.campaign import Campaign, Findings, counted
from verification.harness.entry_paths import Counts, DirectPath, EntryPath, Exchange, ProxyPath
from verification.harness.hostile_bodies import BodyCase
from verification.harness.hostile_bodies import draw as draw_with_body
from verification.harness.hostile_requests import Case, draw, every_part
from verification.harness.passed_on import DirectPassedOn, ProxiedPassedOn, Recorder, RecordingUpstream
from verification.harness.processes import gateway
from verification.harness.proxies import PROXIES, logging

INPUTS = 40_000
"""Each is sent three ways."""
BODY_INPUTS = 20_000
"""With bodies; each is sent four ways."""
AT_ONCE = 32
BATCH = 500
"""After this many inputs the counts of all who count are compared."""
FLAGS = ("--shedding=off", "--hedge-after-ms=60000", "--drain-ms=1000")
"""Each request asks the upstream once, so that its log is one of requests."""

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"time":160}'
_ASKED = re.compile(rb"\r\nX-Request-Id: ([^\r]+)\r\n")


class Upstream(asyncio.Protocol):
    """Answers each request at once, and notes its id."""

    def __init__(self, ids: list[str]) -> None:
        self._ids = ids
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:  # the gateway writes a head at once, and it is small
        self._ids += [each.decode() for each in _ASKED.findall(data)]
        self._transport.write(OK)


async def go(path: EntryPath, cases: Sequence[Case], counts: Counts) -> Counter[int]:
    """Send all of them one way, a few at once, in batches; return the statuses that came.

    A broken invariant ends it: to wait
    for what does not come takes long, every time.
    """
    statuses: Counter[int] = Counter()
    broken = path.findings.broken.total()
    for at in range(0, len(cases), BATCH):
        waiting = iter(cases[at : at + BATCH])
        exchanges: list[Exchange] = []

        async def some(waiting: Iterator[Case] = waiting, exchanges: list[Exchange] = exchanges) -> None:
            for case in waiting:
                exchange = await path.exchange(case)
                if exchange is not None:
                    exchanges.append(exchange)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(some())
        if exchanges:
            await path.classify_response(exchanges, counts)
        counts.restart()
        path.ports.clear()
        statuses.update(answer.status for each in exchanges for answer in each.answers)
        if path.findings.broken.total() > broken:
            break
    return statuses


async def campaign(cases: Sequence[Case], findings: Findings) -> None:
    """Send every input each way, with a gateway for each."""
    asked: list[str] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(asked), "127.0.0.1", 0)
    upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/work"
    for name in ("directly", *PROXIES):
        with gateway("--upstream", upstream, *FLAGS) as served:
            worker = served.worker.pid
            counts = Counts(served, asked)
            if name == "directly":
                statuses = await go(DirectPath(served.port, findings), cases, counts)
            else:
                async with logging() as (log, log_port):
                    with PROXIES[name](served.port, log_port) as url:
                        behind = ProxyPath(name, int(url.rpartition(":")[2]), log, findings)
                        statuses = await go(behind, cases, counts)
            findings.check(served.worker.pid == worker, "no worker died", served.log()[-500:])
            findings.check("Traceback" not in served.log(), "nothing is raised", served.log()[-2000:])
            bugs = served.metrics()["hedgerow_internal_errors_total"]
            findings.check(bugs == 0, "no internal error", bugs)
        findings.figures[f"answers {name}"] = _shown(statuses)
    server.close()


ROUTE = """
[upstreams.recording]
endpoints = ["{url}"]
[[routes]]
path_prefix = "/v1"
methods = ["GET", "POST", "PUT", "DELETE"]
idempotent = true
upstream = "recording"
hedge = {{ mode = "off" }}
"""
_NGINX_BEHIND = "location / {{ proxy_pass {url}; proxy_http_version 1.1; proxy_set_header Connection ''; }}"


async def bodies(cases: Sequence[BodyCase], findings: Findings) -> None:
    """Send requests with bodies each way, with a gateway for each."""
    recorder = Recorder()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: RecordingUpstream(recorder), "127.0.0.1", 0)
    recording = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for name in ("bodies directly", "bodies before nginx", *PROXIES):
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url = recording
            if name == "bodies before nginx":
                url = stack.enter_context(nginx(folder, _NGINX_BEHIND.format(url=recording)))
            file = folder / "routes.toml"
            file.write_text(ROUTE.format(url=url))
            served = stack.enter_context(gateway("--config", str(file), "--shedding=off", "--drain-ms=1000"))
            path: EntryPath
            if name in PROXIES:
                log, log_port = await stack.enter_async_context(logging())
                before = stack.enter_context(PROXIES[name](served.port, log_port))
                port = int(before.rpartition(":")[2])
                path = ProxiedPassedOn(name, port, recorder, log, findings)
            else:
                path = DirectPassedOn(name, served.port, recorder, findings)
            statuses = await go(path, cases, Counts(served, []))
            findings.check("Traceback" not in served.log(), "nothing is raised", served.log()[-2000:])
        findings.figures[f"answers {path.name}"] = _shown(statuses)
    server.close()


def _shown(statuses: Counter[int]) -> str:
    return ", ".join(f"{status} {times}" for status, times in sorted(statuses.items()))


def run(seed: int, share: float) -> Findings:
    """Send the tables and what chance makes of them; of the tables no more than the share has room for."""
    raise_descriptor_limit()
    inputs = counted(INPUTS, share)
    tables = every_part()
    Random(seed).shuffle(tables)
    cases = tables[: max(inputs // 4, 1)] if len(tables) > inputs // 4 else tables
    cases += [draw(Random(f"{seed}/{number}"), b"t%d" % number) for number in range(inputs - len(cases))]
    findings = Findings(count=len(cases))
    kinds = Counter(case.kind for case in cases)
    findings.figures["inputs"] = ", ".join(f"{kind} {times}" for kind, times in kinds.most_common())
    uvloop.run(campaign(cases, findings))
    with_bodies = [
        draw_with_body(Random(f"{seed}/body/{number}"), number)
        for number in range(counted(BODY_INPUTS, share))
    ]
    findings.count += len(with_bodies)
    uvloop.run(bodies(with_bodies, findings))
    return findings


CAMPAIGN = Campaign(
    id="C11",
    title="smuggling",
    proves="No malformed request is accepted, every valid one is, and nginx and HAProxy before the gateway see the "
    "same requests as it does. Through a route with bodies the upstream gets the valid requests, whole, and no other.",
    acceptance_threshold="20 000 inputs each of three ways, and as many with bodies of four, 0 accepted, "
    "0 disagreements, valid ones all accepted",
    run=run,
)
