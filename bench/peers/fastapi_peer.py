"""The gateway with FastAPI on uvicorn (uvloop, httptools) and httpx: `python fastapi_peer.py PORT UPSTREAM`."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx  # type: ignore[import-not-found]
import uvicorn  # type: ignore[import-not-found]
from fastapi import FastAPI, Query, Response  # type: ignore[import-not-found]
from hedged import answer, is_success

PORT, UPSTREAM = sys.argv[1:3]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=60)
    async with httpx.AsyncClient(limits=limits, timeout=None) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


async def attempt() -> bytes | None:
    try:
        response = await app.state.client.get(UPSTREAM)
        body: bytes = response.content
        return body if is_success(response.status_code, body) else None
    except (httpx.HTTPError, ValueError, TypeError):
        return None


@app.get("/api/smart")  # type: ignore[untyped-decorator]
async def smart(timeout_ms: Annotated[str | None, Query(alias="timeout")] = None) -> Response:
    status, body = await answer(timeout_ms, attempt)
    kind = "application/json" if status == 200 else "application/problem+json"
    return Response(content=body, status_code=status, media_type=kind)


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(PORT), loop="uvloop", http="httptools", access_log=False, backlog=4096,
        log_level="warning",
    )  # fmt: skip
