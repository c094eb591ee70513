"""Streams on socket pairs, plain and TLS; an iteration of the loop ends when the test says so."""

import random
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread

import pytest
import trustme

from hedgerow.net.stream import READ_BYTES, Stream
from hedgerow.net.tls import read_and_write
from support.fake_network import VirtualLoop

BIG = b"0123456789abcdef" * 256 * 1024
"""4 MiB: more than the kernel takes at once of either end."""


TIMEOUT_S = 10.0


class Owner:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_write_blocked(self) -> None:
        self.calls.append("blocked")

    def on_flushed(self) -> None:
        self.calls.append("flushed")


class Ends:
    """A stream, and the socket at the other end of its connection."""

    def __init__(self, sock: socket.socket, peer: socket.socket) -> None:
        self.loop = VirtualLoop().loop
        self.peer = peer
        self.owner = Owner()
        self.stream = Stream(self.loop, sock)
        self.stream.owner = self.owner

    def peer_reads(self, size: int) -> bytes:
        """Read `size` bytes at the other end, while the stream sends what it still holds."""
        received = bytearray()
        while len(received) < size:
            try:
                received += self.peer.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                self.stream.flush()
        return bytes(received)


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def tls_pair() -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    ca = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("upstream.test").configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(client)
    ours, theirs = tcp_pair()
    a = client.wrap_socket(
        ours, server_hostname="upstream.test", do_handshake_on_connect=False, suppress_ragged_eofs=False
    )
    b = server.wrap_socket(theirs, server_side=True, do_handshake_on_connect=False)
    left = [a, b]
    while left:
        for each in list(left):
            try:
                each.do_handshake()
                left.remove(each)
            except ssl.SSLWantReadError:
                pass
    return a, b


