"""The gateway as an ASGI application without a framework, on uvicorn (uvloop, httptools), with aiohttp's client.

Run as `aiohttp_peer.py` is: `python uvicorn_peer.py PORT UPSTREAM`.
"""

import sys
from typing import Any
from urllib.parse import parse_qs

import uvicorn  # type: ignore[import-not-found]
from aiohttp_peer import own  # its client

PORT, UPSTREAM = sys.argv[1:3]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer one request; or open the client, and close it in the end."""
    if scope["type"] == "lifespan":
        await receive()
        async for smart in own(UPSTREAM):
            scope["state"]["smart"] = smart
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    timeout_ms = parse_qs(scope["query_string"].decode()).get("timeout", [None])[0]
    status, body = await scope["state"]["smart"](timeout_ms)
    kind = b"application/json" if status == 200 else b"application/problem+json"
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(PORT), loop="uvloop", http="httptools", access_log=False, backlog=4096,
        log_level="warning",
    )  # fmt: skip
