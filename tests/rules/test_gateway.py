"""The path of one request, with an upstream that does what the test says, on a loop whose clock is the test's."""

import json

import pytest

from hedgerow.admission import Admission
from hedgerow.core.hedging import HedgePlan
from hedgerow.core.outcomes import (
    Attempt,
    AttemptHandle,
    Failure,
    FailureReason,
    RequestTrace,
    Success,
    Verdict,
    Won,
)
from hedgerow.core.request import Request
from hedgerow.core.response import Response
from hedgerow.core.trace_context import TraceContext, parse_trace_context
from hedgerow.gateway import QUEUED_S, Gateway, Policy
from hedgerow.trampoline import Run, Trampoline
from rules.manual_loop import ManualLoop

CALLERS_TRACE = parse_trace_context(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", b"")


class Heard:
    """An observer that notes what it hears."""

    def __init__(self) -> None:
        self.facts: list[str] = []
        self.told: list[tuple[object, ...]] = []
        """The same, word for word."""
        self.overshoots_s: list[float] = []
        self.may_be_late = False
        self.broken = False
        """The next rejection meets a bug."""

    def request_began(self) -> None:
        self.facts.append("began")

    def request_ended(
        self,
        request_id: bytes,
        code: str,
        arrived_at: float,
        ended_at: float,
        verdict: Verdict | None,
        trace: RequestTrace | None,
    ) -> None:
        self.facts.append(f"ended {code}")
        self.told.append(("ended", request_id, code, arrived_at, ended_at, type(verdict), trace))

    def request_abandoned(
        self, request_id: bytes, arrived_at: float, ended_at: float, trace: RequestTrace | None
    ) -> None:
        self.facts.append("abandoned")
        self.told.append(("abandoned", request_id, arrived_at, ended_at, trace))

    def request_rejected(self, code: str, reason: str) -> None:
        if self.broken:
            self.broken = False
            raise ZeroDivisionError
        self.facts.append(f"rejected {code} {reason}")

    def bug(self, request_id: bytes, trace: RequestTrace | None) -> None:
        self.facts.append("bug")
        self.told.append(("bug", request_id, trace))

    def attempt_ended(self, attempt: Attempt, *, lost: bool) -> None:
        raise AssertionError("the upstream's to say")

    def answered(self, overshoot_s: float) -> None:
        assert overshoot_s <= 0 or self.may_be_late
        self.overshoots_s.append(overshoot_s)

    def reused_connection_died(self) -> None:
        raise AssertionError("the upstream's to say")


class Carrying:
    """An attempt that the test ends."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.abandoned = False

    def abandon(self) -> None:
        self.abandoned = True


class OneTrace:
    """A trace that notes what it is told; also the span of each attempt, and what decides on it."""

    trace_id = "7"
    headers = b"traceparent: ours\r\n"

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.asked: list[tuple[Request, int]] = []

    def begin(self, request: Request, timeout_ms: int) -> "OneTrace":
        self.asked.append((request, timeout_ms))
        return self

    def attempt_began(self, attempt: Attempt) -> "OneTrace":
        self.attempts.append(attempt)
        return self

    def attempt_ended(self, attempt: Attempt, *, lost: bool) -> None:
        """Its observer's to say."""

    def request_ended(self, code: str, ended_at: float, verdict: Verdict | None) -> None:
        """Its observer's to say."""

    def request_abandoned(self, ended_at: float) -> None:
        """Its observer's to say."""


class Bench:
    """A gateway and all that stands around it."""

    def __init__(self, tracer: OneTrace | None = None) -> None:
        self.loop = ManualLoop()
        self.heard = Heard()
        self.carried: list[Carrying] = []
        self.broken = False
        self.replies: list[Response] = []
        trampoline = Trampoline(self.loop.as_loop(), self.loop.time)
        self.admission = Admission(2, trampoline.turns)
        self.gateway = Gateway(
            self,
            Policy(HedgePlan(0.3, 2), 10_000, 60_000),
            admission=self.admission,
            trampoline=trampoline,
            observer=self.heard,
            tracer=tracer,
        )

    def carry(self, attempt: Attempt) -> AttemptHandle:
        if self.broken:
            raise ZeroDivisionError
        self.carried.append(Carrying(attempt))
        return self.carried[-1]

    def ask(
        self, query: bytes = b"", path: bytes = b"/api/smart", method: bytes = b"GET"
    ) -> Run[Response] | None:
        return self.ask_as(query, path, method)

    def ask_as(
        self,
        query: bytes = b"",
        path: bytes = b"/api/smart",
        method: bytes = b"GET",
        *,
        waited_s: float = 0.0,
        trace: TraceContext | None = None,
    ) -> Run[Response] | None:
        """Ask as one who has waited for so long, and whose trace this is."""
        arrived_at = self.loop.time() - waited_s
        request = Request(method, path, query, request_id=b"r1", arrived_at=arrived_at, trace=trace)
        return self.gateway.handle(request, self.replies.append)

    def end(self, number: int, outcome: Success | Failure) -> None:
        self.carried[number - 1].attempt.end(outcome, self.loop.time())
        self.loop.turn()

    @property
    def problem(self) -> dict[str, object]:
        body = json.loads(self.replies[-1].body)
        assert isinstance(body, dict)
        return body


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"path": b"/"}, 404, "not_found"),
        ({"path": b"/api/smart/"}, 404, "not_found"),
        ({"method": b"POST"}, 405, "method_not_allowed"),
        ({"query": b"timeout=0"}, 400, "bad_timeout"),
    ],
)
def test_what_needs_no_upstream_costs_nothing(
    bench: Bench, asked: dict[str, bytes], status: int, code: str
) -> None:
    assert bench.ask(**asked) is None
    assert (bench.replies[0].status, bench.problem["code"]) == (status, code)
    assert bench.heard.facts == [f"rejected {code} {code}"]
    assert not bench.carried
    assert not bench.loop.pending


