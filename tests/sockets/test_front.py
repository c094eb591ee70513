"""The front edge on real sockets: what callers may send, and what they get."""

import asyncio
import json
import socket
from typing import cast

import pytest

from hedgerow.http_front.server import BEYOND, TURNS_TO_READ
from hedgerow.settings import ClientLimits
from hedgerow.turns import Turns
from sockets.conftest import Serve
from sockets.raw_http import Asked, Caller, WhenReleased, ok, saying, scripted

instantly = saying(ok(b'{"time":160}'))


async def silent(asked: Asked) -> None:
    while await asked.reader.read(1000):
        pass


GET = b"GET /api/smart HTTP/1.1\r\nHost: x\r\n"


async def test_a_success_has_the_upstreams_body_and_all_headers(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        status, headers, body = await served.get("/api/smart?timeout=900", X_Request_Id="mine-1")
        assert (status, body) == (200, b'{"time":160}')
        assert headers["x-request-id"] == "mine-1"
        assert headers["cache-control"] == "no-store"
        assert headers["hedgerow-timeout-ms"] == "900"
        assert headers["content-type"] == "application/json"
        assert 'winner;desc="1"' in headers["server-timing"]
        assert headers["date"].endswith("GMT")
        assert b"X-Request-Id: mine-1\r\nHedgerow-Attempt: 1\r\n" in upstream.requests[0]
        assert len(upstream.requests) == 1


async def test_b09_a_long_timeout_is_clamped_and_said(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        _, headers, _ = await served.get("/api/smart?timeout=" + "9" * 5_000)
        assert headers["hedgerow-timeout-ms"] == "60000"


async def test_keep_alive_pipelining_and_head_in_order(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        caller = await served.caller()
        caller.send(
            (GET + b"X-Request-Id: a\r\n\r\n")
            + b"HEAD /api/smart HTTP/1.1\r\nHost: x\r\nX-Request-Id: b\r\n\r\n"
        )
        caller.send(
            b"GET /nope HTTP/1.1\r\nHost: x\r\nX-Request-Id: c\r\n\r\n" + GET + b"X-Request-Id: d\r\n\r\n"
        )
        answers = [await caller.answer(head_only=letter == "b") for letter in "abcd"]
        assert [headers["x-request-id"] for _, headers, _ in answers] == ["a", "b", "c", "d"]
        assert [status for status, _, _ in answers] == [200, 200, 404, 200]
        assert answers[1][1]["content-length"] == "12"
        caller.close()


async def test_a_head_in_doubt_behind_a_request_that_had_to_wait(serve: Serve) -> None:
    """C02: it was refused in the middle of the other's answer, and raised into the event loop instead."""
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        caller = await served.caller()
        caller.send(GET + b"\r\n" + GET + b"Host: y\r\n\r\n")
        assert [(await caller.answer())[0] for _ in range(2)] == [200, 400]
        assert await caller.closed() == b""
        caller.close()


async def test_two_hundred_pipelined_requests_in_one_segment(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        caller = await served.caller()
        caller.send(b"".join(GET + b"X-Request-Id: %d\r\n\r\n" % number for number in range(200)))
        for number in range(200):
            status, headers, _ = await caller.answer()
            assert (status, headers["x-request-id"]) == (200, str(number))
        assert upstream.connections == 1, "one at a time, on one connection (M05)"
        caller.close()


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /api/smart?timeout=0 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_timeout"),
        (b"GET /api/smart?timeout=%D9%A3 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_timeout"),
        (b"GET /api/smart?timeout=1&timeout=1 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_timeout"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not_found"),
        (b"DELETE /api/smart HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method_not_allowed"),
    ],
)
async def test_a_clear_error_keeps_the_connection(serve: Serve, sent: bytes, status: int, code: str) -> None:
    served = await serve("http://127.0.0.1:1/")
    caller = await served.caller()
    for _ in range(2):
        caller.send(sent)
        given, headers, body = await caller.answer()
        problem = json.loads(body)
        assert (given, problem["status"], problem["code"]) == (status, status, code)
        assert problem["request_id"] == headers["x-request-id"]
        assert headers["content-type"] == "application/problem+json"
        assert (headers.get("allow") == "GET, HEAD") is (status == 405)
    assert served.counts.requests == {code: 2}
    caller.close()


@pytest.mark.parametrize(
    ("name", "sent", "status"),
    [
        ("body", GET + b"Content-Length: 5\r\n\r\nhello", 400),
        ("chunked", GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("CL and TE", GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("two CL", GET + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello", 400),
        ("CL junk", GET + b"Content-Length: +5\r\n\r\nhello", 400),
        ("TE junk", GET + b"Transfer-Encoding: xchunked\r\n\r\n", 400),
        ("POST with a body", b"POST /api/smart HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 405),
        ("no host", b"GET /api/smart HTTP/1.1\r\n\r\n", 400),
        ("two hosts", GET + b"Host: x\r\n\r\n", 400),
        ("bad host", b"GET /api/smart HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("bare LF", b"GET /api/smart HTTP/1.1\nHost: x\n\n", 400),
        ("space before colon", b"GET /api/smart HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        ("obs-fold", b"GET /api/smart HTTP/1.1\r\nHost: x\r\n y\r\n\r\n", 400),
        ("NUL", GET + b"X: a\x00b\r\n\r\n", 400),
        ("control byte in target", b"GET /api/\x01smart HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("fragment", b"GET /api/smart#x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        ("HTTP/0.9", b"GET /api/smart\r\n\r\n", 505),
        ("HTTP/1.2", b"GET /api/smart HTTP/1.2\r\nHost: x\r\n\r\n", 505),
        ("HTTP/2.0", b"GET /api/smart HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        ("RTSP", b"GET /api/smart RTSP/1.0\r\nHost: x\r\n\r\n", 400),
        ("ICE", b"SOURCE /api/smart ICE/1.0\r\nHost: x\r\n\r\n", 405),
        ("unregistered method", b"FROB /api/smart HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        ("expectation", GET + b"Expect: the-moon\r\n\r\n", 417),
        ("long target", b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        ("long header", GET + b"X: " + b"a" * 9_000 + b"\r\n\r\n", 431),
        ("many headers", GET + b"X: y\r\n" * 101 + b"\r\n", 431),
        ("endless head", GET + b"X: y\r\n" * 20_000, 431),
    ],
)
async def test_a_head_in_doubt_is_answered_once_and_closes(
    serve: Serve, name: str, sent: bytes, status: int
) -> None:
    served = await serve("http://127.0.0.1:1/")
    caller = await served.caller()
    caller.send(sent + GET + b"\r\n")
    given, headers, body = await caller.answer()
    assert (given, headers["connection"]) == (status, "close"), name
    assert json.loads(body)["status"] == status
    assert await caller.closed() == b"", "nothing after a head in doubt is answered"
    assert sum(served.counts.requests.values()) == 1
    caller.close()


async def test_a_head_in_doubt_is_refused_when_it_is_read_at_the_end_of_a_race(serve: Serve) -> None:
    """C11: an exception's context was lost there, and with it the refusal; the connection then hung."""
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        caller = await served.caller()
        caller.send(GET + b"\r\n" + GET + b"X: " + b"y" * 9_000 + b"\r\n\r\n")  # more than one slice
        assert (await caller.answer())[0] == 200
        assert (await caller.answer())[0] == 431
        assert await caller.closed() == b""
        caller.close()


async def test_valid_heads_of_all_kinds(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        caller = await served.caller()
        for head in (
            GET + b"Content-Length: 0\r\n\r\n",
            GET + b"Expect: 100-continue\r\n\r\n",
            GET + b"X: \xe4\xff\r\n\r\n",
            b"GET http://other.example/api/smart?x HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /api/smart?%74imeout=%31%30%30%30 HTTP/1.1\r\nHOST: [::1]:80\r\n\r\n",
            b"\r\n" + GET + b"\r\n",
        ):
            caller.send(head)
            assert (await caller.answer())[0] == 200, head
        for piece in GET + b"\r\n":
            caller.send(bytes([piece]))
            await caller.writer.drain()
        assert (await caller.answer())[0] == 200
        caller.close()


@pytest.mark.parametrize(
    ("head", "connection"),
    [
        (b"GET /api/smart HTTP/1.0\r\n\r\n", "close"),
        (GET + b"Connection: close\r\n\r\n", "close"),
        (GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", "close"),
    ],
)
async def test_connections_that_end_with_their_answer(serve: Serve, head: bytes, connection: str) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        caller = await served.caller()
        caller.send(head)
        status, headers, _ = await caller.answer()
        assert (status, headers["connection"]) == (200, connection)
        assert await caller.closed() == b""
        caller.close()


async def test_http_1_0_with_keep_alive(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        caller = await served.caller()
        for _ in range(2):
            caller.send(b"GET /api/smart HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (await caller.answer())[1]["connection"] == "keep-alive"
        caller.close()


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_b10_m15_m16_a_caller_who_leaves_is_noticed_and_nothing_more_is_asked(
    serve: Serve, how: str
) -> None:
    async with scripted(silent) as upstream:
        served = await serve(upstream.url, loser_grace_ms=400)
        caller = await served.caller()
        caller.send(GET + b"\r\n")
        await served.until(lambda: served.counts.upstream_connections.get("busy") == 1)
        caller.close() if how == "fin" else caller.reset()
        await served.until(lambda: served.counts.client_disconnects == 1)
        assert served.counts.upstream_connections["loser"] == 1
        # The loser's grace ends after the mark: a hedge would have been seen by then.
        await served.until(lambda: not served.worker.upstream.connections)
        assert upstream.connections == 1
        assert served.counts.attempts == {"1": {"timeout": 1}}
        assert served.counts.requests == {"abandoned": 1}


async def test_slow_idle_and_deaf_callers_are_ended(serve: Serve) -> None:
    limits = ClientLimits(head_timeout_s=0.1, idle_timeout_s=0.1, write_timeout_s=0.1, linger_s=0.1)
    served = await serve("http://127.0.0.1:1/", client_limits=limits)
    slow, idle, deaf = [await served.caller() for _ in range(3)]
    slow.send(b"GET /api/sm")
    status, _, body = await slow.answer()
    assert (status, json.loads(body)["code"]) == (408, "bad_request")
    assert await idle.closed() == b""
    cast("asyncio.Transport", deaf.writer.transport).pause_reading()
    deaf.send((b"GET /" + b"n" * 500 + b" HTTP/1.1\r\nHost: x\r\n\r\n") * 40_000)
    await served.until(lambda: not served.worker.front.clients)
    for caller in (slow, idle, deaf):
        caller.writer.transport.abort()


async def test_the_rest_of_a_head_that_came_during_a_stall_is_read_before_it_is_judged(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C02, worlds 2024/39867 and 2024/55836: the sweep's timer rang first, and told a caller who was in time 408."""
    async with scripted(saying(ok())) as upstream:
        served = await serve(upstream.url)
        front = served.worker.front
        caller = await served.caller()
        caller.send(GET[:8])
        await served.until(lambda: len(front._slow_heads) == 1)
        clock = front.clock
        monkeypatch.setattr(front, "clock", lambda: clock() + 3_600)
        caller.send(GET[8:] + b"\r\n")
        front._sweep_after(TURNS_TO_READ)
        status, _, _ = await caller.answer()
        assert status == 200
        monkeypatch.undo()
        caller.close()


async def test_the_kernel_keeps_no_answers_for_a_caller_that_does_not_read(serve: Serve) -> None:
    """C10: it took 450 KB without a word, and went on offering them when the connection was long closed."""
    served = await serve("http://127.0.0.1:1/", client_limits=ClientLimits(write_timeout_s=0.1))
    loop = asyncio.get_running_loop()
    with socket.socket() as deaf:
        deaf.setblocking(False)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(deaf, ("127.0.0.1", served.port))
        await loop.sock_sendall(deaf, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        await served.until(lambda: served.counts.client_connections == 1)
        await served.until(lambda: served.counts.client_connections == 0)

        async def read_to_the_end() -> None:
            while await loop.sock_recv(deaf, 65_536):
                pass

        with pytest.raises(ConnectionResetError):
            await read_to_the_end()


@pytest.mark.parametrize("ends", ["half-close", "idle", "last answer"])
async def test_what_is_closed_need_not_be_read_to_be_gone(serve: Serve, ends: str) -> None:
    """C02: closing waits until all is sent. Below the bound of `write_buffer_bytes` nothing bounded that."""
    limits = ClientLimits(
        idle_timeout_s=0.1 if ends == "idle" else 3_600, write_timeout_s=0.1, write_buffer_bytes=1024 * 1024,
        send_buffer_bytes=4096,
    )  # fmt: skip
    served = await serve("http://127.0.0.1:1/", client_limits=limits)
    loop = asyncio.get_running_loop()
    with socket.socket() as deaf:
        deaf.setblocking(False)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(deaf, ("127.0.0.1", served.port))
        await loop.sock_sendall(deaf, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        if ends == "half-close":
            deaf.shutdown(socket.SHUT_WR)
        elif ends == "last answer":
            await loop.sock_sendall(deaf, b"GET / HTTP/1.0\r\n\r\n")
        await served.until(lambda: served.counts.client_connections == 1)
        await served.until(lambda: served.counts.client_connections == 0)


async def test_refused_connections_do_not_use_up_the_descriptors(serve: Serve) -> None:
    """C15: each was read on from for a second, so a flood of them met the limit of open files, and nobody was
    accepted for a while."""
    served = await serve("http://127.0.0.1:1/", client_limits=ClientLimits(linger_s=3_600))
    front = served.worker.front
    front.max_clients = 1
    callers = [await served.caller() for _ in range(1 + BEYOND + 50)]
    for caller in callers[1:]:
        assert (await caller.answer())[0] == 503
    await served.until(lambda: len(front.clients) <= 1 + BEYOND)
    for caller in callers:
        caller.close()


async def test_a_flood_of_connections_is_turned_away_without_a_place_for_any(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each had a transport for a moment, and accepting waited for them to be closed: under load the last of 8 000
    heard of it after 1.4 s (C05)."""
    monkeypatch.setattr("hedgerow.http_front.server.BEYOND", 0)
    served = await serve("http://127.0.0.1:1/")
    front = served.worker.front
    front.max_clients = 1
    first = await served.caller()
    await served.until(lambda: front._connections == 1)
    for _ in range(20):
        turned_away = await served.caller()
        status, headers, body = await turned_away.answer()
        problem = json.loads(body)
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
        assert (problem["code"], problem["request_id"]) == ("overloaded", headers["x-request-id"])
        assert await turned_away.reader.read() == b""
        turned_away.close()
        assert front._connections == 1
    assert served.counts.shed == {"connections": 20}
    first.close()


class Behind:
    """Turns of a loop that is behind all the time."""

    def is_behind(self, now: float) -> bool:
        return True


async def test_what_would_be_refused_anyway_is_turned_away_as_it_is_accepted_if_we_are_to_blame(
    serve: Serve,
) -> None:
    """A burst of 8 000 was opened one by one, and half were read when their time was over (C05)."""
    served = await serve("http://127.0.0.1:1/")
    front = served.worker.front
    front.is_hopeless = lambda _: True
    in_time = await served.caller()
    assert (await in_time.get("/"))[0] == 404, "a worker that has just begun is not to blame"
    front._turns = cast("Turns", Behind())
    silent = await served.caller()
    await served.until(lambda: front._connections == 2)
    hopeless = socket.create_connection(("127.0.0.1", served.port))
    hopeless.sendall(GET + b"\r\n")  # before the loop turns, and accepts it
    caller = Caller(*await asyncio.open_connection(sock=hopeless))
    status, headers, _ = await caller.answer()
    assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "1")
    assert await caller.reader.read() == b""
    assert served.counts.shed == {"load": 1}
    assert (await silent.get("/"))[0] == 404, "a connection that had brought nothing yet was not turned away"
    for other in (in_time, silent, caller):
        other.close()


async def test_each_head_has_its_own_deadline(serve: Serve) -> None:
    """The clock of a head that came in two pieces ran on into the request, and into the next head."""
    slowly = WhenReleased()
    async with scripted(slowly) as upstream:
        served = await serve(upstream.url)
        slow = served.worker.front._slow_heads
        caller = await served.caller()
        caller.send(GET)
        await served.until(lambda: len(slow) == 1)
        caller.send(b"\r\n" + GET)
        await served.until(lambda: served.counts.in_flight == 1)
        assert len(slow) == 0, "the head is whole"
        slowly.release.set()
        assert (await caller.answer())[0] == 200
        await served.until(lambda: len(slow) == 1)
        caller.close()


async def test_draining_takes_every_connection_that_the_kernel_has_queued(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        loop = asyncio.get_running_loop()
        assert served.worker.front._sock is not None
        loop.remove_reader(served.worker.front._sock)  # the worker is busy elsewhere
        callers = [await served.caller() for _ in range(150)]
        for caller in callers:
            caller.send(GET + b"\r\n")
        draining = asyncio.ensure_future(served.worker.drain())
        answers = [(await caller.answer())[0] for caller in callers]
        assert answers == [200] * 150
        await draining
        for caller in callers:
            caller.close()


async def test_a_connection_too_many_is_told_so(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        served.worker.front.max_clients = 1
        first, second = await served.caller(), await served.caller()
        assert (await first.get())[0] == 200
        status, headers, _ = await second.answer()
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
        assert (await first.get())[0] == 200
        assert served.counts.shed == {"connections": 1}
        first.close()
        second.close()


async def test_b11_beyond_the_cap_is_refused_at_once(serve: Serve) -> None:
    async with scripted(silent) as upstream:
        served = await serve(upstream.url, max_in_flight=1)
        first, second = await served.caller(), await served.caller()
        first.send(GET + b"\r\n")
        await served.until(lambda: served.counts.in_flight == 1)
        status, headers, body = await second.get()
        assert (status, headers["retry-after"], json.loads(body)["code"]) == (503, "1", "overloaded")
        assert len(upstream.requests) <= 1
        first.close()
        await served.until(lambda: served.counts.in_flight == 0)
        second.close()


async def test_b13_draining_answers_what_is_in_flight_and_closes(serve: Serve) -> None:
    slowly = WhenReleased()
    async with scripted(slowly) as upstream:
        served = await serve(upstream.url)
        idle, busy = await served.caller(), await served.caller()
        busy.send(GET + b"\r\n")
        await served.until(lambda: len(upstream.requests) == 1)
        draining = asyncio.ensure_future(served.worker.drain())
        assert await idle.closed() == b""
        with pytest.raises(ConnectionRefusedError):
            await served.caller()
        slowly.release.set()
        status, headers, _ = await busy.answer()
        assert (status, headers["connection"]) == (200, "close")
        await draining
        idle.close()
        busy.close()


async def test_what_lay_unread_is_charged_to_us(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time counts from when the kernel had the request, not from when we looked."""
    monkeypatch.setattr("hedgerow.http_front.server.unread_for_s", lambda _: 0.25)
    async with scripted(saying(ok())) as upstream:
        served = await serve(upstream.url)
        status, headers, _ = await served.get("/api/smart?timeout=900")
        assert status == 200
        assert float(headers["server-timing"].split("dur=")[1].split(",")[0]) >= 250


async def test_what_others_took_of_our_time_is_not_charged_twice(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C02, worlds 2024/18286 and 2024/76669: a request was taken for as much older as the callback had lasted."""
    monkeypatch.setattr("hedgerow.http_front.server.unread_for_s", lambda _: 0.25)
    front = (await serve("http://127.0.0.1:1/")).worker.front
    monkeypatch.setattr(front, "clock", lambda: 50.0)
    with socket.socket() as sock:
        assert front.arrival(sock, 49.9, first=True) == 49.75
    monkeypatch.undo()


async def test_b11_what_lay_unread_for_longer_than_its_timeout_is_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hedgerow.http_front.server.unread_for_s", lambda _: 0.25)
    async with scripted(saying(ok())) as upstream:
        served = await serve(upstream.url)
        status, headers, body = await served.get("/api/smart?timeout=250")
        assert (status, headers["retry-after"]) == (503, "1")
        assert json.loads(body)["code"] == "overloaded"
        assert json.loads(body)["request_id"] == headers["x-request-id"]
        assert served.counts.shed == {"too_late": 1}
        assert not served.counts.attempts
