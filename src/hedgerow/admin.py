"""The operations port: is it alive, is it ready, how does it do. Never shed, and not the callers' business."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from hedgerow.core.request import Cancellable, Handler, Request, Responder
from hedgerow.core.response import JSON, Response, problem_response

Answering = Callable[[Request], Awaitable[Response]]
"""Answers what takes a moment; raising is a bug."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether new work should be sent here, and why not."""

    ready: bool
    reason: str


class Admin(Handler):
    """Answers the operations port's requests."""

    def __init__(
        self,
        readiness: Callable[[], Readiness],
        answers: Mapping[bytes, Answering],
        pages: Mapping[bytes, Response],
        later: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._readiness = readiness
        self._answers = answers
        self._pages = pages
        self._paths = (b"/livez", b"/readyz", *answers, *pages)
        self._later = later

    def handle(self, request: Request, responder: Responder) -> Cancellable | None:
        """Answer by one call of `responder.respond`; see `core.request.Handler`."""
        respond = responder.respond
        if request.path not in self._paths:
            known = ", ".join(path.decode() for path in self._paths if path.count(b"/") == 1)
            respond(problem_response("not_found", f"the paths here are {known}", request.request_id))
        elif request.method not in (b"GET", b"HEAD"):
            respond(
                problem_response(
                    "method_not_allowed",
                    "use GET or HEAD",
                    request.request_id,
                    headers=b"Allow: GET, HEAD\r\n",
                )
            )
        elif request.path == b"/livez":
            respond(Response(200, b'{"live":true}', content_type=JSON))
        elif request.path == b"/readyz":
            readiness = self._readiness()
            body = msgspec.json.encode({"ready": readiness.ready, "reason": readiness.reason})
            respond(Response(200 if readiness.ready else 503, body, content_type=JSON))
        elif request.path in self._pages:
            respond(self._pages[request.path])
        else:
            self._later(self._answer(request, respond))
        return None

    async def _answer(self, request: Request, respond: Callable[[Response], None]) -> None:
        try:
            reply = await self._answers[request.path](request)
        except Exception:
            respond(problem_response("internal", "a bug of the gateway's", request.request_id))
            raise
        respond(reply)
