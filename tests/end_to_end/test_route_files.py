"""Files with routes, served by real processes: the default route as a file, routes of one's own, what check says."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest

from hedgerow.configuration.file import MAX_FILE_BYTES
from support.process_fixtures import Serve
from support.processes import READ_TIMEOUT_S, GatewayProcess

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"


ANSWERS = {"/ok": (200, b'{"time": 160, "x": [1]}'), "/bad": (200, b"no JSON"), "/none": (500, b"{}")}


class Upstream(BaseHTTPRequestHandler):
    """Answers by its path; what it is asked is in the answer of `/echo…`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, body = ANSWERS.get(self.path, (200, f"{self.command} {self.path}".encode()))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Own", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def sent(gateway: GatewayProcess, head: str) -> str:
    """Send a request as it is, and return the answer without what differs from one moment to the next."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=READ_TIMEOUT_S) as client:
        client.sendall(f"{head}Host: x\r\nX-Request-Id: r1\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(65_536), b"")).decode()
    answer = re.sub(r"(?<=\r\nDate: ).*", "…", answer)
    if " 502 " in answer:  # its body says how long each attempt took
        answer = re.sub(r"(?<=\r\nContent-Length: )\d+", "…", answer)
    return re.sub(r"(?<=dur=)[\d.]+|(?<=_ms\":)[\d.]+|(?<=_ms\": )[\d.]+", "…", answer)


REQUESTS = [
    f"{method} {target} HTTP/1.1\r\n"
    for method in ("GET", "HEAD", "POST", "OPTIONS")
    for target in (
        "/api/smart", "/api/smart?timeout=2000", "/api/smart?timeout=0", "/api/smart?timeout=1&timeout=2",
        "/api/smart?x=%zz&timeout=99999999999", "/api/smart/", "/", "//api/smart", "/api/%73mart", "/api/../api/smart",
        "*", "http://h/api/smart?timeout=900", "/api/smart?timeout=%31000",
    )
]  # fmt: skip


@pytest.mark.parametrize(("path", "delay_ms"), [("/ok", 60_000), ("/bad", 5), ("/none", 5)])
def test_the_default_route_as_a_file_answers_to_the_byte_as_without(
    serve: Serve, tmp_path: Path, upstream: str, path: str, delay_ms: int
) -> None:
    file = tmp_path / "h.toml"
    text = (EXAMPLES / "default-route.toml").read_text()
    file.write_text(text.replace('"embedded"', f'"{upstream}{path}"').replace('"300ms"', f'"{delay_ms}ms"'))
    as_file = serve("--config", str(file))
    by_flags = serve("--upstream", upstream + path, f"--hedge-after-ms={delay_ms}")
    for request in REQUESTS:
        assert sent(as_file, request) == sent(by_flags, request), request


def test_routes_are_served_named_at_the_start_and_replaced_by_a_reload(
    serve: Serve, tmp_path: Path, upstream: str
) -> None:
    file = tmp_path / "h.toml"
    route = f"[upstreams.u]\nendpoints = ['{upstream}/echo']\n[[routes]]\nupstream = 'u'\n"
    file.write_text(f"{route}path_prefix = '/v1'\n")
    gateway = serve("--config", str(file))
    assert gateway.lines[0] == f"hedgerow: answering on {gateway.url}\n"
    assert gateway.lines[1].split() == ["routes", "/v1/*", "->", "u"]
    assert sent(gateway, "GET /v1/a?b=c HTTP/1.1\r\n").endswith("\r\n\r\nGET /echo/v1/a?b=c")
    assert "HTTP/1.1 404 " in sent(gateway, "GET /api/smart HTTP/1.1\r\n")
    before = gateway.children()
    file.write_text(f"{route}path = '/v2'\nrewrite = '/other'\n")
    gateway.process.send_signal(signal.SIGHUP)
    assert not psutil.wait_procs(before, timeout=READ_TIMEOUT_S)[1]
    assert "HTTP/1.1 404 " in sent(gateway, "GET /v1/a HTTP/1.1\r\n")
    assert sent(gateway, "GET /v2?b HTTP/1.1\r\n").endswith("\r\n\r\nGET /echo/other?b")


def test_a_file_of_the_greatest_size_is_served_and_reloaded(
    serve: Serve, tmp_path: Path, upstream: str
) -> None:
    """The channel to a worker takes some 200 KiB at once: with more the gateway did not start, and died at SIGHUP."""
    file = tmp_path / "h.toml"
    text = f"""[upstreams.u]
    endpoints = ['{upstream}/echo']
    [[routes]]
    path = '/a'
    upstream = 'u'
    success.json_schema.description = '"""
    file.write_text(text + "x" * (MAX_FILE_BYTES - len(text) - 1) + "'")
    gateway = serve("--config", str(file))
    before = gateway.children()
    gateway.process.send_signal(signal.SIGHUP)
    assert not psutil.wait_procs(before, timeout=READ_TIMEOUT_S)[1]
    gateway.until_all_ready()
    assert "HTTP/1.1 502 " in sent(gateway, "GET /a HTTP/1.1\r\n"), "it is no JSON"


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.toml")), ids=lambda file: file.stem)
def test_check_accepts_the_examples(file: Path) -> None:
    command = [sys.executable, "-m", "hedgerow", "check", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=READ_TIMEOUT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "# routes, in the order in which they match:" in done.stdout
    assert "replace-me" not in done.stdout


def test_check_names_file_line_and_key_and_ends_with_2(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    file.write_text("[upstreams.u]\nendpoints = ['http://h']\n\n[[routes]]\npath = '/a'\nupsteam = 'u'\n")
    command = [sys.executable, "-m", "hedgerow", "check", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=READ_TIMEOUT_S, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"hedgerow: '{file}', line 6: routes[0]: 'upsteam' is no key of it; did you mean upstream?\n"
    )
