"""Settings of real processes: by all ways that they come, and what is shown of them."""

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from support.process_fixtures import Serve
from support.processes import READ_TIMEOUT_S, get_json
from support.unwritable_streams import full_disk

SECRET = "s3cr3t"
RIVAL = """
import socket, sys
from hedgerow import cli
from hedgerow.processes import supervisor

flag, other = sys.argv[1:]
rival = socket.socket()
rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
rival.bind(("127.0.0.1", 0))
port = rival.getsockname()[1]
print(port, flush=True)
bind = supervisor._bind


def bind_and_come_second(host, port, setting):
    sock = bind(host, port, setting)
    if setting == flag:
        rival.listen()
    return sock


supervisor._bind = bind_and_come_second
cli.main(["serve", "--upstream=http://127.0.0.1:1/", f"{flag}={port}", f"{other}=0"])
"""
"""A gateway beside another one, which listens on its port before it does."""


def hedgerow(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "hedgerow", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=READ_TIMEOUT_S,
    )  # fmt: skip


def test_no_process_page_metric_or_line_shows_a_secret_of_a_url(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEDGEROW_UPSTREAM", f"http://127.0.0.1:1/x?apikey={SECRET}&{SECRET}")
    receiver = f"http://user:{SECRET}@127.0.0.1:1/v1/traces?k={SECRET}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", receiver)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    command = serve("--trace-sample=1", "--log-level=debug", "--access-log=all", "--drain-ms=0")
    shown = "".join(command.lines)
    assert "http://127.0.0.1:1/x?apikey=***&***" in shown
    shown += str(command.get("?timeout=900"))
    for path in ("/status", "/status.json", "/metrics", "/readyz", "/livez", "/openapi.json"):
        with urllib.request.urlopen(command.admin + path, timeout=READ_TIMEOUT_S) as answer:
            shown += answer.read().decode()
    assert "http://127.0.0.1:1/x?apikey=***&***" in str(get_json(command.admin + "/status.json"))
    for child in command.family():
        shown += f"{child.cmdline()} {child.name()}"
        shown += f"{ {**child.environ(), 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT': 'the standard one'} }"
    shown += f"{psutil.Process(command.process.pid).cmdline()}"
    command.process.terminate()
    outputs = command.process.communicate(timeout=READ_TIMEOUT_S)
    shown += "".join(outputs)
    assert SECRET not in shown


@pytest.mark.parametrize("by", ["the variable of the file", "the file", "variables"])
def test_a_health_check_reads_what_the_gateway_reads(serve: Serve, tmp_path: Path, by: str) -> None:
    command = serve("--upstream", "http://127.0.0.1:1/")
    port = command.admin.rpartition(":")[2]
    file = tmp_path / "h.toml"
    file.write_text(f"admin-port = {port}\nhedges = 1\n")
    arguments = ["--config", str(file)] if by == "the file" else []
    environment = {
        "the variable of the file": {"HEDGEROW_CONFIG": str(file)},
        "the file": {"HEDGEROW_CONFIG": "/no/such"},
        "variables": {"HEDGEROW_ADMIN_PORT": port},
    }[by]
    asked = hedgerow("healthcheck", *arguments, **environment)
    assert (asked.returncode, asked.stderr) == (0, "")
    assert '"ready":true' in asked.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "names"),
    [
        (["--host", "a..b"], {}, "--host: 'a..b'"),
        (["--admin-host", "nosuch.invalid"], {}, "--admin-host: 'nosuch.invalid'"),
        ([], {"SSL_CERT_FILE": "/no/such"}, "SSL_CERT_FILE: '/no/such'"),
        ([], {"SSL_CERT_DIR": "/no/such"}, "SSL_CERT_DIR: '/no/such'"),
        ([], {"HEDGEROW_HOST": "\udcff"}, r"HEDGEROW_HOST: '\udcff'"),
        ([], {"HEDGEROW_LOSERS": "\udcff"}, r"HEDGEROW_LOSERS: '\udcff'"),
        ([], {"HEDGEROW_\udcff": "1"}, r"'HEDGEROW_\udcff' is no setting"),
        ([], {"HEDGEROW_CONFIG": "\udcff"}, r"HEDGEROW_CONFIG: '\udcff'"),
        (
            [],
            {"HEDGEROW_SIMULATE_ERROR_RATE": "2"},
            "HEDGEROW_SIMULATE_…: Invalid value for '--error-rate': '2' is not",
        ),
        ([], {"HEDGEROW_SIMULATE_HANG_RATE": "1"}, "HEDGEROW_SIMULATE_…: the rates add up to 1.15"),
        (["--\udcff"], {}, "No such option"),
        (["--port", "9" * 5_000], {}, "--port"),
        (["\udcff"], {}, "unexpected extra argument"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "check"])
