"""Requests with bodies: which are read, for how long, and what is answered where they are not."""

import json
from math import inf

import pytest

from hedgerow.admission.controller import AdmissionController
from hedgerow.core.forwarding import ClientMessage, Forwarding
from hedgerow.core.hedging import HedgePlan
from hedgerow.core.observer import Observer
from hedgerow.core.outcomes import Attempt, AttemptHandle, AttemptSender
from hedgerow.core.request import Request
from hedgerow.core.response import Response
from hedgerow.core.route import Route, RouteTable
from hedgerow.gateway import Gateway
from support.routes import head_of
from support.virtual_loop import VirtualLoop

MAX_BYTES, DEFAULT_MS = 77, 1_000


class Facts(Observer):
    """Notes what is rejected, and internal errors."""

    def __init__(self) -> None:
        self.facts: list[str] = []

    def request_rejected(self, code: str, reason: str, request: Request | None = None) -> None:
        route = getattr(request, "route", None)
        self.facts.append(f"rejected {code} {reason} {route.name if route else '-'}")

    def internal_error(self, request: Request | None) -> None:
        self.facts.append("internal error")


class Bench(AttemptSender):
    """A gateway with a route that accepts bodies and one that does not."""

    def __init__(self) -> None:
        self.virtual = VirtualLoop()
        self.facts = Facts()
        self.sent: list[Attempt] = []
        self.responses: list[Response] = []
        routes = [self.route("posts", accepts_bodies=True), self.route("reads", accepts_bodies=False)]
        self.gateway = Gateway(
            RouteTable(routes, [b"/posts", b"/reads"], [b"", b""]),
            admission=AdmissionController(2, adapts=False),
            loop=self.virtual.loop,
            observer=self.facts,
        )

    def route(self, name: str, *, accepts_bodies: bool) -> Route:
        return Route(
            name,
            self,
            HedgePlan(0.3, 0),
            default_timeout_ms=DEFAULT_MS,
            max_timeout_ms=9_000,
            timeout_headers=frozenset((b"x-request-timeout-ms",)),
            methods=(b"GET", b"POST"),
            forwarding=Forwarding(),
            accepts_bodies=accepts_bodies,
            max_request_body=MAX_BYTES,
        )

    def send(self, attempt: Attempt) -> AttemptHandle:
        self.sent.append(attempt)
        return self  # type: ignore[return-value]

    def respond(self, response: Response) -> None:
        self.responses.append(response)

    def handle(self, request: Request) -> Response | None:
        """Handle it, and return the answer if there is one at once."""
        self.gateway.handle(request, self)
        return self.responses[-1] if self.responses else None


@pytest.fixture
def bench() -> Bench:
    return Bench()


def post(path: bytes = b"/posts", query: bytes = b"", headers: dict[bytes, bytes] | None = None) -> Request:
    head = head_of(*(headers or {}).items(), has_query=query != b"")
    message = ClientMessage(head)
    return Request(b"POST", path, query, request_id=b"r", arrived_at=0.0, message=message)


@pytest.mark.parametrize(
    ("query", "headers", "timeout_ms"),
    [
        (b"", {}, DEFAULT_MS), (b"timeout=5", {}, 5), (b"", {b"X-Request-Timeout-Ms": b"6"}, 6),
        (b"timeout=8", {b"X-Request-Timeout-Ms": b"7"}, 7), (b"timeout=99999", {}, 9_000),
    ],
)  # fmt: skip
def test_a_body_is_read_for_the_timeout_of_its_request(
    bench: Bench, query: bytes, headers: dict[bytes, bytes], timeout_ms: int
) -> None:
    request = post(query=query, headers=headers)
    assert bench.gateway.max_body_bytes(request) == MAX_BYTES
    assert request.timeout_ms == timeout_ms


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        (b"/nowhere", b"", 404), (b"/posts", b"timeout=0", 400), (b"/reads", b"", 400),
        (b"/reads", b"timeout=x", 400),
    ],
)  # fmt: skip
def test_no_body_is_read_where_the_head_is_rejected(
    bench: Bench, path: bytes, query: bytes, status: int
) -> None:
    request = post(path, query)
    assert bench.gateway.max_body_bytes(request) == -1
    assert request.message is not None
    request.message.has_refused_body = True
    response = bench.handle(request)
    assert response is not None
    assert (response.status, bench.sent) == (status, [])


@pytest.mark.parametrize("late_s", [0.0, 1.0, inf])
def test_a_body_that_is_late_is_a_408_and_asks_nothing(bench: Bench, late_s: float) -> None:
    request = post()
    assert bench.gateway.max_body_bytes(request) == MAX_BYTES
    assert request.message is not None
    request.message.body_arrived_at = DEFAULT_MS / 1000 + late_s
    response = bench.handle(request)
    assert response is not None
    problem = json.loads(response.body)
    assert (response.status, problem["code"]) == (408, "bad_request")
    assert problem["detail"] == "the body has not come whole within the timeout of 1000 ms"
    assert bench.facts.facts == ["rejected bad_request slow_body posts"]
    assert bench.sent == []


def test_a_body_that_is_in_time_is_passed_on(bench: Bench) -> None:
    request = post()
    assert bench.gateway.max_body_bytes(request) == MAX_BYTES
    assert request.message is not None
    request.message.body_arrived_at = 0.999
    assert bench.handle(request) is None
    assert [attempt.request for attempt in bench.sent] == [request]


def test_b12_an_error_as_the_head_is_looked_at_is_reported_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = post()

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(bench.gateway, "routes", RouteTable([], [], []))
    monkeypatch.setattr(bench.gateway.routes, "match", fail)
    assert bench.gateway.max_body_bytes(request) == -1
    response = bench.handle(request)
    assert response is not None
    assert response.status == 500
    assert bench.facts.facts.count("internal error") == 1
