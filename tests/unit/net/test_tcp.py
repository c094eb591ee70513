import platform
import socket
import time
from collections.abc import Iterator

import pytest

from hedgerow.net.tcp import Address, open_outgoing_socket, receive_queue_age_s


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield listener


def address_of(listener: socket.socket) -> Address:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())


def test_an_outgoing_socket_does_not_block_or_delay(listener: socket.socket) -> None:
    with open_outgoing_socket(address_of(listener)) as sock:
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(
    tuple(map(int, platform.release().split(".")[:2])) < (6, 8),
    reason="Linux 6.8 was the first to give out odd ports alike where all are asked for",
)
def test_local_ports_are_taken_from_all_that_there_are(listener: socket.socket) -> None:
    """Linux offers even ports first: with those taken, each connect looks through 14 000 of them, for 800 µs."""
    address = address_of(listener)
    parities: set[int] = set()
    for _ in range(40):
        with open_outgoing_socket(address) as sock:
            sock.connect_ex(address[4])
            parities.add(sock.getsockname()[1] % 2)
    assert parities == {0, 1}


def test_a_socket_of_another_family_can_be_opened() -> None:
    with open_outgoing_socket((socket.AF_UNIX, socket.SOCK_STREAM, 0, "", ())) as sock:
        assert not sock.getblocking()


def test_a_family_that_this_machine_does_not_have_raises() -> None:
    with pytest.raises(OSError, match="not supported"):
        open_outgoing_socket((99, socket.SOCK_STREAM, 0, "", ()))


def test_b2_the_kernel_says_how_long_ago_bytes_came(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as client:
        ours, _ = listener.accept()
        with ours:
            client.send(b"x")
            sent_at = time.monotonic()
            while receive_queue_age_s(ours) < 0.02:  # and it grows
                pass
            assert time.monotonic() - sent_at > 0.01, "as time goes by, give or take a tick of the kernel's"
            while receive_queue_age_s(ours) >= 0.02:
                client.send(b"x")


def test_b2_a_socket_that_is_not_tcp_has_no_age() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"x")
        assert receive_queue_age_s(ours) == 0.0


def test_b2_a_socket_that_is_closed_has_no_age(listener: socket.socket) -> None:
    sock = socket.create_connection(listener.getsockname())
    sock.close()
    assert receive_queue_age_s(sock) == 0.0