def test_b01_b09_a_success(bench: Bench) -> None:
    bench.ask(b"timeout=999999999999")
    bench.end(1, Success(b'{"time":1}'))
    (reply,) = bench.replies
    assert (reply.status, reply.body, reply.headers) == (
        200,
        b'{"time":1}',
        b"Hedgerow-Timeout-Ms: 60000\r\n",
    )
    assert reply.timing == b', hedges;desc="0", winner;desc="1"'
    assert bench.heard.facts == ["began", "ended success"]
    assert bench.admission.in_flight == 0
    assert not len(bench.gateway._trampoline.alarms)


def test_b05_all_three_failed_and_each_says_why(bench: Bench) -> None:
    bench.ask(b"timeout=900")
    bench.loop.advance_to(0.1)
    bench.end(1, Failure(FailureReason.RESET, "gone"))
    bench.loop.advance_to(0.4)
    assert len(bench.carried) == 3
    bench.end(3, Failure(FailureReason.STATUS_429))
    bench.end(2, Failure(FailureReason.BAD_JSON))
    assert bench.replies[0].status == 502
    attempts = bench.problem["attempts"]
    assert isinstance(attempts, list)
    assert [attempt["outcome"] for attempt in attempts] == ["reset", "bad_json", "status_429"]
    assert attempts[0] == {
        "number": 1, "launched_at_ms": 0.0, "outcome": "reset", "detail": "gone", "took_ms": 100.0,
    }  # fmt: skip


def test_b06_out_of_time_hands_its_attempts_over(bench: Bench) -> None:
    bench.ask(b"timeout=400")
    bench.loop.advance_to(0.3965)
    assert not bench.replies
    bench.loop.advance_to(0.4)
    assert (bench.replies[0].status, bench.problem["code"]) == (504, "out_of_time")
    assert [carrying.abandoned for carrying in bench.carried] == [True] * 3
    bench.end(1, Success(b"{}"))
    assert len(bench.replies) == 1, "a loser answers nobody"


