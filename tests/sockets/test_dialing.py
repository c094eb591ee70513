"""How a connection to the upstream comes about, and what is left of it if it does not."""

import asyncio
import gc
import json
import platform
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any

import pytest

from hedgerow.core.outcomes import Attempt, Failure, FailureReason
from hedgerow.settings import LoserPolicy, UpstreamLimits
from hedgerow.upstream import dialing
from hedgerow.upstream.connection import Connection, State
from sockets.conftest import Serve, Served, open_sockets
from sockets.raw_http import Address, Asked, hanging, ok, refusing, saying, scripted
from sockets.test_upstream import reasons

Resolver = Callable[[], Awaitable[list[Address]]]

NAME = "upstream.test"
URL = f"http://{NAME}/"

instantly = saying(ok())

TCP_SYN_SENT = 2
"""The number of the state in Linux' `tcp_states.h`."""

FOR_EVER = UpstreamLimits(connect_timeout_s=3_600)
"""Nothing ends by itself within a test."""


@pytest.fixture
def resolve_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[Resolver], None]:
    """Let the loop look `upstream.test` up by a coroutine of the test's."""

    def resolve_by(resolver: Resolver) -> None:
        loop = asyncio.get_running_loop()
        of_the_system = loop.getaddrinfo

        async def getaddrinfo(host: str, port: int, **options: int) -> list[Any]:
            if host != NAME:  # uvloop asks for the numbers of an address, too, as it connects
                return await of_the_system(host, port, **options)
            return [
                (socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM, 0, "", address)
                for address in await resolver()
            ]

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo, raising=False)

    return resolve_by


class HangingResolver:
    """A resolver that takes its time: each lookup waits for `release`."""

    def __init__(self, *addresses: Address) -> None:
        self.addresses = list(addresses)
        self.release = asyncio.Event()
        self.lookups = 0

    async def __call__(self) -> list[Address]:
        self.lookups += 1
        await self.release.wait()
        return self.addresses


# -- name lookup


async def test_a_lookup_that_hangs_holds_up_no_answer_and_is_made_once(
    serve: Serve, resolve_by: Callable[[Resolver], None]
) -> None:
    resolver = HangingResolver()
    resolve_by(resolver)
    served = await serve(URL, hedges=0, upstream_limits=FOR_EVER)
    answers = await asyncio.gather(*(reasons(served, "/api/smart?timeout=500") for _ in range(5)))
    assert answers == [["pending"]] * 5
    assert resolver.lookups == 1
    await served.worker.close()
    assert not resolver.release.is_set(), "all this while it hung"


async def test_a_lookup_that_hangs_counts_as_connecting(
    serve: Serve, resolve_by: Callable[[Resolver], None]
) -> None:
    resolve_by(HangingResolver())
    limits = UpstreamLimits(connect_timeout_s=0.05)
    served = await serve(URL, hedges=0, upstream_limits=limits)
    assert await reasons(served) == await reasons(served) == ["connect"]
    assert not served.worker.upstream.connections


async def test_a_lookup_that_hung_serves_those_who_still_wait_and_all_who_come_later(
    serve: Serve, resolve_by: Callable[[Resolver], None]
) -> None:
    async with scripted(saying(ok(b'{"time":1}', b"Connection: close"), then_close=True)) as upstream:
        resolver = HangingResolver(upstream.address)
        resolve_by(resolver)
        served = await serve(URL, hedges=0, upstream_limits=FOR_EVER)
        waiting = asyncio.ensure_future(served.get("/api/smart?timeout=60000"))
        assert await reasons(served, "/api/smart?timeout=500") == ["pending"]
        resolver.release.set()
        assert (await waiting)[0] == 200
        await served.until(lambda: not served.worker.upstream.connections)
        connections = upstream.connections
        assert (await served.get())[0] == 200
        assert upstream.connections == connections + 1
        assert resolver.lookups == 1, "an address is used again"


async def test_a_name_that_does_not_exist_is_asked_for_again(
    serve: Serve, resolve_by: Callable[[Resolver], None]
) -> None:
    async with scripted(instantly) as upstream:
        lookups = 0

        async def resolver() -> list[Address]:
            nonlocal lookups
            lookups += 1
            if lookups == 1:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return [upstream.address]

        resolve_by(resolver)
        served = await serve(URL, hedges=0)
        assert await reasons(served) == ["connect"]
        assert (await served.get())[0] == 200


