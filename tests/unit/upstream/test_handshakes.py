"""Handshakes in their turn; what they come to is in test_connector.py."""

import ssl
from typing import Any, cast

from hedgerow.settings import UpstreamLimits, parse_target
from hedgerow.settings.routes import UpstreamRule
from hedgerow.upstream.connector import Connector
from hedgerow.upstream.endpoints import Endpoints
from support.fake_network import Network, VirtualLoop

TARGET = parse_target("https://192.0.2.1/")


class Context:
    """Stands for an `ssl.SSLContext`: the first handshake meets an internal error, the others wait for the server."""

    def __init__(self) -> None:
        self.started = 0

    def wrap_socket(self, sock: Any, **_: object) -> Any:
        self.started += 1
        if self.started == 1:
            raise ZeroDivisionError
        sock.do_handshake = self._wait
        return sock

    def _wait(self) -> None:
        raise ssl.SSLWantReadError


def test_an_internal_error_on_the_way_of_one_does_not_keep_the_others() -> None:
    """They would wait for good: the queue wakes only when it was empty."""
    world, context = VirtualLoop(), Context()
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
        open_socket=network.open_socket,
    )
    connector.tls = cast("ssl.SSLContext", context)
    connects = [connector.connect(None, [], lambda *_: None) for _ in range(3)]
    world.run_for(0.1)
    assert context.started == 3
    assert world.internal_errors == 1
    for each in connects:
        each.cancel()
