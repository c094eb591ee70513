"""One world: a real worker among simulated callers, upstream, network and time. The same seed plays the same."""

import asyncio
import gc
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any

import aiohappyeyeballs.impl

import hedgerow.core.request
import hedgerow.gateway
import hedgerow.http_front.server
import hedgerow.server.request_parser
import hedgerow.sockets
import hedgerow.upstream.pool
import hedgerow.worker
from hedgerow.settings import Target
from hedgerow.telemetry.snapshot import Snapshot
from hedgerow.upstream.pool import SWEEP_S
from hedgerow.worker import Worker
from prove.world.callers import Caller
from prove.world.loop import SimulatedLoop
from prove.world.network import BEGIN_S, Network
from prove.world.scenario import Scenario, draw
from prove.world.upstream import SimulatedUpstream
from prove.world.watching import Seen, WatchedRecorder, WatchedUpstream, counted, replaced, with_sockets

TARGET = Target("http", "upstream.test", 80, "/w")
DESCRIPTORS = 20_000
"""What the worker takes for its limit, on whatever machine."""
ALL_GONE_BY_S = 60.0
"""Of a world's time: callers ask for two seconds at the most, and their connections end by themselves."""
STEP_S = 0.25

ALIVE: Counter[str] = Counter()
"""The objects of the world that is: none, when it is over."""
MADE: Counter[str] = Counter()
"""How many there have been in it."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of the traffic, some time after it."""

    callers: int
    upstream: dict[str, int]
    in_flight: int
    alarms: int
    timers: tuple[str, ...]
    alive: dict[str, int]


@dataclass(slots=True)
class Played:
    """What happened in a world."""

    scenario: Scenario
    callers: list[Caller]
    upstream: SimulatedUpstream
    seen: Seen
    all_gone: bool
    at_rest: Rest
    """When all callers have gone and no loser has any grace left."""
    idle: Rest
    """When no pooled connection has been used for as long as it may be kept."""
    left: tuple[str, ...]
    """What of tasks, timers, sockets and objects is left after the end."""
    snapshot: Snapshot
    errors: list[str]
    stalled: list[tuple[float, float]]

    def digest(self) -> str:
        """Tell the whole history in short. What happens in one instant has no order."""
        history = sorted(map(repr, self.seen.history))
        return blake2b("\n".join([*history, repr(self.snapshot), repr(self.stalled)]).encode()).hexdigest()


@contextmanager
def simulated() -> Iterator[None]:
    """Count the objects that requests are made of, and let none of them be collected: they must go by themselves."""
    had_gc = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    kinds: tuple[tuple[Any, str], ...] = (
        (hedgerow.gateway, "Attempt"), (hedgerow.gateway, "Run"), (hedgerow.server.request_parser, "Request"),
        (hedgerow.http_front.server, "ClientConnection"), (hedgerow.upstream.pool, "Connection"),
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


def play(seed: str) -> Played:
    """Play the world of a seed, from its first caller to the end of its worker."""
    ALIVE.clear()
    MADE.clear()
    scenario = draw(seed, BEGIN_S)
    network = Network(Random(f"{seed}/network"))
    loop = SimulatedLoop(network, Random(f"{seed}/loop"), scenario.stalls, scenario.lookups)
    seen = Seen()

    class Recorder(WatchedRecorder):
        pass

    class Upstream(WatchedUpstream):
        pass

    Recorder.seen = Upstream.seen = seen
    with (
        replaced(
            (hedgerow.worker, "CLOCK", loop.clock),
            (hedgerow.worker, "Recorder", Recorder),
            (hedgerow.worker, "Upstream", Upstream),
            (hedgerow.worker, "raise_descriptor_limit", lambda: DESCRIPTORS),
            (hedgerow.core.request, "token_hex", lambda _: "made"),
            (hedgerow.http_front.server, "formatdate", lambda *, usegmt: "now"),  # noqa: ARG005
            (hedgerow.sockets, "socket", with_sockets(socket, network.socket)),
            (aiohappyeyeballs.impl, "socket", with_sockets(socket, network.socket)),
        ),
        loop.running(),
    ):
        worker = Worker(scenario.settings, TARGET, loop.as_loop())
        # The laws tell what became of each request; a connection that is turned away after a stall has none yet.
        worker.front.is_hopeless = lambda _: False
        worker.start(network.listen())  # type: ignore[arg-type]
        upstream = SimulatedUpstream(network, scenario.settings, seed, seen.history)
        callers = [
            Caller(network, script, name, seen.history) for name, script in enumerate(scenario.callers)
        ]
        draining = None
        if scenario.drains_at is not None:
            loop.turn_until(scenario.drains_at)
            draining = loop.create_task(worker.drain())
        all_gone = False
        while (not all_gone or loop.will_stall) and network.now < BEGIN_S + ALL_GONE_BY_S:
            loop.turn_until(network.now + STEP_S)
            all_gone = all(caller.gone for caller in callers)
        limits, settings = scenario.settings.upstream_limits, scenario.settings
        loop.turn_until(network.now + settings.loser_grace_ms / 1000 + limits.connect_timeout_s + STEP_S)
        at_rest = _look(worker, loop)
        loop.turn_until(network.now + limits.idle_timeout_s + 2 * SWEEP_S + STEP_S)
        idle = _look(worker, loop)
        if draining is None:
            loop.run_until_complete(worker.drain())
        elif not draining.done():
            seen.history.append((network.now, "it does not drain"))
        loop.run_until_complete(worker.close())
        loop.settle()
        snapshot = worker.snapshot()
        del worker, draining
        tasks = sorted(repr(task.get_coro()) for task in asyncio.all_tasks(loop.as_loop()))
    left = (
        *tasks,
        *loop.timers,
        *(f"{len(network.sockets)} sockets" for _ in list(network.sockets)[:1]),
        *_alive(),
    )
    return Played(
        scenario, callers, upstream, seen, all_gone, at_rest, idle, left, snapshot, loop.errors, loop.stalled
    )


def _look(worker: Worker, loop: SimulatedLoop) -> Rest:
    return Rest(
        callers=len(worker.front.clients),
        upstream=worker.upstream.connection_counts(),
        in_flight=worker.admission.in_flight,
        alarms=len(worker.trampoline.alarms),
        timers=tuple(loop.timers),
        alive={name: number for name, number in sorted(ALIVE.items()) if number},
    )


def _alive() -> list[str]:
    return [f"{number} of {name}" for name, number in sorted(ALIVE.items()) if number]
