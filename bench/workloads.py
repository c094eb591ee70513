"""The workloads: each is one function that measures one server once."""

import contextlib
import os
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import psutil
import trustme

from bench import load_generators
from bench.processes import (
    Sample,
    free_port,
    running,
    sample,
    tree_cpu_s,
    tree_uss_bytes,
    wait_until_answering,
)
from bench.servers import Command, Place, Server, nginx_command
from bench.stats import CAPACITY_GOOD_SHARE, capacity, kib_per_request, window
from bench.toolchain import PEERS, build_go

Measured = dict[str, Any]
Upstream = Literal["seed", "instant", "instant with headers", "slow", "tls"]

SERVER_CORE = 0
LOAD_CORE = 1  # upstream, load generator and this program
W1_CONNECTIONS = 64
WARM_UP_IN_FLIGHT = 32
LOST_GOOD_SHARE = 0.5  # after two steps as bad as this, a higher rate shows nothing new
PAUSE_S = 1.0
BEYOND_CAPACITY = (2, 3)
W4_IN_FLIGHT = 600  # some 1 600 requests/s: what one core can do by TLS, also for the slower peers
W5_IN_FLIGHT = 8_000
W5_WORKERS = 2  # with three attempts each they need 32 000 descriptors, and one process has 20 000 here
SLOW_MS = "5000-9500"  # below the default timeout, with time to spare
W5_SETTLE_S = 25.0  # twice as long as an answer takes, and the connections come at 500/s
W6_IDLE_S = 5.0
START_LOOK_AGAIN_S = 0.002


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says."""

    seconds: float
    settle_s: float
    in_flight: int
    timeout_ms: int
    rates: tuple[int, ...]
    upstream: str  # "go" or "simulator"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answers, and its upstream."""

    server: psutil.Process
    upstream: psutil.Process
    address: str

    def sample(self) -> Sample:
        return sample(self.server, self.upstream)


def seed_upstream(settings: Settings, port: int) -> Command:
    """Return how the seed's upstream is started: 100-600 ms, 10 % errors, 2 % malformed."""
    faults = ["--latency-ms", "100-600", "--error-rate", "0.1", "--malformed-rate", "0.02", "--seed", "1"]
    if settings.upstream == "go":
        return [build_go("upstream"), "--addr", f"127.0.0.1:{port}", *faults]
    others = ["--too-many-rate", "0", "--reset-rate", "0", "--hang-rate", "0"]
    return [sys.executable, "-m", "hedgerow_simulator", "--port", str(port), *faults, *others]


def slow_upstream(port: int) -> Command:
    """Return how an upstream without faults that takes its time is started."""
    faults = ["--latency-ms", SLOW_MS, "--error-rate", "0", "--malformed-rate", "0", "--seed", "1"]
    return [build_go("upstream"), "--addr", f"127.0.0.1:{port}", *faults]


def stand_upstream(
    kind: Upstream, settings: Settings, place: Place, stack: contextlib.ExitStack
) -> psutil.Process:
    """Start the upstream of a workload at its place, until the stack ends."""
    directory = place.directory

    def start(command: Command, name: str) -> psutil.Process:
        return stack.enter_context(running(command, core=LOAD_CORE, log=directory / f"{name}.log"))

    match kind:
        case "instant" | "instant with headers":
            template = "nginx_upstream.conf" if kind == "instant" else "nginx_upstream_headers.conf"
            upstream = start(
                nginx_command(Place(place.upstream_port, 0, directory, 0.0), template), "upstream"
            )
        case (
            "slow"
        ):  # two on one port: one process has too few descriptors for three attempts of each request
            start(slow_upstream(place.upstream_port), "second")
            upstream = start(slow_upstream(place.upstream_port), "upstream")
        case "tls":
            behind = free_port()
            make_certificates(place)
            start(seed_upstream(settings, behind), "behind")
            upstream = start(
                nginx_command(Place(place.upstream_port, behind, directory, 0.0), "nginx_tls.conf"),
                "upstream",
            )
        case "seed":
            upstream = start(seed_upstream(settings, place.upstream_port), "upstream")
    context = ssl.create_default_context(cafile=place.authority) if place.tls else None
    wait_until_answering(place.upstream_url, upstream, directory / "upstream.log", context=context)
    return upstream


