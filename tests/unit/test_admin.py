import json
from collections.abc import Coroutine

import pytest

from hedgerow.admin import Admin, Readiness
from hedgerow.core.request import Request
from hedgerow.core.response import Response


class Client:
    """The connection that a request came on."""

    def __init__(self) -> None:
        self.responses: list[Response] = []

    def respond(self, response: Response) -> None:
        self.responses.append(response)


class Operations:
    """The operations port without its socket."""

    def __init__(self) -> None:
        self.readiness = Readiness(ready=True, reason="1 of 1 workers serve")
        self.later: list[Coroutine[object, object, None]] = []
        answers = {b"/metrics": self._metrics, b"/broken": self._broken}
        self.admin = Admin(lambda: self.readiness, answers, {b"/page": Response(200, b"page")}, self._later)

    async def _metrics(self, _: Request) -> Response:
        return Response(200, b"metrics")

    async def _broken(self, _: Request) -> Response:
        raise ZeroDivisionError

    def _later(self, answering: Coroutine[object, object, None]) -> "Operations":
        self.later.append(answering)
        return self

    def cancel(self) -> None:
        raise AssertionError("nobody left")

    def ask(
        self, path: bytes, method: bytes = b"GET", *, ends: type[BaseException] = StopIteration
    ) -> list[Response]:
        client = Client()
        self.admin.handle(Request(method, path, b"", request_id=b"r", arrived_at=0.0), client)
        for answering in self.later:
            with pytest.raises(ends):
                answering.send(None)
        self.later.clear()
        return client.responses


def test_the_operations_port() -> None:
    operations = Operations()
    (live,) = operations.ask(b"/livez")
    (ready,) = operations.ask(b"/readyz")
    assert (live.status, ready.status) == (200, 200)
    operations.readiness = Readiness(ready=False, reason="draining")
    (ready,) = operations.ask(b"/readyz")
    assert ready.status == 503
    assert json.loads(ready.body) == {"ready": False, "reason": "draining"}
    assert [reply.status for reply in operations.ask(b"/nothing")] == [404]
    assert [reply.status for reply in operations.ask(b"/livez", b"POST")] == [405]
    assert [reply.body for reply in operations.ask(b"/page")] == [b"page"]
    (metrics,) = operations.ask(b"/metrics")
    assert (metrics.status, metrics.body) == (200, b"metrics")


def test_a_bug_is_answered_with_500() -> None:
    (reply,) = Operations().ask(b"/broken", ends=ZeroDivisionError)
    assert (reply.status, json.loads(reply.body)["code"]) == (500, "internal")