@pytest.fixture(params=["plain", "tls"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    ours, theirs = tcp_pair() if request.param == "plain" else tls_pair()
    with ours, theirs:
        yield Ends(ours, theirs)


@pytest.fixture
def plain() -> Iterator[Ends]:
    ours, theirs = tcp_pair()
    with ours, theirs:
        yield Ends(ours, theirs)


@pytest.fixture
def tls() -> Iterator[Ends]:
    ours, theirs = tls_pair()
    with ours, theirs:
        yield Ends(ours, theirs)


def read(ends: Ends) -> bytes:
    while True:
        data = ends.stream.read()
        if data is not None:
            return data


# -- reading


def test_a_stream_without_bytes_reads_none(ends: Ends) -> None:
    assert ends.stream.read() is None


def test_a_stream_reads_what_came_and_then_its_end(ends: Ends) -> None:
    ends.peer.send(b"hello")
    assert read(ends) == b"hello"
    if isinstance(ends.peer, ssl.SSLSocket):
        with pytest.raises(ssl.SSLWantReadError):
            ends.peer.unwrap()  # sends close_notify, and would wait for ours
    else:
        ends.peer.close()
    assert read(ends) == b""


def test_one_read_is_bounded(ends: Ends) -> None:
    ends.peer.send(b"x" * 50_000)
    assert len(read(ends)) <= READ_BYTES


def test_a_broken_connection_raises_as_it_is_read(ends: Ends) -> None:
    Stream(VirtualLoop().loop, ends.peer).send_rst_on_close()
    ends.peer.close()
    with pytest.raises(
        (ConnectionResetError, ssl.SSLEOFError)
    ):  # of TLS, Python 3.11 and 3.12 say the second
        read(ends)


def test_a_tls_stream_that_is_cut_raises_as_it_is_read(tls: Ends) -> None:
    tls.peer.close()
    with pytest.raises(ssl.SSLEOFError):
        read(tls)


def test_a_tls_stream_reads_and_sends_without_the_detour_by_python(tls: Ends) -> None:
    sock = tls.stream.sock
    assert isinstance(sock, ssl.SSLSocket)
    read_directly, write_directly = read_and_write(sock)
    assert read_directly != sock.read
    assert write_directly != sock.send
    write_directly(b"hello")
    tls.peer.setblocking(True)
    assert tls.peer.recv(5) == b"hello"


def test_a_tls_socket_without_what_it_hides_is_read_by_its_own_methods() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with context.wrap_socket(
        socket.socket(), server_hostname="upstream.test", do_handshake_on_connect=False
    ) as unconnected:
        assert read_and_write(unconnected) == (unconnected.read, unconnected.send)


def test_what_a_read_leaves_is_seen_by_the_poller(ends: Ends) -> None:
    """One read takes the whole of a TLS record, so nothing that OpenSSL has decrypted is left behind unseen."""
    sent = random.Random(0).randbytes(3 * READ_BYTES + 100)
    ends.peer.setblocking(True)
    sender = Thread(target=ends.peer.sendall, args=(sent,))
    sender.start()
    received = b""
    with select.epoll() as poller:
        poller.register(ends.stream.sock.fileno(), select.EPOLLIN)
        while len(received) < len(sent):
            assert poller.poll(TIMEOUT_S), "more was sent, and the socket is not readable"
            received += ends.stream.read() or b""
    sender.join()
    assert received == sent


# -- writing


def test_what_is_written_in_an_iteration_is_sent_at_its_end_in_one_piece(ends: Ends) -> None:
    ends.stream.write(b"a")
    ends.stream.write(b"b")
    ends.stream.write(b"c")
    assert ends.loop._writers == [ends.stream], "asked for once"
    assert ends.stream.unsent_bytes == 3
    with pytest.raises((BlockingIOError, ssl.SSLWantReadError)):
        ends.peer.recv(10)
    ends.loop.run_once(0)
    assert ends.peer_reads(3) == b"abc"
    assert ends.stream.unsent_bytes == 0
    assert ends.owner.calls == []
    ends.stream.write(b"d")
    assert ends.loop._writers == [ends.stream], "asked for again in the next iteration"


def test_a_peer_that_does_not_read_blocks_the_stream_until_it_does(ends: Ends) -> None:
    ends.stream.write(BIG)
    ends.loop.run_once(0)
    while not ends.stream.blocked:  # OpenSSL sends a record of 16 KiB at a time
        ends.stream.flush()
    assert ends.owner.calls == ["blocked"]
    assert 0 < ends.stream.unsent_bytes <= len(BIG)
    ends.stream.write(b"!")
    assert ends.loop._writers == [], "the owner flushes, once the socket is writable"
    assert ends.peer_reads(len(BIG) + 1) == BIG + b"!"
    assert ends.owner.calls == ["blocked", "flushed"]
    assert (ends.stream.blocked, ends.stream.unsent_bytes) == (False, 0)
    ends.stream.write(b"?")
    ends.loop.run_once(0)
    assert ends.peer_reads(1) == b"?"


class SlowSocket(socket.socket):
    """A socket whose peer takes 4 KiB at a time. It keeps the bytes of which each part was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given_of: list[object] = []
        self.taken = bytearray()

    def send(self, data: bytes | memoryview, flags: int = 0, /) -> int:  # type: ignore[override]
        self.given_of.append(data.obj if isinstance(data, memoryview) else data)
        self.taken += data[:4096]
        return len(data[:4096])


def test_what_is_left_is_not_copied_each_time_the_peer_takes_some() -> None:
    """The time for a long answer to a slow reader grew with the square of its length, and other requests waited."""
    with SlowSocket() as sock:
        stream = Stream(VirtualLoop().loop, sock)
        stream.write(BIG)
        while stream.unsent_bytes:
            left = stream.unsent_bytes
            stream.flush()
            assert stream.unsent_bytes == left - 4096
        assert sock.taken == BIG
        assert all(given is BIG for given in sock.given_of)


def test_a_stream_without_an_owner_may_block(plain: Ends) -> None:
    plain.stream.owner = None
    plain.stream.write(BIG)
    plain.loop.run_once(0)
    assert plain.stream.blocked
    assert plain.peer_reads(len(BIG)) == BIG
    assert not plain.stream.blocked


def test_writing_to_a_broken_connection_raises_nothing(ends: Ends) -> None:
    Stream(VirtualLoop().loop, ends.peer).send_rst_on_close()
    ends.peer.close()
    for _ in range(3):
        ends.stream.write(b"x")
        ends.loop.run_once(0)
    assert ends.stream.unsent_bytes == 0
    assert ends.owner.calls == []


def test_nothing_to_send_sends_nothing(ends: Ends) -> None:
    ends.stream.flush()
    assert ends.owner.calls == []


# -- the end


def test_half_closing_sends_fin_and_reading_goes_on(plain: Ends) -> None:
    plain.stream.write(b"x")
    plain.loop.run_once(0)
    plain.stream.end_writing()
    assert plain.peer_reads(1) == b"x"
    assert plain.peer.recv(10) == b""
    plain.peer.send(b"late")
    assert read(plain) == b"late"


def test_half_closing_a_broken_connection_raises_nothing(plain: Ends) -> None:
    Stream(VirtualLoop().loop, plain.peer).send_rst_on_close()
    plain.peer.close()
    with pytest.raises(ConnectionResetError):
        read(plain)
    plain.stream.end_writing()


def test_a_closed_stream_drops_what_is_unsent(ends: Ends) -> None:
    ends.stream.write(b"dropped")
    ends.stream.close()
    ends.stream.close()
    assert ends.stream.sock.fileno() == -1, "at once: its descriptor is needed"
    ends.loop.run_once(0)


def peer_receives(ends: Ends) -> bytes:
    while True:
        with suppress(BlockingIOError):
            return ends.peer.recv(10)


def test_closing_by_rst(plain: Ends) -> None:
    plain.stream.send_rst_on_close()
    plain.stream.close()
    plain.loop.run_once(0)
    with pytest.raises(ConnectionResetError):
        peer_receives(plain)


def test_what_is_unsent_is_not_sent_after_close(plain: Ends) -> None:
    plain.stream.write(b"dropped")
    plain.stream.close()
    plain.loop.run_once(0)
    assert peer_receives(plain) == b""