def make_certificates(place: Place) -> None:
    """Make an authority, and a certificate of it for localhost."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(place.authority))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        str(place.directory / "server.pem")
    )


@contextlib.contextmanager
def running_server(
    server: Server,
    settings: Settings,
    kind: Upstream = "seed",
    *,
    route_timeout_s: float = 10.0,
    workers: int = 1,
) -> Iterator[RunningServer]:
    """Start the upstream, then the server before it; both end with the block."""
    with tempfile.TemporaryDirectory(prefix="hedgerow-bench-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        server_log = directory / "server.log"
        place = Place(
            free_port(), free_port(), directory, route_timeout_s,
            tls=kind == "tls", workers=workers, passes_on=kind == "instant with headers",
        )  # fmt: skip
        upstream = stand_upstream(kind, settings, place, stack)
        command = [
            *(("env", f"SSL_CERT_FILE={place.authority}") if place.tls else ()),
            *server.command(place),
        ]
        process = stack.enter_context(running(command, core=SERVER_CORE, log=server_log))
        address = f"127.0.0.1:{place.port}"
        wait_until_answering(f"http://{address}/api/smart", process, server_log)
        yield RunningServer(process, upstream, address)
        keep_log(server, server_log)


def keep_log(server: Server, log: Path) -> None:
    """Copy the server's output where BENCH_LOGS says, if anywhere."""
    if folder := os.environ.get("BENCH_LOGS"):
        target = Path(folder) / f"{server.name}-{time.time_ns()}.log"
        target.write_bytes(log.read_bytes()[-1_000_000:])


def w1(server: Server, settings: Settings) -> Measured:
    """Instant upstream, 64 connections, closed loop: what a request costs when nothing has to wait."""
    with running_server(server, settings, "instant") as target:
        return w1_on(target, settings)


def w1_on(target: RunningServer, settings: Settings, script: Path | None = None) -> Measured:
    """Load a server before an instant upstream, by requests of wrk's own or of a script."""
    url = f"http://{target.address}/api/smart"

    def load(seconds: float) -> load_generators.Report:
        return load_generators.wrk(
            url, connections=W1_CONNECTIONS, seconds=seconds, core=LOAD_CORE, script=script
        )

    load(max(1.0, settings.settle_s))
    before = target.sample()
    seen = load(settings.seconds)
    after = target.sample()
    return {"window": asdict(window(before, after, seen["answered"], seen["cpu_share"])), "load": seen}


def w2(server: Server, settings: Settings, kind: Upstream = "seed") -> Measured:
    """The seed's own upstream, many requests in flight, no timeout: what waiting and hedging cost."""
    with running_server(server, settings, kind) as target:
        load_generators.warm_up(target.address, in_flight=WARM_UP_IN_FLIGHT, seconds=1.0, core=LOAD_CORE)
        time.sleep(PAUSE_S)
        idle_bytes = tree_uss_bytes(target.server)
        measured = closed_loop(target, settings)
    return measured | {"memory": memory(idle_bytes, measured["uss_bytes"], settings.in_flight)}


def closed_loop(target: RunningServer, settings: Settings) -> Measured:
    """Load a server with a fixed number of requests in flight at all times."""
    arguments = ["-inflight", str(settings.in_flight), "-conns", str(settings.in_flight + 100)]
    return measure_load(target, settings, arguments)


def memory(idle_bytes: int, loaded_bytes: int, in_flight: int) -> Measured:
    """Return what the requests in flight take."""
    return {
        "uss_idle_bytes": idle_bytes,
        "uss_loaded_bytes": loaded_bytes,
        "kib_per_request_in_flight": kib_per_request(idle_bytes, loaded_bytes, in_flight),
    }


def measure_load(target: RunningServer, settings: Settings, arguments: list[str]) -> Measured:
    """Sample the server around the load generator's window (memory: as it opens, in full flight)."""
    samples: list[Sample] = []
    answered: list[int] = []
    uss: list[int] = []

    def at_begin() -> None:
        uss.append(tree_uss_bytes(target.server))
        samples.append(target.sample())

    def at_end(count: int) -> None:
        samples.append(target.sample())
        answered.append(count)

    timing = ["-addr", target.address, "-seconds", str(settings.seconds), "-settle", str(settings.settle_s)]
    seen = load_generators.load([*timing, *arguments], core=LOAD_CORE, at_begin=at_begin, at_end=at_end)
    before, after = samples
    measured = window(before, after, answered[0], seen["own"]["cpu_share"])
    return {"window": asdict(measured), "load": seen, "uss_bytes": uss[0]}


