"""A whole worker before an upstream on real sockets: answers, losers, connections, TLS.

What each answer is taken for, and what becomes of its connection, is in `tests/unit/upstream`.
"""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trustme

from hedgerow.settings import LoserPolicy, UpstreamLimits
from hedgerow_simulator import Behaviour, running_simulator
from integration.conftest import Serve, ServedWorker
from support.raw_http import UpstreamSide, ok, scripted, sending

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def reasons(served: ServedWorker, target: str = "/api/smart?timeout=60000") -> list[str]:
    status, _, body = await served.get(target)
    assert status in (502, 504), body
    return [attempt["outcome"] for attempt in json.loads(body)["attempts"]]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("length", ok()),
        ("chunked", CHUNKED + b'5\r\n{"tim\r\n6;x=y\r\ne": 1}\r\n0\r\nTrailer: x\r\n\r\n'),
        (
            "one byte a chunk",
            CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in b'{"time":1}') + b"0\r\n\r\n",
        ),
        ("1xx first", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + ok()),
        ("no reason phrase", b'HTTP/1.1 200\r\nContent-Length: 10\r\n\r\n{"time":1}'),
        ("extra keys and blanks", ok(b' {"x":[{}],"time":1.5e2} \n')),
        ("latin-1 header", ok(b'{"time":1}', b"X: \xe4")),
    ],
)
async def test_valid_answers_win_and_their_connection_is_used_again(
    serve: Serve, name: str, answer: bytes
) -> None:
    async with scripted(sending(answer)) as upstream:
        served = await serve(upstream.url)
        for _ in range(3):
            status, _, body = await served.get()
            assert status == 200, (name, body)
            assert json.loads(body)["time"] >= 1
        assert (upstream.connections, len(upstream.requests)) == (1, 3)
        assert served.counts.upstream_connections["idle"] == 1


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("read to close", b'HTTP/1.1 200 OK\r\n\r\n{"time":1}'),
        ("C7", b'HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n{"time":1}'),
        ("Connection: close", ok(b'{"time":1}', b"Connection: close")),
        ("HTTP/1.0", b'HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n{"time":1}'),
    ],
)
async def test_valid_answers_that_end_their_connection(serve: Serve, name: str, answer: bytes) -> None:
    async with scripted(sending(answer, then_close=True)) as upstream:
        served = await serve(upstream.url)
        for number in range(1, 4):
            assert (await served.get())[0] == 200, name
            assert upstream.connections == number


