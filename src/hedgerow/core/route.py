"""Routes at run time: which request has which, and what holds for it. Made by `hedgerow.routing` from the settings."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol

from hedgerow.core.answer_rules import AnswerRules
from hedgerow.core.forwarding import Forwarding
from hedgerow.core.header_fields import lines_of, pattern_of
from hedgerow.core.hedge_limit import HedgeLimit
from hedgerow.core.hedging import HedgePlan
from hedgerow.core.outcomes import AttemptSender
from hedgerow.core.request_head import RequestHead
from hedgerow.core.timeout_param import (
    DEFAULT_PREFIX,
    InvalidTimeout,
    Timeout,
    parse_timeout_header,
    parse_timeout_ms,
)

if TYPE_CHECKING:
    from hedgerow.core.request import Request


class HedgeDelay(Protocol):
    """A hedge delay that follows what was seen."""

    def delay_s(self, route: "Route", now: float) -> float:
        """Return the hedge delay of a route at an instant of the gateway's clock, in seconds."""


class Route:
    """One route: where its requests go, how long they may take, and what is passed on."""

    __slots__ = (
        "_timeout_headers", "accepts_bodies", "attempts_in_flight", "counters", "deadline_header", "default_timeout_ms",
        "delay", "forwarding", "hedge_limit", "in_flight", "max_request_body", "max_response_body", "max_timeout_ms",
        "methods", "name", "plan", "plan_varies", "rules", "sample", "sampled", "template",
        "timeout_prefix", "upstream", "upstream_name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        upstream: AttemptSender,
        plan: HedgePlan,
        *,
        default_timeout_ms: int,
        max_timeout_ms: int,
        timeout_prefix: bytes = DEFAULT_PREFIX,
        timeout_headers: frozenset[bytes] = frozenset(),
        methods: tuple[bytes, ...] = (b"GET", b"HEAD"),
        forwarding: Forwarding | None = None,
        rules: AnswerRules | None = None,
        delay: HedgeDelay | None = None,
        sample: float = 1.0,
        deadline_header: bytes = b"",
        accepts_bodies: bool = False,
        max_request_body: int = 0,
        max_response_body: int = 0,
        hedge_limit: HedgeLimit | None = None,
        upstream_name: str = "default",
        template: str = "",
    ) -> None:
        self.name = name
        self.template = template or name
        """The path that its requests have, `/*` at its end where they may have more."""
        self.upstream = upstream
        self.upstream_name = upstream_name
        self.counters: object | None = None
        """Where telemetry counts what becomes of its requests; set with the first of them."""
        self.in_flight = self.attempts_in_flight = 0
        """Requests that were admitted and not yet answered; attempts that have not ended, losers included."""
        self.default_timeout_ms = default_timeout_ms
        """Of clients that do not say how long they wait."""
        self.max_timeout_ms = max_timeout_ms
        self.timeout_prefix = timeout_prefix
        """The query parameter that says it, in milliseconds, and `=`; empty: none does."""
        self._timeout_headers = pattern_of(timeout_headers) if timeout_headers else None
        """Headers that say it; the smallest value counts."""
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
        self.plan = plan
        """When to ask again; `plan_at` where `plan_varies`."""
        self.delay = delay
        self.sample = sample
        """Share of requests that are hedged; less than 1 where hedging is only observed."""
        self.sampled = 0.0
        """What of the next sample has been reached."""
        self.plan_varies = delay is not None or sample < 1.0
        self.hedge_limit = hedge_limit
        """What holds its hedges back; None: nothing does."""

    def timeout_ms(self, query: bytes, head: RequestHead) -> Timeout:
        """Return the timeout of a request in milliseconds, or what is wrong with it: the smallest that it says."""
        least = parse_timeout_ms(query, default_ms=0, max_ms=self.max_timeout_ms, prefix=self.timeout_prefix)
        if self._timeout_headers is not None:
            for name, value, _, _ in lines_of(self._timeout_headers, head.lines):
                if not isinstance(least, InvalidTimeout):
                    timeout = parse_timeout_header(name, value, self.max_timeout_ms)
                    if isinstance(timeout, InvalidTimeout) or not least or timeout < least:
                        least = timeout
        return least or self.default_timeout_ms

    def plan_at(self, now: float) -> HedgePlan:
        """Return when to ask again, for a race that begins now. Each n-th request is a sample."""
        plan, hedges = self.plan, self.plan.hedges
        if self.sample < 1.0:
            self.sampled += self.sample
            if self.sampled < 1.0:
                hedges = 0
            else:
                self.sampled -= 1.0
        return HedgePlan(self.hedge_after_s(now), hedges, plan.early_failure)

    def hedge_after_s(self, now: float) -> float:
        """Return the hedge delay at an instant of the gateway's clock, in seconds."""
        return self.plan.hedge_after_s if self.delay is None else self.delay.delay_s(self, now)

    def deadline_line(self, request: "Request", now: float) -> bytes:
        """Return the header line that has what is left for an attempt. There is a `deadline_header`."""
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

    __slots__ = ("_deepest", "_exact", "_prefixes", "match", "passes_headers", "routes", "unmatched_detail")

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
        self.match: Callable[[bytes], RoutesOfPath | None] = self._exact.get
        """Return the routes of exactly a path, else of its longest prefix on a border of segments (R01), or None."""
        if self._prefixes:
            self.match = self._match
        self.passes_headers = any(
            route.forwarding is not None or route.rules is not None for route in self.routes
        )
        self.unmatched_detail = "no route has this path"
        """Of a 404."""
        if len(self._exact) == 1 and not self._prefixes:
            (path,) = self._exact
            self.unmatched_detail = f"the only path here is {path.decode('ascii')}"

    def _match(self, path: bytes) -> RoutesOfPath | None:
        found = self._exact.get(path)
        if found is not None:
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
