"""The real command, its processes and its signals; and servers that nobody here wrote."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

READ_TIMEOUT_S = 30


class Command:
    """`hedgerow serve` on free ports, as its user starts it."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hedgerow", "serve", "--port=0", "--admin-port=0", "--workers=1", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.lines = [self.process.stdout.readline() for _ in range(4)]
        self.url = self.lines[0].split()[-1]
        self.admin = self.lines[2].split()[1].removesuffix("/metrics")

    def get(self, query: str = "", path: str = "") -> tuple[int, dict[str, object]]:
        return ask(self.url + path + query)

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(self.admin + "/metrics", timeout=READ_TIMEOUT_S) as answer:
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    @property
    def authority(self) -> str:
        return urlsplit(self.url).netloc

    def until_readiness(self, holds: Callable[[str], bool]) -> None:
        """Ask until the reason that `/readyz` gives is the one waited for; pytest-timeout bounds it."""
        while not holds(str(ask(self.admin + "/readyz")[1]["reason"])):
            pass

    def all_ready(self) -> None:
        self.until_readiness(lambda reason: reason.split(" of ")[0] == reason.split(" of ")[-1].split()[0])

    def draining(self) -> None:
        self.until_readiness(lambda reason: reason == "draining")

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=READ_TIMEOUT_S)
        return self.process.returncode


def ask(url: str) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(url, timeout=READ_TIMEOUT_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


Serve = Callable[..., Command]


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Command] = []

    def start(*arguments: str) -> Command:
        started.append(Command(*arguments))
        return started[-1]

    yield start
    for command in started:
        family = command.family() if command.process.poll() is None else []
        command.process.kill()
        command.process.communicate()
        assert not psutil.wait_procs(family, timeout=READ_TIMEOUT_S)[1], (
            "whatever happens to the gateway, nothing of it stays"
        )


def reasons(problem: dict[str, object]) -> list[str]:
    attempts = problem["attempts"]
    assert isinstance(attempts, list)
    return [attempt["outcome"] for attempt in attempts]


def test_the_command_answers_before_the_embedded_testing_server_and_stops(serve: Serve) -> None:
    command = serve()
    assert command.get("?timeout=60000")[0] in (200, 502)
    assert ask(command.admin + "/readyz")[1]["ready"] is True
    assert ask(command.admin + "/livez") == (200, {"live": True})
    family = command.family()
    assert len(family) == 2
    assert command.stop() == 0
    assert not psutil.wait_procs(family, timeout=READ_TIMEOUT_S)[1]


def test_kill_9_of_the_supervisor_leaves_no_process(serve: Serve) -> None:
    command = serve()
    family = command.family()
    command.process.kill()
    command.process.communicate()
    assert not psutil.wait_procs(family, timeout=READ_TIMEOUT_S)[1]


def test_a_killed_worker_is_replaced_and_its_counts_stay(serve: Serve) -> None:
    command = serve("--upstream", "http://127.0.0.1:1/", "--hedges", "0")
    assert command.get()[0] == 502
    assert command.metrics()['hedgerow_requests_total{outcome="all_failed"}'] == 1
    (worker,) = command.family()
    worker.kill()
    psutil.wait_procs([worker], timeout=READ_TIMEOUT_S)
    assert command.get()[0] == 502, "the listening socket stands; the request waits for the new worker"
    assert command.metrics()['hedgerow_requests_total{outcome="all_failed"}'] == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_cleanly(serve: Serve, number: signal.Signals) -> None:
    assert serve("--upstream", "http://127.0.0.1:1/").stop(number) == 0


def test_a_taken_port_is_exit_code_3_and_one_line(serve: Serve) -> None:
    port = serve("--upstream", "http://127.0.0.1:1/").url.split(":")[2].split("/")[0]
    other = subprocess.run(
        [sys.executable, "-m", "hedgerow", "serve", "--port", port, "--admin-port", "0"],
        capture_output=True, text=True, check=False, timeout=READ_TIMEOUT_S,
    )  # fmt: skip
    assert other.returncode == 3
    assert other.stderr.count("\n") == 1
    assert f"--port {port}" in other.stderr


# -- servers that nobody here wrote


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
    assert set(reasons(problem)) == outcomes


def test_httpbin_success(serve: Serve, httpbin: str) -> None:
    """`/response-headers` answers with the query as an object, so strings: no success; `/anything` neither."""
    command = serve("--upstream", httpbin + "/base64/eyJ0aW1lIjoxfQ==")
    assert command.get("?timeout=5000") == (200, {"time": 1})


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("HEDGEROW_TESTS_NEED_ALL"):
            pytest.fail(f"{name} is not installed; see .ci/system-packages")
        pytest.skip(f"{name} is not installed; see .ci/system-packages")
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[str]:
    program, port = tool("nginx"), free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; pid {tmp_path}/pid; error_log /dev/null;\n"
        "events {}\n"
        "http { access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f;\n"
        "  uwsgi_temp_path u; scgi_temp_path s; keepalive_requests 3;\n"
        f"  server {{ listen 127.0.0.1:{port};\n"
        "    location /work { default_type application/json; return 200 '{\"time\":160}'; }\n"
        "    location /bad { return 503; } } }\n"
    )
    with subprocess.Popen(
        [program, "-p", str(tmp_path), "-e", "/dev/null", "-c", str(config)], stderr=subprocess.DEVNULL
    ) as process:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def wait_for(port: int) -> None:
    """Connect until something listens; pytest-timeout bounds it."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            continue
        return


def test_nginx_as_upstream_closes_after_each_third_request(serve: Serve, nginx: str) -> None:
    command = serve("--upstream", nginx + "/work")
    for _ in range(20):
        assert command.get() == (200, {"time": 160})
    counted = command.metrics()
    assert counted['hedgerow_requests_total{outcome="success"}'] == 20
    assert counted['hedgerow_attempts_total{attempt="1",outcome="success"}'] == 20


def test_nginx_error_pages_are_failures(serve: Serve, nginx: str) -> None:
    given, problem = serve("--upstream", nginx + "/bad").get("?timeout=250")
    assert (given, reasons(problem)) == (502, ["status_5xx"])


def test_haproxy_in_front(serve: Serve, nginx: str, tmp_path: Path) -> None:
    program, port = tool("haproxy"), free_port()
    command = serve("--upstream", nginx + "/work")
    config = tmp_path / "haproxy.cfg"
    backend = command.url.removeprefix("http://").split("/")[0]
    config.write_text(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 9s\n  timeout server 9s\n"
        f"listen all\n  bind 127.0.0.1:{port}\n  server one {backend}\n"
    )
    with subprocess.Popen([program, "-db", "-f", str(config)], stderr=subprocess.DEVNULL) as process:
        wait_for(port)
        for _ in range(10):
            assert ask(f"http://127.0.0.1:{port}/api/smart") == (200, {"time": 160})
        assert ask(f"http://127.0.0.1:{port}/api/smart?timeout=x")[0] == 400
        process.terminate()