async def test_a_lookup_that_fails_when_nobody_waits_any_more_is_no_bug(
    serve: Serve, resolve_by: Callable[[Resolver], None]
) -> None:
    """C02: asyncio logged it with a stack, as an exception that nobody had looked at."""
    told: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    release = asyncio.Event()

    async def resolver() -> list[Address]:
        await release.wait()
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    resolve_by(resolver)
    served = await serve(URL, hedges=0, losers=LoserPolicy.CANCEL)
    assert (await served.get("/api/smart?timeout=20"))[0] == 504
    pool = served.worker.upstream
    await served.until(lambda: not pool.connections)
    release.set()
    await served.until(lambda: pool._dialer._lookup is None)
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert told == []


async def test_a_name_that_has_moved_is_followed_once_connecting_fails(
    serve: Serve, resolve_by: Callable[[Resolver], None]
) -> None:
    with refusing("127.0.0.1") as old:
        async with scripted(instantly) as upstream:
            addresses = [old]

            async def resolver() -> list[Address]:
                return addresses

            resolve_by(resolver)
            served = await serve(URL, hedges=0)
            assert await reasons(served) == ["connect"]
            addresses = [upstream.address]
            assert (await served.get())[0] == 200


# -- several addresses


@pytest.mark.parametrize("how", [refusing, hanging])
@pytest.mark.parametrize(
    ("bad_host", "host"), [("::1", "127.0.0.1"), ("127.0.0.1", "::1"), ("127.0.0.2", "127.0.0.1")]
)
async def test_the_next_address_is_tried_if_the_first_one_refuses_or_hangs(
    serve: Serve,
    resolve_by: Callable[[Resolver], None],
    how: Callable[[str], AbstractContextManager[Address]],
    bad_host: str,
    host: str,
) -> None:
    limits = UpstreamLimits(happy_eyeballs_delay_s=0.02)
    with how(bad_host) as bad:
        async with scripted(instantly, host) as upstream:

            async def resolver() -> list[Address]:
                return [bad, upstream.address]

            resolve_by(resolver)
            served = await serve(URL, hedges=0, upstream_limits=limits)
            assert (await served.get())[0] == 200
            assert served.counts.attempts == {"1": {"success": 1}}, "two addresses are one attempt"
            assert upstream.connections == 1


async def test_a_first_address_that_works_has_no_rival(
    serve: Serve, resolve_by: Callable[[Resolver], None]
) -> None:
    async with scripted(instantly, "::1") as first, scripted(instantly) as second:

        async def resolver() -> list[Address]:
            return [first.address, second.address]

        resolve_by(resolver)
        served = await serve(URL)
        for _ in range(3):
            assert (await served.get())[0] == 200
        assert (first.connections, second.connections) == (1, 0)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ((refusing, refusing), "Connection refused"),
        ((refusing, hanging), "no connection within 0.1 s"),
        ((hanging, hanging), "no connection within 0.1 s"),
    ],
)
async def test_when_no_address_answers_the_attempt_fails_as_connect_and_says_why(
    serve: Serve,
    resolve_by: Callable[[Resolver], None],
    how: tuple[Callable[[str], AbstractContextManager[Address]], ...],
    told: str,
) -> None:
    limits = UpstreamLimits(happy_eyeballs_delay_s=0.02, connect_timeout_s=0.1)
    with how[0]("::1") as first, how[1]("127.0.0.1") as second:

        async def resolver() -> list[Address]:
            return [first, second]

        resolve_by(resolver)
        served = await serve(URL, hedges=0, upstream_limits=limits)
        status, _, body = await served.get()
        (attempt,) = json.loads(body)["attempts"]
        assert (status, attempt["outcome"], attempt["detail"]) == (502, "connect", told)
        assert not served.worker.upstream.connections


# -- the one address of an upstream without TLS, once it is known: no task waits for it

once = saying(ok(b'{"time":1}', b"Connection: close"), then_close=True)


async def asked_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """Let the gateway learn its upstream's address; and then it cannot dial in any other way."""
    await served.get("/api/smart?timeout=500")
    await served.until(lambda: not served.worker.upstream.connections)

    async def start_connection(*_: object, **__: object) -> socket.socket:
        raise AssertionError

    monkeypatch.setattr(dialing, "start_connection", start_connection)
    return served


async def test_an_address_that_is_known_is_dialed_for_each_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted(once) as upstream:
        served = await asked_once(await serve(upstream.url, hedges=0), monkeypatch)
        for _ in range(3):
            assert (await served.get())[0] == 200
        await served.until(lambda: not served.worker.upstream.connections)
        assert upstream.connections == 4


