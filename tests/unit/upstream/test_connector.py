"""Name lookup beside the traffic, in virtual time; TLS on real sockets."""

import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import pytest
import trustme

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.eventloop.poller import WRITABLE
from hedgerow.net.resolver import OnResult, Resolver
from hedgerow.net.stream import Stream
from hedgerow.net.tcp import Address
from hedgerow.net.tls import read_failure
from hedgerow.net.tls_sessions import SESSION_AGE_S
from hedgerow.settings import UpstreamLimits, parse_target
from hedgerow.settings.routes import UpstreamRule
from hedgerow.upstream.connecting import Connecting
from hedgerow.upstream.connection_budget import ConnectionBudget
from hedgerow.upstream.connector import Connector
from hedgerow.upstream.endpoint import Endpoint
from hedgerow.upstream.endpoints import Endpoints
from hedgerow.upstream.handshakes import HANDSHAKES_PER_ITERATION
from hedgerow.upstream.names import LOOKUP_PAUSE_S
from support.fake_network import Network, VirtualLoop

URL = "http://upstream.test/"
UNKNOWN = Failure(FailureReason.CONNECT, "name lookup: Name or service not known")


def address(host: str) -> Address:
    return (2, 1, 6, "", (host, 80))


class PendingLookup:
    def __init__(self, resolver: "FakeResolver", on_result: OnResult) -> None:
        self.cancelled = False
        self._resolver = resolver
        self._on_result = on_result

    def end(self, result: Sequence[Address] | Failure) -> None:
        self._resolver.pending = None
        self._on_result(result)

    def cancel(self) -> None:
        self.cancelled = True


class FakeResolver(EventHandler):
    """Notes when lookups begin; each ends when the test says so, or with `answer` after 10 ms."""

    def __init__(self, world: VirtualLoop) -> None:
        self.answer: str | Failure | None = None
        self.began_at: list[float] = []
        self.pending: PendingLookup | None = None
        self.names: tuple[str, ...] = ("upstream.test",)
        self._pending: dict[str, PendingLookup] = {}
        """Where there are several names."""
        self._world = world
        self._began_at = world.clock.now

    def look_up(self, host: str, port: int, on_result: OnResult) -> Any:
        assert host in self.names
        assert port == 80
        if len(self.names) > 1:
            assert host not in self._pending, "two lookups at a time"
            self._pending[host] = PendingLookup(self, on_result)
            return self._pending[host]
        assert self.pending is None, "two lookups at a time"
        self.began_at.append(round(self._world.clock.now - self._began_at, 2))
        self.pending = PendingLookup(self, on_result)
        if self.answer is not None:
            self._world.loop.call_at(self._world.clock.now + 0.01, self)
        return self.pending

    def on_deadline(self) -> None:
        if self.pending is not None:
            self.end(self.answer)

    @property
    def pending_names(self) -> list[str]:
        return list(self._pending)

    def end_of(self, name: str, answer: str | Failure) -> None:
        """End the lookup of one of several names."""
        found = answer if isinstance(answer, Failure) else [address(host) for host in answer]
        self._pending.pop(name).end(found)

    def end(self, answer: str | Failure | None) -> None:
        assert self.pending is not None
        assert answer is not None
        self.pending.end(answer if isinstance(answer, Failure) else [address(host) for host in answer])


