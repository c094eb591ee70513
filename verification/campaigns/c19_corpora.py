"""C19: the messages that other servers and clients are tested with, and own ones after the RFCs, at both HTTP edges.

Each is held against a reading of the RFCs that is not the product's; responses against h11's, texts of JSON against
another parser's, too. Requests go to the default route, and to one that passes them on: directly, and behind nginx and
HAProxy.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeVar

from support.processes import GatewayProcess
from verification.harness import corpus_json, corpus_proxied, corpus_requests, corpus_responses
from verification.harness.campaign import Campaign, Findings, counted
from verification.harness.corpora import json_suite, messages
from verification.harness.corpus_formats import Sample
from verification.harness.corpus_rules import LIMITS
from verification.harness.entry_paths import Counts
from verification.harness.json_cases import own_cases
from verification.harness.passed_on import ProxiedPassedOn, Recorder, RecordingUpstream
from verification.harness.processes import gateway
from verification.harness.proxies import PROXIES, logging
from verification.harness.request_cases import requests
from verification.harness.response_cases import responses

T = TypeVar("T")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def routed(server: asyncio.Server, routes: str, findings: Findings) -> AsyncIterator[GatewayProcess]:
    """Run a gateway whose routes lead to an upstream."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "hedgerow.toml"
        file.write_text(routes.format(port=server.sockets[0].getsockname()[1]))
        with gateway(f"--config={file}", "--shedding=off", limits=LIMITS) as served:
            yield served
            findings.check("Traceback" not in served.log(), "nothing is raised", served.log()[-2000:])
    server.close()


async def upstream(serve: Serve) -> asyncio.Server:
    """Run an upstream on a free port."""
    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def ask(samples: Sequence[Sample], findings: Findings) -> None:
    """Send requests to a gateway for each kind of route."""
    with gateway("--shedding=off", limits=LIMITS) as served:
        await corpus_requests.ask_all("default route", served.port, samples, None, findings)
        findings.check("Traceback" not in served.log(), "nothing is raised", served.log()[-2000:])
    recorder = corpus_requests.Recorder()
    async with routed(await upstream(recorder.serve), corpus_requests.ROUTES, findings) as served:
        await corpus_requests.ask_all("pass-through", served.port, samples, recorder, findings)


async def ask_behind_proxies(samples: Sequence[Sample], findings: Findings) -> None:
    """Send requests through each proxy to a gateway that passes them on."""
    for name, before in PROXIES.items():
        recorder = Recorder()
        made = partial(RecordingUpstream, recorder)
        server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
        async with AsyncExitStack() as stack:
            served = await stack.enter_async_context(routed(server, corpus_requests.ROUTES, findings))
            log, log_port = await stack.enter_async_context(logging())
            url = stack.enter_context(before(served.port, log_port))
            path = ProxiedPassedOn(name, int(url.rpartition(":")[2]), recorder, log, findings)
            await corpus_proxied.ask_all(path, samples, Counts(served, []), findings)


async def answer(samples: Sequence[Sample], seed: int, findings: Findings) -> None:
    """Have responses sent by an upstream, and read what clients get."""
    scripted = corpus_responses.ScriptedUpstream(samples, Random(seed), findings)
    async with routed(await upstream(scripted.serve), corpus_responses.ROUTES, findings) as served:
        await corpus_responses.ask_all(served.port, samples, findings)


async def answer_json(cases: Sequence[corpus_json.Case], findings: Findings) -> None:
    """Have texts of JSON sent by an upstream, and read what clients get by the rules of success."""
    texts = corpus_json.JsonUpstream(cases)
    async with routed(await upstream(texts.serve), corpus_json.ROUTES, findings) as served:
        await corpus_json.ask_all(served.port, cases, findings)


def drawn(samples: Sequence[T], chance: Random, share: float) -> list[T]:
    """Return a share of them, in an order that is drawn."""
    return chance.sample(samples, counted(len(samples), share))


def run(seed: int, share: float) -> Findings:
    """Send all, in an order that is drawn; or a share of the own cases alone, so that nothing is fetched for tests."""
    chance, is_whole = Random(seed), share == 1
    others = messages() if is_whole else []
    asked = drawn([*(each for each in others if not each.is_response), *requests()], chance, share)
    answers = drawn([*(each for each in others if each.is_response), *responses()], chance, share)
    texts = drawn([*own_cases(), *(json_suite() if is_whole else [])], chance, share)
    findings = Findings(count=len(asked) + len(answers) + len(texts))
    findings.figures["inputs"] = (
        f"{len(asked)} requests, {len(answers)} responses, {len(texts)} texts of JSON; of others "
        f"{len(others)} messages and {len(texts) - len(own_cases()) if is_whole else 0} texts"
    )
    asyncio.run(ask(asked, findings))
    asyncio.run(ask_behind_proxies(asked, findings))
    asyncio.run(answer(answers, seed, findings))
    asyncio.run(answer_json(texts, findings))
    return findings


CAMPAIGN = Campaign(
    id="C19",
    title="messages of others' tests",
    proves="What the RFCs reject is rejected at both HTTP edges, and what they accept passes whole or is rejected by a "
    "named rule: for the messages that other servers and clients are tested with, and for JSONTestSuite.",
    acceptance_threshold="all messages of the pinned corpora, 0 disagreements, each rejection by a named rule",
    run=run,
)
