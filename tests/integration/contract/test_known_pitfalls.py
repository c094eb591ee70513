"""Mistakes of other gateways that no other test is named for; and that each of the twenty has a test."""

import asyncio
import re
from pathlib import Path

from integration.conftest import Serve
from support.raw_http import UpstreamSide, ok, scripted, sending


async def test_m04_requests_are_worked_on_at_the_same_time(serve: Serve) -> None:
    """The upstream answers no request before all fifty have come: a call that blocks the loop would never get there."""
    all_have_asked = asyncio.Event()

    async def conversation(side: UpstreamSide) -> None:
        await side.request()
        if len(side.upstream.requests) == 50:
            all_have_asked.set()
        await all_have_asked.wait()
        side.send(ok())
        await side.reader.read()

    async with scripted(conversation) as upstream:
        served = await serve(upstream.url, hedges=0)
        answers = await asyncio.gather(*(served.get() for _ in range(50)))
        assert [status for status, _, _ in answers] == [200] * 50


async def test_m05_connections_outlive_requests(serve: Serve) -> None:
    async with scripted(sending(ok())) as upstream:
        served = await serve(upstream.url)
        for _ in range(20):
            await served.get()
        assert (upstream.connections, len(upstream.requests)) == (1, 20)


async def test_m09_the_payload_is_the_upstreams_own(serve: Serve) -> None:
    body = b'{ "time" : 12345.5, "token": "\\u00e9" }\n'

    async with scripted(sending(ok(body))) as upstream:
        assert (await (await serve(upstream.url)).get())[2] == body


async def test_m10_the_effective_timeout_is_in_the_response(serve: Serve) -> None:
    async with scripted(sending(ok())) as upstream:
        served = await serve(upstream.url, max_timeout_ms=50_000)
        for query, effective in (("", "10000"), ("?timeout=7000", "7000"), ("?timeout=50001", "50000")):
            assert (await served.get("/api/smart" + query))[1]["hedgerow-timeout-ms"] == effective


def test_each_of_the_twenty_mistakes_is_named_by_a_test() -> None:
    tests = Path(__file__).parents[2].rglob("test_*.py")
    named = {
        number for test in tests for number in re.findall(r"\bM(\d\d)\b|(?<=_)m(\d\d)(?=_)", test.read_text())
    }
    assert {int(one or other) for one, other in named} >= set(range(1, 21))