class Bench:
    def __init__(self) -> None:
        self.world = VirtualLoop()
        self.network = Network(self.world)
        self.resolver = FakeResolver(self.world)
        self.results: list[object] = []
        self.connector = self.make(URL)

    def make(self, *urls: str) -> Connector:
        rule = UpstreamRule(name="test", endpoints=tuple(parse_target(url) for url in urls))
        return Connector(
            rule,
            Endpoints(rule.endpoints, "round_robin", None),
            UpstreamLimits(),
            self.world.loop,
            self.resolver,
            ConnectionBudget(100),
            open_socket=self.network.open_socket,
        )

    def over_tls(self, hosts: str) -> "HangingHandshake":
        """Have the upstream speak TLS, with handshakes that wait, and these addresses."""
        url = "https://upstream.test:80/"
        self.connector = self.make(url)
        context = HangingHandshake()
        self.connector.tls = cast("ssl.SSLContext", context)
        self.connector.endpoints.replace(parse_target(url), [address(host) for host in hosts])
        return context

    @property
    def addresses(self) -> str:
        """The hosts of the endpoints."""
        return "".join(endpoint.address[4][0] for endpoint in self.connector.endpoints.all)

    def connect(self) -> Connecting:
        return self.connector.connect(None, [], self.on_done)

    def on_done(self, result: Stream | Failure, to: Endpoint | None) -> None:
        if isinstance(result, Stream):
            assert to is not None
            self.results.append(to.address[4][0])
            self.world.loop.unregister(result.sock.fileno())
            result.close()
        else:
            self.results.append(result)

    def outcome(self) -> object:
        """What a connect comes to that begins now."""
        self.results.clear()
        self.connect()
        self.world.run_until(lambda: bool(self.results))
        return self.results[0]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.connector.close()
    bench.world.loop.run_once(0)
    assert bench.world.internal_errors == 0
    assert bench.network.open == []


# -- the first lookup


def test_u04_the_first_connects_wait_for_one_lookup(bench: Bench) -> None:
    bench.network.connects("a")
    for _ in range(5):
        bench.connect()
    bench.world.run_for(0.1)
    assert bench.results == []
    bench.resolver.end("a")
    bench.world.run_for(0.1)
    assert bench.results == ["a"] * 5
    assert bench.resolver.began_at == [0.0]


def test_u04_a_name_can_be_looked_up_before_the_first_connect(bench: Bench) -> None:
    bench.network.connects("a")
    bench.connector.start()
    bench.resolver.end("a")
    assert bench.outcome() == "a"
    assert bench.resolver.began_at == [0.0]


def test_u04_a_lookup_counts_as_connecting(bench: Bench) -> None:
    bench.connect()
    bench.world.run_for(3.0)
    assert bench.results == [Failure(FailureReason.CONNECT, "no connection within 3 s (name lookup)")]


def test_u04_lookup_and_tcp_have_one_deadline(bench: Bench) -> None:
    bench.network.hangs("a")
    bench.connect()
    bench.world.run_for(2.0)
    bench.resolver.end("a")
    bench.world.run_for(0.99)
    assert bench.results == []
    bench.world.run_for(0.011)
    assert bench.results == [Failure(FailureReason.CONNECT, "no connection within 3 s (TCP)")]


def test_u04_a_lookup_that_took_too_long_serves_those_who_come_later(bench: Bench) -> None:
    bench.network.connects("a")
    bench.connect()
    bench.world.run_for(3.1)
    bench.resolver.end("a")
    assert bench.outcome() == "a"
    assert bench.resolver.began_at == [0.0]


@pytest.mark.parametrize("end", ["cancelled", "out of time"])
def test_d4_a_lookup_that_hangs_holds_no_connect_that_waits_no_longer(bench: Bench, end: str) -> None:
    """It may hang for 30 s, and thousands of connects begin meanwhile."""
    started = bench.connect()
    if end == "cancelled":
        started.cancel()
    else:
        bench.world.run_for(3.1)
    assert bench.connector._waiting == {}


def test_u04_a_connect_that_waits_for_the_lookup_can_be_cancelled(bench: Bench) -> None:
    bench.connect().cancel()
    bench.resolver.end("a")
    bench.world.run_for(5.0)
    assert bench.results == []
    assert bench.network.attempts == []


def test_u04_a_connect_can_be_cancelled_between_the_lookup_and_its_turn(bench: Bench) -> None:
    started = bench.connect()
    bench.resolver.end("a")
    started.cancel()
    bench.world.run_for(5.0)
    assert bench.results == []
    assert bench.network.attempts == []


def test_u04_a_name_that_does_not_exist_fails_those_who_wait_and_is_looked_up_again(bench: Bench) -> None:
    bench.network.connects("a")
    bench.resolver.answer = UNKNOWN
    assert bench.outcome() == UNKNOWN
    bench.resolver.answer = "a"
    assert bench.outcome() == "a"
    assert bench.resolver.began_at == [0.0, 0.01 + LOOKUP_PAUSE_S]


