"""The client's trace on its way through a worker that records nothing: to each attempt, and into logs and records."""

import json
import re

import pytest

from hedgerow.settings import AccessLog, LogFormat
from hedgerow.telemetry.line_writer import FLUSH_S
from integration.conftest import Serve
from support.raw_http import UpstreamSide, ok, scripted, sending

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE_ID = TRACEPARENT.split("-")[1]


def trace_lines(head: bytes) -> list[str]:
    return [line for line in head.decode("latin-1").split("\r\n") if line.lower().startswith("trace")]


async def test_the_clients_trace_reaches_each_attempt(serve: Serve) -> None:
    fails = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    async with scripted(sending(fails)) as upstream:
        served = await serve(upstream.url, hedge_after_ms=1)
        client = await served.client()
        for lines, passed_on in (
            ([f"TraceParent:\t{TRACEPARENT} ", "tracestate: a=1", "Tracestate: b=2,"],
             [f"traceparent: {TRACEPARENT}", "tracestate: a=1,b=2"]),
            (["tracestate: a=1"], []),
            ([f"traceparent: {TRACEPARENT}", "tracestate: A=1"], [f"traceparent: {TRACEPARENT}"]),
            ([f"traceparent: {TRACEPARENT}"] * 2, []),
            ([f"traceparent: {TRACEPARENT.upper()}", "tracestate: a=1"], []),
            ([], []),
        ):  # fmt: skip
            upstream.requests.clear()
            head = "\r\n".join(["GET /api/smart HTTP/1.1", "Host: x", *lines])
            client.send(f"{head}\r\n\r\n".encode())
            assert (await client.response())[0] == 502
            assert [trace_lines(head) for head in upstream.requests] == [passed_on] * 3
        client.close()


async def test_the_traces_id_is_in_log_and_record_of_the_request(
    serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    async def answers_all_but_one(side: UpstreamSide) -> None:
        while b"left" not in await side.request():
            side.send(ok())
        await side.request()  # which never comes

    async with scripted(answers_all_but_one) as upstream:
        served = await serve(upstream.url, access_log=AccessLog.ALL, log_format=LogFormat.JSON)
        await served.get(traceparent=TRACEPARENT, X_Request_Id="traced")
        await served.get(X_Request_Id="untraced")
        client = await served.client()
        client.send(
            f"GET /api/smart HTTP/1.1\r\nHost: x\r\nX-Request-Id: left\r\ntraceparent: {TRACEPARENT}\r\n\r\n".encode()
        )
        await upstream.until_requests(3)
        client.close()
        recent = served.worker.recorder.recent
        await served.until(lambda: len(recent.newest(3, 0.0)) == 3)
    recorded = {request.request_id: request.trace_id for request in recent.newest(3, 0.0)}
    assert recorded == {"traced": TRACE_ID, "untraced": None, "left": TRACE_ID}
    served.worker.logs.flush(FLUSH_S)
    lines = [json.loads(line) for line in re.findall(r"^{.*}$", capfd.readouterr().err, re.MULTILINE)]
    logged = {line["request_id"]: line.get("trace_id") for line in lines if line["event"] == "request"}
    assert {"traced": TRACE_ID, "untraced": None}.items() <= logged.items()
