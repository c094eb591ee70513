"""The real command, its processes and its signals."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from support.ended import still_running
from support.process_fixtures import Serve
from support.processes import READ_TIMEOUT_S, GatewayProcess, get_json, serve_command
from support.tools import tool
from support.unwritable_streams import full_disk, unread_pipe


def test_the_command_answers_before_the_embedded_simulator_and_stops(serve: Serve) -> None:
    command = serve()
    assert command.get("?timeout=60000")[0] in (200, 502)
    assert get_json(command.admin + "/readyz")[1]["ready"] is True
    assert get_json(command.admin + "/livez") == (200, {"live": True})
    assert len(command.children()) == 2
    family = command.family()
    assert command.stop() == 0
    assert not psutil.wait_procs(family, timeout=READ_TIMEOUT_S)[1]


def test_kill_9_of_the_supervisor_leaves_no_process(serve: Serve) -> None:
    command = serve()
    family = command.family()
    command.process.kill()
    assert not still_running(family, READ_TIMEOUT_S)


def sockets_of(process: psutil.Process) -> set[Path]:
    """The sockets that a process holds beyond its standard streams."""
    held = set()
    for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            held.add(descriptor.readlink())
    return {name for name in held if name.name.startswith("socket:")}


def test_a_worker_has_no_process_of_its_own_and_its_supervisor_none_of_its_connections(serve: Serve) -> None:
    """A child that inherited the channel would make a dead worker look alive."""
    command = serve("--upstream", "http://127.0.0.1:1/")
    (worker,) = command.children()
    assert worker.children() == []
    assert len(sockets_of(worker)) > 2
    shared = sockets_of(worker) & sockets_of(psutil.Process(command.process.pid))
    assert len(shared) == 1, "the port, for the worker's successors"


def test_a_killed_worker_is_replaced_and_its_counts_stay(serve: Serve) -> None:
    command = serve("--upstream", "http://127.0.0.1:1/", "--hedges", "0")
    assert command.get()[0] == 502
    assert command.metrics()['hedgerow_requests_total{outcome="all_failed"}'] == 1
    (worker,) = command.children()
    worker.kill()
    psutil.wait_procs([worker], timeout=READ_TIMEOUT_S)
    assert command.get()[0] == 502, "the listening socket is open; the request waits for the new worker"
    metrics = command.metrics()
    assert metrics['hedgerow_requests_total{outcome="all_failed"}'] == 2
    assert metrics["hedgerow_worker_restarts_total"] == 1


def test_without_a_standard_error_nothing_else_takes_its_number() -> None:
    """C15: started with `2>&-`, as some supervisors do, it wrote log lines into the scoreboard of its workers."""
    shell = ["sh", "-c", 'exec "$@" 2>&-', "sh", *serve_command("--upstream=http://127.0.0.1:1/")]
    with subprocess.Popen(shell, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"hedgerow: answering")
        (worker,) = psutil.Process(process.pid).children()
        log = worker.cmdline()[-1]
        for descriptor in (f"{process.pid}/fd/2", f"{worker.pid}/fd/{log}"):
            assert Path(f"/proc/{descriptor}").readlink() == Path("/dev/null")
        assert Path(f"/proc/{worker.pid}/fd/2").readlink().name.startswith("pipe:"), "for its last words"
        process.terminate()
    assert process.returncode == 0


@pytest.mark.parametrize("output", [full_disk, unread_pipe])
def test_a_standard_output_that_takes_nothing_holds_nothing_up(
    output: Callable[[], AbstractContextManager[int]],
) -> None:
    """C15: the lines at the start were written by the event loop, which stood still, or died of it."""
    with output() as stdout:
        command = serve_command("--upstream=http://127.0.0.1:1/")
        gateway = GatewayProcess(command, stdout=stdout, stderr=subprocess.DEVNULL)
        try:
            gateway.until_all_ready()
            assert gateway.stop() == 0
        finally:
            gateway.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_cleanly(serve: Serve, number: signal.Signals) -> None:
    assert serve("--upstream", "http://127.0.0.1:1/").stop(number) == 0


@contextmanager
def in_flight(
    serve: Serve, *arguments: str
) -> Iterator[tuple[GatewayProcess, HTTPConnection, socket.socket]]:
    """A gateway that answers a request: the client's connection, and the upstream's, where the answer is awaited."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = serve(
            "--upstream", f"http://127.0.0.1:{listener.getsockname()[1]}/", "--hedges=0", *arguments
        )
        client = HTTPConnection(command.authority, timeout=READ_TIMEOUT_S)
        client.request("GET", "/api/smart?timeout=60000")
        upstream, _ = listener.accept()
        with closing(client), upstream:
            upstream.settimeout(READ_TIMEOUT_S)
            assert upstream.recv(1000).startswith(b"GET / HTTP/1.1\r\n")
            yield command, client, upstream


