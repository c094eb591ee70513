"""What the spans of one request say, by the SDK's own exporter for tests."""

import gc
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Thread

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import hedgerow.tracing.request_spans
from hedgerow.core.forwarding import ClientMessage, ForwardedRequest
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
from hedgerow.core.request_path import MAX_SHOWN_PATH
from hedgerow.core.trace_context import TraceContext
from hedgerow.core.traces import RequestTrace
from hedgerow.settings import LogFormat
from hedgerow.telemetry.logs import Logs
from hedgerow.tracing.request_spans import RecordedTrace, start_tracing
from hedgerow.tracing.span_factory import SpanFactory
from support.attempts import a_route, make_attempt, make_request
from support.routes import head_of

NOW = 100.0


def a_request(trace: TraceContext | None = None) -> Request:
    return make_request(b"mine", NOW, timeout_ms=900, trace=trace)


class Traced:
    """One recorded request, its attempts launched 0, 1, 2, … seconds after it came."""

    def __init__(
        self, attempts: int, trace: TraceContext | None = None, *, request: Request | None = None
    ) -> None:
        self.exporter = InMemorySpanExporter()
        self.request = request or a_request(trace)
        self.recording = RecordedTrace(
            self.request,
            factory=SpanFactory(SimpleSpanProcessor(self.exporter), Resource.get_empty(), admit=lambda: True),
            clock=lambda: NOW,
        )
        self.attempts = [self.start(number) for number in range(1, attempts + 1)]

    def start(self, number: int) -> Attempt:
        attempt = make_attempt(number, NOW + number - 1, self.request)
        attempt.span = self.recording.attempt_started(attempt)
        return attempt

    def finish(self, number: int, outcome: Success | Failure, *, is_loser: bool = False) -> None:
        attempt = self.attempts[number - 1]
        attempt.is_loser = is_loser
        attempt.finish(outcome, NOW + 10 + number)
        assert attempt.span is not None
        attempt.span.attempt_finished(attempt)

    @property
    def spans(self) -> dict[int, tuple[object, object, object, StatusCode]]:
        """Return outcome, winner, loser and status of each attempt whose span has ended; 0 is the request."""
        found_spans: dict[int, tuple[object, object, object, StatusCode]] = {}
        for span in self.exporter.get_finished_spans():
            found = span.attributes or {}
            number = found.get("hedgerow.attempt.number", 0)
            assert isinstance(number, int)
            assert number not in found_spans, "a span ends once"
            kind = "hedgerow.attempt." if number else "hedgerow."
            found_spans[number] = (
                found.get(kind + "outcome"),
                found.get(kind + "winner"),
                found.get(kind + "loser"),
                span.status.status_code,
            )
        return found_spans


SUCCESS = Success(b"{}")
FAILED = Failure(FailureReason.RESET, "connection lost")


def test_an_attempts_span_waits_for_the_verdict_for_only_then_its_part_is_known() -> None:
    traced = Traced(3)
    traced.finish(1, FAILED)
    traced.finish(3, SUCCESS)
    traced.finish(2, SUCCESS)
    assert traced.spans == {}
    attempts = tuple(traced.attempts)
    traced.recording.request_finished("success", NOW + 14, Won(attempts[1], b"{}", attempts))
    assert traced.spans == {
        0: ("success", 2, None, StatusCode.UNSET),
        1: ("reset", False, False, StatusCode.ERROR),
        2: ("success", True, False, StatusCode.UNSET),
        3: ("success", False, False, StatusCode.UNSET),
    }


@pytest.mark.parametrize("outcome", [SUCCESS, FAILED])
def test_a_loser_ends_its_span_itself_before_or_after_the_request(outcome: Success | Failure) -> None:
    name = "success" if outcome is SUCCESS else "reset"
    traced = Traced(3)
    traced.finish(1, SUCCESS)
    traced.finish(2, outcome, is_loser=True)  # as `--losers cancel` does: cut off within the race's own end
    attempts = tuple(traced.attempts)
    traced.recording.request_finished("success", NOW + 14, Won(attempts[0], b"{}", attempts))
    assert traced.spans.keys() == {0, 1, 2}
    traced.finish(3, outcome, is_loser=True)
    assert traced.spans[2] == traced.spans[3] == (name, False, True, StatusCode.UNSET)


@pytest.mark.parametrize(
    ("code", "verdict", "status"),
    [
        ("all_failed", AllFailed, 502),
        ("out_of_time", OutOfTime, 504),
        ("internal", Aborted, 500),
    ],
)
def test_a_request_without_a_success_is_an_error(
    code: str, verdict: Callable[[tuple[Attempt, ...]], RaceEnd], status: int
) -> None:
    traced = Traced(1)
    traced.finish(1, FAILED)
    traced.recording.request_finished(code, NOW + 14, verdict(tuple(traced.attempts)))
    assert traced.spans[0] == (code, None, None, StatusCode.ERROR)
    span = traced.exporter.get_finished_spans()[-1]
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == status
    assert traced.spans[1] == ("reset", False, False, StatusCode.ERROR)


