"""Failures in the body of a 200."""

from collections.abc import Iterator
from gzip import compress

from hedgerow_simulator.wire_script import JSON, Pause, Step, complete_response, head

HUGE_PIECE_BYTES = 65_536
HUGE_PAUSE_S = 0.001
"""Between two pieces of an endless body: 64 MB/s at most, so that one greedy reader cannot take the whole
loop.
"""


def truncated(body: bytes) -> bytes:
    """Send JSON cut off in its middle; the length is that of the cut body, so the HTTP is valid."""
    return complete_response(200, JSON, body[: len(body) // 2])


def not_json(body: bytes) -> bytes:  # noqa: ARG001 - every fault is given the good body
    """Send a page of HTML that calls itself JSON."""
    return complete_response(200, JSON, b"<html><body>It works!</body></html>\n")


def wrong_type(body: bytes) -> bytes:  # noqa: ARG001 - every fault is given the good body
    """Send a JSON object whose `time` is a string."""
    return complete_response(200, JSON, b'{"time":"soon"}')


def gzip(body: bytes) -> bytes:
    """Send the good body, compressed, regardless of `Accept-Encoding`."""
    return complete_response(200, JSON, compress(body, mtime=0), "Content-Encoding: gzip")


def bad_chunk(body: bytes) -> bytes:
    """Send a good chunk, then `zz` for a chunk size; the connection stays open, the client has to see it."""
    chunks = b"%x\r\n%b\r\nzz\r\n" % (len(body), body)
    return head(200, f"Content-Type: {JSON}", "Transfer-Encoding: chunked") + chunks


def huge(body: bytes) -> Iterator[Step]:  # noqa: ARG001 - every fault is given the good body
    """Send chunks of spaces without end, as fast as the client reads; JSON allows them in front of a value."""
    yield head(200, f"Content-Type: {JSON}", "Transfer-Encoding: chunked")
    piece = b"%x\r\n%b\r\n" % (HUGE_PIECE_BYTES, b" " * HUGE_PIECE_BYTES)
    while True:
        yield piece
        yield Pause(HUGE_PAUSE_S)
