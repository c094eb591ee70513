"""One valid request from its admission to its answer; a whole gateway around it: test_gateway.py."""

from functools import partial

import pytest

from hedgerow.admission.controller import AdmissionController
from hedgerow.core.forwarding import ClientMessage
from hedgerow.core.hedging import HedgePlan
from hedgerow.core.observer import Observer
from hedgerow.core.outcomes import (
    Attempt,
    AttemptHandle,
    AttemptSender,
    Failure,
    FailureReason,
    RaceEnd,
    Success,
)
from hedgerow.core.request import Request
from hedgerow.core.response import Response
from hedgerow.core.route import HedgeDelay, Route
from hedgerow.gateway import Gateway
from hedgerow.request_task import RequestTask, internal_error
from support.routes import head_of, only, smart_route
from support.virtual_loop import VirtualLoop

HEDGE_DELAY_S = 0.3
RESET = Failure(FailureReason.RESET, "gone")


class Sent:
    """An attempt that was sent."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.abandoned = False
        self.fails = False

    def abandon(self) -> None:
        self.abandoned = True
        if self.fails:
            raise ZeroDivisionError


class FailingDelay:
    """A hedge delay whose estimate has an internal error."""

    def delay_s(self, route: Route, now: float) -> float:
        raise ZeroDivisionError


class Ends(Observer):
    """Keeps how requests ended."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def request_finished(self, request: Request, code: str, ended_at: float, end: RaceEnd) -> None:
        self.codes.append(code)

    def request_rejected(self, code: str, reason: str, request: Request | None = None) -> None:
        self.codes.append(code)

    def internal_error(self, request: Request | None) -> None:
        self.codes.append("internal error")


class Bench(AttemptSender):
    """A task, and all that it uses."""

    def __init__(self, room: int = 1, delay: HedgeDelay | None = None) -> None:
        self.virtual = VirtualLoop()
        self.sent: list[Sent] = []
        self.responses: list[Response] = []
        self.fails = False
        self.ends = Ends()
        routes = only(smart_route(self, HedgePlan(HEDGE_DELAY_S, 2), delay=delay))
        self.admission = AdmissionController(room, adapts=False)
        self.gateway = Gateway(
            routes, admission=self.admission, loop=self.virtual.loop, observer=self.ends, tracer=None
        )
        self.virtual.loop.admit = self.gateway.admit_waiting

    def send(self, attempt: Attempt) -> AttemptHandle:
        if self.fails:
            raise ZeroDivisionError
        self.sent.append(Sent(attempt))
        return self.sent[-1]

    def respond(self, response: Response) -> None:
        self.responses.append(response)

    def start(self, timeout_ms: int = 1_000) -> RequestTask:
        request = Request(b"GET", b"/api/smart", b"", request_id=b"r1", arrived_at=self.virtual.now)
        request.timeout_ms = timeout_ms
        request.route = self.gateway.routes.routes[0]
        task = RequestTask(self.gateway, request, self)
        task.start()
        return task

    def finish(self, *outcomes: Success | Failure) -> None:
        """Have the upstream answer the attempts in their order."""
        for sent, outcome in zip(self.sent, outcomes, strict=False):
            if sent.attempt.outcome is None:
                self.virtual.read(partial(sent.attempt.finish, outcome, self.virtual.now))
                self.virtual.iterate()

    def assert_at_rest(self) -> None:
        assert self.virtual.deadlines == 0
        assert self.admission.in_flight == 0


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_sends_one_attempt_and_answers_with_its_success(bench: Bench) -> None:
    bench.start()
    assert [sent.attempt.number for sent in bench.sent] == [1]
    bench.finish(Success(b'{"time":1}'))
    assert [(response.status, response.body) for response in bench.responses] == [(200, b'{"time":1}')]
    assert bench.ends.codes == ["success"]
    bench.assert_at_rest()


def test_hedges_are_sent_after_the_hedge_delay_and_the_losers_abandoned(bench: Bench) -> None:
    bench.start()
    bench.virtual.advance_to(HEDGE_DELAY_S)
    assert [sent.attempt.number for sent in bench.sent] == [1, 2, 3]
    bench.finish(RESET, Success(b"{}"))
    assert [response.status for response in bench.responses] == [200]
    assert [sent.abandoned for sent in bench.sent] == [False, False, True]
    bench.assert_at_rest()


def in_flight(bench: Bench) -> tuple[int, int]:
    """Return the requests and the attempts in flight on the route."""
    route = bench.gateway.routes.routes[0]
    return route.in_flight, route.attempts_in_flight


