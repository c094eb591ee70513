"""The operations port: is it alive, is it ready, what does it count. Never shed, and not the callers' business."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from hedgerow.replies import JSON, Reply, problem
from hedgerow.requests import Request

_PATHS = (b"/livez", b"/readyz", b"/metrics")


class Cancellable(Protocol):
    """An answer that takes a moment."""

    def cancel(self) -> object:
        """The caller has left."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether new work should be sent here, and why not."""

    ready: bool
    reason: str


class Admin:
    """Answers the operations port's requests."""

    def __init__(
        self,
        readiness: Callable[[], Readiness],
        metrics: Callable[[], Awaitable[bytes]],
        metrics_type: bytes,
        later: Callable[[Coroutine[Any, Any, None]], Cancellable],
    ) -> None:
        self._readiness = readiness
        self._metrics = metrics
        self._metrics_type = metrics_type
        self._later = later

    def handle(self, request: Request, respond: Callable[[Reply], None]) -> Cancellable | None:
        """Answer by one call of `respond`; see `http_front.client.Handler`."""
        if request.path not in _PATHS:
            known = ", ".join(path.decode() for path in _PATHS)
            respond(problem("not_found", f"the paths here are {known}", request.request_id))
        elif request.method not in (b"GET", b"HEAD"):
            respond(
                problem(
                    "method_not_allowed",
                    "use GET or HEAD",
                    request.request_id,
                    headers=b"Allow: GET, HEAD\r\n",
                )
            )
        elif request.path == b"/livez":
            respond(Reply(200, b'{"live":true}', content_type=JSON))
        elif request.path == b"/readyz":
            readiness = self._readiness()
            body = msgspec.json.encode({"ready": readiness.ready, "reason": readiness.reason})
            respond(Reply(200 if readiness.ready else 503, body, content_type=JSON))
        else:
            return self._later(self._answer_metrics(respond))
        return None

    async def _answer_metrics(self, respond: Callable[[Reply], None]) -> None:
        respond(Reply(200, await self._metrics(), content_type=self._metrics_type))
