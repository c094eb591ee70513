"""The schema of `/status.json`. Fields and units are documented in docs/operations.md."""

import msgspec

from hedgerow.status.holding import HoldStatus
from hedgerow.status.route_schema import RequestsStatus, RouteStatus, UpstreamStatus, VerdictStatus
from hedgerow.telemetry.request_record import RequestRecord


class WorkersStatus(msgspec.Struct):
    """How many workers there should be, how many serve, and how many of these do not report."""

    wanted: int
    ready: int
    unresponsive: int


class ConfigurationStatus(msgspec.Struct, frozen=True):
    """Since when the settings are in effect, and what of the file is not."""

    loaded_at: float = 0.0
    """In seconds since 1970, UTC."""
    error: str | None = None
    """Why the file was rejected when it was last read again; None if it was not."""
    needs_restart: list[str] = []
    """Settings that were changed and take effect with the next start, by file and line."""


class LatencyStatus(msgspec.Struct):
    """How long the upstream's successes take."""

    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    le_ms: list[float]
    counts: list[int]
    """One for each of `le_ms`, and one for all above."""


class AttemptsStatus(msgspec.Struct):
    """Attempts that ended in the window, losers included."""

    total: int
    per_s: float
    success_rate: float | None
    per_request: float | None
    failures: dict[str, int]
    """By reason; statuses without a reason of their own by number, as `status_401`."""
    cut_off: int
    """Of these, attempts that were cancelled too early to say anything about the upstream; in no success rate."""
    latency: LatencyStatus


class ClientsStatus(msgspec.Struct):
    """What clients got, or would have got; quantiles are of the successes alone."""

    requests: int
    success_rate: float | None
    success_rate_at_most: float | None
    """If each request whose outcome is unknown had succeeded."""
    p50_ms: float | None
    p99_ms: float | None
    success_by: list[float]
    """Share of all requests with a success by each of `le_ms`."""


class HedgingStatus(msgspec.Struct):
    """What hedging gained, and what it cost."""

    le_ms: list[float]
    with_hedging: ClientsStatus
    without_hedging: ClientsStatus
    unknown: int
    """First attempts that were cancelled before their outcome was known."""
    fired: int
    won: int
    rescued: int
    suppressed: int
    wasted: int
    """Hedges that were sent and did not win."""
    wasted_s: float


class LoadStatus(msgspec.Struct):
    """The load of the gateway itself."""

    in_flight: int
    in_flight_limit: int
    client_connections: int
    upstream_connections: dict[str, int]
    shed: dict[str, int]
    shed_rate: float | None
    rate_limited_workers: int
    """Workers that are short of CPU."""
    admission_rate_limit: float | None
    """Requests per second that those admit at most; null without such workers."""
    overloaded_workers: int
    loop_iteration_p50_ms: float | None
    loop_iteration_p99_ms: float | None
    answers: int
    late: int
    """Of `answers`, those after their deadline."""


class SeriesStatus(msgspec.Struct):
    """One value for each second, oldest first; null where nothing happened."""

    at: list[int] = []
    """Seconds since 1970, UTC."""
    requests_per_s: list[float] = []
    hedges_per_s: list[float] = []
    shed_per_s: list[float] = []
    request_success_rate: list[float | None] = []
    attempt_success_rate: list[float | None] = []
    attempt_p50_ms: list[float | None] = []
    attempt_p99_ms: list[float | None] = []
    loop_iteration_p99_ms: list[float | None] = []
    in_flight: list[int] = []


class Status(msgspec.Struct):
    """All of `/status.json`."""

    at: float
    version: str
    route: str | None
    """The route that the figures are of; null: all of them."""
    upstream: str
    """Its endpoints, or all there are."""
    hedge_after_ms: int | None
    """The hedge delay now; null where routes have several."""
    hedges_wanted: int
    """The most that a request may have."""
    window_s: float
    """The length of the window."""
    verdict: VerdictStatus
    """Of the upstream alone."""
    gateway: VerdictStatus
    """Of the gateway itself: overload, workers, internal errors."""
    workers: WorkersStatus
    configuration: ConfigurationStatus
    requests: RequestsStatus
    attempts: AttemptsStatus
    hedging: HedgingStatus
    hold: HoldStatus
    load: LoadStatus
    series: SeriesStatus
    recent: list[RequestRecord]
    routes: list[RouteStatus]
    """All of them, in the order of the configuration, whichever the other figures are of."""
    upstreams: list[UpstreamStatus]
    unrouted: dict[str, int]
    """Requests that no route has, by outcome: 404, 405, and what was rejected before its route was known."""
