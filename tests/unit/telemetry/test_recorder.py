"""Facts become counts and log lines, and conserve."""

import json

import pytest

from hedgerow.core.forwarding import Forwarding
from hedgerow.core.hedge_limit import LateRequest
from hedgerow.core.outcomes import (
    Aborted,
    AllFailed,
    Answer,
    Attempt,
    Failure,
    FailureReason,
    OutOfTime,
    RaceEnd,
    Success,
    Won,
)
from hedgerow.core.request import Request
from hedgerow.core.route import Route
from hedgerow.core.traces import AttemptPlace
from hedgerow.settings import AccessLog, LogFormat
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.recorder import Recorder
from support.attempts import a_route, make_attempt, make_request
from support.recorders import a_busy_recorder, finished, make_recorder


@pytest.mark.parametrize(
    ("outcome", "took_s", "is_loser", "without_hedging"),
    [
        (Success(b"{}"), 0.5, False, "success"),
        (Success(b"{}"), 0.75, False, "success"),
        (Failure(FailureReason.RESET), 0.5, False, "all_failed"),
        (Success(b"{}"), 0.5, True, "success"),
        (Success(b"{}"), 0.75, True, "out_of_time"),
        (Failure(FailureReason.STATUS_5XX), 0.5, True, "all_failed"),
        (Failure(FailureReason.STATUS_5XX), 0.75, True, "out_of_time"),
        (Failure(FailureReason.TIMEOUT), 0.5, True, "unknown"),
        (Failure(FailureReason.TIMEOUT), 0.75, True, "out_of_time"),
    ],
)
def test_what_a_client_would_have_got_without_hedging(
    outcome: Success | Failure, took_s: float, is_loser: bool, without_hedging: str
) -> None:
    """The deadline is 0.625 s after the start; a success that the race saw was in time, whatever the clock said."""
    recorder = make_recorder()
    for number in (1, 2):
        recorder.attempt_finished(
            finished(number, outcome, took_s=took_s, deadline_at=10.625, is_loser=is_loser)
        )
    durations = recorder.snapshot({}, 0, 0).first_attempt_duration
    assert {name: (histogram.count, histogram.sum_s) for name, histogram in durations.items()} == {
        without_hedging: (1, took_s)
    }


@pytest.mark.parametrize(
    ("outcome", "counted"),
    [
        (Success(b"{}"), (1, 0, 0)),
        (Success(b"", Answer(404, b"", b"", is_final=True)), (1, 0, 0)),
        (Failure(FailureReason.RESET), (0, 1, 0)),
        (Failure(FailureReason.STATUS_429), (0, 1, 0)),
        (Failure(FailureReason.TIMEOUT), (0, 0, 1)),
    ],
)
def test_a_first_attempt_is_observed_by_its_outcome_and_a_hedge_is_not(
    outcome: Success | Failure, counted: tuple[int, int, int]
) -> None:
    recorder = make_recorder()
    for number in (1, 2):
        recorder.attempt_finished(finished(number, outcome))
    observed = recorder.observations("/api/smart", "minute", 10.25)
    assert (sum(observed.successes), sum(observed.failures), sum(observed.cuts)) == counted


def test_each_route_has_counts_and_observations_of_its_own() -> None:
    recorder, routes = make_recorder(), [a_route("a", "one"), a_route("b", "two"), a_route("idle", "two")]
    recorder.add_routes(routes)
    for route in (routes[0], routes[1], routes[1]):
        request = make_request(route=route)
        won = make_attempt(1, 10.0, request, outcome=Success(b"{}"), ended_at=10.25)
        recorder.attempt_finished(won)
        recorder.request_finished(request, "success", 10.5, Won(won, b"{}", (won,)))
    recorder.request_rejected("bad_timeout", "bad_timeout", make_request(route=routes[0]))
    recorder.request_rejected("not_found", "not_found")
    counts = recorder.snapshot({}, 0, 0)
    requests = {
        name: {at: counted.requests for at, counted in of.items()} for name, of in counts.routes.items()
    }
    assert requests == {
        "": {"": {"not_found": 1}},
        "a": {"one": {"success": 1, "bad_timeout": 1}},
        "b": {"two": {"success": 2}},
        "idle": {"two": {}},
    }
    assert counts.requests == {"success": 3, "bad_timeout": 1, "not_found": 1}
    assert counts.routes["b"]["two"].attempts == {"1": {"success": 2}}
    observed = [recorder.observations(name, "minute", 10.5).count for name in ("a", "b", "idle")]
    assert observed == [1, 2, 0]