def test_u04_a_lookup_that_fails_when_no_connect_waits_any_more_is_no_internal_error(bench: Bench) -> None:
    """C02: asyncio logged it with a stack, as an exception that was never retrieved."""
    bench.connect().cancel()
    bench.resolver.end(UNKNOWN)
    bench.world.run_for(0.1)
    assert bench.world.internal_errors == 0


# -- beside the traffic


def test_u04_the_name_is_looked_up_each_30_s_also_without_connects(bench: Bench) -> None:
    """Pooled connections serve steady traffic without one connect, and shall not outlive a move of the name (D3)."""
    bench.resolver.answer = "a"
    bench.connector.start()
    bench.world.run_for(95.0)
    assert bench.resolver.began_at == [0.0, 30.01, 60.02, 90.03]


def test_d4_no_connect_waits_while_a_later_lookup_hangs(bench: Bench) -> None:
    bench.network.connects("a", 0.001)
    bench.resolver.answer = "a"
    assert bench.outcome() == "a"
    bench.resolver.answer = None
    bench.world.run_for(60.0)
    assert bench.resolver.pending is not None
    began_at = bench.world.clock.now
    assert bench.outcome() == "a"
    assert bench.world.clock.now - began_at < 0.0015
    assert len(bench.resolver.began_at) == 2


def test_d4_stale_addresses_are_used_on_while_lookups_fail(bench: Bench) -> None:
    bench.network.connects("a")
    bench.resolver.answer = "a"
    assert bench.outcome() == "a"
    bench.resolver.answer = UNKNOWN
    bench.world.run_for(35.0)
    assert bench.outcome() == "a"
    assert bench.resolver.began_at[:3] == [0.0, 30.01, 31.02], "and tried again each second"
    assert bench.addresses == "a"


def test_d3_a_name_that_moves_is_followed_within_30_s(bench: Bench) -> None:
    bench.network.connects("a")
    bench.network.connects("b")
    bench.resolver.answer = "a"
    assert bench.outcome() == "a"
    bench.resolver.answer = "b"
    bench.world.run_for(29.9)
    (before,) = bench.connector.endpoints.all
    assert (bench.addresses, before.is_current) == ("a", True)
    bench.world.run_for(0.2)
    assert (bench.addresses, before.is_current) == ("b", False)
    assert bench.outcome() == "b"


def test_d3_an_address_that_is_added_closes_nothing(bench: Bench) -> None:
    bench.resolver.answer = "a"
    bench.connector.start()
    bench.world.run_for(1.0)
    (before,) = bench.connector.endpoints.all
    bench.resolver.answer = "ba"
    bench.world.run_for(35.0)
    assert bench.addresses == "ba"
    assert bench.connector.endpoints.all[1] is before
    assert before.is_current


def test_u04_a_name_that_has_moved_is_followed_soon_where_connecting_fails(bench: Bench) -> None:
    bench.network.refuses("a")
    bench.network.connects("b")
    bench.resolver.answer = "a"
    bench.connector.start()
    bench.world.run_for(10.0)
    bench.resolver.answer = "b"
    refused = Failure(FailureReason.CONNECT, "Connection refused")
    assert bench.outcome() == refused, "it waits for no lookup"
    bench.world.run_for(0.1)
    assert bench.outcome() == "b"


def test_u04_an_upstream_that_refuses_all_the_time_costs_one_lookup_a_second(bench: Bench) -> None:
    bench.network.refuses("a")
    bench.resolver.answer = "a"
    for _ in range(100):
        bench.outcome()
        bench.world.run_for(0.05)
    assert len(bench.resolver.began_at) <= 1 + 5.2


def test_u04_an_ip_literal_is_never_looked_up(bench: Bench) -> None:
    bench.connector = bench.make("http://127.0.0.9:80/")
    bench.network.connects("127.0.0.9")
    bench.connector.start()
    assert bench.outcome() == "127.0.0.9"
    bench.network.refuses("127.0.0.9")
    bench.outcome()
    bench.world.run_for(100.0)
    assert bench.resolver.began_at == []