def test_its_route_counts_what_is_in_flight_losers_included() -> None:
    bench = Bench(room=2)
    bench.start()
    assert in_flight(bench) == (1, 1)
    left = bench.start()
    assert in_flight(bench) == (2, 2)
    left.cancel()
    assert in_flight(bench) == (1, 2), "what the client has left runs on as a loser"
    bench.virtual.advance_to(HEDGE_DELAY_S)
    assert in_flight(bench) == (1, 4)
    bench.finish(RESET, RESET, Success(b"{}"))
    assert in_flight(bench) == (0, 1)
    bench.finish(*[Success(b"{}")] * 4)
    assert in_flight(bench) == (0, 0)


@pytest.mark.parametrize("room", [0, 1])
def test_what_is_not_sent_is_not_in_flight(room: int) -> None:
    bench = Bench(room)
    bench.fails = True
    task = bench.start()
    assert in_flight(bench) == (0, 0), "an internal error has ended it, or it waits"
    task.cancel()
    assert in_flight(bench) == (0, 0)


def test_at_its_deadline_it_answers_504(bench: Bench) -> None:
    bench.start(timeout_ms=100)
    bench.virtual.advance_to(0.1)
    assert [response.status for response in bench.responses] == [504]
    assert bench.sent[0].abandoned
    bench.assert_at_rest()


def test_a_client_that_leaves_gets_nothing_and_its_attempts_become_losers(bench: Bench) -> None:
    bench.start().cancel()
    assert bench.sent[0].abandoned
    bench.virtual.advance_to(20.0)
    assert bench.responses == []
    assert bench.ends.codes == ["abandoned"]
    bench.assert_at_rest()


@pytest.mark.parametrize("waits", [False, True])
def test_once_a_client_has_left_neither_its_headers_nor_its_body_are_kept(waits: bool) -> None:
    """The last 1 000 requests are: those that left before their admission held their bodies."""
    bench = Bench(room=0 if waits else 1)
    task = bench.start()
    task.request.message = message = ClientMessage(head_of())
    message.body = b"body"
    task.cancel()
    assert bench.ends.codes == ["abandoned"]
    assert (message.head, message.body) == (None, b"")


def test_without_room_it_waits_unsent_and_is_rejected_at_the_end_of_its_wait() -> None:
    bench = Bench(room=0)
    task = bench.start(timeout_ms=1_000)
    assert task.is_waiting
    assert task.wait_until == pytest.approx(0.247)
    bench.virtual.advance_to(task.wait_until)
    assert [response.status for response in bench.responses] == [503]
    assert bench.sent == []
    assert bench.ends.codes == ["overloaded"]


def test_it_starts_once_there_is_room(bench: Bench) -> None:
    bench.start()
    waiting = bench.start()
    assert (waiting.is_waiting, len(bench.sent)) == (True, 1)
    bench.finish(Success(b"{}"))
    bench.virtual.iterate()
    assert (waiting.is_waiting, len(bench.sent)) == (False, 2)


def test_an_internal_error_costs_this_request_alone(bench: Bench) -> None:
    bench.fails = True
    task = bench.start()
    assert [response.body for response in bench.responses] == [internal_error(task.request).body]
    assert bench.ends.codes == ["internal error", "internal"]
    bench.assert_at_rest()


# -- internal errors (B12)


@pytest.mark.parametrize("waits", [False, True])
def test_b12_an_error_of_the_hedge_delay_leaves_that_of_the_plan(waits: bool) -> None:
    """The request that had waited was never answered, and its admission never released."""
    bench = Bench(room=0 if waits else 1, delay=FailingDelay())
    bench.start()
    bench.admission.max_in_flight = 1
    bench.virtual.iterate()
    assert bench.ends.codes == ["internal error"]
    bench.virtual.advance_to(HEDGE_DELAY_S + 0.1)
    assert [sent.attempt.number for sent in bench.sent] == [1, 2, 3]
    bench.finish(Success(b"{}"))
    assert [response.status for response in bench.responses] == [200]
    bench.assert_at_rest()
    assert in_flight(bench)[0] == 0


@pytest.mark.parametrize("leaves", [False, True])
def test_b12_an_error_as_a_loser_is_abandoned_costs_no_answer(bench: Bench, leaves: bool) -> None:
    task = bench.start()
    bench.virtual.advance_to(HEDGE_DELAY_S)
    for sent in bench.sent:
        sent.fails = True
    if leaves:
        task.cancel()
    else:
        bench.finish(Success(b"{}"))
    assert [response.status for response in bench.responses] == ([] if leaves else [200])
    assert bench.ends.codes == ["internal error", "abandoned" if leaves else "success"]
    assert in_flight(bench)[0] == 0
    bench.assert_at_rest()