def test_when_the_client_leaves_what_has_finished_is_exported_and_what_runs_is_a_loser() -> None:
    traced = Traced(2)
    traced.finish(1, FAILED)
    traced.recording.request_finished("abandoned", NOW + 14, Aborted(tuple(traced.attempts)))
    assert traced.spans == {
        0: ("abandoned", None, None, StatusCode.UNSET),
        1: ("reset", False, False, StatusCode.ERROR),
    }
    traced.finish(2, Failure(FailureReason.TIMEOUT), is_loser=True)
    assert traced.spans[2] == ("timeout", False, True, StatusCode.UNSET)


def test_spans_have_the_times_of_the_facts() -> None:
    traced = Traced(1)
    traced.finish(1, SUCCESS)
    traced.recording.request_finished(
        "success", NOW + 14, Won(traced.attempts[0], b"", tuple(traced.attempts))
    )
    attempt, whole = traced.exporter.get_finished_spans()

    def span_s(span: ReadableSpan) -> float:
        assert span.start_time is not None
        assert span.end_time is not None
        return (span.end_time - span.start_time) / 1e9

    assert (span_s(attempt), span_s(whole)) == (11, 14)
    assert attempt.start_time == whole.start_time


@pytest.mark.parametrize(
    ("variable", "kept", "path"),
    [
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", 11, "/api"),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", 11, "/api"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", 4, None),  # the SDK keeps the last
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", 4, None),
    ],
)
def test_the_standards_limits_hold(
    variable: str, kept: int, path: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "4")
    traced = Traced(1)
    traced.finish(1, SUCCESS)
    traced.recording.request_finished(
        "success", NOW + 14, Won(traced.attempts[0], b"", tuple(traced.attempts))
    )
    _, whole = traced.exporter.get_finished_spans()
    assert whole.attributes is not None
    assert len(whole.attributes) == kept
    assert whole.attributes.get("url.path") == path
    assert whole.dropped_attributes == 11 - kept


@pytest.fixture
def collected() -> Iterator[Callable[[], int]]:
    """Return how many objects only a garbage collection could free since the last call."""
    gc.collect()
    gc.disable()
    yield gc.collect
    gc.enable()


def attributes(traced: Traced) -> dict[int, dict[str, object]]:
    """Return the attributes of each span by the number of its attempt; 0 is the request."""
    spans = [dict(span.attributes or {}) for span in traced.exporter.get_finished_spans()]
    return {int(str(of.get("hedgerow.attempt.number", 0))): dict(of) for of in spans}


class Place:
    """One address of an endpoint."""

    def described(self) -> tuple[str, str, int, str, int]:
        return "https://shop.internal:8443/base", "shop.internal", 8443, "192.0.2.1", 8443


def passed_on(path: bytes = b"/v1/search") -> Request:
    """Return a request of a route that passes requests on."""
    made = Request(b"PUT", path, b"apikey=secret", request_id=b"mine", arrived_at=NOW)
    made.route = a_route("search", "shop")
    made.route.template = "/v1/*"
    made.message = ClientMessage(head_of(host=b"", has_query=True))
    made.message.forwarded = ForwardedRequest(b"/v2/search?apikey=secret", b"", b"", b"", 900)
    return made


def test_spans_of_what_is_passed_on_have_its_route_and_where_each_attempt_went() -> None:
    traced = Traced(2, request=passed_on())
    span = traced.attempts[0].span
    assert span is not None
    span.sent_to(Place())
    traced.finish(1, Success(b"", Answer(201, b"", b"")))
    traced.finish(2, Failure(FailureReason.CONNECT))
    attempts = tuple(traced.attempts)
    traced.recording.request_finished("success", NOW + 14, Won(attempts[0], b"", attempts))
    found = attributes(traced)
    assert found[0]["http.route"] == "/v1/*"
    assert found[0]["url.path"] == "/v1/search"
    assert found[0]["hedgerow.route"] == "search"
    assert found[0]["http.response.status_code"] == 201
    assert {span.name for span in traced.exporter.get_finished_spans()} == {"PUT /v1/*", "PUT"}
    assert found[1] | {
        "http.request.method": "PUT", "hedgerow.upstream": "shop", "http.response.status_code": 201,
        "url.full": "https://shop.internal:8443/base/v2/search", "server.address": "shop.internal", "server.port": 8443,
        "network.peer.address": "192.0.2.1", "network.peer.port": 8443,
    } == found[1]  # fmt: skip
    assert "server.address" not in found[2], "it was sent to none"
    assert "secret" not in str(found)