def test_a_connector_that_is_closed_looks_up_no_more(bench: Bench) -> None:
    bench.connector.start()
    pending = bench.resolver.pending
    assert pending is not None
    bench.connector.close()
    assert pending.cancelled
    bench.resolver.pending = None
    bench.world.run_for(100.0)
    assert bench.resolver.began_at == [0.0]
    assert len(bench.world.loop.deadlines) == 0


def test_a_connector_that_is_closed_between_lookups_leaves_no_deadline(bench: Bench) -> None:
    bench.resolver.answer = "a"
    bench.connector.start()
    bench.world.run_for(1.0)
    bench.connector.close()
    assert len(bench.world.loop.deadlines) == 0


# -- several names


@pytest.fixture
def two(bench: Bench) -> Bench:
    """An upstream of two names; each lookup ends when the test says so."""
    bench.resolver.names = ("one.test", "two.test")
    bench.connector = bench.make("http://one.test/", "http://two.test/")
    bench.connector.start()
    return bench


def test_u04_each_name_is_looked_up_for_itself(two: Bench) -> None:
    two.network.connects("a")
    two.resolver.end_of("one.test", "ab")
    two.resolver.end_of("two.test", "c")
    assert two.addresses == "abc"
    two.world.run_for(30.5)
    two.resolver.end_of("two.test", "de")
    assert two.addresses == "abde"
    two.resolver.end_of("one.test", UNKNOWN)
    assert two.addresses == "abde"


def test_u04_connects_wait_for_the_first_name_that_has_an_address(two: Bench) -> None:
    two.network.connects("c")
    two.connect()
    two.resolver.end_of("one.test", UNKNOWN)
    two.world.run_for(0.1)
    assert two.results == [], "the other may have one"
    two.resolver.end_of("two.test", "c")
    two.world.run_for(0.1)
    assert two.results == ["c"]


def test_u04_connects_fail_once_no_name_has_an_address(two: Bench) -> None:
    two.connect()
    two.resolver.end_of("two.test", UNKNOWN)
    two.resolver.end_of("one.test", UNKNOWN)
    two.world.run_for(0.1)
    assert two.results == [UNKNOWN]


def test_u04_only_the_name_whose_endpoint_refuses_is_looked_up_soon(two: Bench) -> None:
    two.network.refuses("a")
    two.network.connects("b")
    two.resolver.end_of("one.test", "a")
    two.resolver.end_of("two.test", "b")
    two.world.run_for(10.0)
    assert two.outcome() == "b", "in the same connect"
    assert two.resolver.pending_names == ["one.test"]


def test_u05_endpoints_with_and_without_tls(bench: Bench) -> None:
    bench.connector = bench.make("https://127.0.0.8/", "http://127.0.0.9/")
    context = HangingHandshake()
    bench.connector.tls = cast("ssl.SSLContext", context)
    bench.network.connects("127.0.0.8", 0.001)
    bench.network.connects("127.0.0.9", 0.001)
    started = bench.connect()
    bench.connect()
    bench.world.run_for(0.1)
    assert bench.results == ["127.0.0.9"]
    assert context.started == 1
    started.cancel()


# -- TLS, on real sockets


class Served:
    """A TLS server in a thread, which does one thing with each connection; and a connector to it."""

    def __init__(self, ca: trustme.CA) -> None:
        self.ca = ca
        self.errors: list[str] = []
        self.loop = EventLoop(time.monotonic, on_internal_error=traceback.print_exc)
        self.resolver = Resolver(self.loop)
        self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.client.minimum_version = ssl.TLSVersion.TLSv1_2
        ca.configure_trust(self.client)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(self.server)
        self.streams: list[Stream] = []

    def connector(self, port: int, connect_timeout_s: float = 3.0) -> Connector:
        target = parse_target(f"https://127.0.0.1:{port}/")
        limits = UpstreamLimits(connect_timeout_s=connect_timeout_s)
        rule = UpstreamRule(name="test", endpoints=(target,))
        endpoints = Endpoints(rule.endpoints, "round_robin", None)
        connector = Connector(rule, endpoints, limits, self.loop, self.resolver, ConnectionBudget(100))
        connector.tls = self.client
        return connector

    def connect(self, port: int, connect_timeout_s: float = 3.0) -> Stream | Failure:
        connector = self.connector(port, connect_timeout_s)
        results: list[Stream | Failure] = []
        connector.connect(None, [], lambda result, _: results.append(result))
        while not results:
            self.loop.run_once(1.0)
        if isinstance(results[0], Stream):
            self.streams.append(results[0])
        connector.close()
        return results[0]

    def read(self, stream: Stream) -> bytes:
        """Read once there is something; for what a read raises see `read_failure`."""
        sock = stream.sock
        ready = Ready()
        self.loop.replace_source(sock.fileno(), ready)
        while True:
            ready.came = False
            while not ready.came:
                self.loop.run_once(1.0)
            data = stream.read()
            if data is not None:
                return data

    def close(self) -> None:
        for stream in self.streams:
            self.loop.unregister(stream.sock.fileno())
            stream.close()
        self.resolver.close()
        self.loop.run_once(0)
        assert len(self.loop.deadlines) == 0
        assert not self.loop._sources
        self.loop.close()


