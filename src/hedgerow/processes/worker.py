"""One worker: server, gateway, pools and admission on one event loop. Its process: `worker_main.py`.

Benchmarks, tests and the simulation run it in a process of their own.
"""

import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from math import isfinite
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from structlog.typing import FilteringBoundLogger

from hedgerow import __version__
from hedgerow.admission.controller import AdmissionController
from hedgerow.core.response_validation import classify_response
from hedgerow.core.route import RouteTable
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.eventloop.poller import Poller
from hedgerow.gateway import Gateway
from hedgerow.net.resolver import Resolver
from hedgerow.net.tcp import OpenSocket, open_outgoing_socket
from hedgerow.processes.accept_balancer import AcceptBalancer
from hedgerow.processes.control_channel import (
    ControlReply,
    ControlRequest,
    GetObservations,
    GetSnapshot,
    ObservationsReply,
    RecentReply,
    SnapshotReply,
)
from hedgerow.processes.descriptor_sharing import DescriptorSharing
from hedgerow.processes.process_tuning import raise_descriptor_limit
from hedgerow.processes.route_states import add_endpoint_states, add_route_states
from hedgerow.routing import make_route_table
from hedgerow.server.server import IDLE_GRACE_S, HttpServer
from hedgerow.settings import DescriptorBudget, Settings, Target, UpstreamLimits
from hedgerow.settings.effective_routing import effective_routing, max_hedges
from hedgerow.settings.routes import UpstreamRule
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.recorder import Recorder
from hedgerow.telemetry.snapshot import Snapshot, add
from hedgerow.upstream.connection_budget import ConnectionBudget
from hedgerow.upstream.names import NameLookup
from hedgerow.upstream.opening import open_upstream
from hedgerow.upstream.pool import ConnectionPool

if TYPE_CHECKING:
    from hedgerow.tracing.request_spans import Tracing

CLOCK: Final = monotonic


def start_tracing(settings: Settings, log: FilteringBoundLogger) -> "Tracing | None":
    """Start tracing if it is enabled. OpenTelemetry is loaded only then: it takes 0.15 s and 13 MB."""
    if not settings.trace_sample:
        return None
    from hedgerow.tracing.request_spans import start_tracing as start  # noqa: PLC0415

    return start(settings.trace_sample, CLOCK, log)


