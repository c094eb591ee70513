"""Writes the requests of attempts as they go over the wire to one endpoint."""

from collections.abc import Callable
from typing import Final

from hedgerow.core.forwarding import ClientMessage, ForwardedRequest
from hedgerow.core.outcomes import Attempt
from hedgerow.core.request import Request
from hedgerow.settings import Target

_WITH_CONTENT: Final = frozenset((b"POST", b"PUT", b"PATCH"))
"""Methods whose requests say their length also where it is 0 (RFC 9110 section 8.6)."""


class RequestWriter:
    """Writes the requests to one endpoint. The ids let the upstream's log and traces be joined with ours."""

    __slots__ = ("_authority", "_base_path", "_clock", "_own_head")

    def __init__(self, target: Target, user_agent: str, clock: Callable[[], float]) -> None:
        """`target.path` is the base path of what is passed on, and the whole path of the assignment's request."""
        self._clock = clock
        self._authority = target.authority.encode("ascii")
        self._base_path = target.path.encode("ascii").rstrip(b"/")
        self._own_head = (
            f"GET {target.path} HTTP/1.1\r\n"
            f"Host: {target.authority}\r\n"
            f"User-Agent: {user_agent}\r\n"
            "Accept: application/json\r\n"
            "Accept-Encoding: identity\r\n"  # a compressed body could be a bomb (urllib3 CVE-2025-66471)
        ).encode("ascii")

    def serialize(self, attempt: Attempt) -> bytes:
        """Return a whole request message."""
        request = attempt.request
        trace = attempt.span.headers if attempt.span is not None else b""
        if request.message is not None and request.message.forwarded is not None:
            return self._passed_on(attempt, request, request.message, request.message.forwarded, trace)
        return b"%bX-Request-Id: %b\r\nHedgerow-Attempt: %d\r\n%b\r\n" % (
            self._own_head,
            request.request_id,
            attempt.number,
            trace,
        )

    def _passed_on(
        self,
        attempt: Attempt,
        request: Request,
        message: ClientMessage,
        forwarded: ForwardedRequest,
        trace: bytes,
    ) -> bytes:
        route, body = request.route, message.body
        forwarded_for = forwarded.forwarded_for
        length = b""
        if body or request.method in _WITH_CONTENT:
            length = b"Content-Length: %d\r\n" % len(body)
        return (
            b"%b %b%b HTTP/1.1\r\nHost: %b\r\n%b%b%b%bX-Request-Id: %b\r\nHedgerow-Attempt: %d\r\n%b\r\n%b"
            % (
                request.method,
                self._base_path,
                forwarded.target,
                forwarded.host or self._authority,
                forwarded.headers,
                b"%b%b\r\n" % (forwarded_for, message.address) if forwarded_for else b"",
                route.deadline_line(request, self._clock()) if route.deadline_header else b"",
                length,
                request.request_id,
                attempt.number,
                trace,
                body,
            )
        )
