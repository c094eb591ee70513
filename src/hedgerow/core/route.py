"""Routes at run time: which request has which, and what holds for it. Made by `hedgerow.routing` from the settings."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

from hedgerow.core.answer_rules import AnswerRules
from hedgerow.core.forwarding import Forwarding, RequestHead
from hedgerow.core.hedging import HedgePlan
from hedgerow.core.outcomes import AttemptSender
from hedgerow.core.timeout_param import (
    DEFAULT_PARAMETER,
    InvalidTimeout,
    Timeout,
    parse_timeout_header,
    parse_timeout_ms,
)

if TYPE_CHECKING:
    from hedgerow.core.request import Request


class HedgeDelay(Protocol):
    """A hedge delay that follows what was seen."""

    def delay_s(self, now: float) -> float:
        """Return the hedge delay at an instant of the gateway's clock, in seconds."""


class ClientTimeouts:
    """How long the clients of one route wait: the smallest of what they say, within bounds."""

    __slots__ = ("_default_ms", "_headers", "_max_ms", "_parameter")

    def __init__(
        self,
        default_ms: int,
        max_ms: int,
        *,
        parameter: bytes = DEFAULT_PARAMETER,
        headers: tuple[bytes, ...] = (),
    ) -> None:
        """`parameter` is that of the query, or empty; `headers` are names in lower case."""
        self._default_ms = default_ms
        self._max_ms = max_ms
        self._parameter = parameter
        self._headers = headers

    def timeout_ms(self, query: bytes, head: RequestHead | None) -> Timeout:
        """Return a request's timeout in milliseconds, or what is wrong with it."""
        if head is None or not self._headers:
            return self._of_query(query, self._default_ms)
        least = self._of_query(query, 0)
        for name, value in head.headers:
            lower = name.lower()
            if lower in self._headers and not isinstance(least, InvalidTimeout):
                timeout = parse_timeout_header(lower, value, self._max_ms)
                if isinstance(timeout, InvalidTimeout) or not least or timeout < least:
                    least = timeout
        return least or self._default_ms

    def _of_query(self, query: bytes, absent_ms: int) -> Timeout:
        if not self._parameter:
            return absent_ms
        return parse_timeout_ms(query, default_ms=absent_ms, max_ms=self._max_ms, parameter=self._parameter)


class Route:
    """One route: where its requests go, how long they may take, and what is passed on."""

    __slots__ = (
        "_delay", "_plan", "accepts_bodies", "deadline_header", "forwarding", "max_request_body", "max_response_body",
        "methods", "name", "passes_last_response", "rules", "timeouts", "upstream",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        upstream: AttemptSender,
        plan: HedgePlan,
        timeouts: ClientTimeouts,
        *,
        methods: tuple[bytes, ...] = (b"GET", b"HEAD"),
        forwarding: Forwarding | None = None,
        rules: AnswerRules | None = None,
        delay: HedgeDelay | None = None,
        deadline_header: bytes = b"",
        accepts_bodies: bool = False,
        max_request_body: int = 0,
        max_response_body: int = 0,
        passes_last_response: bool = False,
    ) -> None:
        self.name = name
        self.upstream = upstream
        self.timeouts = timeouts
        self.methods = methods
        self.forwarding = forwarding
        """How requests are passed on; None: the upstream gets a request of its own, the assignment's."""
        self.rules = rules
        """Which answers are a success; None: the assignment's rule."""
        self.deadline_header = deadline_header
        """Has what is left for an attempt, in milliseconds; empty: none has."""
        self.accepts_bodies = accepts_bodies
        self.max_request_body = max_request_body
        self.max_response_body = max_response_body
        """In bytes; 0: `UpstreamLimits.max_body_bytes`."""
        self.passes_last_response = passes_last_response
        """Where every attempt has failed, the client gets the last answer that came."""
        self._plan = plan
        self._delay = delay

    def plan_at(self, now: float) -> HedgePlan:
        """Return when to ask again, for a race that begins now."""
        if self._delay is None:
            return self._plan
        plan = self._plan
        return HedgePlan(self._delay.delay_s(now), plan.hedges, plan.early_failure)

    def hedge_after_s(self, now: float) -> float:
        """Return the hedge delay at an instant of the gateway's clock, in seconds."""
        return self._plan.hedge_after_s if self._delay is None else self._delay.delay_s(now)

    def deadline_line(self, request: "Request", now: float) -> bytes:
        """Return the header line that has what is left for an attempt, or nothing."""
        if not self.deadline_header:
            return b""
        left_ms = max(int((request.deadline_at - now) * 1000), 1)
        unit = b"m" if self.deadline_header == GRPC_TIMEOUT else b""
        return b"%b: %d%b\r\n" % (self.deadline_header, left_ms, unit)


GRPC_TIMEOUT: Final = b"grpc-timeout"


class RoutesOfPath:
    """The routes of one path or prefix, by method."""

    __slots__ = ("allow", "by_method")

    def __init__(self) -> None:
        self.by_method: dict[bytes, Route] = {}
        self.allow = b""
        """The value of the Allow header of a 405 (RFC 9110 section 10.2.1)."""

    def add(self, route: Route) -> None:
        """Add a route; where two have the same method, the first one has it."""
        for method in route.methods:
            self.by_method.setdefault(method, route)
        self.allow = b", ".join(self.by_method)


class RouteTable:
    """All routes of a worker. `match` takes as long for 64 of them as for one."""

    __slots__ = ("_deepest", "_exact", "_prefixes", "passes_headers", "routes", "unmatched_detail")

    def __init__(self, routes: Iterable[Route], paths: Iterable[bytes], prefixes: Iterable[bytes]) -> None:
        """`paths` and `prefixes` are those of the routes, in their order; each route has one, the other is empty."""
        self.routes = tuple(routes)
        self._exact: dict[bytes, RoutesOfPath] = {}
        self._prefixes: dict[bytes, RoutesOfPath] = {}
        for route, path, prefix in zip(self.routes, paths, prefixes, strict=True):
            if path:
                self._exact.setdefault(path, RoutesOfPath()).add(route)
            else:
                self._prefixes.setdefault(prefix.rstrip(b"/"), RoutesOfPath()).add(route)
        self._deepest = max((prefix.count(b"/") for prefix in self._prefixes), default=-1)
        """The most segments of a prefix; -1 if there is none."""
        self.passes_headers = any(route.forwarding is not None for route in self.routes)
        self.unmatched_detail = "no route has this path"
        """Of a 404."""
        if len(self._exact) == 1 and not self._prefixes:
            (path,) = self._exact
            self.unmatched_detail = f"the only path here is {path.decode('ascii')}"

    def match(self, path: bytes) -> RoutesOfPath | None:
        """Return the routes of exactly this path, else of its longest prefix on a border of segments (R01)."""
        found = self._exact.get(path)
        if found is not None or self._deepest < 0:
            return found
        if not path.startswith(b"/"):  # `*`, or the authority of a CONNECT
            return None
        end = 0
        for _ in range(self._deepest + 1):  # no further: a path may have thousands of segments
            end = path.find(b"/", end + 1)
            if end < 0:
                end = len(path)
                break
        prefix = path[:end]
        while prefix:
            found = self._prefixes.get(prefix)
            if found is not None:
                return found
            prefix = prefix[: prefix.rfind(b"/")]
        return self._prefixes.get(b"")
