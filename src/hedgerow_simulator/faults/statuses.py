"""Failures that say so in the status line: valid HTTP in one write, and the connection stays open."""

from hedgerow_simulator.wire import HTML, JSON, TEXT, head, whole

WITHOUT_BODY = (204, 304)
"""Statuses after which RFC 9110 allows no body and no length is needed."""


def error(body: bytes) -> bytes:  # noqa: ARG001 - every fault is given the good body
    """Send 500 with a body of HTML, as the upstream of record has been seen to answer."""
    return whole(500, HTML, b"<html><body><h1>Error: Server Error</h1></body></html>\n")


def too_many(body: bytes) -> bytes:  # noqa: ARG001 - every fault is given the good body
    """Send 429 with a body of text."""
    return whole(429, TEXT, b"Rate exceeded.\n")


def overloaded(body: bytes) -> bytes:  # noqa: ARG001 - every fault is given the good body
    """Send 503 with a body of text, as a server whose queue is full does."""
    return whole(503, TEXT, b"The queue is full.\n")


def no_content(body: bytes) -> bytes:  # noqa: ARG001 - every fault is given the good body
    """Send 204 with neither a body nor a length."""
    return head(204)


def redirect(body: bytes) -> bytes:
    """Send 302 to itself, with the good body: who follows never arrives, who ignores it is deceived."""
    return whole(302, JSON, body, "Location: /api/work?fault=redirect")


def any_status(status: int, body: bytes) -> bytes:
    """Send the status asked for, with the good body where one is allowed: only the number tells."""
    if status in WITHOUT_BODY:
        return head(status)
    return whole(status, JSON, body)