def test_a_final_answer_is_an_outcome_of_its_own() -> None:
    recorder = make_recorder()
    attempt = finished(1, Success(b"", Answer(404, b"", b"", is_final=True)))
    recorder.attempt_finished(attempt)
    counts = recorder.snapshot({}, 0, 0)
    assert counts.attempts == {"1": {"final": 1}}
    assert list(counts.first_attempt_duration) == ["final"]


@pytest.mark.parametrize(("sample", "suppressed"), [(1.0, 2), (0.01, 0)])
def test_hedges_of_a_sample_are_not_suppressed(sample: float, suppressed: int) -> None:
    """Where hedging is only observed, most requests have no hedges that their timeout could suppress."""
    recorder, route = make_recorder(), a_route()
    route.sample = sample
    attempt = make_attempt(1, 10.0, make_request(route=route), outcome=Failure(FailureReason.RESET))
    recorder.request_finished(attempt.request, "all_failed", 10.25, AllFailed((attempt,)))
    assert recorder.snapshot({}, 0, 0).hedges["suppressed"] == suppressed


def test_what_is_counted_conserves() -> None:
    counts = a_busy_recorder().snapshot({"idle": 2}, 7, 3)
    assert counts.requests == {
        "success": 1, "all_failed": 1, "out_of_time": 1, "abandoned": 1, "overloaded": 3, "not_found": 1
    }  # fmt: skip
    assert counts.attempts == {"1": {"reset": 1}, "2": {"success": 1}, "3": {"success": 1}}
    assert counts.shed == {"in_flight": 1, "rate_limit": 1, "connections": 1}
    assert counts.hedges == {"fired": 2, "won": 1, "rescued": 1, "suppressed": 2, "held": 0}
    assert (counts.wasted_s, counts.client_disconnects, counts.reused_connection_retries) == (0.5, 1, 1)
    assert (counts.upstream_connections, counts.client_connections, counts.in_flight) == ({"idle": 2}, 7, 3)
    assert counts.internal_errors == 0


def test_how_late_an_answer_was_is_counted_and_an_early_one_as_nothing() -> None:
    recorder = make_recorder()
    for ended_at in (10.5, 10.89, 10.906, 11.5):  # the timeout is 900 ms
        recorder.request_finished(make_request(), "out_of_time", ended_at, OutOfTime(()))
    recorder.request_finished(make_request(), "abandoned", 99.0, Aborted(()))
    overshoot = recorder.snapshot({}, 0, 0).overshoot
    assert (overshoot.counts[0], sum(overshoot.counts)) == (2, 4)
    assert overshoot.sum_s == pytest.approx(0.606)


def test_the_length_of_iterations_is_counted() -> None:
    recorder = make_recorder()
    for took_s in (0.0004, 0.3):
        recorder.iteration_took(took_s)
    lag = recorder.snapshot({}, 0, 0).lag
    assert lag.sum_s == pytest.approx(0.3004)
    assert sum(lag.counts) == 2


class Trace:
    """A trace, and the span of an attempt."""

    trace_id = "7f"
    headers = b""

    def __init__(self) -> None:
        self.facts: list[object] = []

    def attempt_started(self, attempt: Attempt) -> "Trace":
        return self

    def sent_to(self, place: AttemptPlace) -> None:
        raise AssertionError("the connection reports it")

    def attempt_finished(self, attempt: Attempt) -> None:
        self.facts.append(attempt)

    def request_finished(self, code: str, ended_at: float, end: RaceEnd) -> None:
        self.facts.append((code, ended_at, end))


def test_a_trace_gets_the_facts_and_its_id_is_recorded() -> None:
    trace, recorder = Trace(), make_recorder()
    request = make_request(trace=trace)
    attempt = make_attempt(1, 10.0, request)
    attempt.span = trace
    attempt.finish(Success(b"{}"), 10.25)
    recorder.attempt_finished(attempt)
    verdict = Won(attempt, b"{}", (attempt,))
    recorder.request_finished(request, "success", 10.5, verdict)
    assert trace.facts == [attempt, ("success", 10.5, verdict)]
    assert recorder.recent.newest(1, 0.0)[0].trace_id == "7f"


