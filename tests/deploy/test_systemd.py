"""The systemd unit, and what the service manager receives."""

import configparser
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from support.processes import clean_environment, serve_command
from support.tools import tool

UNIT = Path(__file__).parents[2] / "deploy/systemd/hedgerow.service"
BOUND_S = 30
SERVE = serve_command()


def listener(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(address)
    sock.settimeout(BOUND_S)
    return sock


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_hears_of_every_change(tmp_path: Path, abstract: bool) -> None:
    path = str(tmp_path / "notify")
    with (
        listener(f"\0{path}" if abstract else path) as manager,
        subprocess.Popen(
            SERVE, env=clean_environment(NOTIFY_SOCKET=f"@{path}" if abstract else path),
            stdout=subprocess.PIPE, text=True,
        ) as process,
    ):  # fmt: skip
        try:
            assert manager.recv(4096).decode().splitlines() == ["READY=1", "STATUS=answering"]
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(4)]
            ready = lines[2].split()[1].replace("/metrics", "/readyz")
            with urllib.request.urlopen(ready, timeout=BOUND_S) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGHUP)  # what the unit's ExecReload sends
            assert manager.recv(4096).decode().splitlines()[0] == "RELOADING=1"
            assert manager.recv(4096).decode().splitlines() == ["READY=1", "STATUS=answering"]
            process.send_signal(signal.SIGTERM)
            assert manager.recv(4096).decode().splitlines()[0] == "STOPPING=1"
            assert process.wait(BOUND_S) == 0
            manager.setblocking(False)
            with pytest.raises(BlockingIOError):
                manager.recv(4096)
        finally:
            process.kill()


def test_it_is_never_ready_if_it_cannot_start(tmp_path: Path) -> None:
    with (
        listener(str(tmp_path / "notify")) as manager,
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*SERVE, "--admin-port", port], env=clean_environment(NOTIFY_SOCKET=str(tmp_path / "notify")),
            capture_output=True, check=False, timeout=BOUND_S,
        )  # fmt: skip
        assert done.returncode == 3
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(4096)


def test_a_service_manager_that_is_not_there_hinders_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        SERVE,
        env=clean_environment(NOTIFY_SOCKET=str(tmp_path / "no-socket")),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("hedgerow: answering on ")
            process.send_signal(signal.SIGTERM)
            assert process.wait(BOUND_S) == 0
        finally:
            process.kill()


# -- the unit file


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text())
    return parser["Service"]


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    """Its program is not installed where the tests run, so another stands in."""
    command = unit()["ExecStart"].split()
    assert command[1:] == ["serve"]
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(command[0], sys.executable))
    verified = subprocess.run(
        [tool("systemd-analyze"), "verify", copy], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_the_unit_exposes_little() -> None:
    """The threshold is in tenths; 10 would be 1.0 of 10.0."""
    rated = subprocess.run(
        [tool("systemd-analyze"), "security", "--offline=true", "--threshold=15", UNIT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert rated.returncode == 0, rated.stdout


def test_the_unit_gives_a_drain_its_time() -> None:
    """30 s of `--drain-ms`, and 2 s until the supervisor kills."""
    assert unit()["TimeoutStopSec"] == "40s"
    assert unit()["KillMode"] == "mixed", "SIGTERM to the supervisor alone"
    assert unit()["RestartPreventExitStatus"] == "2"
    assert unit()["ExecReload"] == "/bin/kill -HUP $MAINPID"


def expanded(name: str) -> set[str]:
    """Return the system calls of one of systemd's sets."""
    stdout = subprocess.run(
        [tool("systemd-analyze"), "syscall-filter", name], capture_output=True, text=True, check=True
    ).stdout
    members = [line.strip() for line in stdout.splitlines()[1:] if line.strip() and "#" not in line]
    return {call for member in members for call in (expanded(member) if member.startswith("@") else {member})}


def test_the_unit_allows_what_the_gateway_asks_of_the_kernel(tmp_path: Path) -> None:
    allowed = expanded("@system-service") - expanded("@privileged")
    filters = [line for line in UNIT.read_text().splitlines() if line.startswith("SystemCallFilter=")]
    assert filters == ["SystemCallFilter=@system-service", "SystemCallFilter=~@privileged"]
    trace = tmp_path / "trace"
    with subprocess.Popen(
        [tool("strace"), "-f", "-qq", "-o", trace, *SERVE],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(4)]
            with urllib.request.urlopen(lines[2].split()[1], timeout=BOUND_S) as answer:
                assert answer.status == 200
            (supervisor,) = psutil.Process(process.pid).children()
            supervisor.terminate()
            assert process.wait(BOUND_S) == 0
        finally:
            for traced in psutil.Process().children(recursive=True):  # strace's end would not be theirs
                traced.kill()
    asked = set(re.findall(r"^\d+ +([a-z]\w*)\(", trace.read_text(errors="replace"), re.MULTILINE))
    assert {"socket", "execve", "epoll_create1"} <= asked
    assert asked <= allowed
    families = set(re.findall(r"^\d+ +socket\((\w+)", trace.read_text(errors="replace"), re.MULTILINE))
    assert {"AF_INET"} <= families <= set(unit()["RestrictAddressFamilies"].split())