def test_b08_without_a_timeout_the_default_bounds(bench: Bench) -> None:
    bench.ask()
    bench.loop.advance_to(9.99)
    assert not bench.replies
    bench.loop.advance_to(10.0)
    assert bench.replies[0].status == 504


def test_b10_the_caller_leaves(bench: Bench) -> None:
    run = bench.ask()
    assert run is not None
    run.cancel()
    run.cancel()
    bench.loop.advance_to(20.0)
    assert [carrying.abandoned for carrying in bench.carried] == [True]
    assert bench.heard.facts == ["began", "abandoned"]
    assert (bench.replies, bench.admission.in_flight) == ([], 0)


def test_b11_beyond_the_cap(bench: Bench) -> None:
    bench.ask()
    bench.ask()
    assert bench.ask() is None
    assert (bench.replies[0].status, bench.replies[0].headers) == (503, b"Retry-After: 1\r\n")
    assert bench.heard.facts[-1] == "rejected overloaded in_flight"
    bench.end(1, Success(b"{}"))
    assert bench.ask() is not None


def test_b12_a_bug_of_ours_costs_one_request(bench: Bench) -> None:
    bench.broken = True
    bench.ask()
    assert (bench.replies[0].status, bench.problem["code"]) == (500, "internal")
    assert bench.heard.facts == ["began", "bug", "ended internal"]
    assert bench.admission.in_flight == 0
    bench.broken = False
    bench.ask()
    bench.end(1, Success(b"{}"))
    assert bench.replies[-1].status == 200


def test_b12_a_bug_before_the_race(bench: Bench) -> None:
    bench.heard.broken = True
    assert bench.ask(path=b"/nope") is None
    assert (bench.replies[0].status, bench.heard.facts) == (500, ["bug", "rejected internal internal"])


def test_b12_a_bug_at_the_mark_hands_over_what_runs(bench: Bench) -> None:
    bench.ask()
    bench.broken = True
    bench.loop.advance_to(0.4)
    assert bench.replies[0].status == 500
    assert [carrying.abandoned for carrying in bench.carried] == [True]


def test_b03_two_successes_in_one_turn(bench: Bench) -> None:
    bench.ask()
    bench.loop.advance_to(0.4)
    for number in (3, 2):
        bench.carried[number - 1].attempt.end(Success(b"%d" % number), bench.loop.time())
    bench.loop.turn()
    assert [reply.body for reply in bench.replies] == [b"2"]


def test_an_answer_that_is_due_does_not_wait_for_the_loop(bench: Bench) -> None:
    """A turn of the loop may be long; whatever I/O callback comes first gives the answer that is due."""
    bench.ask(b"timeout=100")
    bench.loop.now = 0.0995
    bench.gateway._trampoline.wake_due(bench.loop.now)
    assert bench.replies[0].status == 504


@pytest.mark.parametrize(
    ("query", "waited_s", "status", "hurries"),
    [
        (b"timeout=1", 0.0, 504, True),
        (b"timeout=100", 0.125, 503, True),  # too late
        (b"timeout=100", 0.0, 200, False),
    ],
)
def test_an_answer_that_is_due_is_sent_with_the_next_callback(
    bench: Bench, query: bytes, waited_s: float, status: int, hurries: bool
) -> None:
    """Under load a turn ends milliseconds later; callers who gave us one or two were answered late (C04)."""
    trampoline = bench.gateway._trampoline
    bench.loop.now = 1.0
    trampoline.wake_due(1.0)
    bench.ask_as(query, waited_s=waited_s)
    if bench.carried:
        bench.carried[0].attempt.end(Success(b"{}"), 1.0)
        trampoline._deliver()
    assert bench.replies[0].status == status
    sent = []
    trampoline.flush = lambda: sent.append(True)
    trampoline.wake_due(1.0)
    assert bool(sent) is hurries


