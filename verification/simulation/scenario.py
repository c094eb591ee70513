"""What a seed draws before a simulation begins: settings, clients, stalls, name lookups."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from random import Random

from msgspec.structs import replace

from hedgerow.settings import AccessLog, ClientLimits, LogFormat, LoserPolicy, Settings, UpstreamLimits
from verification.simulation.network import ADDRESSES_OF_NAME
from verification.simulation.requests import PlannedRequest, flood, plan_request, plan_simple_request
from verification.simulation.routed_requests import ROUTED, plan_routed_request, with_routes
from verification.simulation.timeline import BEGIN_S

BURSTS = 0.01
"""Share of simulations with `BURST_CLIENTS` that come at once."""
BURST_CLIENTS = (40, 200)
DESCRIPTORS = 20_000
FEW_DESCRIPTORS = (140, 160)
"""In half of the bursts; 128 of them are for other uses than traffic."""
CLOSED_LOOPS = 0.04
"""Share of simulations whose clients ask again as soon as they have their answer, `LOOP_REQUESTS` times."""
LOOP_REQUESTS = (10, 40)
NAME = "upstream.test"
FLOODS = 0.04
"""Share of simulations with one client that pipelines hundreds of requests."""


class Leaving(Enum):
    """How a client goes away."""

    FIN = auto()
    RST = auto()
    HALF_CLOSE = auto()


@dataclass(frozen=True, slots=True)
class Script:
    """One client: when it comes, what it asks, and how and when it goes."""

    comes_at: float
    latency_s: float
    seed: int
    requests: tuple[PlannedRequest, ...]
    leaves: Leaving | None
    leaves_after_s: float
    """Since it came; without `leaves`, since its last answer."""
    trickles_s: float
    """Pause between the pieces of its first head."""
    reads_after_s: float
    """It does not read its answers before this long since it came."""
    window: int


@dataclass(frozen=True, slots=True)
class PlannedLookup:
    """One name lookup: infinite `takes_s`, it hangs; no addresses, it fails."""

    takes_s: float
    addresses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that is drawn before a simulation begins."""

    settings: Settings
    clients: tuple[Script, ...]
    stalls: tuple[tuple[float, float], ...]
    slow: tuple[tuple[float, float], ...]
    """Intervals in which the process is slow: instant and length."""
    descriptors: int
    """The worker's limit: far away, or less than the clients need."""
    addresses: int
    """How many each name of the upstream has; 1 in most."""
    names: tuple[str, ...]
    """Of the upstream."""
    drains_at: float | None
    mute_at: float | None
    """When all connections to the upstream that are open then go mute."""


def draw(seed: str) -> Scenario:
    """Draw the scenario of a seed."""
    chance = Random(seed)
    settings = _settings(chance)
    names: tuple[str, ...] = (NAME,)
    if chance.random() < ROUTED:
        settings = with_routes(chance, settings)
        names = tuple(target.host for target in settings.upstreams[0].endpoints)
    clients = _clients(chance, settings)
    descriptors = DESCRIPTORS
    if len(clients) >= BURST_CLIENTS[0] and chance.random() < 0.5:
        descriptors = chance.randint(*FEW_DESCRIPTORS)
        settings = replace(settings, max_in_flight=None)
    stalls: tuple[tuple[float, float], ...] = ()
    slow: tuple[tuple[float, float], ...] = ()
    if chance.random() < 0.4:
        stalls = tuple(_stall(chance, settings, clients) for _ in range(chance.randint(1, 3)))
    elif chance.random() < 0.05:
        slow = ((BEGIN_S + chance.random() * 0.5, 1.0),)
    return Scenario(
        settings,
        clients,
        stalls,
        slow,
        descriptors=descriptors,
        addresses=chance.choice((1, 1, 1, 2, 3)),
        names=names,
        drains_at=BEGIN_S + chance.random() * 0.8 if chance.random() < 0.15 else None,
        mute_at=BEGIN_S + chance.random() * 0.8 if chance.random() < 0.06 else None,
    )


def _settings(chance: Random) -> Settings:
    return Settings(
        hedge_after_ms=chance.choice((20, 50, 100, 300)),
        hedges=chance.choice((0, 1, 2, 2, 2, 2)),
        hedge_on_failure=chance.choice(("wait", "wait", "immediate")),
        default_timeout_ms=chance.choice((400, 1_000)),
        max_timeout_ms=2_000,
        losers=chance.choice((LoserPolicy.DRAIN, LoserPolicy.DRAIN, LoserPolicy.CANCEL)),
        loser_grace_ms=chance.choice((1, 50, 300, 1_000)),
        max_in_flight=chance.choice((None, None, None, 1, 2, 4)),
        shedding=chance.choice(("on", "on", "off")),
        log_format=LogFormat.JSON,
        log_level="critical",  # type: ignore[arg-type] # quieter than a flag can make it
        access_log=AccessLog.OFF,
        client_limits=ClientLimits(
            head_timeout_s=1.0,
            idle_timeout_s=chance.choice((1.0, 3.0)),
            write_timeout_s=1.0,
            max_pipelined_bytes=chance.choice((64 * 1024, 64 * 1024, 150)),
            parse_chunk_bytes=chance.choice((2_048, 100)),
            linger_s=0.3,
        ),
        upstream_limits=UpstreamLimits(
            connect_timeout_s=chance.choice((0.05, 0.3, 1.0)),
            happy_eyeballs_delay_s=0.02,
            dns_ttl_s=chance.choice((0.1, 30.0, 30.0)),
            idle_timeout_s=chance.choice((0.2, 1.5)),
            max_connection_age_s=chance.choice((0.5, 300.0, 300.0)),
        ),
    )


