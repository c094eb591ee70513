"""The admin port as it runs: its event loop within asyncio, its answers from coroutines."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest

from hedgerow.admin import Admin, Readiness
from hedgerow.core.request import Request
from hedgerow.core.response import Response
from hedgerow.processes.loop_bridge import LoopBridge
from hedgerow.settings import ClientLimits
from integration.bridged import bridged


class AdminPort:
    """An `Admin` whose `/slow` waits for the test, and `/broken` is an internal error."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.release = asyncio.Event()
        self.bridge: LoopBridge | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.errors: list[BaseException] = []
        self.handler = Admin(
            lambda: Readiness(ready=True, reason="all serve"),
            answers={b"/slow": self._slow, b"/broken": self._broken},
            pages={b"/page": Response(200, b"x" * 200_000)},
            later=self._later,
        )

    async def _slow(self, _: Request) -> Response:
        self.asked.set()
        await self.release.wait()
        return Response(200, b"slow")

    async def _broken(self, _: Request) -> Response:
        raise ZeroDivisionError

    def _later(self, answering: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(answering)
        self.tasks.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: "asyncio.Task[None]") -> None:
        self.tasks.discard(task)
        if (error := task.exception()) is not None:
            self.errors.append(error)
        if self.bridge is not None:
            self.bridge.run_once()


async def test_an_answer_that_takes_a_moment_is_sent_and_holds_nobody_up() -> None:
    port = AdminPort()
    with bridged(port.handler) as served:
        port.bridge = served.bridge
        slow = await served.client()
        slow.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await served.get("/livez"))[0] == 200
        port.release.set()
        assert [(await slow.response())[2] for _ in range(2)] == [b"slow", b'{"live":true}']
        slow.close()
        await served.until_connections(0)


async def test_an_answer_for_a_client_that_has_left_is_dropped() -> None:
    port = AdminPort()
    with bridged(port.handler) as served:
        port.bridge = served.bridge
        client = await served.client()
        client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await port.asked.wait()
        client.close()
        await served.until_connections(0)
        port.release.set()
        await asyncio.wait(port.tasks)
        assert (await served.get("/readyz"))[0] == 200


async def test_b12_an_internal_error_is_answered_500() -> None:
    port = AdminPort()
    with bridged(port.handler) as served:
        port.bridge = served.bridge
        client = await served.client()
        status, _, body = await client.get("/broken")
        assert (status, json.loads(body)["code"]) == (500, "internal")
        assert (await client.get("/livez"))[0] == 200, "its connection lives, too"
        assert [type(error) for error in port.errors] == [ZeroDivisionError]
        client.close()
        await served.until_connections(0)


async def test_a_large_page_is_sent_in_full() -> None:
    port = AdminPort()
    with bridged(port.handler, ClientLimits(send_buffer_bytes=4096)) as served:
        assert (await served.get("/page"))[2] == b"x" * 200_000
        await served.until_connections(0)


@pytest.mark.parametrize("sends", [b"", b"GET /livez HT"])
async def test_b5_idle_connections_do_not_keep_probes_out(sends: bytes) -> None:
    """Sixty-four of them had every probe answered 503 for 74 s, and Kubernetes killed a healthy pod."""
    port = AdminPort()
    with bridged(port.handler, max_clients=64, evicts_idle=True) as served:
        idle = [await served.client() for _ in range(64)]
        for client in idle:
            client.send(sends)
        await served.until_connections(64)
        for path in ("/livez", "/readyz", "/livez"):
            assert (await served.get(path))[0] == 200
        for client in idle:
            client.close()
        await served.until_connections(0)
