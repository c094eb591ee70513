"""One simulation: a real worker among simulated clients, upstream, network and time. The same seed plays the same."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any

import hedgerow.core.request
import hedgerow.gateway
import hedgerow.processes.worker
import hedgerow.request_task
import hedgerow.server.connection
import hedgerow.server.listener
import hedgerow.server.request_parser
import hedgerow.server.request_reader
import hedgerow.server.whole_head
import hedgerow.upstream.connector
import hedgerow.upstream.opening
import hedgerow.upstream.pool
from hedgerow.core.outcomes import Success
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.processes.worker import System, Worker
from hedgerow.settings import Target
from hedgerow.telemetry.snapshot import Snapshot
from hedgerow.upstream.connection import CLOSED
from hedgerow.upstream.idle_connections import REAP_INTERVAL_S
from verification.simulation.clients import Client
from verification.simulation.network import Network
from verification.simulation.poller import Kernel
from verification.simulation.probes import OrderProbe, ProbedPool, ProbedRecorder, Seen, counted, replaced
from verification.simulation.resolver import SeenLookup, SimulatedResolver
from verification.simulation.scenario import NAME, Scenario, draw, plan_lookups
from verification.simulation.timeline import BEGIN_S, Timeline
from verification.simulation.upstream import SimulatedUpstream

TARGET = Target("http", NAME, 80, "/w")
ALL_GONE_BY_S = 60.0
"""Of a simulation's time: clients ask for two seconds at most, and their connections end by themselves."""
STEP_S = 0.25

ALIVE: Counter[str] = Counter()
"""The objects of the simulation that runs: none, when it is over."""
MADE: Counter[str] = Counter()
"""How many there have been in it."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of the traffic, some time after it."""

    clients: int
    upstream: dict[str, int]
    in_flight: int
    waiting: int
    is_overloaded: bool
    rate_limit: float
    deadlines: dict[str, int]
    """By the class of what waits."""
    descriptors: int
    alive: dict[str, int]
    request_body_bytes: int
    """Of requests that are not answered."""
    recorded_bodies: int
    """Bodies that the record of recent requests keeps."""


@dataclass(slots=True)
class Played:
    """What happened in a simulation."""

    scenario: Scenario
    clients: list[Client]
    upstream: SimulatedUpstream
    lookups: list[SeenLookup]
    seen: Seen
    all_gone: bool
    at_rest: Rest
    """When all clients have gone and no loser has any grace left."""
    idle: Rest
    """When no pooled connection has been used for as long as it may be kept."""
    left: tuple[str, ...]
    """What of descriptors and objects is left after the end."""
    snapshot: Snapshot
    max_descriptors: int
    """The most that were open at once."""
    ended_at: float
    """When the worker was closed."""
    drained: bool | None
    """Whether the drain came to an end; None where there was none."""
    stalled: list[tuple[float, float]]

    def digest(self) -> str:
        """Return a digest of the whole history. What happens in one instant has no order."""
        history = sorted(map(repr, self.seen.history))
        lines = [*history, repr(self.snapshot), repr(self.stalled)]
        return blake2b("\n".join(lines).encode()).hexdigest()


@contextmanager
def simulated() -> Iterator[None]:
    """Count the objects that requests are made of, and let none of them be collected: they must go by themselves."""
    had_gc = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    kinds: tuple[tuple[Any, str], ...] = (
        (hedgerow.request_task, "Attempt"), (hedgerow.gateway, "RequestTask"),
        (hedgerow.server.request_parser, "Request"), (hedgerow.server.whole_head, "Request"),
        (hedgerow.server.listener, "ClientConnection"),
        (hedgerow.server.connection, "RequestPipeline"), (hedgerow.server.request_reader, "RequestParser"),
        (hedgerow.upstream.pool, "UpstreamConnection"), (hedgerow.upstream.connector, "Connecting"),
    )  # fmt: skip
    try:
        with replaced(
            *((module, name, counted(getattr(module, name), ALIVE, MADE)) for module, name in kinds)
        ):
            yield
    finally:
        gc.unfreeze()
        if had_gc:
            gc.enable()


