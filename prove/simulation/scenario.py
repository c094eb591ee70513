"""What a seed draws: the settings, the callers, how connecting goes and what the upstream answers."""

from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from random import Random

from hedgerow.settings import AccessLog, ClientLimits, LogFormat, LoserPolicy, Settings, UpstreamLimits

NEAR_S = 0.006
"""Instants are often drawn from so close to the mark or the deadline: there the mistakes are."""


class Leaving(Enum):
    """How a caller goes away."""

    FIN = auto()
    RST = auto()
    HALF_CLOSE = auto()


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of a caller."""

    request_id: bytes
    head: bytes
    timeout_ms: int | None
    """None: it never gets as far as a race."""
    status: int
    """Of its answer, where no race is run."""
    closes: bool
    """Its answer is the last on its connection."""
    waits_s: float
    """After the answer before it; negative: it is sent together with the request before it."""
    is_head: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """One caller: when it comes, what it asks, and how and when it goes."""

    comes_at: float
    latency_s: float
    seed: int
    asks: tuple[Ask, ...]
    leaves: Leaving | None
    leaves_after_s: float
    """Since it came; without `leaves` it goes so long after its last answer."""
    trickles_s: float
    """Pause between the pieces of its first head."""
    deaf_s: float
    """So long it does not read what is answered."""
    window: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that is drawn before a world begins; `chance` draws what is drawn in its course."""

    settings: Settings
    callers: tuple[Script, ...]
    stalls: tuple[tuple[float, float], ...]
    lookups: tuple[str, ...]
    drains_at: float | None
    chance: Random


def draw(seed: str, begin_s: float) -> Scenario:
    """Draw the world of a seed."""
    chance = Random(seed)
    settings = _settings(chance)
    callers = tuple(_caller(chance, settings, begin_s, number) for number in range(chance.randint(1, 6)))
    stalls: tuple[tuple[float, float], ...] = ()
    if chance.random() < 0.4:
        stalls = tuple(_stall(chance, settings, callers) for _ in range(chance.randint(1, 3)))
    lookups = tuple(_lookup(chance) for _ in range(200))
    drains_at = begin_s + chance.random() * 0.8 if chance.random() < 0.15 else None
    return Scenario(settings, callers, stalls, lookups, drains_at, chance)


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
        shedding=chance.choice(("on", "off")),
        log_format=LogFormat.JSON,
        log_level="critical",
        access_log=AccessLog.OFF,
        client_limits=ClientLimits(
            head_timeout_s=1.0,
            idle_timeout_s=chance.choice((1.0, 3.0)),
            write_timeout_s=1.0,
            write_buffer_bytes=chance.choice((64 * 1024, 1_000)),
            held_bytes=chance.choice((64 * 1024, 64 * 1024, 150)),
            slice_bytes=chance.choice((2_048, 100)),
            linger_s=0.3,
        ),
        upstream_limits=UpstreamLimits(
            connect_timeout_s=chance.choice((0.05, 0.3, 1.0)),
            happy_eyeballs_delay_s=0.02,
            dns_ttl_s=chance.choice((0.1, 30.0, 30.0)),
            idle_timeout_s=chance.choice((0.2, 1.5)),
        ),
    )


def _lookup(chance: Random) -> str:
    waits_s = chance.choice((0.0, 0.0005, 0.0005, 0.02, 0.4))
    return f"{waits_s} {chance.choice(('one', 'one', 'one', 'one', 'two', 'none'))}"


def _stall(chance: Random, settings: Settings, callers: tuple[Script, ...]) -> tuple[float, float]:
    """Draw from when on the loop stands still, and for how long: often about a mark."""
    at = chance.choice(callers).comes_at + chance.choice(
        (0.0, settings.hedge_after_ms / 1000, chance.random())
    )
    length_s = chance.choice((0.002, 0.007, 0.02, 0.1, 0.4)) * (0.5 + chance.random())
    return at - chance.random() * length_s, length_s


