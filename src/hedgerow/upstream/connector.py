"""Opens the connections to one upstream, and keeps its endpoints up to date beside the traffic."""

import ssl
from collections.abc import Sequence

from hedgerow.core.outcomes import Failure
from hedgerow.eventloop.loop import EventLoop
from hedgerow.net.tcp import Address, OpenSocket, open_outgoing_socket
from hedgerow.net.tls import client_context, server_name
from hedgerow.settings import Target, UpstreamLimits
from hedgerow.settings.routes import UpstreamRule
from hedgerow.upstream.connecting import Connecting, OnDone
from hedgerow.upstream.connection_budget import ConnectionBudget
from hedgerow.upstream.endpoint import Endpoint
from hedgerow.upstream.endpoints import Endpoints
from hedgerow.upstream.handshakes import Handshakes
from hedgerow.upstream.names import Name, NameLookup


class Connector:
    """Opens connections to one upstream, and keeps its endpoints up to date."""

    def __init__(
        self,
        rule: UpstreamRule,
        endpoints: Endpoints,
        limits: UpstreamLimits,
        loop: EventLoop,
        resolver: NameLookup,
        budget: ConnectionBudget,
        *,
        open_socket: OpenSocket = open_outgoing_socket,
    ) -> None:
        """`open_socket` gives a non-blocking socket. Raises InvalidSetting if files of the TLS rule cannot be used."""
        self.endpoints = endpoints
        self.limits = limits
        self.loop = loop
        self.budget = budget
        self.open_socket = open_socket
        self.tls: ssl.SSLContext | None = None
        """One for all connections, made once: that costs 10 ms, and sessions belong to it."""
        if any(target.tls for target in rule.endpoints):
            self.tls = client_context(rule.tls)
        self.handshakes = Handshakes(loop)
        self._server_name = rule.tls.server_name
        self._waiting: dict[Connecting, None] = {}
        """Connects that wait for the first lookup."""
        self._names = {
            target: Name(target, limits.dns_ttl_s, loop, resolver, self._on_lookup)
            for target in rule.endpoints
        }
        for name in self._names.values():
            if name.addresses:
                endpoints.replace(name.target, name.addresses)

    def start(self) -> None:
        """Look the names up before the first connect, and from then on each `dns_ttl_s`."""
        for name in self._names.values():
            name.schedule()

    def connect(self, first: Endpoint | None, tried: list[Endpoint], on_done: OnDone) -> Connecting:
        """Open a connection to `first`, or to another where that does not connect.

        Without `first`, the name being looked up still, an endpoint is chosen then. Others than those in `tried` are
        preferred, and those that are used added to it.

        `on_done` is called once, not before this has returned: with a failure, or with a stream whose descriptor is
        registered with the loop for READABLE; its owner takes it over by `EventLoop.replace_source`.
        """
        connecting = Connecting(self, first, tried, on_done)
        if self.endpoints.all:
            if not connecting.start():
                self.loop.wake(connecting)
        else:
            self._waiting[connecting] = None
            self.start()
        return connecting

    def server_name_of(self, endpoint: Endpoint) -> bytes:
        """Return the name that the endpoint's certificate must have."""
        return server_name(self._server_name or endpoint.target.host)

    def forget(self, connecting: Connecting) -> None:
        """Have `connecting` wait for the lookup no longer."""
        self._waiting.pop(connecting, None)

    def close(self) -> None:
        """Look names up no more. Connects that are under way are their owner's to cancel."""
        for name in self._names.values():
            name.close()

    def connect_failed(self, endpoint: Endpoint) -> None:
        """Have the next connects go elsewhere, and look the name up soon: it may have moved."""
        if endpoint.is_current:
            self.endpoints.connect_failed(endpoint, self.loop.clock())
        self._names[endpoint.target].look_up_soon()

    def _on_lookup(self, target: Target, result: Sequence[Address] | Failure) -> None:
        if not isinstance(result, Failure):
            self.endpoints.replace(target, result)
        elif any(name.is_pending for name in self._names.values()):  # another may find some
            return
        waiting, self._waiting = self._waiting, {}
        for connecting in waiting:
            if isinstance(result, Failure):
                connecting.failure = result
            self.loop.wake(connecting)