class Ready(EventHandler):
    came = False

    def on_ready(self, _mask: int) -> None:
        self.came = True

    def abort(self) -> None:
        raise AssertionError


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def served(ca: trustme.CA) -> Iterator[Served]:
    served = Served(ca)
    yield served
    served.close()


@contextmanager
def serving(act: Callable[[socket.socket], None], times: int = 1) -> Iterator[int]:
    """Accept connections in a thread, one after the other, and act on each; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(times):
                sock, _ = listener.accept()
                with sock, suppress(OSError):  # the client may be gone
                    act(sock)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def handshake_then(
    context: ssl.SSLContext, act: Callable[[ssl.SSLSocket], None]
) -> Callable[[socket.socket], None]:
    def serve(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as tls:
            act(tls)

    return serve


def until_closed(sock: socket.socket) -> None:
    while sock.recv(1000):
        pass


def read_once(sock: socket.socket) -> None:
    sock.recv(1000)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_u05_a_tls_connection_is_verified_and_speaks_both_ways(
    served: Served, version: ssl.TLSVersion
) -> None:
    served.server.maximum_version = served.server.minimum_version = version

    def echo(sock: ssl.SSLSocket) -> None:
        sock.sendall(sock.recv(100).upper())
        until_closed(sock)

    with serving(handshake_then(served.server, echo)) as port:
        stream = served.connect(port)
        assert isinstance(stream, Stream)
        assert isinstance(stream.sock, ssl.SSLSocket)
        stream.write(b"hello")
        assert served.read(stream) == b"HELLO"
        served.loop.unregister(stream.sock.fileno())
        served.streams.clear()
        stream.close()
        served.loop.run_once(0)


@pytest.mark.parametrize(
    ("flaw", "text"),
    [
        ("another name", "certificate: IP address mismatch, certificate is not valid for '127.0.0.1'."),
        ("another authority", "certificate: unable to get local issuer certificate"),
    ],
)
def test_u05_a_certificate_that_is_not_the_upstreams_is_a_tls_failure(
    served: Served, flaw: str, text: str
) -> None:
    if flaw == "another name":
        served.ca.issue_cert("127.0.0.2").configure_cert(served.server)
    else:
        trustme.CA().issue_cert("127.0.0.1").configure_cert(served.server)
    with serving(handshake_then(served.server, until_closed)) as port:
        assert served.connect(port) == Failure(FailureReason.TLS, text)


def test_u05_an_upstream_that_does_not_speak_tls_is_a_tls_failure(served: Served) -> None:
    def answer_in_clear_text(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        sock.recv(1000)

    with serving(answer_in_clear_text) as port:
        assert served.connect(port) == Failure(FailureReason.TLS, "TLS: wrong version number")


def test_u05_an_upstream_that_closes_during_the_handshake_is_a_tls_failure(served: Served) -> None:
    with serving(read_once) as port:
        assert served.connect(port) == Failure(
            FailureReason.TLS, "the upstream closed the connection during the TLS handshake"
        )


def test_u05_an_upstream_with_an_old_version_alone_is_a_tls_failure(served: Served) -> None:
    served.client.minimum_version = ssl.TLSVersion.TLSv1_3
    served.server.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(handshake_then(served.server, until_closed)) as port:
        assert served.connect(port) == Failure(
            FailureReason.TLS, "TLS alert from the upstream: protocol version"
        )


def test_u05_a_handshake_that_hangs_is_bounded(served: Served) -> None:
    with serving(until_closed) as port:
        assert served.connect(port, connect_timeout_s=0.05) == Failure(
            FailureReason.CONNECT, "no connection within 0.05 s (TLS handshake)"
        )


@pytest.mark.parametrize(
    ("version", "at"), [(ssl.TLSVersion.TLSv1_2, "connect"), (ssl.TLSVersion.TLSv1_3, "read")]
)
def test_c9_a_client_certificate_that_is_missing_is_a_tls_failure_with_the_alert(
    served: Served, version: ssl.TLSVersion, at: str
) -> None:
    served.server.maximum_version = version
    served.server.verify_mode = ssl.CERT_REQUIRED
    served.ca.configure_trust(served.server)
    with serving(handshake_then(served.server, until_closed)) as port:
        result = served.connect(port)
        if at == "read":
            assert isinstance(result, Stream)
            result.write(b"GET / HTTP/1.1\r\n\r\n")
            with pytest.raises(ssl.SSLError) as raised:
                served.read(result)
            result = read_failure(raised.value)
    assert isinstance(result, Failure)
    assert result.reason is FailureReason.TLS
    expected = {"connect": "handshake failure", "read": "certificate required"}[at]
    assert result.detail == f"TLS alert from the upstream: {expected}"


def test_c9_a_connection_that_ends_without_close_notify_is_no_tls_failure(served: Served) -> None:
    def cut(sock: ssl.SSLSocket) -> None:
        sock.recv(100)
        sock.shutdown(socket.SHUT_RDWR)  # Python's sends no close_notify

    with serving(handshake_then(served.server, cut)) as port:
        stream = served.connect(port)
        assert isinstance(stream, Stream)
        stream.write(b"x")
        with pytest.raises(ssl.SSLEOFError) as raised:
            served.read(stream)
    assert read_failure(raised.value) == Failure(
        FailureReason.RESET, "the connection ended without a TLS close_notify"
    )


def test_a_connection_that_ends_with_close_notify_has_an_end(served: Served) -> None:
    def end(sock: ssl.SSLSocket) -> None:
        sock.recv(100)
        sock.unwrap()

    with serving(handshake_then(served.server, end)) as port:
        stream = served.connect(port)
        assert isinstance(stream, Stream)
        stream.write(b"x")
        assert served.read(stream) == b""
        served.loop.unregister(stream.sock.fileno())
        served.streams.clear()
        stream.close()
        served.loop.run_once(0)


# -- resuming sessions


def respond_once(sock: ssl.SSLSocket) -> None:
    sock.sendall(sock.recv(100))  # after the tickets
    until_closed(sock)


def connect_and_keep(served: Served, connector: Connector, verified_at: float | None = None) -> bool:
    """Connect, ask, keep the session and close. Return whether a session was resumed."""
    results: list[tuple[Stream | Failure, Endpoint | None]] = []
    connector.connect(None, [], lambda *result: results.append(result))
    while not results:
        served.loop.run_once(1.0)
    stream, to = results[0]
    assert isinstance(stream, Stream)
    assert to is not None
    stream.write(b"x")
    assert served.read(stream) == b"x"
    sock = stream.sock
    assert isinstance(sock, ssl.SSLSocket)
    now = served.loop.clock()
    to.tls_session.keep(sock, now if verified_at is None else verified_at)
    reused = sock.session_reused
    served.loop.unregister(sock.fileno())
    stream.close()
    return bool(reused)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_u05_a_session_is_resumed(served: Served, version: ssl.TLSVersion) -> None:
    served.server.maximum_version = served.server.minimum_version = version
    with serving(handshake_then(served.server, respond_once), times=3) as port:
        connector = served.connector(port)
        assert [connect_and_keep(served, connector) for _ in range(3)] == [False, True, True]


def test_u05_a_session_is_resumed_for_a_bounded_time_only(served: Served) -> None:
    """What a resumed handshake does not verify is verified again then; resumed connections do not renew it."""
    with serving(handshake_then(served.server, respond_once), times=4) as port:
        connector = served.connector(port)
        almost = served.loop.clock() - SESSION_AGE_S + 60.0
        assert not connect_and_keep(served, connector, almost)
        assert connect_and_keep(served, connector)
        (endpoint,) = connector.endpoints.all
        assert endpoint.tls_session._verified_at == almost
        endpoint.tls_session._verified_at = almost - 61.0
        assert not connect_and_keep(served, connector)
        assert connect_and_keep(served, connector)


def test_u05_a_certificate_that_has_changed_is_verified_although_there_is_a_session(served: Served) -> None:
    impostor = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(impostor)
    contexts = [served.server, impostor, served.server]

    def serve(sock: socket.socket) -> None:
        handshake_then(contexts.pop(0), respond_once)(sock)

    with serving(serve, times=3) as port:
        connector = served.connector(port)
        assert not connect_and_keep(served, connector)
        results: list[Stream | Failure] = []
        connector.connect(None, [], lambda result, _: results.append(result))
        while not results:
            served.loop.run_once(1.0)
        assert results == [Failure(FailureReason.TLS, "certificate: unable to get local issuer certificate")]
        assert not connect_and_keep(served, connector), "a session with which a handshake failed is forgotten"


# -- bursts


class HangingHandshake:
    """Stands for an `ssl.SSLContext` and its socket; its handshakes wait for the server."""

    def __init__(self) -> None:
        self.started = 0

    def wrap_socket(self, sock: Any, **_: object) -> Any:
        self.started += 1
        sock.do_handshake = self._wait
        return sock

    def _wait(self) -> None:
        raise ssl.SSLWantReadError


def test_in_one_iteration_a_bounded_number_of_handshakes_is_started(bench: Bench) -> None:
    context = bench.over_tls("a")
    bench.network.connects("a", 0.0)
    burst = [bench.connect() for _ in range(2 * HANDSHAKES_PER_ITERATION + 5)]
    started: list[int] = []
    while context.started < len(burst):
        for fd, mask in bench.world.poller.registered.items():
            if mask == WRITABLE:  # level-triggered
                bench.world.poller.event_at(bench.world.clock.now, fd, WRITABLE)
        bench.world.loop.run_once(0)
        started.append(context.started)
    assert started == [0, HANDSHAKES_PER_ITERATION, 2 * HANDSHAKES_PER_ITERATION, len(burst)]
    for each in burst:
        each.cancel()


def test_a_handshake_can_be_cancelled(bench: Bench) -> None:
    """The fixture looks for the socket."""
    context = bench.over_tls("a")
    bench.network.connects("a", 0.0)
    registered = dict(bench.world.poller.registered)
    started = bench.connect()
    bench.world.run_until(lambda: context.started == 1)
    started.cancel()
    bench.world.run_for(5.0)
    assert bench.results == []
    assert bench.world.poller.registered == registered


def test_a_handshake_that_waits_for_its_turn_can_be_cancelled(bench: Bench) -> None:
    """The fixture looks for the sockets."""
    context = bench.over_tls("a")
    bench.network.connects("a", 0.0)
    registered = dict(bench.world.poller.registered)
    connects = [bench.connect() for _ in range(3)]
    for fd in list(bench.world.poller.registered):
        bench.world.poller.event_at(bench.world.clock.now, fd, WRITABLE)
    bench.world.loop.run_once(0)
    assert context.started == 0
    assert [each.is_handshaking for each in connects] == [True] * 3
    for each in connects:
        each.cancel()
    bench.world.loop.run_once(0)
    assert context.started == 0
    assert bench.world.poller.registered == registered


def test_d1_an_address_whose_handshake_hangs_is_avoided(bench: Bench) -> None:
    bench.over_tls("ab")
    bench.network.connects("a", 0.0)
    assert bench.outcome() == Failure(FailureReason.CONNECT, "no connection within 3 s (TLS handshake)")
    now = bench.world.clock.now
    assert [bench.connector.endpoints.choose([], now).address for _ in range(3)] == [address("b")] * 3