def _caller(chance: Random, settings: Settings, begin_s: float, number: int) -> Script:
    asks: list[Ask] = []
    pipelines = chance.random() < 0.3
    for nth in range(chance.choice((1, 1, 2, 3, 4))):
        asks.append(_ask(chance, settings, b"%d.%d" % (number, nth), together=pipelines and nth > 0))
        if asks[-1].closes:
            break
    leaves = chance.choice((None, None, None, *Leaving))
    return Script(
        comes_at=begin_s + chance.choice((0.0, chance.random() * 0.05, chance.random() * 0.5)),
        latency_s=_latency_s(chance),
        seed=chance.getrandbits(48),
        asks=tuple(asks),
        leaves=leaves,
        leaves_after_s=chance.random() * chance.choice((0.02, 0.5))
        if leaves
        else chance.choice((0.0, 0.01, 5.0)),
        trickles_s=chance.choice((0.01, 0.2)) if chance.random() < 0.05 else 0.0,
        deaf_s=chance.choice((chance.random() * 2, inf)) if chance.random() < 0.05 else 0.0,
        window=chance.choice((200, 1_000)) if chance.random() < 0.1 else 64 * 1024,
    )


def _latency_s(chance: Random) -> float:
    return chance.choice((0.00005, 0.0005, 0.0005, 0.005))


def _ask(chance: Random, settings: Settings, request_id: bytes, *, together: bool) -> Ask:
    waits_s = -1.0 if together else chance.choice((0.0, 0.0, 0.01, 0.3)) * chance.random()
    line = b"Host: x\r\nX-Request-Id: %b\r\n" % request_id
    if chance.random() < 0.1:
        head, status, closes = chance.choice(_REFUSED)
        return Ask(request_id, head % line, None, status, closes, waits_s)
    mark_ms = settings.hedge_after_ms
    timeout_ms = chance.choice(
        (
            None, chance.randint(1, 10), mark_ms + chance.randint(-5, 12), 2 * mark_ms + chance.randint(-5, 5),
            chance.randint(10, 900), chance.randint(10, 900), 600, 5_000,
        )
    )  # fmt: skip
    query = b"" if timeout_ms is None else b"?timeout=%d" % max(timeout_ms, 1)
    version, more, closes = chance.choice(
        (*[(b"1.1", b"", False)] * 6, (b"1.0", b"", True), (b"1.1", b"Connection: close\r\n", True))
    )
    method = chance.choice((b"GET",) * 9 + (b"HEAD",))
    return Ask(
        request_id,
        b"%b /api/smart%b HTTP/%b\r\n%b%b\r\n" % (method, query, version, line, more),
        min(max(timeout_ms, 1), settings.max_timeout_ms)
        if timeout_ms is not None
        else settings.default_timeout_ms,
        200,
        closes,
        waits_s,
        method == b"HEAD",
    )


_REFUSED = (
    (b"GET /nothing HTTP/1.1\r\n%b\r\n", 404, False),
    (b"POST /api/smart HTTP/1.1\r\n%bContent-Length: 0\r\n\r\n", 405, False),
    (b"GET /api/smart?timeout=0 HTTP/1.1\r\n%b\r\n", 400, False),
    (b"GET /api/smart HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n", 400, True),
    (b"GET /api/smart HTTP/1.1\r\n%bHost: y\r\n\r\n", 400, True),
)