def test_what_cannot_be_used_is_one_line_and_exit_code_2(
    command: str, arguments: list[str], environment: dict[str, str], names: str
) -> None:
    if command == "check" and arguments == ["\udcff"]:
        names = r"--config: '\udcff'"
    ended = hedgerow(command, *arguments, **environment, PYTHONUTF8="0", LC_ALL="C")
    assert ended.returncode == 2
    assert names in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


@pytest.mark.parametrize("flag", ["--host", "--admin-host"])
def test_an_address_of_another_machine_is_one_line_that_names_its_flag_and_exit_code_3(flag: str) -> None:
    ended = hedgerow("serve", "--port=0", "--admin-port=0", flag, "192.0.2.1")
    assert ended.returncode == 3
    assert ended.stderr == f"hedgerow: {flag} 192.0.2.1: Cannot assign requested address\n"


def test_a_port_that_is_taken_is_one_line_that_names_its_flag_and_exit_code_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = hedgerow("serve", "--port=0", f"--admin-port={port}")
    assert ended.returncode == 3
    assert ended.stderr == f"hedgerow: --admin-port {port} on 127.0.0.1: Address already in use\n"


@pytest.mark.parametrize(
    ("flag", "other", "said"),
    [
        ("--port", "--admin-port", "no worker can be started: OSError: [Errno 98] Address already in use"),
        ("--admin-port", "--port", "--admin-port {port} on 127.0.0.1: Address already in use"),
    ],
)
def test_a_port_on_which_another_one_listens_once_it_is_bound_is_named_and_exit_code_3(
    flag: str, other: str, said: str
) -> None:
    """Two gateways that start at once can both bind a port; then only one can listen on it."""
    ended = subprocess.run(
        [sys.executable, "-c", RIVAL, flag, other], capture_output=True, text=True, check=False, timeout=READ_TIMEOUT_S
    )  # fmt: skip
    port = ended.stdout.strip()
    assert ended.returncode == 3, ended.stderr
    assert ended.stderr.splitlines()[-1] == f"hedgerow: {said.format(port=port)}"
    assert ("Traceback" in ended.stderr) == (flag == "--port"), "what a worker wrote is logged"


@pytest.mark.parametrize(
    ("arguments", "said"), [("-", "-: it is empty"), ("--probe=http://127.0.0.1:1/", "no terminal to answer on")]
)  # fmt: skip
def test_a_plan_without_a_standard_input_is_one_line_and_exit_code_2(arguments: str, said: str) -> None:
    ended = subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -m hedgerow plan {arguments} <&-"],
        capture_output=True, text=True, check=False, timeout=READ_TIMEOUT_S,
    )  # fmt: skip
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["check"], ["--version"], ["serve", "--help"]])
def test_an_output_without_room_or_reader_is_no_traceback(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    full = "hedgerow: the output cannot be written: No space left on device\n"
    with full_disk() as full_output:
        for output, line in ((full_output, full), (writer, "")):
            ended = subprocess.run(
                [sys.executable, "-m", "hedgerow", *arguments],
                stdout=output, stderr=subprocess.PIPE, text=True, check=False, timeout=READ_TIMEOUT_S,
            )  # fmt: skip
            assert (ended.returncode, ended.stderr) == (1, line)
    os.close(writer)
