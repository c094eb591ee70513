"""What a fault does on a connection, as data: bytes to write, pauses, and ways to end.

A fault is a function from the body of a good answer to a `WireScript`. It touches no socket and no clock, so each
one can be read, and tested, as the list of the steps that it takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import TypeAlias

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is sent for this time."""

    seconds: float


class End(Enum):
    """How a fault ends the connection. Steps that run out without one leave it open for the next request."""

    CLOSE = "a FIN, once everything written is sent"
    RESET = "a RST, at once"


Step: TypeAlias = bytes | Pause | End
WireScript: TypeAlias = bytes | Iterator[Step]
"""Bytes are a complete response, written at once; the connection stays open. Else a sequence of steps."""


def reason_phrase(status: int) -> str:
    """Return the phrase of the status line, also for unregistered statuses."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unregistered"


def head(status: int, *fields: str) -> bytes:
    """Return a status line, the header fields as given (`Name: value`) and the empty line."""
    lines = (f"HTTP/1.1 {status} {reason_phrase(status)}", *fields, "", "")
    return "\r\n".join(lines).encode("latin-1")


def complete_response(status: int, content_type: str, body: bytes, *fields: str) -> bytes:
    """Return a complete response with a length."""
    return head(status, f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *fields) + body


def with_connection_close(answer: bytes) -> bytes:
    """Add `Connection: close`, which a client that sent it expects (RFC 9112, 9.6)."""
    return answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
