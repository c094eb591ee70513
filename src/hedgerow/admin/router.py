"""Routes requests of the admin port. Each request gets a response, whatever its endpoint does."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from structlog.typing import FilteringBoundLogger

from hedgerow.core.request import Request
from hedgerow.core.response import JSON, Response, problem_response

ANSWER_TIMEOUT_S: Final = 0.9
"""After this time the response is a 503: probes of Kubernetes wait for 1 s by default."""

Endpoint = Callable[[Request], Awaitable[Response]]
"""Handles one path; an exception is an internal error, which is answered with 500."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether new requests should be sent here, and why not."""

    ready: bool
    reason: str


class AdminRouter:
    """Calls the endpoint of a path."""

    def __init__(
        self,
        readiness: Callable[[], Awaitable[Readiness]],
        endpoints: Mapping[bytes, Endpoint],
        pages: Mapping[bytes, Response],
        log: FilteringBoundLogger,
    ) -> None:
        self._readiness = readiness
        self._endpoints = {b"/readyz": self._readyz, **endpoints}
        self._pages = {b"/livez": Response(200, b'{"live":true}', content_type=JSON), **pages}
        self._log = log
        paths = (b"/livez", b"/readyz", *endpoints, *pages)
        self._known = ", ".join(path.decode() for path in paths if path.count(b"/") == 1)

    async def answer(self, request: Request) -> Response:
        """Return the response to a request. Raises nothing; cancelling cancels the endpoint."""
        page, endpoint = self._pages.get(request.path), self._endpoints.get(request.path)
        if page is None and endpoint is None:
            return problem_response("not_found", f"the paths here are {self._known}", request.request_id)
        if request.method not in (b"GET", b"HEAD"):
            return problem_response(
                "method_not_allowed", "use GET or HEAD", request.request_id, headers=b"Allow: GET, HEAD\r\n"
            )
        if page is not None:
            return page
        assert endpoint is not None  # noqa: S101 (for mypy)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await endpoint(request)
        except TimeoutError:
            detail = f"no answer within {ANSWER_TIMEOUT_S:g} s"
            return problem_response("overloaded", detail, request.request_id)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return self._internal_error(request)  # a task that the endpoint awaited was cancelled
        except Exception:  # noqa: BLE001 (a boundary: an internal error costs one request)
            return self._internal_error(request)

    def _internal_error(self, request: Request) -> Response:
        path = request.path.decode("latin-1")
        self._log.exception("unhandled exception on the admin port", path=path)
        return problem_response("internal", "an internal error, it has been logged", request.request_id)

    async def _readyz(self, _: Request) -> Response:
        readiness = await self._readiness()
        body = msgspec.json.encode({"ready": readiness.ready, "reason": readiness.reason})
        return Response(200 if readiness.ready else 503, body, content_type=JSON)