JUNK = (b"junk", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
"""What a server may send that nobody asked for; the second is what some send before they close an idle connection."""


class Connecting(Enum):
    """What becomes of a connection to the upstream."""

    ACCEPTED = auto()
    REFUSED = auto()
    IGNORED = auto()
    UNREACHABLE = auto()


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that the upstream sends after a pause."""

    after_s: float
    data: bytes


class Then(Enum):
    """What the upstream does after its answer."""

    STAYS = auto()
    CLOSES = auto()
    RESETS = auto()


@dataclass(frozen=True, slots=True)
class Played:
    """What the upstream does about one request."""

    body: bytes
    """Unique to the attempt."""
    succeeds: bool
    """It is a success once it has arrived; one that ends with the connection needs the FIN, too."""
    pieces: tuple[Piece, ...]
    then: Then
    then_after_s: float
    ends_at_close: bool = False


def connecting(chance: Random) -> tuple[Connecting, float]:
    """Draw how connecting goes, and the latency of the connection in seconds."""
    how = chance.choice((Connecting.ACCEPTED,) * 12 + tuple(Connecting))
    return how, chance.choice((0.00005, 0.0005, 0.0005, 0.004, 0.03))


def play(chance: Random, settings: Settings, request_id: bytes, number: int, token: int) -> Played:
    """Draw what the upstream does about one request."""
    mark_s = settings.hedge_after_ms / 1000
    after_s = chance.choice(
        (
            0.0, 0.001, mark_s / 2, mark_s + (chance.random() - 0.5) * NEAR_S, mark_s * 1.5,
            mark_s * 2 + (chance.random() - 0.5) * NEAR_S, chance.random() * 0.8, 3.0,
        )
    )  # fmt: skip
    then, then_after_s = Then.STAYS, 0.0
    if chance.random() < 0.2:
        then = _ending(chance)
        then_after_s = chance.choice((0.0, 0.0, 0.01, chance.random() * 0.5))
    kind = chance.choices(_KINDS, _WEIGHTS)[0]
    body = b'{"time":%d,"of":"%b/%d"}' % (token, request_id, number)
    answer = _answer(chance, kind, body)
    if chance.random() < 0.08:
        answer = chance.choice(_EARLY) + answer
    match kind:
        case "hangs":
            return Played(body, False, (), Then.STAYS, 0.0)
        case "closes":
            return Played(body, False, (), _ending(chance), after_s)
        case "cut":
            return Played(body, False, (Piece(after_s, answer),), _ending(chance), then_after_s)
        case "junk after":
            pieces = (Piece(after_s, answer), Piece(chance.choice((0.0, 0.05)), chance.choice(JUNK)))
            return Played(body, True, pieces, Then.CLOSES, 0.0)
        case "until close":
            then_after_s = chance.choice((0.0, 0.01))
            return Played(
                body, True, (Piece(after_s, answer),), Then.CLOSES, then_after_s, ends_at_close=True
            )
    return Played(body, kind in _SUCCESSES, _pieces(chance, after_s, answer), then, then_after_s)


def _ending(chance: Random) -> Then:
    return chance.choice((Then.CLOSES, Then.RESETS))


def _pieces(chance: Random, after_s: float, answer: bytes) -> tuple[Piece, ...]:
    """Send it at once, or with a pause somewhere in it."""
    pause_s = chance.choice((0.0, 0.0, 0.0, 0.002, 0.03))
    if not pause_s:
        return (Piece(after_s, answer),)
    cut = chance.randrange(1, len(answer))
    return (Piece(after_s, answer[:cut]), Piece(pause_s, answer[cut:]))


def _answer(chance: Random, kind: str, body: bytes) -> bytes:
    """Write an answer of a kind; those that are none get an empty one."""
    ok, length = b"HTTP/1.1 200 OK\r\n", b"Content-Length: %d\r\n\r\n"
    match kind:
        case "success" | "junk after":
            return ok + length % len(body) + body
        case "cut":
            whole = ok + length % len(body) + body
            return whole[: chance.randrange(len(whole))]
        case "says close":
            return ok + b"Connection: close\r\n" + length % len(body) + body
        case "chunked":
            cut = chance.randrange(1, len(body))
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:], b""))
            return ok + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
        case "until close":
            return ok + b"\r\n" + body
        case "500" | "429" | "302":
            return b"HTTP/1.1 %b Some\r\n" % kind.encode() + length % len(body) + body
        case "no number":
            text = body.replace(b":", b':"', 1).replace(b",", b'",', 1)
            return ok + length % len(text) + text
        case "no JSON":
            return ok + length % 4 + b"oops"
        case "garbage":
            return chance.choice(
                (b"garbage\r\n\r\n", b"RTSP/1.0 200 OK\r\n" + length % len(body) + body, b"\0" * 40)
            )
    return b""


_EARLY = (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
_SUCCESSES = ("success", "says close", "chunked")
_KINDS, _WEIGHTS = zip(
    ("success", 30), ("says close", 3), ("chunked", 8), ("until close", 4), ("cut", 6), ("junk after", 3), ("500", 8),
    ("429", 2), ("302", 1), ("no number", 2), ("no JSON", 2), ("garbage", 4), ("hangs", 12), ("closes", 6), strict=True,
)  # fmt: skip
