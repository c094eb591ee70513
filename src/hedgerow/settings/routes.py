"""Routes and upstreams: what a configuration file says of them, as checked values.

`configuration` makes them from TOML; a worker is sent them, and makes of each what serves requests.
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec

from hedgerow.settings.upstream_url import Target

StatusRanges: TypeAlias = tuple[tuple[int, int], ...]
"""Ranges of status codes, both ends included: `"2xx"` is (200, 299), `"404"` is (404, 404)."""

MAX_ROUTES: Final = 64
"""Each route has metrics of its own: some 60 series in each scrape, and 400 when all outcomes have occurred."""

MAX_ENDPOINTS: Final = 32
"""Each has a pool of connections in each worker, and metrics of its own."""

MAX_ENDPOINTS_SHOWN: Final = 32
"""Addresses of all upstreams: each is a label of four series. With more of them nothing is reported by endpoint."""

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""The greatest limit for a body: it is held in memory whole, an answer's by each attempt."""

MAX_NAME_CHARACTERS: Final = 128
"""Of a route's name and an upstream's: they are labels of metrics."""

SUCCESS_STATUS: Final[StatusRanges] = ((200, 299),)
FINAL_STATUS: Final[StatusRanges] = ((300, 399), (400, 407), (409, 428))
"""Answers that asking again cannot change: redirects, 304, errors of the client. Not 408 (timeout) and not 429 (too
many requests)."""


class TlsRule(msgspec.Struct, frozen=True, kw_only=True):
    """How connections to an upstream are secured. Files are PEM."""

    ca_file: str | None = None
    """Authorities to trust; None: those of the system."""
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    """For SNI and the certificate's check; None: the endpoint's host."""
    min_version: Literal["1.2", "1.3"] = "1.2"


class OutlierDetection(msgspec.Struct, frozen=True, kw_only=True):
    """When an endpoint is left out for a while."""

    consecutive_failures: int = 5
    ejection_time_s: float = 30.0
    """For the first time; doubled with each further one."""
    max_ejection_percent: int = 50


class UpstreamRule(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream: endpoints that serve the same."""

    name: str
    endpoints: tuple[Target, ...]
    """The path of each is its base path."""
    lb_policy: Literal["least_request", "round_robin"] = "least_request"
    tls: TlsRule = TlsRule()
    outlier_detection: OutlierDetection | None = OutlierDetection()
    """None: no endpoint is ever left out."""
    losers: Literal["drain", "cancel"] = "drain"
    loser_grace_s: float = 1.0


class TimeoutRule(msgspec.Struct, frozen=True, kw_only=True):
    """How long a client waits: the smallest of what it says, bounded."""

    default_ms: int = 10_000
    max_ms: int = 60_000
    query: str | None = None
    """The query parameter that holds milliseconds; it is not passed on."""
    headers: tuple[str, ...] = ()
    """Request headers, in lower case: `grpc-timeout` has its own format, others hold milliseconds."""


class SuccessRule(msgspec.Struct, frozen=True, kw_only=True):
    """Which answers are a success."""

    status: StatusRanges = SUCCESS_STATUS
    json: Literal["any", "object", "time"] | None = None
    """The whole body must be JSON; `time`: the assignment's payload."""
    json_schema: dict[str, Any] | None = None


class QuantileDelay(msgspec.Struct, frozen=True, kw_only=True):
    """A hedge delay that follows the latency of first attempts that succeed."""

    quantile: float
    min_s: float
    max_s: float
    """It is this until enough was seen."""


class HedgeBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Hedges as a share of requests."""

    percent: float
    min_per_second: float = 0.0


class HedgeRule(msgspec.Struct, frozen=True, kw_only=True):
    """When an upstream is asked again."""

    mode: Literal["on", "observe", "off"] = "on"
    after: float | QuantileDelay = 0.3
    """The hedge delay in seconds."""
    max_hedges: int = 1
    retry_on_failure: Literal["wait", "immediate"] = "wait"
    hold: Literal["auto", "off"] = "auto"
    ceiling: int | None = None
    """Attempts in flight, for each worker, beyond which no hedge is sent."""
    budget: HedgeBudget | None = None
    sample: float = 0.0
    """Share of requests that are hedged all the same where `mode` is `observe`."""


class HeaderRule(msgspec.Struct, frozen=True, kw_only=True):
    """Headers that are changed on their way to the upstream."""

    set: dict[str, str] = {}
    remove: tuple[str, ...] = ()


class RouteRule(msgspec.Struct, frozen=True, kw_only=True):
    """One route: which requests it has, where they go, and what is a success."""

    name: str
    """A label of its metrics: given, or its path."""
    path: str | None = None
    """Exactly this; one of `path` and `path_prefix` is given."""
    path_prefix: str | None = None
    methods: tuple[str, ...] = ("GET", "HEAD")
    idempotent: bool = False
    """Requests of other methods than GET, HEAD and OPTIONS, and those with a body, may be sent several times."""
    upstream: str
    strip_prefix: str | None = None
    rewrite: str | None = None
    """The path prefix that replaces `strip_prefix` or `path_prefix`; the whole path where the route has `path`."""
    preserve_host: bool = False
    headers: HeaderRule = HeaderRule()
    timeout: TimeoutRule = TimeoutRule()
    deadline_header: str | None = None
    """Has what is left for the attempt, in milliseconds."""
    success: SuccessRule = SuccessRule()
    final: StatusRanges = FINAL_STATUS
    on_all_failed: Literal["problem", "last_response"] = "problem"
    hedge: HedgeRule = HedgeRule()
    max_request_body: int = 64 * 1024
    max_response_body: int = 1024 * 1024
    answers: Literal["pass_through", "smart"] = "pass_through"
    """`smart`: the contract of the default route: own errors, JSON out, nothing of the upstream's headers."""
