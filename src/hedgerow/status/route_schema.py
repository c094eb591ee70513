"""What `/status.json` has of each route, upstream and endpoint. Documented in docs/reference/status-json.md."""

import msgspec

from hedgerow.status.health import HealthState


class VerdictStatus(msgspec.Struct):
    """The state of the upstream or of the gateway, with its reason in words."""

    state: HealthState
    reason: str


class RequestsStatus(msgspec.Struct):
    """Requests in the window. The success rate is of those that were answered after a race."""

    total: int
    per_s: float
    success_rate: float | None
    by_outcome: dict[str, int]


class QuantilesStatus(msgspec.Struct):
    """How long successes take."""

    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None


class RouteAttemptsStatus(msgspec.Struct):
    """Attempts that ended in the window, losers included."""

    total: int
    per_s: float
    success_rate: float | None
    per_request: float | None
    failures: dict[str, int]


class RouteHedgingStatus(msgspec.Struct):
    """How a route hedges, and what became of it in the window."""

    mode: str
    sample: float
    """Share of requests that are hedged all the same where `mode` is `observe`."""
    after_ms: int
    """The hedge delay now: the mean of the workers, if it follows the latency."""
    quantile: float | None
    """Of the latency, which the hedge delay follows; null if it is fixed."""
    max_hedges: int
    fired: int
    won: int
    rescued: int
    held: int
    limit: float | None
    """Attempts in flight up to which the workers that have a limit now send hedges; null without such workers."""


class RouteStatus(msgspec.Struct):
    """One route. Counts are of the window."""

    name: str
    upstream: str
    verdict: VerdictStatus
    """Of the upstream, by the attempts of this route alone."""
    requests: RequestsStatus
    latency: QuantilesStatus
    """Of requests that succeed, from their arrival."""
    attempts: RouteAttemptsStatus
    hedging: RouteHedgingStatus
    in_flight: int
    attempts_in_flight: int
    """Losers included."""


class EndpointStatus(msgspec.Struct):
    """One address of an upstream; sums of what its workers see."""

    url: str
    address: str
    in_flight: int
    failures: int
    """In a row."""
    ejected_workers: int
    """Workers that leave it out for its failures."""
    unreachable_workers: int
    """Workers of which a connect has failed within the last second."""


class UpstreamStatus(msgspec.Struct):
    """One upstream. Counts are of the window, and of all its routes."""

    name: str
    url: str
    """Of its endpoints as they are configured, redacted."""
    routes: list[str]
    attempts: RouteAttemptsStatus
    latency: QuantilesStatus
    """Of attempts that succeed."""
    endpoints: list[EndpointStatus]
    """None where there are too many."""
