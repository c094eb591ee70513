"""Failures by the status line: valid HTTP in one write, and the connection stays open."""

from hedgerow_simulator.wire_script import HTML, JSON, TEXT, complete_response, head

WITHOUT_BODY = (204, 304)
"""Statuses after which RFC 9110 allows no body and no length is needed."""


def error(body: bytes) -> bytes:  # noqa: ARG001 - every fault is given the good body
    """Send 500 with a body of HTML, as the reference upstream does."""
    return complete_response(500, HTML, b"<html><body><h1>Error: Server Error</h1></body></html>\n")


def too_many(body: bytes) -> bytes:  # noqa: ARG001 - every fault is given the good body
    """Send 429 with a body of text."""
    return complete_response(429, TEXT, b"Rate exceeded.\n")


def overloaded(body: bytes) -> bytes:  # noqa: ARG001 - every fault is given the good body
    """Send 503 with a body of text, as a server whose queue is full does."""
    return complete_response(503, TEXT, b"The queue is full.\n")


def no_content(body: bytes) -> bytes:  # noqa: ARG001 - every fault is given the good body
    """Send 204 with neither a body nor a length."""
    return head(204)


def redirect(body: bytes) -> bytes:
    """Send 302 to itself, with the good body: following it never ends, and ignoring it would accept the body."""
    return complete_response(302, JSON, body, "Location: /api/work?fault=redirect")


def any_status(status: int, body: bytes) -> bytes:
    """Send the status asked for, with the good body where one is allowed: only the status shows the failure."""
    if status in WITHOUT_BODY:
        return head(status)
    return complete_response(status, JSON, body)