@pytest.mark.skipif(
    tuple(map(int, platform.release().split(".")[:2])) < (6, 8),
    reason="Linux 6.8 was the first to give out odd ports alike where all are asked for",
)
@pytest.mark.parametrize("known", [True, False], ids=["known", "looked up"])
async def test_local_ports_are_taken_from_all_that_there_are(
    known: bool, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux offers even ports first: with those taken, each connect looks through 14 000 of them, for 800 µs."""
    parities: set[int] = set()

    async def note(asked: Asked) -> None:
        parities.add(asked.writer.get_extra_info("peername")[1] % 2)
        await once(asked)

    async with scripted(note) as upstream:
        limits = UpstreamLimits(dns_ttl_s=300.0 if known else 0.0)
        served = await serve(upstream.url, hedges=0, upstream_limits=limits)
        if known:
            await asked_once(served, monkeypatch)
            parities.clear()
        for _ in range(40):
            assert (await served.get())[0] == 200
    assert parities == {0, 1}


async def test_an_upstream_that_goes_away_is_told_and_its_name_asked_for_again(
    serve: Serve, resolve_by: Callable[[Resolver], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lookups = 0

    async def resolver() -> list[Address]:
        nonlocal lookups
        lookups += 1
        return [upstream.address]

    resolve_by(resolver)
    async with scripted(once) as upstream:
        served = await asked_once(await serve(URL, hedges=0), monkeypatch)
    _, _, body = await served.get()
    (attempt,) = json.loads(body)["attempts"]
    assert (attempt["outcome"], attempt["detail"]) == ("connect", "Connection refused")
    monkeypatch.undo()
    resolve_by(resolver)
    assert await reasons(served) == ["connect"]
    assert lookups == 2


async def test_connecting_to_a_known_address_is_bounded(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = UpstreamLimits(connect_timeout_s=0.05)
    with hanging("127.0.0.1") as (_, port):
        served = await serve(f"http://127.0.0.1:{port}/", hedges=0, upstream_limits=limits)
        await asked_once(served, monkeypatch)
        _, _, body = await served.get()
        (attempt,) = json.loads(body)["attempts"]
        assert (attempt["outcome"], attempt["detail"]) == ("connect", "no connection within 0.05 s")
        assert not served.worker.upstream.connections


async def test_an_address_that_cannot_be_reached_fails_the_attempt_at_once(
    serve: Serve, resolve_by: Callable[[Resolver], None]
) -> None:
    """The kernel refuses to connect a TCP socket to a multicast address, before anything is sent."""
    served = await serve(URL, hedges=0)
    resolve_by(HangingResolver())
    dialer = served.worker.upstream._dialer
    dialer._addresses = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("224.0.0.1", 80))]
    dialer._looked_up_at = served.worker.trampoline.clock()
    _, _, body = await served.get()
    (attempt,) = json.loads(body)["attempts"]
    assert (attempt["outcome"], attempt["detail"]) == ("connect", "Network is unreachable")


@pytest.mark.parametrize("stopped_by", ["the caller", "the pool", "the worker"])
async def test_a_dial_to_a_known_address_can_be_stopped(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, stopped_by: str
) -> None:
    """The fixture looks for what is left: no socket, no task, no alarm."""
    limits = UpstreamLimits(connect_timeout_s=0.05)
    with hanging("127.0.0.1") as (_, port):
        url = f"http://127.0.0.1:{port}/"
        served = await serve(url, hedges=0, upstream_limits=limits, losers=LoserPolicy.CANCEL)
        await asked_once(served, monkeypatch)
        served.worker.upstream._dialer.limits = FOR_EVER
        caller = await served.caller()
        caller.send(b"GET /api/smart HTTP/1.1\r\nHost: x\r\n\r\n")
        await served.until(lambda: TCP_SYN_SENT in open_sockets().values())
        match stopped_by:
            case "the caller":
                caller.close()
                await served.until(lambda: not served.worker.upstream.connections)
            case "the pool":
                await served.worker.upstream.close()
                assert (await caller.answer())[0] == 502
            case _:
                await served.worker.close()
        caller.close()
        assert not served.worker.upstream.connections


async def test_a_dial_that_is_too_late_as_it_succeeds_ends_once(serve: Serve) -> None:
    """In a long turn the alarm is looked at by whatever callback comes first: here by that of its own socket."""
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url, hedges=0)
        pool = served.worker.upstream
        dialer, trampoline = pool._dialer, served.worker.trampoline
        dialer.limits = UpstreamLimits(connect_timeout_s=0.001)
        dialer._addresses = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", upstream.address)]
        dialer._looked_up_at = pool.clock()
        pool.carry(attempt := Attempt(1, pool.clock(), lambda: None, b"x"))
        (connection,) = pool.connections
        while trampoline.clock() < trampoline.alarms.next_due_at:
            pass  # a turn that does not end
        knock = connection.dial
        assert isinstance(knock, dialing.Knock)
        knock._on_writable()
        assert attempt.outcome == Failure(FailureReason.CONNECT, "no connection within 0.001 s")
        knock.on_deadline()
        knock.cancel()
        knock._on_writable()
        await served.until(lambda: not pool.connections)
        assert served.counts.attempts == {"1": {"connect": 1}}


async def test_a_socket_whose_transport_is_not_wanted_any_more_is_closed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Abandoned between the end of the knock and the first step of the task that makes a transport of the socket."""
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url, hedges=0, losers=LoserPolicy.CANCEL)
        pool = served.worker.upstream
        adopt = pool._dialer.adopt

        def adopt_and_abandon(connection: Connection) -> Coroutine[None, None, None]:
            asyncio.get_running_loop().call_soon(connection.abandon)
            return adopt(connection)

        monkeypatch.setattr(pool._dialer, "adopt", adopt_and_abandon)
        pool._dialer._addresses = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", upstream.address)]
        pool._dialer._looked_up_at = pool.clock()
        pool.carry(Attempt(1, pool.clock(), lambda: None, b"x"))
        await served.until(lambda: not pool.connections)