@pytest.mark.parametrize(
    ("asked", "detail", "headers"),
    [
        ({"path": b"/"}, "the only path here is /api/smart", b""),
        ({"method": b"PUT"}, "use GET or HEAD", b"Allow: GET, HEAD\r\n"),
        ({"query": b"timeout=0"}, "timeout is 0; it must be at least 1 millisecond", b""),
    ],
)
def test_a_rejection_says_why(bench: Bench, asked: dict[str, bytes], detail: str, headers: bytes) -> None:
    bench.ask(**asked)
    assert bench.problem["detail"] == detail
    assert bench.problem["request_id"] == "r1"
    assert bench.replies[0].headers == headers


def test_what_a_request_came_to_is_told_in_full() -> None:
    trace = OneTrace()
    bench = Bench(trace)
    bench.loop.now = 4.0
    bench.ask(b"timeout=1000")
    ((request, timeout_ms),) = trace.asked
    assert (request.request_id, timeout_ms) == (b"r1", 1000)
    attempt = bench.carried[0].attempt
    assert trace.attempts == [attempt]
    assert attempt.span is trace
    assert (attempt.number, attempt.launched_at, attempt.request_id) == (1, 4.0, b"r1")
    assert attempt.deadline_at == 4.997
    bench.loop.now = 4.25
    bench.end(1, Success(b"{}"))
    assert bench.heard.told == [("ended", b"r1", "success", 4.0, 4.25, Won, trace)]
    assert bench.heard.overshoots_s == [-0.75]


def test_the_answer_leaves_as_much_earlier_as_the_loop_was_late(bench: Bench) -> None:
    turns = bench.gateway._trampoline.turns
    turns.begin(0.0)
    turns.end(0.010)
    bench.loop.now = 1.0
    bench.ask(b"timeout=100")
    assert bench.carried[0].attempt.deadline_at == 1.087


def test_an_abandoned_request_is_told_in_full() -> None:
    trace = OneTrace()
    bench = Bench(trace)
    run = bench.ask()
    assert run is not None
    bench.loop.now = 0.5
    run.cancel()
    assert bench.heard.told == [("abandoned", b"r1", 0.0, 0.5, trace)]


def test_a_bug_is_told_in_full() -> None:
    trace = OneTrace()
    bench = Bench(trace)
    bench.broken = True
    bench.ask()
    assert bench.problem["detail"] == "a bug of the gateway's, it has been logged"
    assert bench.heard.told == [
        ("bug", b"r1", trace),
        ("ended", b"r1", "internal", 0.0, 0.0, type(None), trace),
    ]


def test_without_a_tracer_the_callers_own_trace_counts(bench: Bench) -> None:
    bench.ask_as(trace=CALLERS_TRACE)
    assert bench.carried[0].attempt.span is CALLERS_TRACE
    bench.end(1, Success(b"{}"))
    assert bench.heard.told[-1][-1] is CALLERS_TRACE


def test_a_bug_before_the_race_names_the_callers_trace(bench: Bench) -> None:
    bench.heard.broken = True
    bench.ask_as(path=b"/nope", trace=CALLERS_TRACE)
    assert bench.heard.told == [("bug", b"r1", CALLERS_TRACE)]


@pytest.mark.parametrize(
    ("query", "waited_s", "refused"),
    [
        (b"timeout=100", 0.1, True),  # all of its time is over
        (b"timeout=100", 0.0996, False),
        (b"timeout=4", 0.0045, False),  # that short a wait is no queue of ours
        (b"timeout=4", QUEUED_S, False),
        (b"timeout=4", 0.0055, True),
        (b"timeout=4000", 1.0, False),
        (b"timeout=60000", 59.96, False),
    ],
)
def test_who_has_waited_for_all_its_time_is_refused(
    bench: Bench, query: bytes, waited_s: float, refused: bool
) -> None:
    bench.heard.may_be_late = True  # who is let in without any time left
    bench.loop.now = waited_s
    bench.ask_as(query, waited_s=waited_s)
    assert (bench.heard.facts[0] == "rejected overloaded too_late") is refused
    if refused:
        assert (bench.replies[0].status, bench.problem["request_id"]) == (503, "r1")
