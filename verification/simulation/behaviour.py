"""What the simulated upstream does: how connecting goes, what its addresses are like, what it answers."""

from dataclasses import dataclass, replace
from enum import Enum, auto
from random import Random

from hedgerow.settings import Settings
from verification.simulation.routed_answers import KINDS as ROUTED_KINDS
from verification.simulation.routed_answers import (
    draw_fields,
    ends_race,
    routed_answer,
    status_of,
    with_fields,
)

NEAR_S = 0.006
"""Instants are often drawn from this close to the hedge delay: there the mistakes are."""
SLOW_ADDRESS_S = 1.0
"""What a slow replica takes longer."""

JUNK = (b"junk", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
"""What a server may send that was not asked for; the second is what some send before they close an idle connection."""


class Connect(Enum):
    """What becomes of a connection to the upstream."""

    ACCEPTED = auto()
    REFUSED = auto()
    IGNORED = auto()
    UNREACHABLE = auto()


class AddressKind(Enum):
    """What an address of the upstream is like."""

    USUAL = auto()
    SLOW = auto()
    REFUSES = auto()
    IGNORES = auto()


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
class Behaviour:
    """What the upstream does about one request."""

    body: bytes
    """Unique to the attempt."""
    succeeds: bool
    """It is a success once it has arrived; one that ends with the connection needs the FIN, too."""
    pieces: tuple[Piece, ...]
    then: Then
    then_after_s: float
    ends_at_close: bool = False
    status: int = 0
    """Of its answer, where there is a whole one."""
    fields: tuple[tuple[bytes, bytes], ...] = ()
    """The end-to-end headers of it that a client has to get."""

    def belongs(self, nth: int) -> bool:
        """Return whether a piece is a part of the answer; else it comes uncalled-for after it."""
        return self.pieces[nth].data not in JUNK


def draw_address(chance: Random, addresses: int) -> AddressKind:
    """Draw what an address is like. The only one is always usual."""
    if addresses == 1:
        return AddressKind.USUAL
    return chance.choice((AddressKind.USUAL,) * 3 + tuple(AddressKind))


def draw_connect(chance: Random, kind: AddressKind) -> tuple[Connect, float]:
    """Draw how connecting goes, and the latency of the connection in seconds."""
    how = chance.choice((Connect.ACCEPTED,) * 12 + tuple(Connect))
    if kind is AddressKind.REFUSES:
        how = Connect.REFUSED
    elif kind is AddressKind.IGNORES:
        how = Connect.IGNORED
    return how, chance.choice((0.00005, 0.0005, 0.0005, 0.004, 0.03))


def draw_behaviour(
    chance: Random,
    settings: Settings,
    request_id: bytes,
    number: int,
    token: int,
    kind: AddressKind,
    *,
    is_head: bool,
) -> Behaviour:
    """Draw what the upstream does about one request."""
    delay_s = settings.hedge_after_ms / 1000
    after_s = chance.choice(
        (
            0.0, 0.001, delay_s / 2, delay_s + (chance.random() - 0.5) * NEAR_S, delay_s * 1.5,
            delay_s * 2 + (chance.random() - 0.5) * NEAR_S, chance.random() * 0.8, 3.0,
        )
    )  # fmt: skip
    if kind is AddressKind.SLOW:
        after_s += SLOW_ADDRESS_S
    then, then_after_s = Then.STAYS, 0.0
    if chance.random() < 0.2:
        then = _ending(chance)
        then_after_s = chance.choice((0.0, 0.0, 0.01, chance.random() * 0.5))
    body = b'{"time":%d,"of":"%b/%d"}' % (token, request_id, number)
    if settings.routes:
        answer_kind, answer, drawn = _draw_routed(chance, settings, body, is_head=is_head)
    else:
        answer_kind = chance.choices(_KINDS, _WEIGHTS)[0]
        answer, drawn = _answer(chance, answer_kind, body), _Drawn(answer_kind in _SUCCESSES)
    if answer_kind == "cut":
        answer = answer[: chance.randrange(len(answer))]
    if chance.random() < 0.08:
        answer = chance.choice(_EARLY) + answer
    behaviour = _behaviour(chance, answer_kind, answer, body, after_s, then, then_after_s)
    return replace(
        behaviour,
        body=body if drawn.body is None else drawn.body,
        succeeds=drawn.succeeds,
        status=drawn.status,
        fields=drawn.fields,
    )


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What becomes of an answer."""

    succeeds: bool
    body: bytes | None = None
    status: int = 0
    fields: tuple[tuple[bytes, bytes], ...] = ()


def _draw_routed(
    chance: Random, settings: Settings, body: bytes, *, is_head: bool
) -> tuple[str, bytes, _Drawn]:
    """Draw the answer to a request that was passed on."""
    kinds, weights = zip(*zip(_KINDS, _WEIGHTS, strict=True), *ROUTED_KINDS, strict=True)
    kind = chance.choices(kinds, weights)[0]
    if is_head and kind in ("until close", "stream"):  # there is no body to end
        kind = "success"
    own = {name for name, _ in ROUTED_KINDS}
    answer = routed_answer(chance, kind, body) if kind in own else _answer(chance, kind, body)
    sent = b"" if kind == "chunked" else answer.partition(b"\r\n\r\n")[2]
    fields = draw_fields(chance)
    if kind == "stream":  # it has its Content-Type already
        fields = ()
    answer = with_fields(chance, answer, fields)
    status = status_of(answer)
    if is_head and status:
        answer = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    succeeds = ends_race(settings, kind, is_head=is_head)
    return kind, answer, _Drawn(succeeds, body if kind == "chunked" else sent, status, fields)


def _behaviour(
    chance: Random,
    answer_kind: str,
    answer: bytes,
    body: bytes,
    after_s: float,
    then: Then,
    then_after_s: float,
) -> Behaviour:
    """Return when the pieces of an answer are sent, and what comes after it."""
    match answer_kind:
        case "hangs":
            return Behaviour(body, False, (), Then.STAYS, 0.0)
        case "closes":
            return Behaviour(body, False, (), _ending(chance), after_s)
        case "cut":
            return Behaviour(body, False, (Piece(after_s, answer),), _ending(chance), then_after_s)
        case "junk after":
            junk = chance.choice(JUNK)
            pieces = (Piece(after_s, answer), Piece(chance.choice((0.0, 0.05)), junk))
            # A response on a connection that stays would be taken for the answer to the next request, by any client.
            stays = junk == JUNK[0] and chance.random() < 0.5
            return Behaviour(body, True, pieces, Then.STAYS if stays else Then.CLOSES, 0.0)
        case "until close":
            then_after_s = chance.choice((0.0, 0.01))
            return Behaviour(
                body, True, (Piece(after_s, answer),), Then.CLOSES, then_after_s, ends_at_close=True
            )
    return Behaviour(body, False, _pieces(chance, after_s, answer), then, then_after_s)


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
        case "success" | "junk after" | "cut":
            return ok + length % len(body) + body
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
_SUCCESSES = ("success", "says close", "chunked", "junk after", "until close")
_KINDS, _WEIGHTS = zip(
    ("success", 30), ("says close", 3), ("chunked", 8), ("until close", 4), ("cut", 6), ("junk after", 3), ("500", 8),
    ("429", 2), ("302", 1), ("no number", 2), ("no JSON", 2), ("garbage", 4), ("hangs", 12), ("closes", 6), strict=True,
)  # fmt: skip