# -- what uvloop and a long turn of the loop make of it


async def test_an_earlier_dials_end_says_nothing_of_a_later_one(serve: Serve) -> None:
    """C13: in one long turn a connection came about, was used, died and was dialed anew; then came the word that its
    first dial had ended. The second one ran on unknown to the pool, and its attempt failed."""

    async def ends_at_once() -> None:
        pass

    first = asyncio.ensure_future(ends_at_once())
    await first
    with hanging("127.0.0.1") as (_, port):
        served = await serve(f"http://127.0.0.1:{port}/", hedges=0, upstream_limits=FOR_EVER)
        asking = asyncio.ensure_future(served.get())
        await served.until(lambda: served.counts.upstream_connections.get("dialing") == 1)
        pool = served.worker.upstream
        (connection,) = pool.connections
        second = connection.dial
        pool._dialed(connection, first)
        assert (connection.dial, connection.state) == (second, State.DIALING)
        assert connection in pool.connections
        await pool.close()
        assert isinstance(second, asyncio.Task)
        assert second.cancelled()
        await asking


async def test_a_connection_that_nobody_wants_any_more_gives_its_descriptor_back_once(serve: Serve) -> None:
    """C13: uvloop closed what was aborted within `connection_made`, and left its number with the socket. That closed
    it again when it was freed; by then it was another connection's."""
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url)
        pool = served.worker.upstream
        unwanted = Connection(pool)
        await pool._dialer.dial(unwanted)
        assert unwanted.sock is not None
        assert unwanted.sock.fileno() == -1


# -- dials that nobody waits for any more


async def test_an_answer_that_comes_before_the_dial_has_returned_leaves_no_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer, which ends its connection, lies there as we begin to read. A cancelled dial then had uvloop close the
    transport without a `connection_lost`: each one took a place in the pool for good, and no worker could end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
        theirs.sendall(ok(b'{"time":1}', b"Connection: close"))
        ours.setblocking(False)

        async def start_connection(*_: object, **__: object) -> socket.socket:
            return ours

        monkeypatch.setattr(dialing, "start_connection", start_connection)
        with theirs:
            served = await serve("http://127.0.0.1:1/", hedges=0)
            assert (await served.get())[0] == 200
            await served.until(lambda: not served.worker.upstream.connections)


