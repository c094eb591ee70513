"""The race as a Python programmer would write it with `asyncio.wait`; the peers differ in their server and client."""

import asyncio
import json
from collections.abc import Awaitable, Callable

HEDGE_AFTER_S = 0.3
HEDGES = 2
DEFAULT_TIMEOUT_S = 10.0

Attempt = Callable[[], Awaitable[bytes | None]]
"""Asks once; the body of a success, or None."""


def is_success(status: int, body: bytes) -> bool:
    """Judge an answer; raises ValueError or TypeError for a body that is no JSON object."""
    return status == 200 and "time" in json.loads(body)


async def race(attempt: Attempt) -> bytes | None:
    """Return the first success of up to three attempts, or None if there is none. LoserPolicy are cancelled."""
    loop = asyncio.get_running_loop()
    hedge_at = loop.time() + HEDGE_AFTER_S
    first = asyncio.ensure_future(attempt())
    tasks = {first}
    try:
        await asyncio.wait(tasks, timeout=HEDGE_AFTER_S)
        if first.done():
            if (body := first.result()) is not None:
                return body
            await asyncio.sleep(hedge_at - loop.time())
        tasks |= {asyncio.ensure_future(attempt()) for _ in range(HEDGES)}
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


async def answer(timeout_ms: str | None, attempt: Attempt) -> tuple[int, bytes]:
    """Return the status and the body for a client that gave this timeout, in milliseconds."""
    if timeout_ms is not None and not timeout_ms.isdecimal():
        return problem_response(400, "bad_timeout")
    try:
        async with asyncio.timeout(seconds(timeout_ms)):
            body = await race(attempt)
    except TimeoutError:
        return problem_response(504, "out_of_time")
    return problem_response(502, "all_failed") if body is None else (200, body)


def seconds(timeout_ms: str | None) -> float:
    """Return how long the client will wait."""
    return DEFAULT_TIMEOUT_S if timeout_ms is None else int(timeout_ms) / 1000


def problem_response(status: int, code: str) -> tuple[int, bytes]:
    """Put a failure into the body that clients get."""
    return status, json.dumps({"status": status, "code": code}).encode()
