"""The gateway with aiohttp on uvloop, server and client; the race is our own, or a library's.

Run by an interpreter that has `requirements.txt` beside this file, never by hedgerow's own:
`python aiohttp_peer.py PORT http://127.0.0.1:9000/api/work own|asynchedging|hedge-python`
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import uvloop
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web  # type: ignore[import-not-found]
from hedged import HEDGE_AFTER_S, HEDGES, answer, is_success, problem_response, seconds

Smart = Callable[[str | None], Awaitable[tuple[int, bytes]]]
SMART = web.AppKey("smart", Callable)
CONNECTIONS = {"limit": 0, "keepalive_timeout": 60}
NO_TIMEOUT = ClientTimeout(total=None)


async def own(upstream: str) -> AsyncIterator[Smart]:
    """Race by `hedged.race`."""
    async with ClientSession(connector=TCPConnector(**CONNECTIONS), timeout=NO_TIMEOUT) as session:

        async def attempt() -> bytes | None:
            try:
                async with session.get(upstream, allow_redirects=False) as response:
                    body: bytes = await response.read()
                    return body if is_success(response.status, body) else None
            except (ClientError, ValueError, TypeError):
                return None

        yield lambda timeout_ms: answer(timeout_ms, attempt)


async def by_asynchedging(upstream: str) -> AsyncIterator[Smart]:
    """Race by asynchedging, which makes all three tasks at once; two of them sleep."""
    from asynchedging import AllTasksFailedError, hedge  # type: ignore[import-not-found]  # noqa: PLC0415

    async with ClientSession(connector=TCPConnector(**CONNECTIONS), timeout=NO_TIMEOUT) as session:

        async def attempt() -> bytes:
            async with session.get(upstream, allow_redirects=False) as response:
                body: bytes = await response.read()
                if not is_success(response.status, body):
                    raise ValueError("no success")
                return body

        async def smart(timeout_ms: str | None) -> tuple[int, bytes]:
            delays_s = (HEDGE_AFTER_S,) * HEDGES
            try:
                body, _ = await hedge(attempt, delays_s=delays_s, total_timeout_s=seconds(timeout_ms))
            except AllTasksFailedError:
                return problem_response(502, "all_failed")
            except TimeoutError:
                return problem_response(504, "out_of_time")
            return 200, body

        yield smart


async def by_hedge_python(upstream: str) -> AsyncIterator[Smart]:
    """Hedge by hedge-python, as near as it can: the first answer wins, whatever it says, and bodies are not judged."""
    from hedge import HedgeConfig  # type: ignore[import-not-found]  # noqa: PLC0415
    from hedge.transport import HedgedAiohttpSession  # type: ignore[import-not-found]  # noqa: PLC0415

    config = HedgeConfig(
        percentile=0.01,
        min_delay=HEDGE_AFTER_S,
        max_hedges=HEDGES,
        budget_percent=100 * HEDGES,
        estimated_rps=1e6,
    )
    connector = TCPConnector(**CONNECTIONS)
    async with HedgedAiohttpSession(config=config, connector=connector, timeout=NO_TIMEOUT) as session:

        async def smart(timeout_ms: str | None) -> tuple[int, bytes]:
            try:
                async with asyncio.timeout(seconds(timeout_ms)):
                    response = await session.get(upstream, allow_redirects=False)
                    body: bytes = await response.read()
            except TimeoutError:
                return problem_response(504, "out_of_time")
            except ClientError:
                return problem_response(502, "all_failed")
            return (200, body) if response.status == 200 else problem_response(502, "all_failed")

        yield smart


HOW = {"own": own, "asynchedging": by_asynchedging, "hedge-python": by_hedge_python}


async def handle(request: web.Request) -> web.Response:
    status, body = await request.app[SMART](request.query.get("timeout"))
    kind = "application/json" if status == 200 else "application/problem+json"
    return web.Response(status=status, body=body, content_type=kind)


def main() -> None:
    port, upstream, how = sys.argv[1:4]

    async def context(app: web.Application) -> AsyncIterator[None]:
        async for smart in HOW[how](upstream):
            app[SMART] = smart
            yield

    app = web.Application()
    app.cleanup_ctx.append(context)
    app.router.add_get("/api/smart", handle)
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(port),
        loop=uvloop.new_event_loop(),
        access_log=None,
        backlog=4096,
        print=lambda *_: None,
    )


if __name__ == "__main__":
    main()