def test_a_path_in_a_span_is_printable_and_bounded() -> None:
    traced = Traced(0, request=passed_on(b"/\x1b" + 100_000 * b"a"))
    traced.recording.request_finished("abandoned", NOW + 1, Aborted(()))
    path = str(attributes(traced)[0]["url.path"])
    assert path.startswith("/\\x1baaa")
    assert len(path) <= MAX_SHOWN_PATH


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([Failure(FailureReason.STATUS_5XX, "", Answer(503, b"", b"")), Failure(FailureReason.RESET)], 503),
        (
            [
                Failure(FailureReason.STATUS_5XX, "", Answer(503, b"", b"")),
                Failure(FailureReason.STATUS_429, "", Answer(429, b"", b"")),
            ],
            429,
        ),
        ([Failure(FailureReason.SCHEMA, "", Answer(200, b"", b"")), Failure(FailureReason.RESET)], 502),
        ([Failure(FailureReason.RESET), Failure(FailureReason.RESET)], 502),
    ],
)
def test_where_all_have_failed_the_status_is_that_of_the_answer_that_is_passed_on(
    outcomes: list[Failure], status: int
) -> None:
    """The last one that came, but none of 2xx (`core.response`)."""
    traced = Traced(2, request=passed_on())
    for number, outcome in enumerate(outcomes, 1):
        traced.finish(number, outcome)
        traced.attempts[number - 1].drop_body()
    traced.recording.request_finished("all_failed", NOW + 14, AllFailed(tuple(traced.attempts)))
    assert attributes(traced)[0]["http.response.status_code"] == status


def test_a_recorded_request_leaves_no_cycles_behind(collected: Callable[[], int]) -> None:
    traced = Traced(0)
    recordings: list[RequestTrace] = [traced.recording]
    collected()
    for _ in range(10):
        attempt = traced.start(1)
        attempt.is_loser = True
        attempt.finish(SUCCESS, NOW + 1)
        assert attempt.span is not None
        attempt.span.attempt_finished(attempt)
        del attempt
    recordings.clear()
    assert collected() == 0


class Broken(SimpleSpanProcessor):
    """An SDK with a bug."""

    def on_end(self, span: ReadableSpan) -> None:
        raise ZeroDivisionError


def test_an_error_of_the_sdk_costs_the_span_and_raises_nothing() -> None:
    errors: list[None] = []
    traced = Traced(1)
    traced.recording._factory = SpanFactory(
        Broken(traced.exporter), Resource.get_empty(), admit=lambda: True, on_error=lambda: errors.append(None)
    )  # fmt: skip
    traced.recording.request_finished("out_of_time", NOW + 1, OutOfTime(tuple(traced.attempts)))
    assert len(errors) == 1


def test_traces_that_cannot_be_recorded_cost_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    log = Logs(LogFormat.JSON, "critical").log
    monkeypatch.setattr(Thread, "start", fails)
    assert start_tracing(1.0, lambda: NOW, log) is None, "a worker serves without"
    monkeypatch.undo()
    tracing = start_tracing(1.0, lambda: NOW, log)
    assert tracing is not None
    monkeypatch.setattr(hedgerow.tracing.request_spans, "RecordedTrace", fails)
    assert tracing.sampler.start(a_request()) is None
    tracing.close(0.0)


class Endless:
    """A receiver whose answer has no end."""

    def __init__(self, status: bytes) -> None:
        self._status = status
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._sock.getsockname()[1]}"
        self.sent = 0
        self._thread = Thread(target=self._answer)
        self._thread.start()

    def _answer(self) -> None:
        connection, _ = self._sock.accept()
        with connection, suppress(OSError):
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 " + self._status + b"\r\nContent-Type: text/plain\r\n\r\n")
            while True:
                self.sent += connection.send(b"x" * 65_536)

    def until_left(self) -> None:
        self._thread.join()
        self._sock.close()


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request", b"302 Found\r\nLocation: /"])
def test_a_receiver_that_answers_without_end_costs_no_memory(
    status: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = Endless(status)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endless.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    tracing = start_tracing(1.0, lambda: NOW, Logs(LogFormat.JSON, "critical").log)
    assert tracing is not None
    trace = tracing.sampler.start(a_request())
    assert trace is not None
    trace.request_finished("out_of_time", NOW + 1, OutOfTime(()))
    endless.until_left()
    tracing.close()
    assert sum(tracing.counts().values()) == 1
    assert endless.sent < 30_000_000, "what fits into the buffers on the way"
