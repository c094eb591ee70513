"""Failures of the connection or of the response head: the client never gets a complete response."""

from collections.abc import Iterator

from hedgerow_simulator.faults.framings import ok
from hedgerow_simulator.limits import MAX_RESPONSE_S
from hedgerow_simulator.wire_script import JSON, End, Pause, Step, complete_response, head

RESET_PAUSE_S = 0.005
"""Between the half body and the RST, so that the half is on its way first."""

LONG_HEAD_LINES = 32
LONG_HEAD_LINE_BYTES = 8_192
"""32 lines of 8 KiB: a head of 256 KiB, far above what any client accepts, yet it ends."""

HINT_PAUSE_S = 0.01
"""Between two of the endless interim answers: a hundred each second."""


def reset(body: bytes) -> Iterator[Step]:
    """Send the head and half of the body, then a RST: `SO_LINGER` 0 and close."""
    yield ok(body)[: -(len(body) - len(body) // 2)]
    yield Pause(RESET_PAUSE_S)
    yield End.RESET


def hang(body: bytes) -> Iterator[Step]:  # noqa: ARG001 - every fault is given the good body
    """Send not a byte: the request is read and never answered. After MAX_RESPONSE_S a FIN."""
    yield Pause(MAX_RESPONSE_S)
    yield End.CLOSE


def close(body: bytes) -> Iterator[Step]:  # noqa: ARG001 - every fault is given the good body
    """Send not a byte, and a FIN."""
    yield End.CLOSE


def half_head(body: bytes) -> Iterator[Step]:
    """Send the first half of the head, then a FIN."""
    answer = ok(body)
    yield answer[: (len(answer) - len(body)) // 2]
    yield End.CLOSE


def long_head(body: bytes) -> bytes:
    """Send a valid response after 256 KiB of header fields."""
    filler = (f"X-Filler-{number}: {'x' * LONG_HEAD_LINE_BYTES}" for number in range(LONG_HEAD_LINES))
    return complete_response(200, JSON, body, *filler)


def endless_1xx(body: bytes) -> Iterator[Step]:  # noqa: ARG001 - every fault is given the good body
    """Send 103 Early Hints, again and again, and never a final answer."""
    hint = head(103, "Link: </style.css>; rel=preload")
    while True:
        yield hint
        yield Pause(HINT_PAUSE_S)
