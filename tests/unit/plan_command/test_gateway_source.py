"""A gateway is read, and what is none is said in one line."""

import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Literal

import msgspec
import pytest

from hedgerow.core.response import Response, problem_response
from hedgerow.plan_command.gateway_source import read_gateway
from hedgerow.plan_command.source import SourceError
from hedgerow.planning.latency_sketch import SUCCESS
from hedgerow.planning.observations import Observations
from hedgerow.planning.what_if import Plan
from hedgerow.status.plan_status import HedgingInUse, Real, plan_status
from hedgerow.telemetry.snapshot import Snapshot


def answered(monkeypatch: pytest.MonkeyPatch, body: bytes) -> list[str]:
    asked: list[str] = []

    def get(url: str) -> bytes:
        asked.append(url)
        return body

    monkeypatch.setattr("hedgerow.plan_command.gateway_source._get", get)
    return asked


def status(observations: Observations, configured_by: Literal["flags", "file"] = "flags") -> bytes:
    in_use = HedgingInUse("/a b", configured_by, "on", 0.01, 250, None, 2, "immediate")
    return msgspec.json.encode(plan_status(in_use, "hour", observations, Snapshot(), Real(0, None, [], [])))


def test_what_a_gateway_says_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    observations = Observations(samples=[(0.25, ((0.5, SUCCESS), (0.1, SUCCESS), (0.2, SUCCESS)))])
    observations.observe(0.1, SUCCESS, 500)
    asked = answered(monkeypatch, status(observations))
    source = read_gateway("127.0.0.1:8081", "hour", None)
    assert asked == ["http://127.0.0.1:8081/status.json?plan=hour"]
    assert source.observations == observations
    assert source.current == Plan(0.25, 2, immediate=True)
    assert source.route is None, "its settings are flags"
    assert "500 first attempts of /a b in the last hour, 1 hedged" in source.description


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is not of a gateway that observes"),
        (b"<html>", "is not of a gateway that observes"),
        (b"{}", "is not of a gateway that observes"),
        (b"\xff\xfe", "is not of a gateway that observes"),
    ],
)
def test_what_is_no_gateway_is_said(monkeypatch: pytest.MonkeyPatch, body: bytes, message: str) -> None:
    answered(monkeypatch, body)
    with pytest.raises(SourceError, match=message):
        read_gateway("http://127.0.0.1:8081", "day", None)


def test_other_buckets_are_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    observations = Observations()
    observations.observe(0.1, SUCCESS)
    observations.successes = observations.successes[:-1]
    body = msgspec.json.decode(status(Observations()))
    body["observations"] = msgspec.to_builtins(observations)
    answered(monkeypatch, msgspec.json.encode(body))
    with pytest.raises(SourceError, match="another version"):
        read_gateway("http://127.0.0.1:8081", "day", None)


def test_a_gateway_without_requests_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    answered(monkeypatch, status(Observations()))
    with pytest.raises(SourceError, match="observed no request of /a b in the last minute"):
        read_gateway("http://127.0.0.1:8081", "minute", None)


@pytest.mark.parametrize("url", ["", "ftp://a", "http://", "http://[::1:8081", "http://u:p@a", "a..b:1"])
def test_what_is_no_url_is_said(url: str) -> None:
    with pytest.raises(SourceError, match="is not accepted"):
        read_gateway(url, "hour", None)


def test_a_gateway_that_is_not_there_is_said() -> None:
    with pytest.raises(SourceError, match=r"cannot be read: .*refused"):
        read_gateway("http://127.0.0.1:1", "hour", None)


def test_a_gateway_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with pytest.raises(SourceError, match="refused"):
            read_gateway("http://127.0.0.1:1", "hour", None)


def test_a_route_is_asked_for_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    observations = Observations()
    observations.observe(0.1, SUCCESS, 500)
    asked = answered(monkeypatch, status(observations, "file"))
    source = read_gateway("http://127.0.0.1:8081", "hour", "/a b&c=ü")
    assert asked == ["http://127.0.0.1:8081/status.json?plan=hour&route=%2Fa+b%26c%3D%C3%BC"]
    assert source.route == "/a b"


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (problem_response("not_found", "the route 'c' is not known; there are: 'a', 'b'", b"r"),
         r"^--route: the route 'c' is not known; there are: 'a', 'b'$"),
        (problem_response("not_found", "use GET", b"r"), "answers 404; is it a gateway's admin port"),
        (problem_response("internal", "a route", b"r"), "answers 500; is it a gateway's admin port"),
        (Response(404, b"<html>"), "answers 404; is it a gateway's admin port"),
    ],
)  # fmt: skip
def test_a_route_that_is_not_known_is_said_with_those_that_are(problem: Response, message: str) -> None:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(problem.status)
            self.end_headers()
            self.wfile.write(problem.body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        answering = Thread(target=server.handle_request)
        answering.start()
        with pytest.raises(SourceError, match=message):
            read_gateway(f"http://127.0.0.1:{server.server_port}", "hour", "c")
        answering.join()
