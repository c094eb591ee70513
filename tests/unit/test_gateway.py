"""The path of one request, in virtual time, before an upstream that does what the test says."""

import json
from collections.abc import Callable
from math import inf

import pytest

from hedgerow.admission.controller import AdmissionController
from hedgerow.core.forwarding import ClientMessage
from hedgerow.core.hedge_limit import HedgeLimit
from hedgerow.core.hedging import HedgePlan
from hedgerow.core.observer import Observer
from hedgerow.core.outcomes import (
    Aborted,
    Attempt,
    AttemptHandle,
    AttemptSender,
    Failure,
    FailureReason,
    RaceEnd,
    Success,
    Won,
)
from hedgerow.core.request import Request
from hedgerow.core.request_head import RequestHead
from hedgerow.core.response import Response
from hedgerow.core.trace_context import TraceContext, parse_trace_context
from hedgerow.core.traces import AttemptPlace
from hedgerow.eventloop.scheduler import STEP_S
from hedgerow.gateway import Gateway
from hedgerow.request_task import RequestTask
from support.routes import only, smart_route
from support.virtual_loop import VirtualLoop

CLIENTS_TRACE = parse_trace_context(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", b"")
RESET = Failure(FailureReason.RESET, "gone")


class Facts(Observer):
    """An observer that notes the facts."""

    def __init__(self) -> None:
        self.facts: list[str] = []
        self.finished: list[tuple[Request, str, float, RaceEnd]] = []
        self.errors_of: list[Request | None] = []
        self.fails_in = ""
        """The name of the method that raises, once."""

    def _called(self, method: str, fact: str) -> None:
        if method == self.fails_in:
            self.fails_in = ""
            raise ZeroDivisionError
        self.facts.append(fact)

    def request_finished(self, request: Request, code: str, ended_at: float, end: RaceEnd) -> None:
        self._called("request_finished", f"finished {code}")
        self.finished.append((request, code, ended_at, end))

    def request_rejected(self, code: str, reason: str, request: Request | None = None) -> None:
        self._called("request_rejected", f"rejected {code} {reason}")

    def internal_error(self, request: Request | None) -> None:
        self.facts.append("internal error")
        self.errors_of.append(request)

    def attempt_finished(self, attempt: Attempt) -> None:
        raise AssertionError("the upstream reports it")

    def stale_connection_retried(self) -> None:
        raise AssertionError("the upstream reports it")


class SentAttempt:
    """An attempt that the test finishes."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.abandoned = 0

    def abandon(self) -> None:
        self.attempt.is_loser = True
        self.abandoned += 1


class OneTrace:
    """A trace, the spans of its attempts, and the tracer that starts it."""

    trace_id = "7"
    headers = b"traceparent: ours\r\n"

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.started: list[Request] = []
        self.fails = False

    def start(self, request: Request) -> "OneTrace":
        if self.fails:
            raise ZeroDivisionError
        self.started.append(request)
        return self

    def attempt_started(self, attempt: Attempt) -> "OneTrace":
        self.attempts.append(attempt)
        return self

    def sent_to(self, place: AttemptPlace) -> None:
        """Called by the connection, which is not there."""

    def attempt_finished(self, attempt: Attempt) -> None:
        """Called by the observer."""

    def request_finished(self, code: str, ended_at: float, end: RaceEnd) -> None:
        """Called by the observer."""


class Client:
    """The connection that a request came on."""

    def __init__(self) -> None:
        self.responses: list[Response] = []

    def respond(self, response: Response) -> None:
        self.responses.append(response)


class Bench(AttemptSender):
    """A gateway and all that is around it."""

    def __init__(
        self,
        tracer: OneTrace | None = None,
        room: int = 2,
        hedge_limit: HedgeLimit | None = None,
        sample: float = 1.0,
        *,
        adapts: bool = False,
    ) -> None:
        self.virtual = VirtualLoop()
        self.facts = Facts()
        self.sent: list[SentAttempt] = []
        self.fails_on_the_spot: Callable[[Attempt], bool] = lambda _: False
        self.broken = False
        self.client = Client()
        self.admission = AdmissionController(room, adapts=adapts)
        self.gateway = Gateway(
            only(smart_route(self, HedgePlan(0.3, 2), hedge_limit=hedge_limit, sample=sample)),
            admission=self.admission,
            loop=self.virtual.loop,
            observer=self.facts,
            tracer=tracer,
        )
        self.virtual.loop.admit = self.gateway.admit_waiting

    def send(self, attempt: Attempt) -> AttemptHandle:
        if self.broken:
            raise ZeroDivisionError
        self.sent.append(SentAttempt(attempt))
        if self.fails_on_the_spot(attempt):
            attempt.finish(RESET, self.virtual.now)
        return self.sent[-1]

    def ask(
        self,
        query: bytes = b"",
        path: bytes = b"/api/smart",
        method: bytes = b"GET",
        *,
        client: Client | None = None,
        queued_s: float = 0.0,
        trace: TraceContext | None = None,
    ) -> RequestTask | None:
        """Handle a request that has been in the socket buffer for `queued_s`."""
        request = Request(
            method, path, query, request_id=b"r1", arrived_at=self.virtual.now - queued_s, trace=trace
        )
        return self.gateway.handle(request, client or self.client)

    def finish(self, number: int, outcome: Success | Failure) -> None:
        """Finish an attempt in an iteration of the event loop."""
        attempt = self.sent[number - 1].attempt
        self.virtual.read(lambda: attempt.finish(outcome, self.virtual.now))
        self.virtual.iterate()

    @property
    def status(self) -> int:
        (response,) = self.client.responses
        return response.status

    @property
    def problem(self) -> dict[str, object]:
        body = json.loads(self.client.responses[-1].body)
        assert isinstance(body, dict)
        return body

    @property
    def attempts_in_flight(self) -> int:
        return sum(route.attempts_in_flight for route in self.gateway.routes.routes)

    @property
    def is_clean(self) -> bool:
        """Return whether nothing is left of any request."""
        return not (self.virtual.deadlines or self.admission.in_flight or self.virtual.internal_errors)


@pytest.fixture
def bench() -> Bench:
    return Bench()


# -- what needs no upstream


@pytest.mark.parametrize(
    ("asked", "status", "code", "detail", "headers"),
    [
        ({"path": b"/"}, 404, "not_found", "the only path here is /api/smart", b""),
        ({"path": b"/api/smart/"}, 404, "not_found", "the only path here is /api/smart", b""),
        ({"method": b"POST"}, 405, "method_not_allowed", "use GET or HEAD", b"Allow: GET, HEAD\r\n"),
        (
            {"query": b"timeout=0"},
            400,
            "bad_timeout",
            "timeout is 0; it must be at least 1 millisecond",
            b"",
        ),
    ],
)
def test_what_needs_no_upstream_is_answered_at_once_and_says_why(
    bench: Bench, asked: dict[str, bytes], status: int, code: str, detail: str, headers: bytes
) -> None:
    assert (
        bench.ask(asked.get("query", b""), asked.get("path", b"/api/smart"), asked.get("method", b"GET"))
        is None
    )
    assert (bench.status, bench.problem["code"], bench.problem["detail"]) == (status, code, detail)
    assert bench.problem["request_id"] == "r1"
    assert bench.client.responses[0].headers == headers
    assert bench.facts.facts == [f"rejected {code} {code}"]
    assert not bench.sent
    assert bench.is_clean


@pytest.mark.parametrize("has_head", [True, False])
def test_what_is_answered_by_an_error_at_once_is_counted_as_work(*, has_head: bool) -> None:
    bench = Bench(adapts=True)
    for _ in range(40):
        if has_head:
            bench.ask(path=b"/else")
        else:
            bench.gateway.answered_by_error("bad_request", "bad_request", None)
        bench.virtual.now += 0.01
        bench.admission.record_iteration(0.01, bench.virtual.now)
    assert 0.0 < bench.admission.rate_limit(bench.virtual.now) < inf


@pytest.mark.parametrize(
    ("asked", "timeout_ms"),
    [
        ({"query": b"timeout=900"}, 900), ({"query": b""}, 10_000), ({"query": b"timeout=0"}, 0),
        ({"path": b"/else"}, 0), ({"method": b"POST"}, 0),
    ],
)  # fmt: skip
def test_a_handler_knows_how_long_the_client_waits(
    bench: Bench, asked: dict[str, bytes], timeout_ms: int
) -> None:
    parts = {"query": b"", "path": b"/api/smart", "method": b"GET"} | asked
    request = Request(parts["method"], parts["path"], parts["query"], request_id=b"r", arrived_at=0.0)
    assert bench.gateway.timeout_ms(request) == timeout_ms


def test_b12_an_error_as_the_timeout_is_asked_for_is_met_again_and_reported_once(bench: Bench) -> None:
    message = ClientMessage(RequestHead(b""))
    message.head = None  # as no request has it that is not answered yet
    request = Request(b"GET", b"/api/smart", b"", request_id=b"r", arrived_at=0.0, message=message)
    assert (bench.gateway.timeout_ms(request), bench.gateway.max_body_bytes(request)) == (0, -1)
    assert not bench.facts.facts
    bench.gateway.handle(request, bench.client)
    assert (bench.status, bench.facts.facts) == (500, ["internal error", "rejected internal internal"])


# -- races


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"query": b"timeout=0"}, "bad_timeout"), ({"path": b"/else"}, "not_found"),
        ({"method": b"POST"}, "method_not_allowed"),
    ],
)  # fmt: skip
def test_what_a_request_was_found_to_be_is_used_for_the_same_bytes_alone(
    bench: Bench, changed: dict[str, bytes], code: str
) -> None:
    sent = {"query": b"timeout=900", "path": b"/api/smart", "method": b"GET"}
    client = Client()
    for parts in (
        sent,
        sent,
        sent | changed,
    ):  # what is not changed is the same object, as the cache returns it
        bench.ask(**parts, client=client)  # type: ignore[arg-type]
    assert [sent.attempt.request.timeout_ms for sent in bench.sent] == [900, 900]
    assert [response.code for response in client.responses] == [code]


def test_b01_b09_a_success(bench: Bench) -> None:
    bench.ask(b"timeout=999999999999")
    bench.finish(1, Success(b'{"time":1}'))
    (response,) = bench.client.responses
    assert (response.status, response.body, response.headers) == (
        200,
        b'{"time":1}',
        b"Hedgerow-Timeout-Ms: 60000\r\n",
    )
    assert response.timing == b', hedges;desc="0", winner;desc="1"'
    assert bench.facts.facts == ["finished success"]
    assert bench.is_clean


def test_b02_hedges_are_sent_together_after_the_hedge_delay_and_never_before(bench: Bench) -> None:
    bench.virtual.now = 7.0001
    bench.ask()
    bench.virtual.advance_to(7.3)
    assert len(bench.sent) == 1
    bench.virtual.advance_to(7.3015)
    assert [sent.attempt.launched_at for sent in bench.sent] == [7.0001, 7.301, 7.301]


def test_b02_hedges_wait_for_answers_that_have_come_however_long_reading_takes(bench: Bench) -> None:
    """After a stall the loop looks at what is due in the middle of reading: answers behind it are raced by no hedge."""
    one, two = Client(), Client()
    bench.ask(client=one)
    bench.ask(client=two)
    first, second = bench.sent[0].attempt, bench.sent[1].attempt
    bench.virtual.now = 0.4  # the process was stopped: both hedge delays are over

    def read_the_first() -> None:
        first.finish(Success(b"1"), bench.virtual.now)
        bench.virtual.now += 1.5 * STEP_S

    bench.virtual.read_apart(read_the_first, lambda: second.finish(Success(b"2"), bench.virtual.now))
    bench.virtual.iterate()
    assert [response.body for response in (*one.responses, *two.responses)] == [b"1", b"2"]
    assert len(bench.sent) == 2
    bench.virtual.iterate()
    assert len(bench.sent) == 2
    assert bench.is_clean


@pytest.mark.parametrize("step", ["upstream", "clients"])
def test_b02_hedges_that_waited_for_reading_are_sent(bench: Bench, step: str) -> None:
    """They fall due while a step takes long; no later than by the next iteration all that had come was read."""

    def take_long() -> None:
        bench.virtual.now += 2 * STEP_S

    bench.ask()
    bench.virtual.now = 0.299
    if step == "upstream":
        bench.virtual.read_apart(take_long)
    else:
        bench.virtual.read_client(take_long)
    bench.virtual.iterate()
    assert len(bench.sent) == (3 if step == "upstream" else 1)
    bench.virtual.iterate()
    assert [sent.attempt.number for sent in bench.sent] == [1, 2, 3]


def test_b06_a_race_whose_hedges_wait_for_reading_keeps_its_deadline(bench: Bench) -> None:
    """While more answers come than one iteration reads, hedges wait, and the 504 does not."""
    bench.ask(b"timeout=400")
    for now in (0.35, 0.36, 0.4):
        bench.virtual.now = now
        bench.virtual.fill_poll()
        bench.virtual.iterate()
    assert bench.status == 504
    assert len(bench.sent) == 1
    bench.virtual.iterate()
    assert bench.is_clean


def test_b03_of_two_successes_in_one_iteration_the_earliest_started_wins(bench: Bench) -> None:
    bench.ask()
    bench.virtual.advance_to(0.4)
    two, three = bench.sent[1].attempt, bench.sent[2].attempt
    bench.virtual.read(lambda: three.finish(Success(b"3"), 0.4), lambda: two.finish(Success(b"2"), 0.4))
    bench.virtual.iterate()
    assert [response.body for response in bench.client.responses] == [b"2"]
    assert [sent.abandoned for sent in bench.sent] == [1, 0, 0]


def test_b05_all_three_failed_and_each_says_why(bench: Bench) -> None:
    bench.ask(b"timeout=900")
    bench.virtual.advance_to(0.1)
    bench.finish(1, RESET)
    bench.virtual.advance_to(0.4)
    assert len(bench.sent) == 3
    bench.finish(3, Failure(FailureReason.STATUS_429))
    bench.finish(2, Failure(FailureReason.BAD_JSON))
    assert bench.status == 502
    attempts = bench.problem["attempts"]
    assert isinstance(attempts, list)
    assert [attempt["outcome"] for attempt in attempts] == ["reset", "bad_json", "status_429"]
    assert attempts[0] == {
        "number": 1, "launched_at_ms": 0.0, "outcome": "reset", "detail": "gone", "took_ms": 100.0,
    }  # fmt: skip
    assert bench.is_clean


def test_b06_out_of_time_makes_losers_of_its_attempts(bench: Bench) -> None:
    bench.ask(b"timeout=400")
    bench.virtual.advance_to(0.3965)
    assert not bench.client.responses
    bench.virtual.advance_to(0.4)
    assert (bench.status, bench.problem["code"]) == (504, "out_of_time")
    assert [sent.abandoned for sent in bench.sent] == [1] * 3
    bench.finish(1, Success(b"{}"))
    assert len(bench.client.responses) == 1, "a loser answers no client"
    assert bench.facts.facts == ["finished out_of_time"]
    assert bench.is_clean


def test_b06_a_success_that_was_read_wins_over_a_deadline_that_is_over(bench: Bench) -> None:
    """M19: the answer came while the loop stalled; it is read before timers are looked at."""
    bench.ask(b"timeout=400")
    bench.virtual.now = 0.7
    bench.finish(1, Success(b"{}"))
    assert bench.status == 200
    assert len(bench.sent) == 1, "no hedge goes to an upstream that had answered"


def test_m19_hedges_that_are_due_after_a_stall_leave_after_what_had_come_was_read(bench: Bench) -> None:
    bench.ask(b"timeout=2000")
    bench.virtual.now = 0.7
    bench.finish(1, RESET)
    assert [sent.attempt.launched_at for sent in bench.sent] == [0.0, 0.7, 0.7]


def test_b07_all_that_could_start_has_failed(bench: Bench) -> None:
    bench.ask(b"timeout=300")
    bench.virtual.advance_to(0.05)
    bench.finish(1, RESET)
    assert (bench.status, bench.problem["detail"]) == (502, "the only attempt to the upstream failed")


def test_b08_without_a_timeout_the_default_bounds(bench: Bench) -> None:
    bench.ask()
    bench.virtual.advance_to(9.99)
    assert not bench.client.responses
    bench.virtual.advance_to(10.0)
    assert bench.status == 504


def test_b3_a_race_that_waits_while_the_loop_is_held_is_answered_as_the_loop_goes_on(bench: Bench) -> None:
    """FAULTS B3: it waited between the hedge delay and the poll, with no deadline set (310 ms, answered at 800)."""
    bench.ask(b"timeout=313")  # answered by 310 ms: the margin is 3 ms
    for held_until in (0.2995, 0.305):
        bench.virtual.now = held_until
        bench.virtual.read(lambda: None)
        bench.virtual.iterate()
    assert len(bench.sent) == 3
    bench.virtual.now = 0.8
    bench.virtual.iterate()
    assert bench.status == 504
    assert bench.is_clean


@pytest.mark.parametrize("from_ms", [0, 299, 300, 301, 305])
def test_b3_every_wait_has_its_deadline_set(bench: Bench, from_ms: int) -> None:
    """Held for 500 ms from any instant of the race on, the next iteration answers."""
    bench.ask(b"timeout=313")
    bench.virtual.advance_to(from_ms / 1000)
    assert bench.virtual.loop.deadlines.next_due_at <= 0.31
    bench.virtual.now += 0.5
    bench.virtual.iterate()
    assert bench.status == 504
    assert bench.is_clean


def test_an_attempt_may_fail_on_the_spot(bench: Bench) -> None:
    bench.fails_on_the_spot = lambda attempt: True
    bench.ask(b"timeout=900")
    assert not bench.client.responses
    bench.virtual.advance_to(0.301)
    assert bench.status == 502
    assert len(bench.sent) == 3
    assert [sent.abandoned for sent in bench.sent] == [0] * 3
    assert all(sent.attempt.handle is None for sent in bench.sent)
    assert bench.is_clean


def test_a_race_may_end_before_the_request_is_handed_over(bench: Bench) -> None:
    bench.fails_on_the_spot = lambda attempt: True
    bench.ask(b"timeout=200")
    assert bench.status == 502
    bench.virtual.iterate()
    assert len(bench.client.responses) == 1
    assert bench.is_clean


@pytest.mark.parametrize(("query", "queued_s"), [(b"timeout=1", 0.0), (b"timeout=100", 0.125)])
def test_a_request_that_has_no_time_left_asks_nothing_of_the_upstream(
    bench: Bench, query: bytes, queued_s: float
) -> None:
    """It is answered 504 at once: nothing was sent, and the client cannot be answered in time any more."""
    bench.virtual.now = 1.0
    bench.ask(query, queued_s=queued_s)
    assert (bench.status, bench.problem["attempts"]) == (504, [])
    assert not bench.sent
    assert bench.facts.facts == ["finished out_of_time"]
    assert bench.is_clean


def test_the_response_leaves_as_much_earlier_as_the_loop_lagged(bench: Bench) -> None:
    monitor = bench.virtual.loop.monitor
    monitor.iteration_started(0.0, inf)
    monitor.iteration_finished(0.010)
    bench.virtual.now = 1.0
    bench.ask(b"timeout=100")
    assert bench.sent[0].attempt.request.deadline_at == 1.087


# -- clients that leave


def test_b10_the_client_leaves(bench: Bench) -> None:
    task = bench.ask()
    assert task is not None
    task.cancel()
    task.cancel()
    bench.virtual.advance_to(20.0)
    assert [sent.abandoned for sent in bench.sent] == [1]
    assert bench.facts.facts == ["finished abandoned"]
    assert bench.client.responses == []
    assert bench.is_clean


def test_b10_the_client_leaves_in_the_iteration_in_which_its_answer_came(bench: Bench) -> None:
    task = bench.ask()
    assert task is not None
    attempt = bench.sent[0].attempt
    bench.virtual.read(lambda: attempt.finish(Success(b"{}"), 0.0), task.cancel)
    bench.virtual.iterate()
    assert bench.facts.facts == ["finished abandoned"]
    assert bench.client.responses == []
    assert bench.is_clean


def test_b10_losers_of_a_client_that_left_are_not_answered(bench: Bench) -> None:
    task = bench.ask()
    assert task is not None
    bench.virtual.advance_to(0.301)
    task.cancel()
    for number in (1, 2, 3):
        bench.finish(number, Success(b"{}"))
    assert [sent.abandoned for sent in bench.sent] == [1] * 3
    assert bench.facts.facts == ["finished abandoned"]
    assert bench.client.responses == []
    assert bench.is_clean


def test_a_request_that_is_answered_can_be_cancelled_for_nothing(bench: Bench) -> None:
    task = bench.ask()
    assert task is not None
    bench.finish(1, Success(b"{}"))
    task.cancel()
    assert bench.facts.facts == ["finished success"]
    assert bench.is_clean


# -- admission


def test_b11_a_request_waits_unsent_for_a_quarter_of_its_timeout_then_503(bench: Bench) -> None:
    bench.admission.max_in_flight = 0
    bench.ask(b"timeout=1000")
    bench.virtual.advance_to(0.246)
    assert not bench.client.responses
    bench.virtual.advance_to(0.247)
    assert (bench.status, bench.problem["code"]) == (503, "overloaded")
    assert bench.client.responses[0].headers == b"Retry-After: 1\r\n"
    assert bench.problem["request_id"] == "r1"
    assert not bench.sent
    assert bench.facts.facts == ["rejected overloaded in_flight"]
    bench.admission.max_in_flight = 1
    bench.virtual.iterate()
    assert not bench.sent, "it does not start any more"
    assert bench.is_clean


def test_b11_its_time_in_the_socket_buffer_counts(bench: Bench) -> None:
    bench.admission.max_in_flight = 0
    bench.virtual.now = 1.0
    bench.ask(b"timeout=1000", queued_s=0.25)
    assert bench.status == 503, "at once: it has waited for a quarter of its timeout"
    assert bench.is_clean


@pytest.mark.parametrize("timeout_ms", [4, 10, 40, 79, 80, 1_000, 60_000])
def test_b11_a_request_that_waits_is_answered_within_its_timeout(bench: Bench, timeout_ms: int) -> None:
    bench.admission.max_in_flight = 0
    bench.ask(b"timeout=%d" % timeout_ms)
    bench.virtual.advance_to(timeout_ms / 1000)
    assert bench.status == 503
    assert bench.is_clean


def test_b11_a_request_that_has_waited_is_raced_by_its_own_deadline(bench: Bench) -> None:
    bench.admission.max_in_flight = 1
    first, second = Client(), Client()
    bench.ask(client=first)
    bench.ask(b"timeout=1000", client=second)
    assert len(bench.sent) == 1
    bench.virtual.advance_to(0.2)
    bench.finish(1, Success(b"1"))
    assert [response.body for response in first.responses] == [b"1"]
    assert [sent.attempt.launched_at for sent in bench.sent] == [0.0, 0.2], "in the iteration that made room"
    bench.virtual.advance_to(0.5)
    assert len(bench.sent) == 4, "hedges leave 300 ms after its first attempt was sent"
    assert bench.sent[1].attempt.request.started_at == 0.2
    bench.virtual.advance_to(1.0)
    assert [response.status for response in second.responses] == [504]
    assert bench.facts.facts == ["finished success", "finished out_of_time"]
    assert bench.is_clean


def test_b11_all_that_there_is_room_for_start_in_one_iteration(bench: Bench) -> None:
    bench.admission.max_in_flight = 0
    clients = [Client() for _ in range(3)]
    for client in clients:
        bench.ask(client=client)
    bench.admission.max_in_flight = 2
    bench.virtual.iterate()
    assert len(bench.sent) == 2


def test_the_loop_looks_at_those_that_wait_when_admission_says_so(bench: Bench) -> None:
    bench.admission.max_in_flight = 0
    bench.ask()
    assert bench.gateway.admit_waiting(0.0) == inf, "a request that ends wakes it up"
    bench.admission.max_in_flight = 1
    bench.virtual.iterate()
    assert len(bench.sent) == 1


def test_b10_the_client_leaves_while_its_request_waits(bench: Bench) -> None:
    bench.admission.max_in_flight = 0
    task = bench.ask()
    assert task is not None
    task.cancel()
    task.cancel()
    bench.admission.max_in_flight = 1
    bench.virtual.advance_to(20.0)
    assert not bench.sent
    assert bench.client.responses == []
    assert bench.facts.facts == ["finished abandoned"]
    assert bench.is_clean


# -- B12: internal errors


def test_b12_an_error_in_the_upstream_costs_one_request(bench: Bench) -> None:
    bench.broken = True
    bench.ask()
    assert (bench.status, bench.problem["code"]) == (500, "internal")
    assert bench.problem["detail"] == "an internal error, it has been logged"
    assert bench.facts.facts == ["internal error", "finished internal"]
    assert bench.is_clean
    bench.broken = False
    bench.ask()
    bench.finish(1, Success(b"{}"))
    assert bench.client.responses[-1].status == 200
    assert bench.is_clean


def test_b12_an_error_as_hedges_are_sent_makes_losers_of_what_runs(bench: Bench) -> None:
    bench.ask()
    bench.broken = True
    bench.virtual.advance_to(0.4)
    assert bench.status == 500
    assert [sent.abandoned for sent in bench.sent] == [1]
    assert bench.is_clean


def test_b12_an_error_before_the_race(bench: Bench) -> None:
    bench.virtual.clock_fails = True
    assert bench.ask(trace=CLIENTS_TRACE) is None
    assert (bench.status, bench.facts.facts) == (500, ["internal error", "rejected internal internal"])
    (request,) = bench.facts.errors_of
    assert request is not None
    assert request.trace is CLIENTS_TRACE


def test_b12_an_error_of_the_tracer() -> None:
    tracer = OneTrace()
    tracer.fails = True
    bench = Bench(tracer)
    bench.ask()
    assert bench.status == 500
    assert bench.facts.facts == ["internal error", "finished internal"]
    assert not bench.sent
    assert bench.is_clean


def test_b12_an_error_in_the_response(bench: Bench) -> None:
    bench.ask(b"timeout=200")
    bench.finish(1, Failure(FailureReason.RESET, "not UTF-8: \ud800"))
    assert bench.status == 500
    assert bench.facts.facts == ["internal error", "finished internal"]
    assert bench.is_clean


def test_b12_an_error_of_a_request_that_has_waited_leaves_the_others_alone(bench: Bench) -> None:
    bench.admission.max_in_flight = 0
    clients = [Client() for _ in range(2)]
    for client in clients:
        bench.ask(client=client)
    bench.admission.max_in_flight = 1
    bench.broken = True
    bench.virtual.iterate()
    assert [[response.status for response in client.responses] for client in clients] == [[500], [500]]
    assert bench.is_clean


@pytest.mark.parametrize("outcome", ["success", "internal", "out_of_time"])
def test_b12_e7_the_client_is_answered_though_telemetry_fails(bench: Bench, outcome: str) -> None:
    """FAULTS E7: the log's thread could not be started, and the request was never answered."""
    bench.ask(b"timeout=400")
    bench.facts.fails_in = "request_finished"
    if outcome == "success":
        bench.finish(1, Success(b"{}"))
    elif outcome == "internal":
        bench.broken = True
    bench.virtual.advance_to(0.4)
    assert bench.status == {"success": 200, "internal": 500, "out_of_time": 504}[outcome]
    assert bench.facts.facts[-1] == "internal error"
    assert bench.is_clean


@pytest.mark.parametrize("waited", ["not", "rejected", "started"])
def test_b12_e7_the_same_for_rejections_and_a_request_that_waits(bench: Bench, waited: str) -> None:
    bench.admission.max_in_flight = 0
    if waited == "not":
        bench.facts.fails_in = "request_rejected"
        assert bench.ask(path=b"/nope") is None
        assert bench.status == 404
    elif waited == "rejected":
        bench.ask(b"timeout=400")
        bench.facts.fails_in = "request_rejected"
        bench.virtual.advance_to(0.1)
        assert bench.status == 503
    else:
        bench.ask(b"timeout=400")
        bench.facts.fails_in = "request_finished"
        bench.admission.max_in_flight = 1
        bench.broken = True
        bench.virtual.advance_to(0.01)
        assert bench.status == 500
    assert bench.facts.facts[-1] == "internal error"
    assert bench.is_clean


@pytest.mark.parametrize("room", [0, 1])
def test_b12_e7_a_client_that_leaves_is_forgotten_though_telemetry_fails(bench: Bench, room: int) -> None:
    bench.admission.max_in_flight = room
    task = bench.ask()
    assert task is not None
    bench.facts.fails_in = "request_finished"
    task.cancel()
    assert bench.facts.facts == ["internal error"]
    assert bench.is_clean


def test_b12_an_error_as_waiting_requests_are_looked_at_leaves_the_loop_running(bench: Bench) -> None:
    def fails(now: float) -> float:
        raise ZeroDivisionError

    bench.virtual.loop.admit = fails
    bench.virtual.loop.request_admission()
    bench.ask()
    bench.finish(1, Success(b"{}"))
    assert bench.status == 200
    assert bench.virtual.internal_errors == 1


def test_b12_an_error_in_the_account_of_iterations_leaves_the_loop_running(bench: Bench) -> None:
    def fails(took_s: float, ended_at: float) -> None:
        raise ZeroDivisionError

    bench.virtual.loop.on_iteration = fails
    bench.ask()
    bench.finish(1, Success(b"{}"))
    assert bench.status == 200
    assert bench.virtual.internal_errors == 1


# -- the facts


def test_what_a_request_came_to_is_reported_in_full() -> None:
    trace = OneTrace()
    bench = Bench(trace)
    bench.virtual.now = 4.0
    bench.ask(b"timeout=1000")
    (request,) = trace.started
    assert (request.request_id, request.timeout_ms, request.trace) == (b"r1", 1000, trace)
    attempt = bench.sent[0].attempt
    assert trace.attempts == [attempt]
    assert attempt.span is trace
    assert (attempt.number, attempt.launched_at, attempt.request) == (1, 4.0, request)
    assert (request.started_at, request.deadline_at) == (4.0, 4.997)
    bench.virtual.now = 4.25
    bench.finish(1, Success(b"{}"))
    ((finished, code, ended_at, end),) = bench.facts.finished
    assert (finished, code, ended_at) == (request, "success", 4.25)
    assert isinstance(end, Won)
    assert end.attempts == (attempt,)


def test_an_abandoned_request_is_reported_in_full() -> None:
    trace = OneTrace()
    bench = Bench(trace)
    task = bench.ask()
    assert task is not None
    bench.virtual.now = 0.5
    task.cancel()
    assert bench.facts.finished == [(task.request, "abandoned", 0.5, Aborted((bench.sent[0].attempt,)))]
    assert task.request.trace is trace


def test_an_internal_error_is_reported_in_full() -> None:
    trace = OneTrace()
    bench = Bench(trace)
    bench.broken = True
    task = bench.ask()
    assert task is not None
    assert bench.facts.errors_of == [task.request]
    assert bench.facts.finished == [(task.request, "internal", 0.0, Aborted(()))]


def test_without_a_tracer_the_clients_own_trace_counts(bench: Bench) -> None:
    bench.ask(trace=CLIENTS_TRACE)
    assert bench.sent[0].attempt.span is CLIENTS_TRACE
    bench.finish(1, Success(b"{}"))
    assert bench.facts.finished[-1][0].trace is CLIENTS_TRACE


def test_a_request_that_is_no_sample_has_one_attempt() -> None:
    bench = Bench(sample=0.5)
    for expected in (1, 3):
        bench.sent.clear()
        bench.ask(b"timeout=900")
        bench.virtual.advance_to(bench.virtual.now + 0.4)
        assert len(bench.sent) == expected
        bench.virtual.advance_to(bench.virtual.now + 1.0)


# -- hedges that are held


def ceiling(attempts: int) -> HedgeLimit:
    return HedgeLimit(0.3, holds=True, ceiling=attempts)


def test_h04_hedges_that_are_held_are_never_sent_and_the_504_says_so() -> None:
    limit = ceiling(2)
    bench = Bench(hedge_limit=limit)
    bench.ask(b"timeout=900")
    assert bench.attempts_in_flight == 1
    bench.virtual.advance_to(0.31)
    assert [sent.attempt.number for sent in bench.sent] == [1, 2]
    assert (bench.attempts_in_flight, limit.held) == (2, 1)
    bench.virtual.advance_to(0.5)
    bench.finish(1, RESET)
    assert bench.attempts_in_flight == 1
    bench.virtual.advance_to(0.91)
    assert len(bench.sent) == 2
    assert bench.status == 504
    attempts = bench.problem["attempts"]
    assert isinstance(attempts, list)
    assert [(attempt["number"], attempt["outcome"]) for attempt in attempts] == [
        (1, "reset"), (2, "pending"), (3, "held"),
    ]  # fmt: skip
    assert attempts[2] == {"number": 3, "outcome": "held"}
    assert bench.attempts_in_flight == 1, "the loser counts until it has ended"
    bench.sent[1].attempt.finish(RESET, 1.2)
    assert bench.attempts_in_flight == 0
    assert bench.is_clean


def test_m17_when_all_have_failed_that_were_sent_it_is_a_502_at_once() -> None:
    bench = Bench(hedge_limit=ceiling(1), room=3)
    bench.ask(b"timeout=900", client=(other := Client()))
    bench.ask(b"timeout=900")
    bench.virtual.advance_to(0.1)
    bench.finish(2, RESET)
    assert bench.client.responses == []
    bench.virtual.advance_to(0.31)
    assert bench.status == 502
    outcomes = [attempt["outcome"] for attempt in bench.problem["attempts"]]  # type: ignore[attr-defined]
    assert outcomes == ["reset", "held", "held"]
    assert other.responses == []


def test_a_client_that_leaves_takes_nothing_from_the_limit() -> None:
    bench = Bench(hedge_limit=ceiling(100))
    task = bench.ask()
    assert task is not None
    bench.virtual.advance_to(0.31)
    assert bench.attempts_in_flight == 3
    task.cancel()
    for sent in bench.sent:
        sent.attempt.finish(RESET, 0.4)
    assert bench.attempts_in_flight == 0
    assert bench.is_clean


def test_attempts_that_fail_on_the_spot_are_in_flight_no_more() -> None:
    bench = Bench(hedge_limit=ceiling(100))
    bench.fails_on_the_spot = lambda _: True
    bench.ask()
    bench.virtual.advance_to(0.31)
    assert bench.status == 502
    assert bench.attempts_in_flight == 0


def test_the_limit_learns_which_first_attempts_were_quick_and_which_late_requests_were_answered() -> None:
    limit = ceiling(100)
    bench = Bench(hedge_limit=limit)
    bench.ask()
    bench.finish(1, Success(b"1"))
    assert (limit.judged, limit.quick) == (1, 1)
    for answered_at, answered in ((0.9, True), (2.0, False)):
        begin = bench.virtual.now
        sent = len(bench.sent)
        bench.ask(b"timeout=500")
        bench.virtual.advance_to(begin + 0.31)
        bench.virtual.advance_to(begin + 0.51)
        assert bench.client.responses[-1].status == 504
        late = limit._late[-1]
        bench.virtual.now = begin + answered_at - (0.35 if answered else 0.0)
        bench.sent[sent].attempt.finish(Success(b"loser"), bench.virtual.now)
        assert late.answered == answered
        bench.virtual.advance_to(begin + 3.0)
    assert (limit.judged, limit.quick) == (3, 1)
