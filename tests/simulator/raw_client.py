"""A client that knows no HTTP: bytes out, bytes in, and how the connection ended."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from urllib.parse import urlsplit

import h11

READ_BYTES = 65_536


class Ending(Enum):
    FIN = "fin"
    RST = "rst"


class RawClient:
    """One connection. `loop.sock_recv` asks the kernel itself, so bytes before a RST are still seen."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def ask(self, target: str = "/api/work", *fields: str, method: str = "GET") -> None:
        await self.send(request_bytes(target, *fields, method=method))

    async def read(self, count: int) -> bytes:
        """Exactly so many bytes."""
        while len(self._buffer) < count:
            await self._receive()
        return self._take(count)

    async def read_answer(self) -> tuple[bytes, bytes]:
        """The head, up to the empty line, and the body of an answer with a Content-Length."""
        while b"\r\n\r\n" not in self._buffer:
            await self._receive()
        head = self._take(self._buffer.index(b"\r\n\r\n"))
        self._take(len(b"\r\n\r\n"))
        return head, await self.read(content_length(head))

    async def read_to_end(self) -> tuple[bytes, Ending]:
        """Everything that still comes, and what ended it."""
        try:
            while True:
                await self._receive()
        except EOFError:
            ending = Ending.FIN
        except ConnectionResetError:
            ending = Ending.RST
        return self._take(len(self._buffer)), ending

    def leave(self) -> None:
        self._socket.close()

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _receive(self) -> None:
        data = await self._loop.sock_recv(self._socket, READ_BYTES)
        if not data:
            raise EOFError
        self._buffer += data


def request_bytes(target: str = "/api/work", *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: simulator", *fields, "", "")).encode()


def content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b": ")
        if name == b"Content-Length":
            return int(value)
    raise AssertionError(f"no Content-Length in {head!r}")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[RawClient]:
    address = urlsplit(url)
    connection = socket.socket()
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (address.hostname, address.port))
        yield RawClient(connection)
    finally:
        connection.close()


def judged_by_h11(data: bytes, ending: Ending | None) -> tuple[int, bytes]:
    """Status and body, as another implementation reads them; it raises if they are not valid and whole."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "simulator")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    if ending is Ending.FIN:
        client.receive_data(b"")
    status, body = 0, b""
    while True:
        match client.next_event():
            case h11.InformationalResponse():
                continue
            case h11.Response(status_code=code):
                status = code
            case h11.Data(data=piece):
                body += piece
            case h11.EndOfMessage():
                return status, body
            case other:
                raise AssertionError(f"not a whole answer: {other}")