@pytest.mark.parametrize(
    ("reason", "answer"),
    [
        ("status_5xx", b"HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\n<html>"),
        ("status_5xx", b"HTTP/1.1 503 Oops\r\nContent-Length: 0\r\n\r\n"),
        ("status_429", b"HTTP/1.1 429 Slow down\r\nContent-Length: 0\r\n\r\n"),
        ("status_other", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("status_other", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"),
        ("status_other", b'HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n{"time":1}'),
        ("status_other", b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
        ("bad_json", ok(b"<html>")),
        ("bad_json", ok(b"")),
        ("bad_json", ok(b'{"time":1')),
        ("bad_json", ok(b"\x1f\x8b\x08\x00")),
        ("bad_payload", ok(b'{"time":"1"}')),
        ("bad_payload", ok(b"[160]")),
    ],
)
async def test_m11_m07_failures_that_leave_the_connection_sound(
    serve: Serve, reason: str, answer: bytes
) -> None:
    async with scripted(sending(answer)) as upstream:
        served = await serve(upstream.url, hedges=0)
        assert await reasons(served) == await reasons(served) == [reason]
        assert upstream.connections == 1
        assert served.counts.attempts == {"1": {reason: 2}}


@pytest.mark.parametrize(
    ("name", "reason", "answer"),
    [
        ("garbage", "protocol", b"\x00\x01garbage\r\n\r\n"),
        ("CL, TE", "protocol", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("two CL", "protocol", b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 11\r\n\r\n{"time":1} '),
        ("bad chunk", "protocol", CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n"),
        ("C5", "protocol", b"HTTP/1.1 001 OK\r\n\r\n"),
        ("C6", "status_other", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        ("RTSP", "protocol", b'RTSP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n{"time":1}'),
        ("ICE", "protocol", b'ICE/1.0 200 OK\r\nContent-Length: 10\r\n\r\n{"time":1}'),
        ("HTTP/2.0", "protocol", b'HTTP/2.0 200 OK\r\nContent-Length: 10\r\n\r\n{"time":1}'),
        ("HTTP/0.9", "protocol", b'HTTP/0.9 200 OK\r\nContent-Length: 10\r\n\r\n{"time":1}'),
        ("bare LF", "protocol", b'HTTP/1.1 200 OK\nContent-Length: 10\n\n{"time":1}'),
        ("cut head", "reset", b"HTTP/1.1 200 OK\r\nConte"),
        ("cut body (M13)", "reset", b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"time":1}'),
        ("cut after 1xx", "reset", b'HTTP/1.1 103 Hi\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"time":1}'),
        ("cut chunk", "reset", CHUNKED + b'a\r\n{"time":1}\r\n'),
        ("nothing", "reset", b""),
        ("huge length", "too_large", b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + b" " * 70_000),
        ("huge to close", "too_large", b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 70_000),
        ("just too large", "too_large", ok(b'{"time":1}' + b" " * (64 * 1024 - 9))),
        ("long head", "too_large", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000),
        ("many headers", "too_large", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 8_000),
        ("endless 1xx", "too_large", b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000),
        ("endless trailers", "too_large", CHUNKED + b'a\r\n{"time":1}\r\n0\r\n' + b"X: y\r\n" * 200_000),
    ],
)  # fmt: skip
async def test_m08_answers_that_cost_their_connection(
    serve: Serve, name: str, reason: str, answer: bytes
) -> None:
    async with scripted(sending(answer, then_close=True)) as upstream:
        served = await serve(upstream.url, hedges=0)
        assert await reasons(served) == [reason], name
        await served.until(lambda: not served.worker.pool.connections)
        assert served.counts.attempts == {"1": {reason: 1}}


async def test_a_body_of_just_the_limit_passes(serve: Serve) -> None:
    async with scripted(sending(ok(b'{"time":1}' + b" " * (64 * 1024 - 10)))) as upstream:
        served = await serve(upstream.url)
        status, _, body = await served.get()
        assert (status, len(body)) == (200, 64 * 1024)


async def test_refused_is_connect_and_b07_is_at_once(serve: Serve) -> None:
    server = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    served = await serve(f"http://127.0.0.1:{port}/")
    assert await reasons(served, "/api/smart?timeout=300") == ["connect"]


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\n", ok(b'{"time":666}'), b"x"])
async def test_m18_m20_unsolicited_bytes_never_answer_a_request(serve: Serve, extra: bytes) -> None:
    async def conversation(side: UpstreamSide) -> None:
        while True:
            await side.request()
            side.send(ok(b'{"time":1}') + extra)

    async with scripted(conversation) as upstream:
        served = await serve(upstream.url)
        for number in range(1, 4):
            assert (await served.get())[2] == b'{"time":1}'
            assert upstream.connections == number


async def test_m18_late_bytes_close_an_idle_connection(serve: Serve) -> None:
    poison = asyncio.Event()

    async def conversation(side: UpstreamSide) -> None:
        await side.request()
        side.send(ok())
        await poison.wait()
        side.send(ok(b'{"time":666}'))
        await side.reader.read()

    async with scripted(conversation) as upstream:
        served = await serve(upstream.url)
        await served.get()
        poison.set()
        await served.until(lambda: not served.worker.pool.connections)
        assert (await served.get())[2] == b'{"time":1}'


async def test_a_new_connection_that_dies_is_a_failed_attempt_and_not_repeated(serve: Serve) -> None:
    async def conversation(side: UpstreamSide) -> None:
        await side.request()
        side.reset()

    async with scripted(conversation) as upstream:
        served = await serve(upstream.url, hedges=0)
        assert await reasons(served) == ["reset"]
        assert len(upstream.requests) == 1


def attempt_number(head: bytes) -> int:
    return int(head.lower().partition(b"hedgerow-attempt: ")[2].partition(b"\r\n")[0])


class Slow:
    """Answers attempt 3 at once and lets the others wait for `release`."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def __call__(self, side: UpstreamSide) -> None:
        while True:
            number = attempt_number(await side.request())
            if number != 3:
                await self.release.wait()
            side.send(ok(b'{"time":%d}' % number))


async def test_b02_m06_m12_losers_are_drained_counted_and_used_again(serve: Serve) -> None:
    slow = Slow()
    async with scripted(slow) as upstream:
        served = await serve(upstream.url, hedge_after_ms=20, loser_grace_ms=30_000)
        status, headers, body = await served.get()
        assert (status, body) == (200, b'{"time":3}')
        assert 'hedges;desc="2", winner;desc="3"' in headers["server-timing"]
        assert served.counts.upstream_connections == {"connecting": 0, "idle": 1, "active": 2, "loser": 2}
        slow.release.set()
        await served.until(lambda: served.worker.snapshot().upstream_connections["idle"] == 3)
        assert served.counts.attempts == {number: {"success": 1} for number in "123"}
        assert served.counts.wasted_s > 0
        await served.get("/api/smart?timeout=20")  # over before a hedge, which may take a new connection
        assert upstream.connections == 3


@pytest.mark.parametrize("how", [{"loser_grace_ms": 20}, {"losers": LoserPolicy.CANCEL}])
async def test_losers_are_cut_off(serve: Serve, how: dict[str, object]) -> None:
    async with scripted(Slow()) as upstream:
        served = await serve(upstream.url, hedge_after_ms=20, **how)
        assert (await served.get())[2] == b'{"time":3}'
        await served.until(lambda: len(served.worker.pool.connections) == 1)
        assert served.counts.attempts == {"1": {"timeout": 1}, "2": {"timeout": 1}, "3": {"success": 1}}


async def test_m17_m14_with_every_connection_in_use_the_oldest_loser_makes_way(serve: Serve) -> None:
    slow = Slow()
    async with scripted(slow) as upstream:
        served = await serve(upstream.url, hedge_after_ms=20, loser_grace_ms=30_000)
        pool = served.worker.pool
        assert served.server._listener is not None
        served.server._listener._sharing = None  # as many as are set here, however many clients there are
        pool.budget.max_connections = 3
        for _ in range(4):
            assert (await served.get())[2] == b'{"time":3}'
        pool.budget.max_connections = 0
        slow.release.set()
        await served.until(lambda: pool.connection_counts()["loser"] == 0)

        def close_idle() -> None:
            for connection in list(pool.connections):
                connection.close()

        served.call(close_idle)
        assert await reasons(served) == ["connect"] * 3, "it fails at once; nothing hangs, nothing queues"


async def test_m20_m13_bodies_are_whole_and_each_request_gets_one_of_its_own(serve: Serve) -> None:
    behaviour = replace(Behaviour.faultless(latency_ms=5), unique=True)
    async with running_simulator(behaviour, log=True) as upstream:
        served = await serve(upstream.url, hedge_after_ms=4)

        async def ask(number: int) -> tuple[str, bytes]:
            client = await served.client()
            status, headers, body = await client.get(X_Request_Id=f"r{number}")
            client.close()
            assert status == 200
            return headers["x-request-id"], body

        answers = await asyncio.gather(*(ask(number) for number in range(200)))
        await served.until(lambda: served.worker.snapshot().upstream_connections["active"] == 0)
        seen: dict[str, set[str]] = {}
        for entry in upstream.log(after=0):
            seen.setdefault(str(entry.request_id), set()).add(str(entry.body))
        for request_id, body in answers:
            assert body.decode() in seen[request_id]
        attempts = sum(sum(by_outcome.values()) for by_outcome in served.counts.attempts.values())
        assert attempts == upstream.stats.total, "C14: what we count is what the upstream saw"


# -- TLS


@asynccontextmanager
async def tls_upstream(authority: trustme.CA, name: str, names_seen: list[str]) -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    context.sni_callback = lambda _, name_seen, __: names_seen.append(str(name_seen))

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(ok())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        server.close_clients() if hasattr(server, "close_clients") else None


@pytest.mark.parametrize(
    ("trusted", "name", "outcome"),
    [(True, "localhost", "success"), (False, "localhost", "tls"), (True, "other.example", "tls")],
)
async def test_tls_verifies_and_sends_sni(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: object, trusted: bool, name: str, outcome: str
) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    names_seen: list[str] = []
    with (authority if trusted else stranger).cert_pem.tempfile() as bundle:
        monkeypatch.setenv("SSL_CERT_FILE", bundle)
        async with tls_upstream(authority, name, names_seen) as url:
            served = await serve(url, hedges=0)
            if outcome == "success":
                for _ in range(2):
                    assert (await served.get())[0] == 200
                assert names_seen == ["localhost"], "one handshake for two requests"
            else:
                assert await reasons(served) == ["tls"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_c9_a_client_certificate_that_is_wanted_fails_as_tls_with_the_alert(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, version: ssl.TLSVersion
) -> None:
    """In TLS 1.3 the alert comes after the handshake, with the first read."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("localhost").configure_cert(context)

    def reject_one(sock: socket.socket) -> None:
        with sock.accept()[0] as accepted, pytest.raises(ssl.SSLError):
            context.wrap_socket(accepted, server_side=True)

    with authority.cert_pem.tempfile() as bundle, socket.create_server(("127.0.0.1", 0)) as sock:
        monkeypatch.setenv("SSL_CERT_FILE", bundle)
        served = await serve(f"https://localhost:{sock.getsockname()[1]}/", hedges=0)
        rejecting = threading.Thread(target=reject_one, args=(sock,))
        rejecting.start()
        _, _, body = await served.get()
        rejecting.join()
        (attempt,) = json.loads(body)["attempts"]
        assert attempt["outcome"] == "tls"
        assert attempt["detail"].startswith("TLS alert from the upstream: ")


async def test_connecting_is_bounded(serve: Serve) -> None:
    """A server that accepts TCP and never shakes hands: the TLS handshake counts as connecting."""
    limits = UpstreamLimits(connect_timeout_s=0.05)

    async def silent(side: UpstreamSide) -> None:
        await side.reader.read()

    async with scripted(silent) as upstream:
        served = await serve(upstream.url.replace("http:", "https:"), hedges=0, upstream_limits=limits)
        assert await reasons(served) == ["connect"]