class NameResolver(NameLookup, Protocol):
    """`net.resolver.Resolver`, or its replacement in a simulation."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class System:
    """What a worker uses of the operating system. A simulation has its own (verification/simulation)."""

    clock: Callable[[], float] = CLOCK
    make_poller: Callable[[], Poller] = select.epoll
    make_resolver: Callable[[EventLoop], NameResolver] = Resolver
    open_socket: OpenSocket = open_outgoing_socket
    make_random: Callable[[], Random] = Random
    """Decides among endpoints; no secret depends on it."""
    max_descriptors: Callable[[], int] = raise_descriptor_limit


LINUX: Final = System()


class Worker:
    """The parts of one worker; `start`, then `drain` or not, then `close`."""

    def __init__(
        self,
        settings: Settings,
        target: Target,
        balancer: AcceptBalancer | None = None,
        *,
        system: System = LINUX,
        log_descriptor: int = 2,
    ) -> None:
        routing = effective_routing(settings, target)
        budget = DescriptorBudget.of(system.max_descriptors(), max_hedges(settings), settings.max_in_flight)
        self._drain_s = settings.drain_ms / 1000
        self.logs = Logs(settings.log_format, settings.log_level, log_descriptor)
        self.recorder = Recorder(self.logs.log, settings.access_log)
        self.loop = EventLoop(
            system.clock, on_internal_error=self._on_internal_error, make_poller=system.make_poller
        )
        self.admission = AdmissionController(budget.max_in_flight, adapts=settings.shedding == "on")
        self.tracing = start_tracing(settings, self.logs.log)
        self.resolver = system.make_resolver(self.loop)
        connections = ConnectionBudget(budget.connections)
        self.pools = {
            rule.name: self._open_pool(rule, settings.upstream_limits, connections, system)
            for rule in routing.upstreams
        }
        self.pool = next(iter(self.pools.values()))
        """The first upstream's."""
        routes = make_route_table(routing.routes, self.pools)
        self.routes = routes.routes
        self.recorder.add_routes(self.routes)
        gateway = self._open_gateway(routes)
        self.server = HttpServer(
            gateway,
            settings.client_limits,
            self.loop,
            max_clients=budget.max_clients,
            max_rejected=budget.max_rejected,
            on_rejected=gateway.answered_by_error,
            balancer=balancer,
            sharing=DescriptorSharing(budget, self.admission, connections, self.loop.request_admission),
            passes_headers=routes.passes_headers,
        )

    def _open_pool(
        self, rule: UpstreamRule, limits: UpstreamLimits, connections: ConnectionBudget, system: System
    ) -> ConnectionPool:
        return open_upstream(
            rule,
            limits,
            connections,
            classify=classify_response,
            loop=self.loop,
            resolver=self.resolver,
            observer=self.recorder,
            user_agent=f"hedgerow/{__version__}",
            open_socket=system.open_socket,
            random=system.make_random(),
        )

    def _open_gateway(self, routes: RouteTable) -> Gateway:
        gateway = Gateway(
            routes,
            admission=self.admission,
            loop=self.loop,
            observer=self.recorder,
            tracer=self.tracing.sampler if self.tracing is not None else None,
        )
        self.loop.admit = gateway.admit_waiting
        self.loop.on_iteration = gateway.iteration_finished
        return gateway

    def start(self, sock: socket.socket) -> None:
        """Serve clients that connect to `sock`, and take it over; raises OSError."""
        self.server.start(sock)

    def drain(self, on_done: Callable[[], None]) -> None:
        """Serve the requests in flight (B13), then call `on_done`; at the latest after `drain_ms`."""
        self.loop.call_at(self.loop.clock() + self._drain_s, _Once(on_done))
        self.server.drain(on_done, min(IDLE_GRACE_S, self._drain_s / 2))

    def close(self) -> None:
        """Close what is left: connections, lookups, spans. Blocks for at most half a second."""
        self.server.close()
        for pool in self.pools.values():
            pool.close()
        self.resolver.close()
        if self.tracing is not None:
            self.tracing.close()
        self.loop.close()

    def snapshot(self) -> Snapshot:
        """Return this worker's counts."""
        now = self.loop.clock()
        connections = {name: pool.connection_counts() for name, pool in self.pools.items()}
        snapshot = self.recorder.snapshot(
            reduce(add, connections.values()), self.server.connections, self.admission.in_flight
        )
        snapshot.connections = connections
        snapshot.max_in_flight = self.admission.max_in_flight
        add_route_states(snapshot, self.routes, now)
        add_endpoint_states(snapshot, self.pools)
        rate = self.admission.rate_limit(now)
        if isfinite(rate):
            snapshot.rate_limited_workers, snapshot.admission_rate_limit = 1, rate
        snapshot.overloaded_workers = int(self.admission.is_overloaded(now))
        snapshot.log_lines_dropped = self.logs.dropped
        if self.tracing is not None:
            snapshot.spans = self.tracing.counts()
        return snapshot

    def answer(self, request: ControlRequest) -> ControlReply:
        """Return the reply to a request of the supervisor."""
        if isinstance(request, GetSnapshot):
            self.logs.summarise()
            if self.tracing is not None:
                self.tracing.report()
            return SnapshotReply(self.snapshot())
        if isinstance(request, GetObservations):
            return ObservationsReply(
                self.recorder.observations(request.route, request.window, self.loop.clock())
            )
        recent, offset_s = self.recorder.recent, request.utc_offset_s
        if request.request_id is not None:
            return RecentReply(recent.find(request.request_id.encode(), offset_s))
        return RecentReply(recent.newest(request.most, offset_s, request.route))

    def _on_internal_error(self) -> None:
        self.recorder.internal_error(None)


class _Once(EventHandler):
    """Calls a function at a deadline."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def on_deadline(self) -> None:
        self._call()
