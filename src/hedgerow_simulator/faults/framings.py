"""Successes: the good body, in the different framings of HTTP."""

from collections.abc import Iterator

from hedgerow_simulator.wire_script import JSON, End, Pause, Step, complete_response, head

DRIP_PAUSE_S = 0.01
"""Between two bytes of a drip: a whole answer of 80 bytes takes 0.8 s, later than any hedge."""

_OK_HEAD = head(200, f"Content-Type: {JSON}", "Content-Length: %d")


def ok(body: bytes) -> bytes:
    """Send all in one write: 200, `Content-Length`, the body; the connection stays open."""
    return _OK_HEAD % len(body) + body


def chunked(body: bytes) -> bytes:
    """Send `Transfer-Encoding: chunked`: the body in two chunks and the last chunk, all in one write."""
    first, second = body[:3], body[3:]
    chunks = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(first), first, len(second), second)
    return head(200, f"Content-Type: {JSON}", "Transfer-Encoding: chunked") + chunks


def read_to_close(body: bytes) -> Iterator[Step]:
    """Send a 200 without any length, the body, then a FIN, which alone marks its end."""
    yield head(200, f"Content-Type: {JSON}", "Connection: close") + body
    yield End.CLOSE


def close_after(body: bytes) -> Iterator[Step]:
    """Send a 200 with a length and `Connection: close`, then a FIN."""
    yield complete_response(200, JSON, body, "Connection: close")
    yield End.CLOSE


def early_hints(body: bytes) -> bytes:
    """Send one 103 Early Hints before the 200, in the same write."""
    return head(103, "Link: </style.css>; rel=preload") + ok(body)


def drip(body: bytes) -> Iterator[Step]:
    """Send the answer of `ok`, head and body, one byte at a time with a pause after each."""
    for byte in ok(body):
        yield bytes((byte,))
        yield Pause(DRIP_PAUSE_S)
