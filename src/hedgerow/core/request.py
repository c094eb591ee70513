"""A client's request, from its head to its answer."""

from os import urandom
from typing import Any, Final, Protocol

from mypy_extensions import mypyc_attr

from hedgerow.core.forwarding import ClientMessage
from hedgerow.core.hedge_limit import LateRequest
from hedgerow.core.route import Route
from hedgerow.core.traces import RequestTrace

SAFE_METHODS: Final = frozenset((b"GET", b"HEAD", b"OPTIONS"))
"""Those that change nothing, so that each request may be sent several times (RFC 9110 section 9.2.1). TRACE would be,
too, but is not proxied."""


@mypyc_attr(acyclic=True)
class Request:
    """One request whose head was read and is valid. Instants are seconds of the gateway's clock.

    `keep_alive`: its connection may be used again; `announce_keep_alive`: the response must say
    so: to clients of HTTP/1.0 it must (RFC 9112 section 9.3).
    """

    route: Route
    """Set when the request is found valid; not there before."""

    __slots__ = (
        "announce_keep_alive", "arrived_at", "deadline_at", "keep_alive", "late", "message", "method", "path", "query",
        "request_id", "route", "started_at", "timeout_ms", "trace", "tried",
    )  # fmt: skip

    def __init__(
        self,
        method: bytes,
        path: bytes,
        query: bytes,
        *,
        request_id: bytes,
        arrived_at: float,
        keep_alive: bool = True,
        announce_keep_alive: bool = False,
        trace: RequestTrace | None = None,
        message: ClientMessage | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.request_id = request_id
        self.arrived_at = arrived_at
        self.keep_alive = keep_alive
        self.announce_keep_alive = announce_keep_alive
        self.trace = trace
        """The trace that it is part of: as the client sent it, then as it is recorded, if it is."""
        self.message = message
        """As its client sent it, where requests are passed on; else None."""
        self.timeout_ms = 0
        """What the client gives us, clamped; set when the request is found valid."""
        self.started_at = 0.0
        """When its first attempt was sent."""
        self.deadline_at = 0.0
        """When it is answered at the latest; set when it is admitted."""
        self.late: LateRequest | None = None
        """What was decided of its hedges when they were due, where something may hold them."""
        self.tried: list[Any] | None = None
        """Addresses of the upstream that its attempts went to, where there are several."""

    @property
    def may_be_repeated(self) -> bool:
        """Return whether it may be sent a second time though the upstream may have worked on it.

        A route without hedges passes on what changes something once: a proxy must not repeat a request whose method is
        not idempotent (RFC 9110 section 9.2.2), and PUT or DELETE would undo what others wrote between the two.
        """
        return self.method in SAFE_METHODS or self.route.plan.hedges > 0

    @property
    def hedges_held(self) -> int:
        """Return how many of its hedges were due and not sent, so as not to make an outage worse."""
        return 0 if self.late is None else self.late.held


@mypyc_attr(allow_interpreted_subclasses=True)
class Handler:
    """Answers requests."""

    __slots__ = ()

    def handle(self, request: Request, responder: "Responder") -> "Cancellable | None":
        """Answer by one call of `responder.respond`, before this returns or later.

        Return what can be cancelled while the client waits, or None if nothing can. Never raises.
        """
        raise NotImplementedError

    def timeout_ms(self, request: Request) -> int:  # noqa: ARG002
        """Return how many milliseconds the client waits; 0 if it gets an error without an upstream. Never raises."""
        return 0

    def max_body_bytes(self, request: Request) -> int:  # noqa: ARG002
        """Return how long a body the request may have, which has come but for its body. Never raises.

        Its `timeout_ms` is set then: when the answer is due and the body has not come whole, `handle` is called, and
        answers that. -1: no body is read. Then `handle` is called at once. Both close the connection.
        """
        return -1


class Responder(Protocol):
    """The connection that a request came on."""

    def respond(self, response: Any) -> None:
        """Send the `Response`. Called once for each request, unless it was cancelled."""


class Cancellable(Protocol):
    """An answer that is being worked on."""

    def cancel(self) -> None:
        """Give up, since the client has left: `respond` must not be called any more."""


class RequestIdGenerator:
    """Makes ids for requests that bring none: unique, and cheap (0.1 µs; `uuid4` takes 1.5 µs)."""

    __slots__ = ("_made", "_prefix")

    def __init__(self) -> None:
        self._prefix = urandom(6).hex().encode()
        self._made = 0

    def next(self) -> bytes:
        """Return a new id: a number after a prefix that is unique to this worker."""
        self._made += 1
        return b"%b-%d" % (self._prefix, self._made)
