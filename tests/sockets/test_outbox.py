"""The outbox on real sockets: in order, whole, and nothing sent on what is closed."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from hedgerow.sockets import Outbox, unread_for_s


class Pair:
    """A transport with its socket, and the peer's end."""

    def __init__(self, transport: asyncio.Transport, sock: socket.socket, peer: socket.socket) -> None:
        self.transport = transport
        self.sock = sock
        self.peer = peer
        self.begun = 0
        self.outbox = Outbox(self._begin)

    def _begin(self) -> None:
        self.begun += 1

    def put(self, data: bytes) -> None:
        self.outbox.put(self.sock, self.transport, data)

    async def received(self, size: int) -> bytes:
        loop, data = asyncio.get_running_loop(), b""
        while len(data) < size:
            data += await loop.sock_recv(self.peer, size - len(data))
        return data


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = socket.create_connection(server.getsockname())
        sock, _ = server.accept()
    peer.setblocking(False)
    sock.setblocking(False)
    gone = loop.create_future()

    class Gone(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            gone.set_result(None)

    transport, _ = await loop.connect_accepted_socket(Gone, sock)
    yield Pair(transport, sock, peer)
    transport.abort()
    await gone
    peer.close()


async def test_it_sends_in_order_and_begins_one_turn(pair: Pair) -> None:
    for number in range(100):
        pair.put(b"%d," % number)
    with pytest.raises(BlockingIOError):
        pair.peer.recv(1)
    pair.outbox.flush()
    expected = b"".join(b"%d," % number for number in range(100))
    assert await pair.received(len(expected)) == expected
    assert pair.begun == 1
    pair.put(b"again")
    assert pair.begun == 2


async def test_what_the_kernel_does_not_take_is_sent_all_the_same_and_in_order(pair: Pair) -> None:
    big, size = b"x" * 1_000_000, 20
    for _ in range(size):
        pair.put(big)
        pair.outbox.flush()
    assert pair.transport.get_write_buffer_size() > 0, "else this tests nothing"
    pair.put(b"end")
    pair.outbox.flush()
    data = await pair.received(size * len(big) + 3)
    assert data == big * size + b"end"


async def test_nothing_is_sent_on_a_closed_transport(pair: Pair) -> None:
    pair.put(b"too late")
    pair.transport.abort()
    pair.outbox.flush()
    assert await asyncio.get_running_loop().sock_recv(pair.peer, 10) == b""


async def test_a_peer_that_is_gone_raises_nothing(pair: Pair) -> None:
    pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    pair.peer.close()
    for _ in range(3):
        pair.put(b"hello?")
        pair.outbox.flush()


async def test_the_kernel_tells_how_long_data_has_lain_unread(pair: Pair) -> None:
    pair.peer.send(b"x")
    before = unread_for_s(pair.sock)
    while unread_for_s(pair.sock) < before + 0.02:  # it grows by itself; pytest-timeout bounds this
        pass


def test_where_the_kernel_does_not_tell_nothing_is_charged() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert unread_for_s(one) == 0.0
    assert unread_for_s(one) == 0.0
