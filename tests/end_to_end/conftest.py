"""The gateway and its peers, each a process of its own, as their users start them.

Nobody here asks for a free port and hopes that it stays free: whoever is ours takes port 0 and tells it; whoever is
not is given a socket that listens already, so that there is nothing to wait for either.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

READ_TIMEOUT_S = 30


class Command:
    """`hedgerow serve` on free ports, as its user starts it; `by` are words before it, which become it."""

    def __init__(self, *arguments: str, by: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            [*by, sys.executable, "-m", "hedgerow", "serve", "--port=0", "--admin-port=0", "--workers=1", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.lines = [self.process.stdout.readline() for _ in range(4)]
        self.url = self.lines[0].split()[-1]
        self.authority = self.url.split("/")[2]
        self.admin = self.lines[2].split()[1].removesuffix("/metrics")

    def get(self, query: str = "", path: str = "") -> tuple[int, dict[str, object]]:
        return ask(self.url + path + query)

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(self.admin + "/metrics", timeout=READ_TIMEOUT_S) as answer:
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

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

    def children(self) -> list[psutil.Process]:
        """The workers, and the embedded testing server if there is one."""
        return psutil.Process(self.process.pid).children()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=READ_TIMEOUT_S)
        return self.process.returncode


def ask(url: str, body: bytes | None = None) -> tuple[int, dict[str, object]]:
    """GET, or POST with a body."""
    try:
        with urllib.request.urlopen(url, body, timeout=READ_TIMEOUT_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


Serve = Callable[..., Command]


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Command] = []

    def start(*arguments: str, by: Sequence[str] = ()) -> Command:
        started.append(Command(*arguments, by=by))
        return started[-1]

    yield start
    for command in started:
        family = command.family() if command.process.poll() is None else []
        command.process.kill()
        _, left = psutil.wait_procs(family, timeout=READ_TIMEOUT_S)
        for process in left:  # they would hold the pipes that are read here
            process.kill()
        command.process.communicate()
        assert not left, "whatever happens to the gateway, nothing of it stays"


def listening_ports(pid: int) -> list[int]:
    """Tell where a process accepts connections; for one that cannot say it itself."""
    sockets = psutil.Process(pid).net_connections("tcp")
    return [each.laddr[1] for each in sockets if each.status == psutil.CONN_LISTEN]


@contextmanager
def full_disk() -> Iterator[int]:
    """A descriptor to which nothing can be written, for want of room."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        yield full.fileno()


@contextmanager
def unread_pipe() -> Iterator[int]:
    """A descriptor to which nothing can be written without waiting for ever: a full pipe that nobody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.set_blocking(writer, True)
    try:
        yield writer
    finally:
        os.close(reader)
        os.close(writer)


def reasons(problem: dict[str, object]) -> list[str]:
    attempts = problem["attempts"]
    assert isinstance(attempts, list)
    return [attempt["outcome"] for attempt in attempts]


def tool(name: str) -> str:
    """Find a program of Debian's; in CI it has to be there."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("TESTS_NEED_ALL_TOOLS"):
            pytest.fail(f"{name} is not installed; see .ci/system-packages")
        pytest.skip(f"{name} is not installed; see .ci/system-packages")
    return found


@contextmanager
def running(
    arguments: Callable[[socket.socket], list[str]], environment: Callable[[socket.socket], dict[str, str]]
) -> Iterator[str]:
    """Run a server on a socket that it inherits; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        process = subprocess.Popen(
            arguments(sock),
            env={**os.environ, **environment(sock)},
            pass_fds=[sock.fileno()],
            stderr=subprocess.DEVNULL,
        )
        port = sock.getsockname()[1]
    with process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@contextmanager
def nginx(folder: Path, server: str, http: str = "") -> Iterator[str]:
    """Run nginx with these lines in its `server` and `http` blocks."""
    program = tool("nginx")
    config = folder / "nginx.conf"

    def arguments(sock: socket.socket) -> list[str]:
        config.write_text(
            f"daemon off; pid {folder}/pid; error_log /dev/null;\n"
            "events {}\n"
            "http { access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f;\n"
            f"  uwsgi_temp_path u; scgi_temp_path s; {http}\n"
            f"  server {{ listen 127.0.0.1:{sock.getsockname()[1]}; {server} }} }}\n"
        )
        return [program, "-p", str(folder), "-e", "/dev/null", "-c", str(config)]

    # Thus a new nginx gets the sockets of the one that it replaces (https://nginx.org/en/docs/control.html#upgrade).
    with running(arguments, lambda sock: {"NGINX": f"{sock.fileno()};"}) as url:
        yield url


@contextmanager
def haproxy(folder: Path, listen: str) -> Iterator[str]:
    """Run HAProxy with these lines in its only `listen` section."""
    program = tool("haproxy")
    config = folder / "haproxy.cfg"

    def arguments(sock: socket.socket) -> list[str]:
        config.write_text(
            "global\n  nbthread 1\n"  # each thread would have connections of its own
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"
            f"listen all\n  bind fd@{sock.fileno()}\n{listen}\n"
        )
        return [program, "-db", "-f", str(config)]

    with running(arguments, lambda _: {}) as url:
        yield url
