import errno
import socket
import subprocess

import pytest

from hedgerow_simulator.listen import listen, work_url
from simulator.commands import run_to_end
from support.processes import FAULTLESS, simulate_command


@pytest.mark.parametrize("count", [1, 3])
def test_all_sockets_listen_on_one_free_port(count: int) -> None:
    sockets = listen("127.0.0.1", 0, count=count)
    assert len(sockets) == count
    assert len({each.getsockname() for each in sockets}) == 1
    socket.create_connection(sockets[0].getsockname()).close()
    for each in sockets:
        each.close()


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("second", [1, 2])
def test_a_taken_port_is_refused_even_if_both_would_share(first: int, second: int) -> None:
    sockets = listen("127.0.0.1", 0, count=first)
    port = sockets[0].getsockname()[1]
    with pytest.raises(OSError, match="in use") as refused:
        listen("127.0.0.1", port, count=second)
    assert refused.value.errno == errno.EADDRINUSE
    for each in sockets:
        each.close()


def test_the_url_of_ipv6_has_brackets() -> None:
    (listener,) = listen("::1", 0, count=1)
    assert work_url(listener) == f"http://[::1]:{listener.getsockname()[1]}/api/work"
    listener.close()


def test_it_takes_over_the_socket_of_a_parent_and_serves_who_was_queued() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        waiting = socket.create_connection(sock.getsockname())
        (port, descriptor) = sock.getsockname()[1], sock.fileno()
        process = subprocess.Popen(
            simulate_command("--descriptor", str(descriptor), "--latency-ms=0", *FAULTLESS),
            pass_fds=(descriptor,), stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    with process, waiting:
        assert process.stdout
        assert f"http://127.0.0.1:{port}/api/work " in process.stdout.readline()
        waiting.sendall(b"GET /api/work HTTP/1.1\r\nHost: x\r\n\r\n")
        assert waiting.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
        process.terminate()
    assert process.returncode == 0


def test_a_descriptor_that_is_no_socket_is_refused() -> None:
    ended = run_to_end("--descriptor=999")
    assert (ended.returncode, ended.stderr.count("\n")) == (3, 1)
    assert "cannot listen on descriptor 999" in ended.stderr