class Simulation:
    """The simulation of one seed, from its first client to the end of its worker."""

    def __init__(self, seed: str, scenario: Scenario) -> None:
        """`seed` draws what happens in its course."""
        self.scenario = scenario
        self.timeline = Timeline(scenario.stalls, scenario.slow)
        self.kernel = Kernel(self.timeline)
        self.seen = Seen(self.timeline)
        self.order = OrderProbe(self.kernel, self.seen)
        self.network = Network(self.kernel, Random(f"{seed}/network"), self.order.on_operation)
        self.drained: bool | None = None
        resolvers: list[SimulatedResolver] = []

        def make_resolver(loop: EventLoop) -> SimulatedResolver:
            resolvers.append(
                SimulatedResolver(loop, self.kernel, lambda name: plan_lookups(seed, scenario, name))
            )
            return resolvers[0]

        system = System(
            clock=self.timeline.clock,
            make_poller=self.kernel.make_poller,
            make_resolver=make_resolver,
            open_socket=self.network.open_socket,
            make_random=lambda: Random(f"{seed}/endpoints"),
            max_descriptors=lambda: scenario.descriptors,
        )
        ProbedPool.seen = ProbedRecorder.seen = self.seen
        with replaced(
            (hedgerow.upstream.opening, "ConnectionPool", ProbedPool),
            (hedgerow.processes.worker, "Recorder", ProbedRecorder),
            (hedgerow.core.request, "urandom", bytes),
        ):
            self.worker = Worker(scenario.settings, TARGET, system=system)
        self.resolver = resolvers[0]
        self.upstream = SimulatedUpstream(self.network, scenario, seed, self.seen.history)
        self.worker.start(self.network.listen())
        self.clients = [
            Client(self.network, script, name, self.seen.history)
            for name, script in enumerate(scenario.clients)
        ]

    def play(self) -> Played:
        """Play it to its end."""
        scenario, timeline, worker = self.scenario, self.timeline, self.worker
        if scenario.drains_at is not None:
            worker.loop.call_at(scenario.drains_at, _Drain(self))
        all_gone = False
        while (not all_gone or timeline.will_stall) and timeline.now < BEGIN_S + ALL_GONE_BY_S:
            self._run_until(timeline.now + STEP_S)
            all_gone = all(client.gone for client in self.clients)
        limits, settings = scenario.settings.upstream_limits, scenario.settings
        self._run_until(timeline.now + 1.0 + settings.loser_grace_ms / 1000 + limits.connect_timeout_s)
        at_rest = self._look()
        self._run_until(timeline.now + limits.idle_timeout_s + 2 * REAP_INTERVAL_S + STEP_S)
        idle = self._look()
        snapshot = worker.snapshot()
        self.order.is_on = False
        ended_at = timeline.now
        worker.close()
        timeline.run_due()
        worker.recorder.recent._records.clear()  # noqa: SLF001 (it lives until a collection)
        for route in worker.routes:  # samples keep attempts until the last of them ends
            worker.recorder.observations(route.name, "minute", ended_at)
        del worker, self.worker
        descriptors = len(self.kernel.files)
        left = (*(f"{descriptors} descriptors" for _ in range(bool(descriptors))), *_alive())
        return Played(
            scenario, self.clients, self.upstream, self.resolver.lookups, self.seen, all_gone, at_rest, idle, left,
            snapshot, self.kernel.max_files, ended_at, self.drained, timeline.stalled,
        )  # fmt: skip

    def drain(self) -> None:
        """Drain as at SIGTERM: within an iteration."""
        self.drained = False
        self.order.is_on = False  # it accepts what waits at once, whatever the step
        self.worker.drain(self._on_drained)
        self.order.is_on = True

    def _on_drained(self) -> None:
        self.drained = True

    def _alive_but_recorded(self) -> dict[str, int]:
        """Count the objects that live, but for those that the record of recent requests keeps."""
        records = self.worker.recorder.recent._records  # noqa: SLF001 (only a test asks what it keeps)
        recorded = Counter({"Request": len(records), "Attempt": sum(len(record[4]) for record in records)})
        pooled = [each for endpoint in self.worker.pool.idle.endpoints for each in endpoint.idle]
        recorded["UpstreamConnection"] = sum(  # closed ones are dropped each second
            connection.state == CLOSED for connection in pooled
        )
        return {
            name: number - recorded[name]
            for name, number in sorted(ALIVE.items())
            if number != recorded[name]
        }

    def _run_until(self, at: float) -> None:
        timeline, loop = self.timeline, self.worker.loop
        while timeline.now < at:
            loop.run_once(at - timeline.now)

    def _look(self) -> Rest:
        worker, now = self.worker, self.timeline.now
        buckets = worker.loop.deadlines._buckets  # noqa: SLF001 (only a test asks what they are)
        deadlines = Counter(type(waiter).__name__ for bucket in buckets.values() for waiter in bucket)
        return Rest(
            clients=worker.server.connections,
            upstream=worker.pool.connection_counts(),
            in_flight=worker.admission.in_flight,
            waiting=worker.admission.waiting,
            is_overloaded=worker.admission.is_overloaded(now),
            rate_limit=worker.admission.rate_limit(now),
            deadlines=dict(deadlines),
            descriptors=len(self.kernel.files),
            alive=self._alive_but_recorded(),
            request_body_bytes=worker.server._context.bodies.used,  # noqa: SLF001 (only a test asks)
            recorded_bodies=sum(
                isinstance(attempt.outcome, Success) and attempt.outcome.body != b""
                for record in worker.recorder.recent._records  # noqa: SLF001 (only a test asks what it keeps)
                for attempt in record[4]
            ),
        )


class _Drain(EventHandler):
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def on_deadline(self) -> None:
        self._simulation.drain()


def play(seed: str) -> Played:
    """Play the simulation of a seed; within `simulated()`."""
    ALIVE.clear()
    MADE.clear()
    return Simulation(seed, draw(seed)).play()


def _alive() -> list[str]:
    return [f"{number} of {name}" for name, number in sorted(ALIVE.items()) if number]
