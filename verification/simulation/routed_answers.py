"""What the simulated upstream answers on routes that pass answers on: which end a race, and their headers."""

from random import Random

from hedgerow.settings import Settings

FINAL_STATUSES = (401, 402, 409)
KINDS = (("final", 8), ("no content", 3), ("stream", 2))
"""Kinds of answers that only such routes get, and their weights."""

_SINGLE = ((b"Content-Type", b"application/json"), (b"ETag", b'"x"'), (b"Vary", b"Accept"), (b"X-Empty", b""))
_SEVERAL = (b"Set-Cookie", b"set-cookie", b"X-Many", b"Server-Timing", b"Via")
_HOP_BY_HOP = (
    b"Connection: X-Hop\r\nX-Hop: secret\r\n", b"connection: keep-alive, x-hop\r\nx-hop: secret\r\n",
    b"Keep-Alive: timeout=5, hop=secret\r\n", b"Proxy-Authenticate: secret\r\n", b"Upgrade: secret\r\n",
    b"Trailer: X-secret\r\n", b"X-Request-Id: secret\r\n", b"TE: secret\r\n",
)  # fmt: skip
"""Each has the word `secret` in it, which no client may see."""


def ends_race(settings: Settings, kind: str, *, is_head: bool) -> bool:
    """Return whether an answer of a kind ends the race: it is a success, or final."""
    if kind in ("success", "says close", "chunked", "until close", "junk after", "final", "302"):
        return True
    return kind in ("no number", "no JSON", "no content") and (
        is_head or settings.routes[0].success.json is None
    )


def status_of(answer: bytes) -> int:
    """Return the status of an answer; 0 where it has none."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def draw_fields(chance: Random) -> tuple[tuple[bytes, bytes], ...]:
    """Draw end-to-end headers: some names several times, in an order that matters."""
    fields = chance.sample(_SINGLE, chance.randint(0, len(_SINGLE)))
    fields += [(chance.choice(_SEVERAL), b"v%d; w" % nth) for nth in range(chance.choice((0, 1, 3, 8)))]
    chance.shuffle(fields)
    return tuple(fields)


def with_fields(chance: Random, answer: bytes, fields: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Put headers into an answer, some for the connection among them. What is no HTTP remains as it is."""
    line, found, rest = answer.partition(b"\r\n")
    if not found or not status_of(answer):
        return answer
    lines = [b"%b:%b%b\r\n" % (name, chance.choice((b" ", b"", b"\t ")), value) for name, value in fields]
    for _ in range(chance.choice((0, 1, 2))):
        lines.insert(chance.randint(0, len(lines)), chance.choice(_HOP_BY_HOP))
    return line + b"\r\n" + b"".join(lines) + rest


def routed_answer(chance: Random, kind: str, body: bytes) -> bytes:
    """Write an answer of one of `KINDS`."""
    match kind:
        case "final":
            status = chance.choice(FINAL_STATUSES)
            return b"HTTP/1.1 %d Some\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
        case "no content":
            return b"HTTP/1.1 204 No Content\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; x=y\r\n\r\ndata: 1\n\n"
