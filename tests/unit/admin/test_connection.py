"""One connection to the admin port: slow and silent clients, pipelining, and its end."""

import asyncio
from dataclasses import replace

import pytest

from hedgerow.core.request import Request
from hedgerow.core.response import Response
from hedgerow.settings import ClientLimits
from support.admin_port import GET, served

SHORT = replace(ClientLimits(), head_timeout_s=0.05, idle_timeout_s=0.2, write_timeout_s=0.05, linger_s=0.05)


async def test_c10_a_slow_head_is_answered_408_and_closed() -> None:
    async with served(limits=replace(SHORT, idle_timeout_s=60.0)) as port:
        for before, number in ((b"", 0), (GET, 1)):
            client = await port.client(before + b"GET /livez HT")
            for _ in range(number):
                assert (await client.response())[0] == 200
            assert (await client.response())[0] == 408
            assert await client.closed() == b""


async def test_c10_a_head_that_trickles_has_no_more_time() -> None:
    async with served(limits=replace(SHORT, idle_timeout_s=60.0)) as port:
        client = await port.client(b"GET /livez HTTP/1.1\r\n")

        async def trickle() -> None:
            while True:
                client.send(b"X: y\r\n")
                await asyncio.sleep(0.001)

        trickling = asyncio.create_task(trickle())
        assert (await client.response())[0] == 408
        trickling.cancel()


async def test_c10_an_idle_connection_is_closed() -> None:
    async with served(limits=SHORT) as port:
        for sends in (b"", GET):
            client = await port.client(sends)
            assert (await client.closed()).startswith(b"HTTP/1.1 200" if sends else b"")
        await port.until_connections(0)


async def test_c10_one_that_does_not_read_is_closed() -> None:
    async def page(_: Request) -> Response:
        return Response(200, b"x" * 1_000_000)

    async with served(page, limits=replace(SHORT, idle_timeout_s=60.0)) as port:
        client = await port.client()
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.send(GET * 100)
        await port.until_connections(1)
        await port.until_connections(0)


async def test_c10_one_that_sends_on_after_a_rejection_is_closed() -> None:
    async with served(limits=SHORT) as port:
        client = await port.client(b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert (await client.response())[0] == 405

        async def send_on() -> None:
            while True:
                client.send(b"x" * 100)
                await asyncio.sleep(0.001)

        sending = asyncio.create_task(send_on())
        await port.until_connections(0)
        sending.cancel()


# -- plain service


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def echo(request: Request) -> Response:
        return Response(200, request.path)

    async with served(echo) as port:
        client = await port.client(
            b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(500))
        )
        assert [(await client.response())[2] for _ in range(500)] == [
            b"/%d" % number for number in range(500)
        ]


async def test_a_large_page_is_sent_in_full_also_to_one_that_has_half_closed() -> None:
    async def page(_: Request) -> Response:
        return Response(200, b"x" * 300_000)

    async with served(page, limits=ClientLimits(send_buffer_bytes=4096)) as port:
        assert (await port.probe())[2] == b"x" * 300_000
        client = await port.client(GET)
        client.half_close()
        assert (await client.response())[2] == b"x" * 300_000
        assert await client.closed() == b""


async def test_an_answer_that_takes_a_moment_holds_up_no_other_and_is_dropped_for_one_that_left() -> None:
    asked, release = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Response:
        if request.path == b"/slow":
            asked.set()
            await release.wait()
        return Response(200, request.path)

    async with served(slow) as port:
        client = await port.client(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await asked.wait()
        assert (await port.probe())[0] == 200
        client.writer.transport.abort()
        release.set()
        await port.until_connections(0)


@pytest.mark.parametrize(
    ("sends", "status", "connection"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, "close"),
        (b"GET / HTTP/1.0\r\n\r\n", 200, "close"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "keep-alive"),
        (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 200, None),
        (b"GET /\r\n\r\n", 505, "close"),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "close"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431, "close"),
    ],
)  # fmt: skip
async def test_heads(sends: bytes, status: int, connection: str | None) -> None:
    async with served() as port:
        client = await port.client(sends)
        got, headers, _ = await client.response(head_only=sends.startswith(b"HEAD"))
        assert (got, headers.get("connection")) == (status, connection)
        if connection == "close":
            assert await client.closed() == b""
        else:
            client.send(GET)
            assert (await client.response())[0] == 200
