"""The admin port's answers, without its socket."""

import json
from collections.abc import Coroutine

import pytest

from hedgerow.admin import Admin, Readiness
from hedgerow.core.request import Request
from hedgerow.core.response import Response


class Responses:
    """Keeps the responses to one request."""

    def __init__(self) -> None:
        self.all: list[Response] = []

    def respond(self, response: Response) -> None:
        self.all.append(response)


class AdminPort:
    """An `Admin` with two answers that take a moment, and one page."""

    def __init__(self) -> None:
        self.readiness = Readiness(ready=True, reason="1 of 1 workers serve")
        self.later: list[Coroutine[object, object, None]] = []
        answers = {b"/metrics": self._metrics, b"/broken": self._broken}
        self.admin = Admin(
            lambda: self.readiness, answers, {b"/page/app.js": Response(200, b"page")}, self.later.append
        )

    async def _metrics(self, _: Request) -> Response:
        return Response(200, b"metrics")

    async def _broken(self, _: Request) -> Response:
        raise ZeroDivisionError

    def ask(
        self, path: bytes, method: bytes = b"GET", *, ends: type[BaseException] = StopIteration
    ) -> Response:
        """Ask, let what was put off run, and return the only response."""
        responses = Responses()
        request = Request(method, path, b"", request_id=b"r", arrived_at=0.0)
        assert self.admin.handle(request, responses) is None
        for answering in self.later:
            assert responses.all == []
            with pytest.raises(ends):
                answering.send(None)
        self.later.clear()
        (response,) = responses.all
        return response


def test_live_and_ready() -> None:
    port = AdminPort()
    assert (port.ask(b"/livez").status, port.ask(b"/readyz").status) == (200, 200)
    port.readiness = Readiness(ready=False, reason="draining")
    assert port.ask(b"/livez").status == 200, "a drain is no reason to be killed"
    ready = port.ask(b"/readyz")
    assert (ready.status, json.loads(ready.body)) == (503, {"ready": False, "reason": "draining"})
    assert ready.code != "overloaded", "or the connection of the probe would be held back"


@pytest.mark.parametrize(("path", "body"), [(b"/metrics", b"metrics"), (b"/page/app.js", b"page")])
def test_answers_and_pages(path: bytes, body: bytes) -> None:
    for method in (b"GET", b"HEAD"):
        response = AdminPort().ask(path, method)
        assert (response.status, response.body) == (200, body)


def test_elsewhere_the_paths_are_named() -> None:
    response = AdminPort().ask(b"/nothing")
    assert (response.status, response.code) == (404, "not_found")
    assert json.loads(response.body)["detail"] == "the paths here are /livez, /readyz, /metrics, /broken"


@pytest.mark.parametrize("path", [b"/livez", b"/metrics", b"/page/app.js"])
def test_other_methods(path: bytes) -> None:
    response = AdminPort().ask(path, b"POST")
    assert (response.status, response.headers) == (405, b"Allow: GET, HEAD\r\n")


def test_an_internal_error_is_answered_500_and_flies_on() -> None:
    response = AdminPort().ask(b"/broken", ends=ZeroDivisionError)
    assert (response.status, json.loads(response.body)["code"]) == (500, "internal")
