"""A client and an upstream that send exactly the bytes that a test wants, and read responses by plain arithmetic."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

HttpResponse = tuple[int, dict[str, str], bytes]
"""Status, headers by lower-case name, body."""
Address = tuple[str, int]

RST_ON_CLOSE = struct.pack("ii", 1, 0)
"""`SO_LINGER`, on, 0 seconds."""


class Client:
    """A client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def of(cls, sock: socket.socket) -> "Client":
        """Take over a connected socket."""
        return cls(*await asyncio.open_connection(sock=sock))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def response(self, *, head_only: bool = False) -> HttpResponse:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = b"" if head_only else await self.reader.readexactly(int(headers["content-length"]))
        return int(status.split()[1]), headers, body

    async def get(self, target: str = "/api/smart", **headers: str) -> HttpResponse:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode("latin-1"))
        return await self.response()

    async def closed(self) -> bytes:
        """Wait for the end of the connection, and return what came before it."""
        return await self.reader.read()

    def half_close(self) -> None:
        """Send FIN, and go on reading."""
        self.writer.write_eof()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Leave by RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
        self.writer.transport.abort()


Conversation = Callable[["UpstreamSide"], Awaitable[None]]


class UpstreamSide:
    """One connection of the gateway, as a scripted upstream sees it."""

    def __init__(
        self, upstream: "ScriptedUpstream", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.upstream = upstream
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """Wait for the next request head."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.upstream.received(head)
        return head

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
        self.writer.transport.abort()


def sending(response: bytes, *, then_close: bool = False) -> Conversation:
    """Answer every request of every connection with these bytes."""

    async def conversation(side: UpstreamSide) -> None:
        while True:
            await side.request()
            side.send(response)
            if then_close:
                return

    return conversation


async def silence(side: UpstreamSide) -> None:
    """Read requests and never answer."""
    while True:
        await side.request()


class WhenReleased:
    """A conversation: one request, answered once `release` is set."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def __call__(self, side: UpstreamSide) -> None:
        await side.request()
        await self.release.wait()
        side.send(ok())


class ScriptedUpstream:
    """An upstream whose every connection is a conversation of the test's."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.requests: list[bytes] = []
        self.connections = 0
        self.address = ("", 0)
        self.url = ""
        self._changed = asyncio.Condition()
        self._notifications: set[asyncio.Task[None]] = set()

    def received(self, head: bytes) -> None:
        """Called with each request head."""
        self.requests.append(head)
        task = asyncio.get_running_loop().create_task(self._notify())
        self._notifications.add(task)
        task.add_done_callback(self._notifications.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until_requests(self, number: int) -> None:
        """Wait until so many requests have come."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= number)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.conversation(UpstreamSide(self, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(conversation: Conversation, host: str = "127.0.0.1") -> AsyncIterator[ScriptedUpstream]:
    """Run an upstream whose connections are all this conversation."""
    upstream = ScriptedUpstream(conversation)
    tasks: set[asyncio.Task[None]] = set()

    def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(upstream._serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(on_connect, host, 0)
    upstream.address = server.sockets[0].getsockname()[:2]
    upstream.url = f"http://{host}:{upstream.address[1]}/work"
    try:
        yield upstream
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def ok(body: bytes = b'{"time":1}', *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), lines, body)


@contextmanager
def hanging(host: str) -> Iterator[Address]:
    """An address where connecting hangs: a backlog of 0 holds one connection, and the kernel drops further SYNs."""
    with bound(host) as sock, socket.socket(sock.family) as first:
        sock.listen(0)
        first.connect(sock.getsockname())
        yield sock.getsockname()[:2]


@contextmanager
def refusing(host: str) -> Iterator[Address]:
    """An address where connecting is refused: it is bound, so no other process gets it, and does not listen."""
    with bound(host) as sock:
        yield sock.getsockname()[:2]


def bound(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((host, 0))
    return sock
