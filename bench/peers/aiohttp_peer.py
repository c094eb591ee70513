"""The gateway as a Python programmer would write it with aiohttp on uvloop: server, client, `asyncio.wait`.

Run by an interpreter that has `requirements.txt` beside this file, never by hedgerow's own:
`python aiohttp_peer.py PORT http://127.0.0.1:9000/api/work`
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web  # type: ignore[import-not-found]

HEDGE_AFTER_S = 0.3
HEDGES = 2
DEFAULT_TIMEOUT_S = 10.0
SESSION = web.AppKey("session", ClientSession)
UPSTREAM = web.AppKey("upstream", str)


async def attempt(session: ClientSession, url: str) -> bytes | None:
    """Ask once; the body of a success, or None."""
    try:
        async with session.get(url, allow_redirects=False) as response:
            body: bytes = await response.read()
            if response.status == 200 and "time" in json.loads(body):
                return body
    except (ClientError, ValueError, TypeError):
        pass
    return None


async def race(session: ClientSession, url: str) -> bytes | None:
    """Return the first success of up to three attempts, or None if there is none."""
    loop = asyncio.get_running_loop()
    hedge_at = loop.time() + HEDGE_AFTER_S
    first = asyncio.create_task(attempt(session, url))
    tasks = {first}
    try:
        await asyncio.wait(tasks, timeout=HEDGE_AFTER_S)
        if first.done():
            if (body := first.result()) is not None:
                return body
            await asyncio.sleep(hedge_at - loop.time())
        tasks |= {asyncio.create_task(attempt(session, url)) for _ in range(HEDGES)}
        pending = tasks
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (body := task.result()) is not None:
                    return body
        return None
    finally:
        for task in tasks:
            task.cancel()


def problem(status: int, code: str) -> web.Response:
    return web.json_response(
        {"status": status, "code": code}, status=status, content_type="application/problem+json"
    )


async def smart(request: web.Request) -> web.Response:
    text = request.query.get("timeout")
    if text is not None and not text.isdecimal():
        return problem(400, "bad_timeout")
    timeout_s = DEFAULT_TIMEOUT_S if text is None else int(text) / 1000
    try:
        async with asyncio.timeout(timeout_s):
            body = await race(request.app[SESSION], request.app[UPSTREAM])
    except TimeoutError:
        return problem(504, "out_of_time")
    if body is None:
        return problem(502, "all_failed")
    return web.Response(body=body, content_type="application/json")


async def client_session(app: web.Application) -> AsyncIterator[None]:
    connector = TCPConnector(limit=0, keepalive_timeout=60)
    async with ClientSession(connector=connector, timeout=ClientTimeout(total=None)) as session:
        app[SESSION] = session
        yield


def main() -> None:
    app = web.Application()
    app[UPSTREAM] = sys.argv[2]
    app.cleanup_ctx.append(client_session)
    app.router.add_get("/api/smart", smart)
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop=uvloop.new_event_loop(),
        access_log=None,
        backlog=4096,
        print=lambda *_: None,
    )


if __name__ == "__main__":
    main()