def idle_client(command: GatewayProcess) -> socket.socket:
    """A connection that the gateway has accepted and that has no request. It closes as a drain begins."""
    idle = HTTPConnection(command.authority, timeout=READ_TIMEOUT_S)
    idle.request("GET", "/")
    assert idle.getresponse().read()
    assert idle.sock is not None
    return idle.sock


def test_b13_sigterm_answers_what_is_in_flight(serve: Serve) -> None:
    with in_flight(serve) as (command, client, upstream), idle_client(command) as idle:
        command.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b"", "it drains"
        assert get_json(command.admin + "/readyz") == (503, {"ready": False, "reason": "draining"})
        with pytest.raises(ConnectionRefusedError):
            HTTPConnection(command.authority, timeout=READ_TIMEOUT_S).connect()
        assert command.process.poll() is None
        upstream.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"time":1}')
        answer = client.getresponse()
        assert (answer.status, answer.getheader("Connection"), answer.read()) == (200, "close", b'{"time":1}')
        assert command.process.wait(READ_TIMEOUT_S) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_b13_a_second_signal_ends_it_at_once(serve: Serve, second: signal.Signals) -> None:
    """The upstream never answers and a drain may take ten minutes, so nothing else would end it."""
    with in_flight(serve, "--drain-ms=600000") as (command, client, _), idle_client(command) as idle:
        command.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b"", "it drains"
        while command.process.poll() is None:  # those within half a second of the first count as one with it
            command.process.send_signal(second)
            with suppress(subprocess.TimeoutExpired):
                command.process.wait(0.02)
        assert command.process.returncode == 0
        with pytest.raises(ConnectionError):
            client.getresponse()


def test_e6_two_signals_at_once_are_one(serve: Serve) -> None:
    """A process group, a terminal and a script may each send one; what is in flight was lost then."""
    with in_flight(serve, "--drain-ms=600000") as (command, client, upstream), idle_client(command) as idle:
        command.process.send_signal(signal.SIGTERM)
        command.process.send_signal(signal.SIGINT)
        assert idle.recv(1) == b"", "it drains"
        assert get_json(command.admin + "/readyz")[1]["reason"] == "draining", "both have been received"
        upstream.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"time":1}')
        assert client.getresponse().status == 200
        assert command.process.wait(READ_TIMEOUT_S) == 0


def test_b13_a_drain_ends_after_its_time(serve: Serve) -> None:
    with in_flight(serve, "--drain-ms=1") as (command, client, _):
        command.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionError):
            client.getresponse()
        assert command.process.wait(READ_TIMEOUT_S) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a process a resolver of its own")
def test_a_name_lookup_that_hangs_does_not_hold_up_the_end(serve: Serve, tmp_path: Path) -> None:
    """The thread that asks the resolver cannot be stopped, and closing the loop waited for it until we were killed."""
    nameserver = "127.53.77.1"  # an address of its own, for the port of DNS cannot be chosen
    conf = tmp_path / "resolv.conf"
    conf.write_text(f"nameserver {nameserver}\noptions timeout:30\n")
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as silent:
        silent.bind((nameserver, 53))
        silent.settimeout(READ_TIMEOUT_S)
        command = serve(
            "--upstream=http://nowhere.example/", "--drain-ms=600000",
            by=[tool("unshare"), "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(conf)],
        )  # fmt: skip
        assert command.get("?timeout=100")[0] == 504
        assert b"nowhere" in silent.recv(512)
        assert command.stop() == 0


def test_a_taken_port_is_exit_code_3_and_one_line(serve: Serve) -> None:
    port = serve("--upstream", "http://127.0.0.1:1/").url.split(":")[2].split("/")[0]
    other = subprocess.run(
        [sys.executable, "-m", "hedgerow", "serve", "--port", port, "--admin-port", "0"],
        capture_output=True, text=True, check=False, timeout=READ_TIMEOUT_S,
    )  # fmt: skip
    assert other.returncode == 3
    assert other.stderr.count("\n") == 1
    assert f"--port {port}" in other.stderr
