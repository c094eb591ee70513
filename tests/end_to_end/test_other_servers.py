"""Servers of other projects, before and behind the gateway."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.other_servers import haproxy, nginx
from support.process_fixtures import Serve
from support.processes import attempt_outcomes, get_json


@pytest.fixture(scope="module")
def httpbin() -> Iterator[str]:
    program = (
        "import httpbin, sys\n"
        "from werkzeug.serving import make_server\n"
        "server = make_server('127.0.0.1', 0, httpbin.app, threaded=True)\n"
        "print(server.port, flush=True)\n"
        "server.serve_forever()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.kill()


@pytest.mark.parametrize(
    ("path", "status", "outcomes"),
    [
        ("/status/500", 502, {"status_5xx"}),
        ("/status/429", 502, {"status_429"}),
        ("/status/302", 502, {"status_other"}),
        ("/status/204", 502, {"status_other"}),
        ("/json", 502, {"bad_payload"}),
        ("/bytes/100?seed=1", 502, {"bad_json"}),
        ("/bytes/100000?seed=1", 502, {"too_large"}),
        ("/gzip", 502, {"bad_json"}),
        ("/drip?duration=0.2&numbytes=5", 502, {"bad_json"}),
        ("/stream/3", 502, {"bad_json"}),
        ("/delay/5", 504, {"pending"}),
    ],
)
def test_httpbin(serve: Serve, httpbin: str, path: str, status: int, outcomes: set[str]) -> None:
    command = serve("--upstream", httpbin + path, "--hedge-after-ms", "50")
    given, problem = command.get("?timeout=3000" if status == 502 else "?timeout=200")
    assert given == status
    assert set(attempt_outcomes(problem)) == outcomes


def test_httpbin_success(serve: Serve, httpbin: str) -> None:
    """`/response-headers` answers with the query as an object, so strings: no success; `/anything` neither."""
    command = serve("--upstream", httpbin + "/base64/eyJ0aW1lIjoxfQ==")
    assert command.get("?timeout=5000") == (200, {"time": 1})


# -- nginx and HAProxy behind the gateway

WORK = """location /work { default_type application/json; return 200 '{"time":160}'; } location /bad { return 503; }"""


@pytest.fixture
def work(tmp_path: Path) -> Iterator[str]:
    """An nginx that closes each connection after its third request."""
    with nginx(tmp_path, WORK, "keepalive_requests 3;") as url:
        yield url


def test_nginx_as_upstream_closes_after_each_third_request(serve: Serve, work: str) -> None:
    command = serve("--upstream", work + "/work")
    for _ in range(20):
        assert command.get() == (200, {"time": 160})
    counted = command.metrics()
    assert counted['hedgerow_requests_total{outcome="success"}'] == 20
    assert counted['hedgerow_attempts_total{attempt="1",outcome="success"}'] == 20


def test_nginx_error_pages_are_failures(serve: Serve, work: str) -> None:
    given, problem = serve("--upstream", work + "/bad").get("?timeout=250")
    assert (given, attempt_outcomes(problem)) == (502, ["status_5xx"])


HAPROXY_WORK = """\
  timeout http-keep-alive 1
  http-request return status 200 content-type application/json string '{"time":160}' if { path /work }
  http-request deny deny_status 429 if { path /busy }
  http-request reject if { path /reject }"""


def test_haproxy_as_upstream_closes_idle_connections_after_a_millisecond(
    serve: Serve, tmp_path: Path
) -> None:
    with haproxy(tmp_path, HAPROXY_WORK) as url:
        command = serve("--upstream", url + "/work")
        for _ in range(50):
            assert command.get() == (200, {"time": 160})
        counted = command.metrics()
        assert counted['hedgerow_attempts_total{attempt="1",outcome="success"}'] == 50


@pytest.mark.parametrize(
    ("path", "reason"), [("/busy", "status_429"), ("/reject", "reset"), ("/closed", "status_5xx")]
)
def test_haproxys_failures(serve: Serve, tmp_path: Path, path: str, reason: str) -> None:
    with haproxy(tmp_path, HAPROXY_WORK) as url:
        given, problem = serve("--upstream", url + path).get("?timeout=250")
        assert (given, attempt_outcomes(problem)) == (502, [reason])


# -- nginx and HAProxy before the gateway


def test_haproxy_in_front(serve: Serve, work: str, tmp_path: Path) -> None:
    command = serve("--upstream", work + "/work")
    with haproxy(tmp_path, f"  server one {command.authority}") as front:
        for _ in range(10):
            assert get_json(f"{front}/api/smart") == (200, {"time": 160})
        assert get_json(f"{front}/api/smart?timeout=x")[0] == 400
        assert 1 <= command.metrics()["hedgerow_client_connections"] < 10, "kept, and used again"


def test_nginx_in_front_keeps_its_connection(serve: Serve, work: str, tmp_path: Path) -> None:
    command = serve("--upstream", work + "/work")
    folder = tmp_path / "front"
    folder.mkdir()
    proxy = (
        'location / { proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection ""; }'
    )
    with nginx(folder, proxy, f"upstream gateway {{ server {command.authority}; keepalive 4; }}") as front:
        for _ in range(10):
            assert get_json(f"{front}/api/smart") == (200, {"time": 160})
        assert get_json(f"{front}/api/smart?timeout=x")[0] == 400
        assert get_json(f"{front}/nope")[0] == 404
        assert 1 <= command.metrics()["hedgerow_client_connections"] < 10, "kept, and used again"
        assert get_json(f"{front}/api/smart", b"a body")[0] == 405, "which closes it"
        assert get_json(f"{front}/api/smart") == (200, {"time": 160})
        assert command.metrics()['hedgerow_requests_total{outcome="success"}'] == 11
