"""The server of a worker on real sockets: what clients may send, and what they get."""

import asyncio
import json
import socket

import pytest

from hedgerow.core.outcomes import Attempt, AttemptHandle, AttemptSender
from hedgerow.gateway import Gateway
from hedgerow.settings import ClientLimits
from integration.conftest import Serve
from support.raw_http import Client, WhenReleased, ok, scripted, sending, silence

instantly = sending(ok(b'{"time":160}'))

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


async def test_b09_a_long_timeout_is_clamped_and_reported(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        _, headers, _ = await served.get("/api/smart?timeout=" + "9" * 5_000)
        assert headers["hedgerow-timeout-ms"] == "60000"


async def test_keep_alive_pipelining_and_head_in_order(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        client = await served.client()
        client.send(
            (GET + b"X-Request-Id: a\r\n\r\n")
            + b"HEAD /api/smart HTTP/1.1\r\nHost: x\r\nX-Request-Id: b\r\n\r\n"
        )
        client.send(
            b"GET /nope HTTP/1.1\r\nHost: x\r\nX-Request-Id: c\r\n\r\n" + GET + b"X-Request-Id: d\r\n\r\n"
        )
        responses = [await client.response(head_only=letter == "b") for letter in "abcd"]
        assert [headers["x-request-id"] for _, headers, _ in responses] == ["a", "b", "c", "d"]
        assert [status for status, _, _ in responses] == [200, 200, 404, 200]
        assert responses[1][1]["content-length"] == "12"
        client.close()


async def test_an_invalid_head_behind_a_request_that_had_to_wait(serve: Serve) -> None:
    """C02: it was rejected in the middle of the other's answer, and raised into the event loop instead."""
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        client = await served.client()
        client.send(GET + b"\r\n" + GET + b"Host: y\r\n\r\n")
        assert [(await client.response())[0] for _ in range(2)] == [200, 400]
        assert await client.closed() == b""
        client.close()


async def test_two_hundred_pipelined_requests_in_one_segment(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        client = await served.client()
        client.send(b"".join(GET + b"X-Request-Id: %d\r\n\r\n" % number for number in range(200)))
        for number in range(200):
            status, headers, _ = await client.response()
            assert (status, headers["x-request-id"]) == (200, str(number))
        assert upstream.connections == 1, "one at a time, on one connection (M05)"
        client.close()


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
    client = await served.client()
    for _ in range(2):
        client.send(sent)
        given, headers, body = await client.response()
        problem = json.loads(body)
        assert (given, problem["status"], problem["code"]) == (status, status, code)
        assert problem["request_id"] == headers["x-request-id"]
        assert headers["content-type"] == "application/problem+json"
        assert (headers.get("allow") == "GET, HEAD") is (status == 405)
    assert served.counts.requests == {code: 2}
    client.close()


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
        ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("HTTP/0.9", b"GET /api/smart\r\n\r\n", 505),
        ("HTTP/1.2", b"GET /api/smart HTTP/1.2\r\nHost: x\r\n\r\n", 505),
        ("HTTP/2.0", b"GET /api/smart HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        ("RTSP", b"GET /api/smart RTSP/1.0\r\nHost: x\r\n\r\n", 400),
        ("ICE", b"SOURCE /api/smart ICE/1.0\r\nHost: x\r\n\r\n", 405),
        ("unregistered method", b"FROB /api/smart HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        ("expectation", GET + b"Expect: the-moon\r\n\r\n", 417),
        ("long target", b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        ("long header", GET + b"X: " + b"a" * 33_000 + b"\r\n\r\n", 431),
        ("many headers", GET + b"X: y\r\n" * 101 + b"\r\n", 431),
        ("endless head", GET + b"X: y\r\n" * 20_000, 431),
    ],
)
async def test_an_invalid_head_is_answered_once_and_closes(
    serve: Serve, name: str, sent: bytes, status: int
) -> None:
    served = await serve("http://127.0.0.1:1/")
    client = await served.client()
    client.send(sent + GET + b"\r\n")
    given, headers, body = await client.response()
    assert (given, headers["connection"]) == (status, "close"), name
    assert json.loads(body)["status"] == status
    assert await client.closed() == b"", "nothing after an invalid head is answered"
    assert sum(served.counts.requests.values()) == 1
    client.close()


async def test_an_invalid_head_is_rejected_when_it_is_read_at_the_end_of_a_race(serve: Serve) -> None:
    """C11: an exception's context was lost there, and with it the rejection; the connection then hung."""
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        client = await served.client()
        client.send(GET + b"\r\n" + GET + b"X: " + b"y" * 33_000 + b"\r\n\r\n")  # more than one slice
        assert (await client.response())[0] == 200
        assert (await client.response())[0] == 431
        assert await client.closed() == b""
        client.close()


async def test_valid_heads_of_all_kinds(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        client = await served.client()
        for head in (
            GET + b"Content-Length: 0\r\n\r\n",
            GET + b"Expect: 100-continue\r\n\r\n",
            GET + b"X: \xe4\xff\r\n\r\n",
            b"GET http://other.example/api/smart?x HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /api/smart?%74imeout=%31%30%30%30 HTTP/1.1\r\nHOST: [::1]:80\r\n\r\n",
            b"\r\n" + GET + b"\r\n",
        ):
            client.send(head)
            assert (await client.response())[0] == 200, head
        for piece in GET + b"\r\n":
            client.send(bytes([piece]))
            await client.writer.drain()
        assert (await client.response())[0] == 200
        client.close()


@pytest.mark.parametrize(
    ("head", "connection"),
    [
        (b"GET /api/smart HTTP/1.0\r\n\r\n", "close"),
        (GET + b"Connection: close\r\n\r\n", "close"),
    ],
)
async def test_connections_that_end_with_their_response(serve: Serve, head: bytes, connection: str) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        client = await served.client()
        client.send(head)
        status, headers, _ = await client.response()
        assert (status, headers["connection"]) == (200, connection)
        assert await client.closed() == b""
        client.close()


async def test_c1_an_offer_of_h2c_is_ignored_and_the_connection_kept(serve: Serve) -> None:
    """RFC 9110 section 7.8: Java's HttpClient makes it with each request on a new connection."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n"
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        client = await served.client()
        for head in (GET + offer, GET + offer, GET + b"\r\n"):
            client.send(head)
            status, headers, _ = await client.response()
            assert (status, headers.get("connection")) == (200, None)
        client.send((GET + offer) * 3 + GET + b"\r\n")
        assert [(await client.response())[0] for _ in range(4)] == [200] * 4
        assert served.connections == 1
        client.close()


async def test_http_1_0_with_keep_alive(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        client = await served.client()
        for _ in range(2):
            client.send(b"GET /api/smart HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (await client.response())[1]["connection"] == "keep-alive"
        client.close()


@pytest.mark.parametrize("how", ["fin", "rst", "half-close"])
async def test_b10_m15_m16_a_client_that_leaves_is_noticed_and_nothing_more_is_asked(
    serve: Serve, how: str
) -> None:
    """Decision 0005: half-close counts as disconnect."""
    leave = {"fin": Client.close, "rst": Client.reset, "half-close": Client.half_close}[how]
    async with scripted(silence) as upstream:
        served = await serve(upstream.url, loser_grace_ms=400)
        client = await served.client()
        client.send(GET + b"\r\n")
        await upstream.until_requests(1)
        leave(client)
        await served.until(lambda: served.worker.snapshot().client_disconnects == 1)
        assert served.counts.upstream_connections["loser"] == 1
        # The loser's grace ends after the hedge delay: a hedge would have been seen by then.
        await served.until(lambda: not served.worker.pool.connections)
        assert upstream.connections == 1
        assert served.counts.attempts == {"1": {"timeout": 1}}
        assert served.counts.requests == {"abandoned": 1}
        assert await client.closed() == b"" if how == "half-close" else True
        client.close()


async def test_slow_idle_and_write_blocked_clients_are_ended(serve: Serve) -> None:
    limits = ClientLimits(head_timeout_s=0.1, idle_timeout_s=0.1, write_timeout_s=0.1, linger_s=0.1)
    served = await serve("http://127.0.0.1:1/", client_limits=limits)
    slow, idle = [await served.client() for _ in range(2)]
    slow.send(b"GET /api/sm")
    status, headers, body = await slow.response()
    assert (status, json.loads(body)["code"], headers["connection"]) == (408, "bad_request", "close")
    assert await slow.closed() == b""
    assert await idle.closed() == b""
    write_blocked = await served.client()
    write_blocked.writer.transport.pause_reading()  # type: ignore[attr-defined]
    write_blocked.send((b"GET /" + b"n" * 500 + b" HTTP/1.1\r\nHost: x\r\n\r\n") * 40_000)
    await served.until(lambda: served.server.connections > 0)
    await served.until(lambda: served.server.connections == 0)
    for client in (slow, idle, write_blocked):
        client.writer.transport.abort()


async def test_the_kernel_keeps_no_responses_for_a_client_that_does_not_read(serve: Serve) -> None:
    """C10: it took 450 KB, and went on offering them when the connection was long closed."""
    served = await serve("http://127.0.0.1:1/", client_limits=ClientLimits(write_timeout_s=0.1))
    loop = asyncio.get_running_loop()
    with await non_reading_client(served.port) as sock:
        await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        await served.until(lambda: served.server.connections == 1)
        await served.until(lambda: served.server.connections == 0)

        async def read_to_the_end() -> None:
            while await loop.sock_recv(sock, 65_536):
                pass

        with pytest.raises(ConnectionResetError):
            await read_to_the_end()


@pytest.mark.parametrize("ends", ["half-close", "idle", "last response"])
async def test_a_closed_connection_is_gone_though_its_client_does_not_read(serve: Serve, ends: str) -> None:
    """C02: closing waits until all is sent, which needs a bound of its own."""
    limits = ClientLimits(
        idle_timeout_s=0.1 if ends == "idle" else 3_600, write_timeout_s=0.1, send_buffer_bytes=4096
    )
    served = await serve("http://127.0.0.1:1/", client_limits=limits)
    loop = asyncio.get_running_loop()
    with await non_reading_client(served.port) as sock:
        await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        await served.until(lambda: served.server.connections == 1)
        if ends == "half-close":
            sock.shutdown(socket.SHUT_WR)
        elif ends == "last response":
            await loop.sock_sendall(sock, b"GET / HTTP/1.0\r\n\r\n")
        await served.until(lambda: served.server.connections == 0)


async def non_reading_client(port: int) -> socket.socket:
    """Connect with a receive buffer that a few responses fill."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


async def test_a_flood_of_rejected_connections_uses_up_no_descriptors(serve: Serve) -> None:
    """C15: each of them lingers, so a flood met the limit of open files, and accepting stopped."""
    served = await serve("http://127.0.0.1:1/", client_limits=ClientLimits(linger_s=3_600))
    assert served.server._listener is not None
    served.server._listener._max_clients = 1
    most = served.server._listener._max_rejected
    clients = [await served.client() for _ in range(1 + 2 * most + 50)]
    for client in clients[1:]:
        assert (await client.response())[0] == 503
        assert served.connections <= 1 + most
    assert (await clients[0].get("/"))[0] == 404
    for client in clients:
        client.close()


async def test_each_head_has_its_own_deadline(serve: Serve) -> None:
    """The clock of a head that came in two pieces ran on into the request, and into the next head."""
    slowly = WhenReleased()
    async with scripted(slowly) as upstream:
        served = await serve(upstream.url)
        heads = served.server._context.timeouts._heads
        client = await served.client()
        client.send(GET)
        await served.until(lambda: len(heads) == 1)
        client.send(b"\r\n" + GET)
        await served.until(lambda: served.worker.admission.in_flight == 1)
        assert served.call(lambda: len(heads)) == 0, "the head is whole"
        slowly.release.set()
        assert (await client.response())[0] == 200
        await served.until(lambda: len(heads) == 1)
        client.close()


async def test_b13_draining_accepts_every_connection_that_the_kernel_has_queued(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url, client_limits=ClientLimits(linger_s=0.1))
        listener = served.server._listener
        assert listener is not None
        served.call(lambda: listener._pause(3_600))  # the worker is busy elsewhere
        clients = [await served.client() for _ in range(150)]
        for client in clients:
            client.send(GET + b"\r\n")
        draining = asyncio.ensure_future(served.drain())
        assert [(await client.response())[0] for client in clients] == [200] * 150
        await draining
        for client in clients:
            client.close()


async def test_b13_draining_answers_what_is_in_flight_and_closes(serve: Serve) -> None:
    slowly = WhenReleased()
    async with scripted(slowly) as upstream:
        served = await serve(upstream.url)
        idle, busy = await served.client(), await served.client()
        busy.send(GET + b"\r\n")
        await upstream.until_requests(1)
        draining = asyncio.ensure_future(served.drain())
        assert await idle.closed() == b""
        with pytest.raises(ConnectionRefusedError):
            await served.client()
        slowly.release.set()
        status, headers, _ = await busy.response()
        assert (status, headers["connection"]) == (200, "close")
        assert await busy.closed() == b""
        busy.close()
        await draining
        idle.close()


async def test_b13_an_idle_connection_has_a_grace_for_one_more_request(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        client = await served.client()
        assert (await client.get())[1].get("connection") is None
        served.call(lambda: served.server.drain(lambda: None))
        status, headers, _ = await client.get()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.closed() == b""
        client.close()


async def test_a_connection_too_many_is_answered_503(serve: Serve) -> None:
    """FAULTS C10: its Server-Timing was the age of the machine."""
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        assert served.server._listener is not None
        served.server._listener._max_clients = 1
        first, second = await served.client(), await served.client()
        assert (await first.get())[0] == 200
        status, headers, body = await second.response()
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
        assert total_ms(headers) < 60_000, "not the age of the machine"
        problem = json.loads(body)
        assert (problem["code"], problem["request_id"]) == ("overloaded", headers["x-request-id"])
        assert await second.closed() == b""
        assert (await first.get())[0] == 200
        assert served.counts.shed == {"connections": 1}
        first.close()
        second.close()


async def test_b11_beyond_the_cap_a_request_waits_a_quarter_of_its_timeout(serve: Serve) -> None:
    async with scripted(silence) as upstream:
        served = await serve(upstream.url, max_in_flight=1, hedges=0)
        first, second = await served.client(), await served.client()
        first.send(GET + b"\r\n")
        await served.until(lambda: served.worker.admission.in_flight == 1)
        status, headers, body = await second.get("/api/smart?timeout=400")
        assert (status, headers["retry-after"], json.loads(body)["code"]) == (503, "1", "overloaded")
        assert 75 <= total_ms(headers) < 400  # a moment early, to be there within the quarter
        assert served.counts.shed == {"in_flight": 1}
        await upstream.until_requests(1)
        assert len(upstream.requests) == 1, "nothing was asked of the upstream for the second"
        first.close()
        await served.until(lambda: served.worker.admission.in_flight == 0)
        second.close()


async def test_b11_a_request_that_waits_is_served_when_there_is_room(serve: Serve) -> None:
    slowly = WhenReleased()
    async with scripted(slowly) as upstream:
        served = await serve(upstream.url, max_in_flight=1, hedges=0)
        first, second = await served.client(), await served.client()
        first.send(GET + b"\r\n")
        await upstream.until_requests(1)
        second.send(GET + b"\r\n")
        await served.until(lambda: served.worker.admission.waiting == 1)
        slowly.release.set()
        assert [(await client.response())[0] for client in (first, second)] == [200, 200]
        assert served.counts.shed == {}
        first.close()
        second.close()


async def test_time_in_the_socket_buffer_is_charged_to_us(serve: Serve) -> None:
    """The time counts from when the kernel had the request, not from when we looked."""
    async with scripted(sending(ok())) as upstream:
        served = await serve(upstream.url)
        served.faults.queue_age_s = 0.25
        status, headers, _ = await served.get("/api/smart?timeout=900")
        assert status == 200
        assert total_ms(headers) >= 250


async def test_what_was_in_the_socket_buffer_for_its_whole_timeout_is_answered_504(serve: Serve) -> None:
    async with scripted(sending(ok())) as upstream:
        served = await serve(upstream.url)
        served.faults.queue_age_s = 0.25
        status, headers, body = await served.get("/api/smart?timeout=250")
        problem = json.loads(body)
        assert (status, problem["code"], problem["attempts"]) == (504, "out_of_time", [])
        assert problem["request_id"] == headers["x-request-id"]
        assert not served.counts.attempts
        assert upstream.connections == 0


def total_ms(headers: dict[str, str]) -> float:
    """Return how long the server says that the request took."""
    return float(headers["server-timing"].split("dur=")[1].split(",")[0])


class BrokenUpstream(AttemptSender):
    """An upstream that is an internal error."""

    def send(self, attempt: Attempt) -> AttemptHandle:
        raise ZeroDivisionError


async def test_b12_an_internal_error_costs_one_request_its_answer_and_nothing_else(serve: Serve) -> None:
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        gateway = served.worker.server._context.handler
        assert isinstance(gateway, Gateway)
        (route,) = gateway.routes.routes
        working = route.upstream
        client = await served.client()
        assert (await client.get())[0] == 200
        served.call(lambda: setattr(route, "upstream", BrokenUpstream()))
        status, headers, body = await client.get()
        assert (status, json.loads(body)["code"]) == (500, "internal")
        assert json.loads(body)["request_id"] == headers["x-request-id"]
        served.call(lambda: setattr(route, "upstream", working))
        assert (await client.get())[0] == 200
        assert served.counts.requests == {"success": 2, "internal": 1}
        served.expected_internal_errors = 1
        client.close()