def w3(server: Server, settings: Settings) -> Measured:
    """Open loop at rising rates, with a timeout: how many answers are good, also beyond capacity."""
    steps: dict[int, Measured] = {}
    lost = 0
    for rate in settings.rates:
        steps[rate] = w3_step(server, settings, rate)
        lost = lost + 1 if steps[rate]["good_share"] < LOST_GOOD_SHARE else 0
        if lost == 2:
            break
    found = capacity({rate: seen["good_share"] for rate, seen in steps.items()})
    for factor in BEYOND_CAPACITY:
        if found and found * factor not in steps:
            steps[found * factor] = w3_step(server, settings, found * factor)
    by_rate = {str(rate): seen for rate, seen in sorted(steps.items())}
    return {"capacity": found, "capacity_good_share": CAPACITY_GOOD_SHARE, "steps": by_rate}


def w3_step(server: Server, settings: Settings, rate: int) -> Measured:
    """Offer one rate to a fresh server: what an overload leaves behind is not the next step's fault."""
    open_loop = ["-rate", str(rate), "-timeout", str(settings.timeout_ms)]
    # A server that cannot read the timeout from the query gets it as its route's.
    with running_server(server, settings, route_timeout_s=settings.timeout_ms / 1000) as target:
        load_generators.warm_up(target.address, in_flight=WARM_UP_IN_FLIGHT, seconds=1.0, core=LOAD_CORE)
        measured = measure_load(target, settings, open_loop)
    return measured | {"good_share": good_share(server, measured)}


def w4(server: Server, settings: Settings) -> Measured:
    """W2 with TLS to the upstream, and fewer clients."""
    return w2(server, replace(settings, in_flight=W4_IN_FLIGHT), "tls")


def w5(server: Server, settings: Settings) -> Measured:
    """8 000 in flight on two workers, an upstream that takes 5 to 9.5 s, all hedged: memory, and that none fails."""
    patient = replace(settings, in_flight=W5_IN_FLIGHT, settle_s=W5_SETTLE_S)
    with running_server(server, patient, "slow", workers=W5_WORKERS) as target:
        idle_bytes = tree_uss_bytes(target.server)
        measured = closed_loop(target, patient)
    return measured | {"memory": memory(idle_bytes, measured["uss_bytes"], W5_IN_FLIGHT)}


def w6(server: Server, _: Settings) -> Measured:
    """Start, answer once, then rest: how long until the first answer, and what resting costs."""
    with tempfile.TemporaryDirectory(prefix="hedgerow-bench-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        place = Place(free_port(), free_port(), directory, 0.0)
        below = Place(place.upstream_port, 0, directory, 0.0)
        upstream = nginx_command(below, "nginx_upstream.conf")
        log = directory / "upstream.log"
        wait_until_answering(
            place.upstream_url, stack.enter_context(running(upstream, core=LOAD_CORE, log=log)), log
        )
        command, log = server.command(place), directory / "server.log"
        began_s = time.monotonic()
        process = stack.enter_context(running(command, core=SERVER_CORE, log=log))
        address = f"http://127.0.0.1:{place.port}/api/smart"
        wait_until_answering(address, process, log, look_again_s=START_LOOK_AGAIN_S)
        start_s = time.monotonic() - began_s
        time.sleep(PAUSE_S)
        before_s = tree_cpu_s(process)
        time.sleep(W6_IDLE_S)
        cpu_share = (tree_cpu_s(process) - before_s) / W6_IDLE_S
        return {
            "start_ms": start_s * 1000,
            "idle_uss_bytes": tree_uss_bytes(process),
            "idle_cpu_share": cpu_share,
        }


def w7(server: Server, settings: Settings) -> Measured:
    """W1 with 20 headers each way, which pass, and answers that hedgerow holds against a JSON Schema."""
    with running_server(server, settings, "instant with headers") as target:
        return w1_on(target, settings, PEERS / "headers.lua")


def w8(server: Server, settings: Settings) -> Measured:
    """W7 where no two requests have the same bytes, so that none is found in a cache of parsed ones."""
    with running_server(server, settings, "instant with headers") as target:
        return w1_on(target, settings, PEERS / "different_headers.lua")


def w9(server: Server, settings: Settings) -> Measured:
    """W1 with a connection for each request."""
    with running_server(server, settings, "instant") as target:
        return w1_on(target, settings, PEERS / "closing.lua")


def good_share(server: Server, measured: Measured) -> float:
    """Return the share of good answers; who judges no bodies is forgiven those that it could not know bad."""
    outcomes = measured["load"]["outcomes"]
    forgiven = 0 if server.judges_bodies else outcomes["bad_body"]
    share: float = (outcomes["good"] + forgiven) / max(1, measured["load"]["planned"])
    return share


WORKLOADS = {"W1": w1, "W2": w2, "W3": w3, "W4": w4, "W5": w5, "W6": w6, "W7": w7, "W8": w8, "W9": w9}
