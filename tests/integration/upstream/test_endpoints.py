"""A whole worker before an upstream with several endpoints, on real sockets (U01 to U05)."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
import trustme

from hedgerow.settings import parse_target
from hedgerow.settings.routes import (
    HedgeRule,
    RouteRule,
    TimeoutRule,
    TlsRule,
    UpstreamRule,
)
from integration.conftest import Serve, ServedWorker
from support.raw_http import ok, refusing, scripted, sending, silence

BROKEN = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
REQUESTS = 60


async def serve_before(
    serve: Serve,
    *urls: str,
    max_hedges: int = 2,
    hedge_after_s: float = 0.05,
    lb_policy: Literal["least_request", "round_robin"] = "least_request",
    tls: TlsRule | None = None,
) -> ServedWorker:
    """Return a worker with one route, all of whose requests go to one upstream."""
    upstream = UpstreamRule(
        name="shop",
        endpoints=tuple(parse_target(url) for url in urls),
        lb_policy=lb_policy,
        tls=tls or TlsRule(),
    )
    route = RouteRule(
        name="all",
        path_prefix="/",
        upstream="shop",
        timeout=TimeoutRule(default_ms=30_000),
        hedge=HedgeRule(after=hedge_after_s, max_hedges=max_hedges, hold="off"),
    )
    return await serve(urls[0], routes=(route,), upstreams=(upstream,))


async def ask(served: ServedWorker, times: int) -> Counter[int]:
    """Ask one after the other; return the statuses."""
    return Counter([(await served.get("/v1/price?sku=7"))[0] for _ in range(times)])


async def test_u01_of_three_endpoints_one_slow_one_dead_and_one_that_fails_all_requests_succeed(
    serve: Serve,
) -> None:
    """The slow one never answers; the fourth is sound, or there would be no good answer."""
    async with (
        scripted(silence, "127.0.0.2") as slow,
        scripted(sending(BROKEN), "127.0.0.4") as failing,
        scripted(sending(ok()), "127.0.0.5") as sound,
    ):
        with refusing("127.0.0.3") as (host, port):
            served = await serve_before(
                serve, slow.url, f"http://{host}:{port}/", failing.url, sound.url, lb_policy="round_robin"
            )
            assert await ask(served, REQUESTS) == {200: REQUESTS}
            states = {state.url: state for state in served.call(served.worker.pool.endpoint_states)}
    assert len(failing.requests) == 5, "it is left out after five failures in a row"
    assert states[failing.url].is_ejected
    assert not states[sound.url].is_ejected
    assert len(sound.requests) >= REQUESTS


async def test_u02_least_request_leaves_the_slow_one_to_few_requests(serve: Serve) -> None:
    """Each loser holds its place there, so it is the busier of two from the first one on."""
    async with (
        scripted(silence, "127.0.0.2") as slow,
        scripted(sending(ok()), "127.0.0.3") as one,
        scripted(sending(ok()), "127.0.0.4") as other,
    ):
        served = await serve_before(serve, slow.url, one.url, other.url, max_hedges=1, hedge_after_s=0.01)
        assert await ask(served, REQUESTS) == {200: REQUESTS}
    assert len(slow.requests) < REQUESTS / 4
    assert min(len(one.requests), len(other.requests)) > REQUESTS / 6


async def test_u02_round_robin_shares_alike(serve: Serve) -> None:
    async with (
        scripted(sending(ok()), "127.0.0.2") as one,
        scripted(sending(ok()), "127.0.0.3") as other,
    ):
        served = await serve_before(serve, one.url, other.url, max_hedges=0, lb_policy="round_robin")
        assert await ask(served, 10) == {200: 10}
    assert [len(one.requests), len(other.requests)] == [5, 5]
    assert [one.connections, other.connections] == [1, 1]


async def test_r02_each_endpoint_has_its_own_host_and_base_path(serve: Serve) -> None:
    async with (
        scripted(sending(ok()), "127.0.0.2") as one,
        scripted(sending(ok()), "127.0.0.3") as other,
    ):
        urls = [one.url.replace("/work", "/a/b"), other.url.replace("/work", "/")]
        served = await serve_before(serve, *urls, max_hedges=0, lb_policy="round_robin")
        await ask(served, 2)
    for upstream, path in ((one, b"/a/b/v1/price?sku=7"), (other, b"/v1/price?sku=7")):
        (head,) = upstream.requests
        assert head.startswith(b"GET " + path + b" HTTP/1.1\r\n")
        assert (
            b"\r\nhost: 127.0.0.%d:%d\r\n" % (2 if upstream is one else 3, upstream.address[1])
            in head.lower()
        )


async def test_u01_a_refused_connect_goes_on_to_another_endpoint_in_the_same_attempt(serve: Serve) -> None:
    async with scripted(sending(ok()), "127.0.0.3") as sound:
        with refusing("127.0.0.2") as (host, port):
            dead = f"http://{host}:{port}/"
            served = await serve_before(serve, dead, sound.url, max_hedges=0, lb_policy="round_robin")
            assert await ask(served, 10) == {200: 10}
            states = {state.url: state for state in served.call(served.worker.pool.endpoint_states)}
    assert states[dead].failures >= 1
    assert served.counts.attempts == {"1": {"success": 10}}


# -- TLS: U05


@asynccontextmanager
async def tls_server(
    authority: trustme.CA,
    host: str,
    name: str,
    *,
    client_ca: trustme.CA | None = None,
    names: list[str] | None = None,
) -> AsyncIterator[str]:
    """An origin with a certificate for `name`, which asks for one of `client_ca`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    if names is not None:
        context.sni_callback = lambda _, seen, __: names.append(str(seen))
    if client_ca is not None:
        client_ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(ok())
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            writer.close()

    server = await asyncio.start_server(serve_one, host, 0, ssl=context)
    try:
        yield f"https://{host}:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        server.close_clients() if hasattr(server, "close_clients") else None


