"""Handshakes in their turn; what they come to is in test_connector.py."""

import ssl
from errno import ENOSPC
from typing import Any, cast

import pytest

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.settings import UpstreamLimits, parse_target
from hedgerow.settings.routes import UpstreamRule
from hedgerow.upstream.connecting import Connecting
from hedgerow.upstream.connection_budget import ConnectionBudget
from hedgerow.upstream.connector import Connector
from hedgerow.upstream.endpoints import Endpoints
from support.fake_network import Network, VirtualLoop

TARGET = parse_target("https://192.0.2.1/")


class Context:
    """Stands for an `ssl.SSLContext`: handshakes wait for the server."""

    def __init__(self, *, first_raises: bool = False) -> None:
        self.started: list[int] = []
        """The descriptors of those that were started."""
        self._first_raises = first_raises

    def wrap_socket(self, sock: Any, **_: object) -> Any:
        self.started.append(sock.fileno())
        if self._first_raises and len(self.started) == 1:
            raise ZeroDivisionError
        sock.do_handshake = self._wait
        return sock

    def _wait(self) -> None:
        raise ssl.SSLWantReadError


def make_connector(world: VirtualLoop, context: Context) -> tuple[Connector, Network]:
    network = Network(world)
    network.connects("192.0.2.1", 0.0)
    rule = UpstreamRule(name="test", endpoints=(TARGET,))
    resolver: Any = None
    connector = Connector(
        rule,
        Endpoints(rule.endpoints, rule.lb_policy, None),
        UpstreamLimits(),
        world.loop,
        resolver,
        ConnectionBudget(100),
        open_socket=network.open_socket,
    )
    connector.tls = cast("ssl.SSLContext", context)
    return connector, network


def connects(connector: Connector, number: int) -> list[Connecting]:
    return [connector.connect(None, [], lambda *_: None) for _ in range(number)]


def test_an_internal_error_on_the_way_of_one_does_not_keep_the_others() -> None:
    """They would wait for good: the queue wakes only when it was empty."""
    world, context = VirtualLoop(), Context(first_raises=True)
    connector, _ = make_connector(world, context)
    begun = connects(connector, 3)
    world.run_for(0.1)
    assert len(context.started) == 3
    assert world.internal_errors == 1
    for each in begun:
        each.cancel()


def test_one_that_no_attempt_waits_for_is_started_when_one_does() -> None:
    world, context = VirtualLoop(), Context()
    connector, network = make_connector(world, context)
    begun = connects(connector, 3)
    for each in begun:
        each.is_needed = False
    world.run_for(0.1)
    assert (context.started, begun[0].is_handshaking) == ([], True)
    for _ in range(2):
        begun[1].need()
    world.run_for(0.1)
    begun[1].need()
    world.run_for(0.1)
    assert context.started == [network.open[1].fd], "once"
    for each in begun:
        each.cancel()
    assert world.internal_errors == 0


def test_one_that_is_needed_again_before_its_turn_keeps_its_place() -> None:
    world, context = VirtualLoop(), Context()
    connector, network = make_connector(world, context)
    begun = connects(connector, 3)
    begun[0].is_needed = False
    world.run_until(lambda: all(each.is_handshaking for each in begun))
    begun[0].need()
    world.run_for(0.1)
    assert context.started == [sock.fd for sock in network.open]
    for each in begun:
        each.cancel()


def test_one_that_no_attempt_waits_for_ends_with_the_time_to_connect_and_is_no_failure() -> None:
    world, context = VirtualLoop(), Context()
    connector, network = make_connector(world, context)
    ended: list[object] = []
    connecting = connector.connect(None, [], lambda result, _: ended.append(result))
    connecting.is_needed = False
    world.run_for(UpstreamLimits().connect_timeout_s + 0.01)
    assert ended == [Failure(FailureReason.CONNECT, "no connection within 3 s (TLS handshake)")]
    assert [each.unreachable_until for each in connector.endpoints.all] == [0.0]
    assert network.open == []


def test_one_that_may_not_be_watched_fails_at_once_and_speaks_against_no_endpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ENOSPC of epoll_ctl(2): its end, after all the time to connect, raised and was never reported."""
    world, context = VirtualLoop(), Context()
    connector, network = make_connector(world, context)
    registered = dict(world.poller.registered)
    ended: list[object] = []
    connecting = connector.connect(None, [], lambda result, _: ended.append(result))

    def fail(*_: object) -> None:
        raise OSError(ENOSPC, "x")

    monkeypatch.setattr(world.poller, "register", fail)
    world.run_until(lambda: connecting.is_handshaking)
    world.run_for(0.1)
    assert ended == [Failure(FailureReason.CONNECT, "No space left on device")]
    assert [(each.failures, each.unreachable_until) for each in connector.endpoints.all] == [(0, 0.0)]
    assert (network.open, world.poller.registered, world.internal_errors) == ([], registered, 0)
