"""Binding the ports: what is wrong is said with its flag. All else of the supervisor: tests/end_to_end."""

import socket

import pytest

from hedgerow.processes.supervisor import _bind, _url
from hedgerow.processes.worker_manager import StartupError


def test_a_port_is_bound_and_does_not_listen_yet() -> None:
    with _bind("127.0.0.1", 0, "--port") as sock, socket.socket() as client:
        assert _url(sock) == f"http://127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(ConnectionRefusedError):
            client.connect(sock.getsockname())


def test_the_url_of_ipv6_has_brackets() -> None:
    with _bind("::1", 0, "--port") as sock:
        assert _url(sock) == f"http://[::1]:{sock.getsockname()[1]}"


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=f"^--admin-port {port} on 127.0.0.1: Address already in use$"):
            _bind("127.0.0.1", port, "--admin-port")


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_a_host_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(StartupError, match=f"^--admin-host {host}: "):
        _bind(host, 0, "--admin-port")