async def test_u05_own_authority_name_and_client_certificate(serve: Serve, tmp_path: Path) -> None:
    """A service mesh's habit: endpoints are addresses, and the certificate has the service's name."""
    authority, clients = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    clients.issue_cert("gateway.internal").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "own.pem")
    )
    names: list[str] = []
    async with (
        tls_server(authority, "127.0.0.2", "shop.internal", client_ca=clients, names=names) as one,
        tls_server(authority, "127.0.0.3", "shop.internal", client_ca=clients, names=names) as other,
    ):
        tls = TlsRule(
            ca_file=str(tmp_path / "ca.pem"), cert_file=str(tmp_path / "own.pem"), server_name="shop.internal"
        )
        served = await serve_before(serve, one, other, lb_policy="round_robin", tls=tls)
        assert await ask(served, 4) == {200: 4}
        assert names == ["shop.internal"] * 2, "one handshake with each"


@pytest.mark.parametrize("lacks", ["ca_file", "cert_file", "server_name"])
async def test_u05_without_one_of_them_it_fails_as_tls(serve: Serve, tmp_path: Path, lacks: str) -> None:
    authority, clients = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    clients.issue_cert("gateway.internal").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "own.pem")
    )
    async with tls_server(authority, "127.0.0.2", "shop.internal", client_ca=clients) as url:
        given = {
            "ca_file": str(tmp_path / "ca.pem"),
            "cert_file": str(tmp_path / "own.pem"),
            "server_name": "shop.internal",
        }
        del given[lacks]
        rule = TlsRule(
            ca_file=given.get("ca_file"),
            cert_file=given.get("cert_file"),
            server_name=given.get("server_name"),
        )
        served = await serve_before(serve, url, max_hedges=0, tls=rule)
        assert await ask(served, 1) == {502: 1}
        (reason,) = served.counts.attempts["1"]
    assert reason == "tls" or (lacks == "cert_file" and reason == "reset"), "asyncio may drop its alert"
