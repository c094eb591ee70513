"""The admin port's paths, without its socket: each request gets an answer, whatever its endpoint does."""

import asyncio
import json

import pytest
import structlog

from hedgerow.admin.router import AdminRouter, Readiness
from hedgerow.core.request import Request
from hedgerow.core.response import Response
from support.virtual_asyncio import run_in_virtual_time


class AdminPort:
    """Routes with some endpoints, and one page."""

    def __init__(self) -> None:
        self.readiness: Readiness | Exception = Readiness(ready=True, reason="1 of 1 workers serve")
        self.lines: list[str] = []
        log = structlog.wrap_logger(
            None, processors=[self._note], wrapper_class=structlog.make_filtering_bound_logger(0)
        )
        endpoints = {
            b"/metrics": self._metrics, b"/broken": self._broken, b"/hangs": self._hangs,
            b"/cancelled": self._cancelled,
        }  # fmt: skip
        pages = {b"/page/app.js": Response(200, b"page")}
        self.routes = AdminRouter(self._readiness, endpoints, pages, log)

    def _note(self, _logger: object, _level: str, event: structlog.typing.EventDict) -> str:
        self.lines.append(event["event"])
        raise structlog.DropEvent

    async def _readiness(self) -> Readiness:
        if isinstance(self.readiness, Exception):
            raise self.readiness
        return self.readiness

    async def _metrics(self, _: Request) -> Response:
        return Response(200, b"metrics")

    async def _broken(self, _: Request) -> Response:
        raise ZeroDivisionError

    async def _hangs(self, _: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def _cancelled(self, _: Request) -> Response:
        worker_gone: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        worker_gone.cancel()
        return await worker_gone

    def ask(self, path: bytes, method: bytes = b"GET") -> Response:
        request = Request(method, path, b"", request_id=b"r", arrived_at=0.0)
        return run_in_virtual_time(self.routes.answer(request))


def test_live_and_ready() -> None:
    port = AdminPort()
    assert (port.ask(b"/livez").status, port.ask(b"/readyz").status) == (200, 200)
    port.readiness = Readiness(ready=False, reason="draining")
    assert port.ask(b"/livez").status == 200, "a drain is no reason to be killed"
    ready = port.ask(b"/readyz")
    assert (ready.status, json.loads(ready.body)) == (503, {"ready": False, "reason": "draining"})


def test_a_readiness_that_raises_is_answered_500() -> None:
    port = AdminPort()
    port.readiness = ZeroDivisionError()
    assert port.ask(b"/readyz").status == 500
    assert port.ask(b"/livez").status == 200
    assert port.lines == ["unhandled exception on the admin port"]


@pytest.mark.parametrize(("path", "body"), [(b"/metrics", b"metrics"), (b"/page/app.js", b"page")])
def test_endpoints_and_pages(path: bytes, body: bytes) -> None:
    for method in (b"GET", b"HEAD"):
        response = AdminPort().ask(path, method)
        assert (response.status, response.body) == (200, body)


def test_elsewhere_the_paths_are_named() -> None:
    response = AdminPort().ask(b"/nothing")
    assert (response.status, response.code) == (404, "not_found")
    known = "the paths here are /livez, /readyz, /metrics, /broken, /hangs, /cancelled"
    assert json.loads(response.body)["detail"] == known


@pytest.mark.parametrize("path", [b"/livez", b"/metrics", b"/page/app.js"])
def test_other_methods(path: bytes) -> None:
    response = AdminPort().ask(path, b"POST")
    assert (response.status, response.headers) == (405, b"Allow: GET, HEAD\r\n")


@pytest.mark.parametrize("path", [b"/broken", b"/cancelled"])
def test_an_endpoint_that_raises_is_answered_500_and_logged(path: bytes) -> None:
    port = AdminPort()
    response = port.ask(path)
    assert (response.status, json.loads(response.body)["code"]) == (500, "internal")
    assert port.lines == ["unhandled exception on the admin port"]


def test_an_endpoint_that_hangs_is_answered_503() -> None:
    response = AdminPort().ask(b"/hangs")
    assert (response.status, json.loads(response.body)["detail"]) == (503, "no answer within 0.9 s")


def test_a_connection_that_is_closed_cancels_its_endpoint() -> None:
    port = AdminPort()

    async def close() -> None:
        request = Request(b"GET", b"/hangs", b"", request_id=b"r", arrived_at=0.0)
        task = asyncio.get_running_loop().create_task(port.routes.answer(request))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_in_virtual_time(close())
    assert port.lines == []