async def test_a_dial_that_is_out_of_time_just_as_the_connection_comes_about_leaves_none(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C02: uvloop closed the transport without a word; the attempt waited on it, and its place in the pool was lost."""
    made = Connection.connection_made

    def made_at_the_last_instant(connection: Connection, transport: asyncio.BaseTransport) -> None:
        made(connection, transport)
        assert connection.dial is not None
        connection.dial.cancel()  # as `asyncio.timeout` does

    monkeypatch.setattr(Connection, "connection_made", made_at_the_last_instant)
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url, hedges=0)
        assert await reasons(served, "/api/smart?timeout=500") == ["connect"]
        await served.until(lambda: not served.worker.upstream.connections)


async def test_an_attempt_that_is_abandoned_as_it_is_launched_leaves_no_connection(serve: Serve) -> None:
    """A task that is cancelled before its first step never gets to a `finally`."""
    async with scripted(instantly) as upstream:
        served = await serve(upstream.url, losers=LoserPolicy.CANCEL)
        pool = served.worker.upstream
        pool.carry(Attempt(1, pool.clock(), lambda: None, b"x")).abandon()
        await served.until(lambda: not pool.connections)


@pytest.mark.parametrize("fate", ["refused", "cut off", "no room"])
async def test_a_connection_that_never_came_about_is_freed_without_a_collection(
    serve: Serve, fate: str
) -> None:
    """C13: parser and connection held each other, and a worker collects only after 500 000 objects: 100 MB."""
    kinds = {"refused": refusing, "cut off": hanging, "no room": refusing}
    gc.collect()
    gc.disable()
    try:
        with kinds[fate]("127.0.0.1") as (_, port):
            served = await serve(f"http://127.0.0.1:{port}/", hedges=0, losers=LoserPolicy.CANCEL)
            if fate == "no room":
                served.worker.upstream.max_connections = 0
            status, *_ = await served.get(
                "/api/smart?timeout=20" if fate == "cut off" else "/api/smart?timeout=250"
            )
            assert status == (504 if fate == "cut off" else 502)
            await served.until(lambda: not served.worker.upstream.connections)
            await served.until(lambda: not any(isinstance(each, Connection) for each in gc.get_objects()))
    finally:
        gc.enable()


@pytest.mark.parametrize("how", [refusing, hanging])
async def test_a_dial_of_two_addresses_that_failed_is_freed_without_a_collection(
    serve: Serve,
    resolve_by: Callable[[Resolver], None],
    how: Callable[[str], AbstractContextManager[Address]],
) -> None:
    """C02: its exceptions held its frames, which held them and the connection."""
    gc.collect()
    gc.disable()
    try:
        with how("127.0.0.1") as first, how("127.0.0.2") as second:

            async def resolver() -> list[Address]:
                return [first, second]

            resolve_by(resolver)
            limits = UpstreamLimits(happy_eyeballs_delay_s=0.02, connect_timeout_s=0.1)
            served = await serve(URL, hedges=0, upstream_limits=limits)
            assert await reasons(served) == ["connect"]
            await served.until(lambda: not served.worker.upstream.connections)
            await served.until(lambda: not any(isinstance(each, Connection) for each in gc.get_objects()))
    finally:
        gc.enable()


# -- stopping


@pytest.mark.parametrize("stage", ["lookup", "tcp", "tls"])
async def test_closing_the_pool_cancels_dials_at_whatever_stage_they_are(
    serve: Serve, resolve_by: Callable[[Resolver], None], stage: str
) -> None:
    """The fixture looks for what is left: no socket, no task."""
    resolver = HangingResolver()
    reached = asyncio.Event()

    async def says_nothing(asked: Asked) -> None:
        await asked.reader.read(1)  # the first byte of a TLS handshake
        reached.set()
        await asked.reader.read()

    async with scripted(says_nothing) as upstream:
        with hanging("127.0.0.1") as (_, port):
            match stage:
                case "lookup":
                    resolve_by(resolver)
                    url = URL
                case "tcp":
                    url = f"http://127.0.0.1:{port}/"
                case _:
                    url = upstream.url.replace("http:", "https:")
            served = await serve(url, hedges=0, upstream_limits=FOR_EVER)
            asking = asyncio.ensure_future(served.get())
            await served.until(lambda: served.counts.upstream_connections.get("dialing") == 1)
            await {
                "lookup": lambda: served.until(lambda: resolver.lookups == 1),
                "tcp": lambda: served.until(lambda: TCP_SYN_SENT in open_sockets().values()),
                "tls": reached.wait,
            }[stage]()
            await served.worker.upstream.close()
            status, _, body = await asking
            (attempt,) = json.loads(body)["attempts"]
            assert (status, attempt["outcome"], attempt["detail"]) == (502, "reset", "the gateway stops")
            assert served.counts.attempts == {"1": {"reset": 1}}


async def test_the_worker_closes_while_it_dials(serve: Serve) -> None:
    with hanging("127.0.0.1") as (_, port):
        served = await serve(f"http://127.0.0.1:{port}/", upstream_limits=FOR_EVER)
        caller = await served.caller()
        caller.send(b"GET /api/smart HTTP/1.1\r\nHost: x\r\n\r\n")
        await served.until(lambda: TCP_SYN_SENT in open_sockets().values())
        await served.worker.close()
        assert await caller.closed() == b""
        caller.close()
        assert served.counts.requests == {"abandoned": 1}