@pytest.mark.parametrize(
    ("access_log", "ids"),
    [
        (AccessLog.OFF, []),
        (AccessLog.ERRORS, ["b", "c"]),
        (AccessLog.ALL, ["a", "b", "c", "d", *[None] * 4]),
    ],
)
def test_the_access_log_has_the_requests_that_were_asked_for(
    capfd: pytest.CaptureFixture[str], access_log: AccessLog, ids: list[str | None]
) -> None:
    logs = Logs(LogFormat.JSON, "info")
    a_busy_recorder(access_log, logs)
    logs.flush(30)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line.get("request_id") for line in lines] == ids
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)


def passing_on() -> Route:
    route = a_route("search", "shop")
    route.forwarding = Forwarding()
    return route


@pytest.mark.parametrize(
    ("route", "said"),
    [
        (a_route("/api/smart"), {"route": "/api/smart"}),
        (passing_on(), {"route": "search", "method": "PUT", "path": "/v1/\\x1b"}),
        (None, {"method": "PUT", "path": "/v1/\\x1b"}),
    ],
)
def test_log_lines_name_the_route_and_the_path_where_the_route_does_not(
    capfd: pytest.CaptureFixture[str], route: Route | None, said: dict[str, str]
) -> None:
    recorder = make_recorder(AccessLog.ALL, logs := Logs(LogFormat.JSON, "info"))
    request = Request(b"PUT", b"/v1/\x1b", b"apikey=secret", request_id=b"r", arrived_at=10.0)
    if route is not None:
        request.route = route
        recorder.request_finished(request, "success", 10.5, OutOfTime(()))
    recorder.request_rejected("bad_request", "bad_request", request)
    logs.close()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["request"] * (route is not None) + ["request rejected"]
    for line in lines:
        assert line["request_id"] == "r"
        assert {name: line[name] for name in ("route", "method", "path") if name in line} == said
        assert "secret" not in str(line), "a query may hold one"


@pytest.mark.parametrize("trace", [None, Trace()])
def test_an_internal_error_is_logged_with_its_stack_on_one_line(
    capfd: pytest.CaptureFixture[str], trace: Trace | None
) -> None:
    logs = Logs(LogFormat.JSON, "error")
    recorder = Recorder(logs.log, AccessLog.OFF)
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        recorder.internal_error(make_request(b"x", trace=trace))
    logs.flush(30)
    (text,) = capfd.readouterr().err.splitlines()
    line = json.loads(text)
    assert "ZeroDivisionError" in line["exception"]
    assert (line["request_id"], line.get("trace_id")) == ("x", "7f" if trace else None)
    assert recorder.snapshot({}, 0, 0).internal_errors == 1


def test_an_internal_error_of_no_request_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    logs = Logs(LogFormat.JSON, "error")
    recorder = Recorder(logs.log, AccessLog.OFF)
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        recorder.internal_error(None)
    logs.flush(30)
    (text,) = capfd.readouterr().err.splitlines()
    assert "request_id" not in json.loads(text)


@pytest.mark.parametrize("code", ["success", "out_of_time", "abandoned"])
def test_h04_held_hedges_are_counted_however_their_request_ends(code: str) -> None:
    recorder = make_recorder()
    request = make_request(b"x", 10.0, timeout_ms=900)
    request.late = LateRequest(0, 2, 10.6)
    won = finished(1, Success(b"{}"))
    ends: dict[str, RaceEnd] = {
        "success": Won(won, b"{}", (won,)), "out_of_time": OutOfTime((won,)), "abandoned": Aborted((won,)),
    }  # fmt: skip
    recorder.request_finished(request, code, 10.5, ends[code])
    hedges = recorder.snapshot({}, 0, 0).hedges
    assert (hedges["held"], hedges["suppressed"]) == (2, 0)
    (shown,) = recorder.recent.newest(1, 0.0)
    assert shown.hedges_held == 2


def test_h04_the_log_line_of_a_504_names_held_hedges(capfd: pytest.CaptureFixture[str]) -> None:
    recorder = make_recorder(AccessLog.ERRORS, logs := Logs(LogFormat.JSON, "info"))
    request = make_request(b"x", 10.0, timeout_ms=900)
    request.late = LateRequest(0, 2, 10.6)
    recorder.request_finished(request, "out_of_time", 10.9, OutOfTime((make_attempt(1, 10.0),)))
    logs.close()
    assert json.loads(capfd.readouterr().err)["attempts"] == ["pending", "held", "held"]