def plan_lookups(seed: str, scenario: Scenario, name: str) -> Iterator[PlannedLookup]:
    """Draw the lookups of a name. Now and then it moves: all of its addresses change."""
    chance = Random(f"{seed}/lookups/{name}")
    addresses = scenario.addresses
    first = 1 + ADDRESSES_OF_NAME * scenario.names.index(name)
    while True:
        if chance.random() < 0.15:
            first += addresses
        takes_s = chance.choice((0.0, 0.0005, 0.0005, 0.02, 0.4))
        kind = chance.choice(("all",) * 6 + ("some", "none", "hangs"))
        numbers = tuple(range(first, first + addresses))
        if kind == "some":
            numbers = numbers[:1]
        yield PlannedLookup(inf if kind == "hangs" else takes_s, () if kind == "none" else numbers)


def _stall(chance: Random, settings: Settings, clients: tuple[Script, ...]) -> tuple[float, float]:
    """Draw from when on the process is stopped, and for how long: often about the hedge delay or a deadline."""
    client = chance.choice(clients)
    timeouts = [request.timeout_ms / 1000 for request in client.requests if request.timeout_ms]
    at = client.comes_at + chance.choice(
        (0.0, settings.hedge_after_ms / 1000, chance.random(), *timeouts[:1], *(t / 4 for t in timeouts[:1]))
    )
    length_s = chance.choice((0.002, 0.007, 0.02, 0.1, 0.4)) * (0.5 + chance.random())
    return at - chance.random() * length_s, length_s


def _clients(chance: Random, settings: Settings) -> tuple[Script, ...]:
    kind = chance.random()
    if kind < BURSTS:
        number = chance.randint(*BURST_CLIENTS)
        return tuple(_simple_client(chance, settings, nth, requests=1) for nth in range(number))
    if kind < BURSTS + CLOSED_LOOPS:
        requests = chance.randint(*LOOP_REQUESTS)
        number = chance.randint(2, 6)
        return tuple(_simple_client(chance, settings, nth, requests=requests) for nth in range(number))
    clients = [_client(chance, settings, number) for number in range(chance.randint(1, 6))]
    if kind > 1 - FLOODS:
        clients.append(_flooding_client(chance, len(clients)))
    return tuple(clients)


def _simple_client(chance: Random, settings: Settings, number: int, *, requests: int) -> Script:
    """Draw a client that asks nothing unusual."""
    return Script(
        comes_at=BEGIN_S + chance.random() * 0.005,
        latency_s=0.0005,
        seed=chance.getrandbits(48),
        requests=tuple(
            plan_simple_request(chance, settings, b"%d.%d" % (number, nth)) for nth in range(requests)
        ),
        leaves=None,
        leaves_after_s=0.01,
        trickles_s=0.0,
        reads_after_s=0.0,
        window=64 * 1024,
    )


def _flooding_client(chance: Random, number: int) -> Script:
    return Script(
        comes_at=BEGIN_S + chance.random() * 0.3,
        latency_s=0.0005,
        seed=chance.getrandbits(48),
        requests=flood(chance, number),
        leaves=None,
        leaves_after_s=0.01,
        trickles_s=0.0,
        reads_after_s=0.0,
        window=chance.choice((1024 * 1024, 2_000)),
    )


def _client(chance: Random, settings: Settings, number: int) -> Script:
    requests: list[PlannedRequest] = []
    pipelines = chance.choice(("no", "no", "together", "later"))
    for nth in range(chance.choice((1, 1, 2, 3, 4))):
        plan = plan_routed_request if settings.routes else plan_request
        requests.append(
            plan(chance, settings, b"%d.%d" % (number, nth), pipelines=pipelines if nth else "no")
        )
        if requests[-1].closes:
            break
    leaves = chance.choice((None, None, None, *Leaving))
    return Script(
        comes_at=BEGIN_S + chance.choice((0.0, chance.random() * 0.05, chance.random() * 0.5)),
        latency_s=chance.choice((0.00005, 0.0005, 0.0005, 0.005)),
        seed=chance.getrandbits(48),
        requests=tuple(requests),
        leaves=leaves,
        leaves_after_s=chance.random() * chance.choice((0.02, 0.5))
        if leaves
        else chance.choice((0.0, 0.01, 5.0)),
        trickles_s=chance.choice((0.01, 0.2)) if chance.random() < 0.05 else 0.0,
        reads_after_s=chance.choice((chance.random() * 2, inf)) if chance.random() < 0.05 else 0.0,
        window=chance.choice((200, 1_000)) if chance.random() < 0.1 else 64 * 1024,
    )
