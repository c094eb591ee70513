"""Traces, as a receiver of OTLP/HTTP gets them from real gateways; and that nothing about it can hurt a gateway."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from hedgerow.settings.redaction import redacted_url
from support.otlp_receiver import READ_TIMEOUT_S, Received, Receiver, receiving
from support.process_fixtures import Serve, Simulate
from support.processes import FAULTLESS, GatewayProcess

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
NO_UPSTREAM = ("--upstream", "http://127.0.0.1:1/", "--hedges=0", "--trace-sample=1")
"""Each request has two spans: its own, and that of its only attempt."""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver to which gateways that are started in the test send their spans."""
    for variable in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(variable)
    with receiving() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield found


class Upstream:
    """The first attempt fails, the second is answered when the test says so, the third succeeds at once."""

    def __init__(self) -> None:
        self.heads: dict[int, dict[str, str]] = {}
        self.released = Event()
        self.url = ""

    def answer(self, headers: dict[str, str]) -> tuple[int, bytes]:
        number = int(headers["hedgerow-attempt"])
        self.heads[number] = headers
        if number == 2:
            self.released.wait(READ_TIMEOUT_S)
        return (500, b"") if number == 1 else (200, b'{"time":1}')


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    found = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body = found.answer({name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is http.server's)
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/work?key=secret"
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield found
        found.released.set()
        server.shutdown()
        thread.join()


def ask(served: GatewayProcess, **headers: str) -> int:
    request = urllib.request.Request(served.url + "?timeout=30000", headers=headers)
    with urllib.request.urlopen(request, timeout=READ_TIMEOUT_S) as answer:
        answer.read()
        return int(answer.status)


def stop(served: GatewayProcess) -> list[dict[str, Any]]:
    """Stop it as its user does, and return what is in its log."""
    return [json.loads(line) for line in served.stop_and_read().splitlines()]


def spans(served: GatewayProcess) -> dict[str, int]:
    metrics = served.metrics()
    outcomes = ("exported", "failed", "dropped")
    return {name: int(metrics[f'hedgerow_spans_total{{outcome="{name}"}}']) for name in outcomes}


def by_kind(received: list[Received]) -> tuple[Received, dict[int, Received]]:
    (request,) = [one for one in received if one.span.kind == Span.SPAN_KIND_SERVER]
    attempts = {
        one.attributes["hedgerow.attempt.number"]: one
        for one in received
        if one.span.kind == Span.SPAN_KIND_CLIENT
    }
    return request, attempts


def test_a_request_and_its_attempts_are_spans_of_the_clients_trace(
    serve: Serve, receiver: Receiver, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=mine")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.version=9")
    served = serve(
        "--upstream", upstream.url, "--trace-sample=0.000001", "--hedge-on-failure=immediate",
        "--loser-grace-ms=60000",
    )  # fmt: skip
    traceparent = f"00-{TRACE_ID}-{PARENT_ID}-01"
    assert ask(served, traceparent=traceparent, tracestate="a=1,b=2", **{"X-Request-Id": "mine"}) == 200

    request, attempts = by_kind(receiver.spans_when(lambda received: len(received) == 3))
    assert attempts.keys() == {1, 3}, "the loser runs on, and the others do not wait for it"
    upstream.released.set()
    request, attempts = by_kind(receiver.spans_when(lambda received: len(received) == 4))

    assert request.span.name == "GET /api/smart"
    assert request.span.trace_id.hex() == TRACE_ID
    assert request.span.parent_span_id.hex() == PARENT_ID
    assert request.span.trace_state == "a=1,b=2"
    assert request.span.status.code == Status.STATUS_CODE_UNSET
    assert request.attributes == {
        "http.request.method": "GET", "http.route": "/api/smart", "url.path": "/api/smart", "url.scheme": "http",
        "http.response.status_code": 200, "hedgerow.route": "/api/smart", "hedgerow.request_id": "mine",
        "hedgerow.timeout_ms": 30_000, "hedgerow.outcome": "success", "hedgerow.winner": 3, "hedgerow.attempts": 3,
    }  # fmt: skip
    recorded = {
        number: (
            one.attributes["hedgerow.attempt.outcome"],
            one.attributes["hedgerow.attempt.winner"],
            one.attributes["hedgerow.attempt.loser"],
            one.span.status.code,
        )
        for number, one in attempts.items()
    }
    unset, error = Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR
    assert recorded == {
        1: ("status_5xx", False, False, error),
        2: ("success", False, True, unset),
        3: ("success", True, False, unset),
    }
    for number, one in attempts.items():
        assert one.span.trace_id.hex() == TRACE_ID
        assert one.span.parent_span_id == request.span.span_id
        assert one.attributes["url.full"] == redacted_url(upstream.url)
        assert upstream.heads[number]["traceparent"] == f"00-{TRACE_ID}-{one.span.span_id.hex()}-01"
        assert upstream.heads[number]["tracestate"] == "a=1,b=2"
    starts_at, ends_at = request.span.start_time_unix_nano, request.span.end_time_unix_nano
    winner, loser = attempts[3].span, attempts[2].span
    assert starts_at <= attempts[1].span.start_time_unix_nano <= winner.start_time_unix_nano
    assert winner.start_time_unix_nano < winner.end_time_unix_nano <= ends_at
    assert loser.end_time_unix_nano > ends_at

    assert request.path == "/v1/traces"
    assert request.headers["api-key"] == "mine"
    assert request.resource["service.name"] == "hedgerow"
    assert request.resource["service.version"] == "9"
    assert request.resource["deployment.environment.name"] == "test"
    assert request.resource["process.pid"] == served.workers[0].pid
    # Spans are counted when the receiver has answered.
    while spans(served) != {"exported": 4, "failed": 0, "dropped": 0}:
        pass
    assert served.status("?request_id=mine")["requests"][0]["trace_id"] == TRACE_ID


def test_only_what_is_sampled_is_recorded_and_each_worker_exports(
    serve: Serve, simulate: Simulate, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ours")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    upstream = simulate("--latency-ms=1-5", *FAULTLESS)
    served = serve("--workers=2", "--upstream", upstream.url, "--trace-sample=1", "--hedges=0")
    served.status_when(lambda status: status["workers"]["ready"] == 2)
    for _ in range(20):  # the connections come out even over the workers only when there are many
        assert ask(served, traceparent=f"00-{TRACE_ID}-{PARENT_ID}-00") == 200
    for number in range(20):
        assert ask(served, **{"X-Request-Id": f"root-{number}"}) == 200
    received = receiver.spans_when(lambda received: len(received) >= 40)
    stop(served)
    assert len(receiver.spans_when(lambda _: True)) == 40, "what the client does not record we do not"
    roots = [one for one in received if not one.span.parent_span_id]
    assert {one.attributes["hedgerow.request_id"] for one in roots} == {f"root-{n}" for n in range(20)}
    assert len({one.span.trace_id for one in received}) == 20
    assert {one.resource["service.name"] for one in received} == {"ours"}


def test_the_last_spans_are_exported_at_the_end(
    serve: Serve, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    served = serve(*NO_UPSTREAM)
    assert [served.status_of() for _ in range(3)] == [502] * 3
    stop(served)
    received = receiver.spans_when(lambda _: True)
    assert len(received) == 6
    assert {one.span.status.code for one in received} == {Status.STATUS_CODE_ERROR}
    assert {one.attributes["error.type"] for one in received} == {"all_failed", "connect"}


def test_a_receiver_that_refuses_costs_spans_and_two_lines(
    serve: Serve, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.status = 400
    served = serve(*NO_UPSTREAM)
    assert [served.status_of() for _ in range(3)] == [502] * 3
    while spans(served) != {"exported": 0, "failed": 6, "dropped": 0}:
        pass
    served.metrics()  # a worker looks for what to log each time it is asked, before it counts
    receiver.status = 200
    assert served.status_of() == 502
    while spans(served) != {"exported": 2, "failed": 6, "dropped": 0}:
        pass
    served.metrics()
    lines = [line for line in stop(served) if line["event"].startswith("spans")]
    assert [line["event"] for line in lines] == ["spans cannot be exported", "spans are exported again"]
    assert "400" in lines[0]["reason"]


def test_a_receiver_that_is_not_there_costs_spans_and_nothing_else(
    serve: Serve, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    served = serve(*NO_UPSTREAM)
    assert [served.status_of() for _ in range(3)] == [502] * 3
    while spans(served) != {"exported": 0, "failed": 6, "dropped": 0}:
        pass
    stop(served)
    assert receiver.requests == 0


def test_a_receiver_that_hangs_costs_spans_and_nothing_else(
    serve: Serve, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    receiver.goes_on.clear()
    served = serve(*NO_UPSTREAM)
    assert served.status_of() == 502
    receiver.asked(1)
    assert [served.status_of() for _ in range(9)] == [502] * 9
    assert spans(served) == {"exported": 0, "failed": 0, "dropped": 16}, "20, of which 4 may wait"
    stop(served)  # it does not wait for the receiver


def test_spans_can_be_turned_off_by_the_standards_variable(
    serve: Serve, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    served = serve(*NO_UPSTREAM)
    assert served.status_of() == 502
    assert sum(spans(served).values()) == 0
    stop(served)
    assert receiver.requests == 0


def complaint(*arguments: str, before: str = "", **environment: str) -> str:
    """Run `hedgerow serve`, which has to end with exit code 2, and give its one line."""
    program = f"import sys; {before}\nfrom hedgerow.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=READ_TIMEOUT_S,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    return done.stderr


def test_without_the_extra_traces_are_refused_in_one_line() -> None:
    line = complaint("--trace-sample=0.5", before="sys.modules['opentelemetry'] = None")
    assert line.startswith(
        "hedgerow: --trace-sample: 0.5 is not accepted; give 0, or install what traces need"
    )
    assert "hedgerow[otel]" in line


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "OTEL_BSP_MAX_QUEUE_SIZE: 'many' is not accepted; give a whole number"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0", "OTEL_BSP_SCHEDULE_DELAY: '0' is not accepted"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2049", "give at most OTEL_BSP_MAX_QUEUE_SIZE (2048)"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"),
    ],
)  # fmt: skip
def test_a_variable_that_cannot_be_used_is_one_line(variable: str, value: str, says: str) -> None:
    assert says in complaint("--trace-sample=1", **{variable: value})


def test_nothing_of_opentelemetry_is_loaded_where_nothing_is_recorded() -> None:
    program = (
        "import sys, hedgerow.cli, hedgerow.processes.worker_main, hedgerow.processes.supervisor\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
