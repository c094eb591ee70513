"""The admin port on real sockets: probes are answered, whatever else is connected to it."""

import asyncio
import contextlib
import errno
import socket
from functools import partial
from typing import Any

import pytest

import hedgerow.admin.server
from hedgerow.admin.server import AdminServer
from hedgerow.core.request import Request
from hedgerow.core.response import Response
from hedgerow.settings import ClientLimits
from support.admin_port import FEW, GET, Port, live, served
from support.idle_time import in_idle_time
from support.raw_http import Client

# -- B5: whatever is connected


@pytest.mark.parametrize(
    "sends",
    [
        b"",
        b"GET /livez HT",
        b"\r\n",
        GET + b"GET /livez HT",
        b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n",
        GET * 2_000,
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
    ids=["idle", "half a head", "a blank line", "half a second head", "a body", "answers unread", "TLS"],
)
@in_idle_time
async def test_b5_misbehaving_connections_do_not_keep_probes_out(sends: bytes) -> None:
    async with served() as port:
        others = [await port.client(sends) for _ in range(3 * FEW)]
        for _ in range(3):
            assert (await port.probe())[0] == 200
        assert port.server.connections <= FEW + 1
        del others


async def test_b5_one_that_sends_without_end_is_no_younger_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hedgerow.admin.server, "GRACE_S", 0.0)
    async with served() as port:
        trickling = [await port.client(b"GET /livez HTTP/1.1\r\n") for _ in range(FEW)]
        await port.until_connections(FEW)
        good = []
        for client in trickling:
            good.append(await port.client())
            assert (await good[-1].get("/livez"))[0] == 200
            for other in trickling:
                other.send(b"X: y\r\n")
            with contextlib.suppress(ConnectionError):
                assert await client.closed() == b""
        for client in good:
            assert (await client.get("/livez"))[0] == 200


async def test_b5_the_longest_idle_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hedgerow.admin.server, "GRACE_S", 0.0)
    async with served(max_connections=3) as port:
        clients = [await port.client() for _ in range(3)]
        await port.until_connections(3)
        assert (await clients[0].get("/livez"))[0] == 200  # the second is idle for longest now
        assert (await port.probe())[0] == 200
        assert await clients[1].closed() == b""
        assert (await clients[0].get("/livez"))[0] == 200
        assert (await clients[2].get("/livez"))[0] == 200


async def test_b5_a_probe_whose_request_comes_late_keeps_its_place_on_a_full_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is the longest idle one when another comes; timers that are not due yet do not fire here."""
    loop = asyncio.get_running_loop()
    async with served(max_connections=2) as port:
        with monkeypatch.context() as frozen:
            frozen.setattr(loop, "time", partial(float, loop.time()))
            late = await port.client()
            await port.until_connections(1)
            await port.client()
            await port.until_connections(2)
            assert (await port.probe())[0] == 200
            assert (await late.get("/livez"))[0] == 200


@in_idle_time
async def test_b5_clients_that_ask_on_and_on_share_the_port_with_probes() -> None:
    async with served(max_connections=FEW) as port:
        asked = 0

        async def ask_on_and_on() -> None:
            nonlocal asked
            while True:
                client = await port.client()
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    while True:
                        await client.get("/livez")
                        asked += 1

        hogs = [asyncio.create_task(ask_on_and_on()) for _ in range(2 * FEW)]
        try:
            for _ in range(20):
                assert (await port.probe())[0] == 200
        finally:
            for hog in hogs:
                hog.cancel()
            await asyncio.gather(*hogs, return_exceptions=True)
        assert asked


@in_idle_time
async def test_b5_hundreds_that_come_at_once_leave_a_probe_among_them_its_answer() -> None:
    async with served(max_connections=64) as port:
        waiting = [socket.create_connection(("127.0.0.1", port.port)) for _ in range(200)]
        probe = socket.create_connection(("127.0.0.1", port.port))
        probe.sendall(GET)
        waiting += [socket.create_connection(("127.0.0.1", port.port)) for _ in range(200)]
        client = await Client.of(probe)
        assert (await client.response())[0] == 200
        client.close()
        for sock in waiting:
            sock.close()


@in_idle_time
async def test_b5_requests_under_way_are_closed_last() -> None:
    released = asyncio.Event()

    async def slow(request: Request) -> Response:
        if request.path == b"/slow":
            await released.wait()
        return Response(200, b"")

    async with served(slow, max_connections=4) as port:
        busy = [await port.client(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(2)]
        await port.until_connections(2)
        for _ in range(8):
            await port.client()
        assert (await port.probe())[0] == 200
        released.set()
        assert [(await client.response())[0] for client in busy] == [200, 200]


@pytest.mark.parametrize("stops", ["never", "as one is accepted", "as a request comes"])
@in_idle_time
async def test_b5_even_if_requests_are_under_way_on_all_connections(
    stops: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest request goes, also where the loop stopped for longer than the grace: that was no client's fault.

    In idle time, as a pause of the test itself would be a client's.
    """
    loop = asyncio.get_running_loop()
    time, open_connection = loop.time, asyncio.open_connection
    stopped_s = 0.0

    def stop() -> None:
        nonlocal stopped_s
        stopped_s += 2 * hedgerow.admin.server.GRACE_S

    async def stop_and_open(*args: Any, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if stops == "as one is accepted" and "sock" in kwargs and len(asked) == FEW // 2:
            stop()
        return await open_connection(*args, **kwargs)

    monkeypatch.setattr(loop, "time", lambda: time() + stopped_s)
    monkeypatch.setattr(asyncio, "open_connection", stop_and_open)
    asked: list[Request] = []
    never = asyncio.Event()

    async def hangs(request: Request) -> Response:
        if request.path == b"/hangs":
            asked.append(request)
            await never.wait()
        return Response(200, b"")

    async with served(hangs) as port:
        hanging = []
        for number in range(FEW + 1):  # the last is one too many, until it may be closed
            hanging.append(await port.client())
            await port.until_connections(number + 1)
            hanging[-1].send(b"GET /hangs HTTP/1.1\r\nHost: x\r\n\r\n")
            if stops == "as a request comes" and number == FEW // 2:
                stop()
            while len(asked) == number:  # noqa: ASYNC110 (it is a plain list)
                await asyncio.sleep(0)
        assert (await port.probe())[0] == 200
        assert await hanging[0].closed() == b""


class WithoutDescriptors:
    """A listening socket whose `accept` fails while there are no descriptors."""

    def __init__(self, sock: socket.socket, failures: list[OSError]) -> None:
        self._sock = sock
        self._failures = failures

    def accept(self) -> tuple[socket.socket, Any]:
        if self._failures:
            raise self._failures.pop()
        return self._sock.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
@pytest.mark.parametrize("idle", [0, 3])
async def test_b5_without_descriptors_an_idle_connection_is_closed_for_a_new_one(
    error: int, idle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hedgerow.admin.server, "GRACE_S", 0.0)
    failures: list[OSError] = []
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        server = AdminServer(live, ClientLimits())
        server.start(WithoutDescriptors(sock, failures))  # type: ignore[arg-type]
        port = Port(server, sock.getsockname()[1])
        others = [await port.client() for _ in range(idle)]
        await port.until_connections(idle)
        failures += [OSError(error, "")] * 2
        assert (await port.probe())[0] == 200
        assert [await client.closed() for client in others[:2]] == [b""] * min(idle, 2)
        await port.close()
