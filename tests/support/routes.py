"""Routes for tests of what serves them."""

from hedgerow.core.hedge_limit import HedgeLimit
from hedgerow.core.hedging import HedgePlan
from hedgerow.core.outcomes import AttemptSender
from hedgerow.core.route import Route, RouteTable


def smart_route(
    upstream: AttemptSender,
    plan: HedgePlan,
    default_ms: int = 10_000,
    max_ms: int = 60_000,
    hedge_limit: HedgeLimit | None = None,
    *,
    sample: float = 1.0,
) -> Route:
    """Return the default route."""
    return Route(
        "/api/smart",
        upstream,
        plan,
        default_timeout_ms=default_ms,
        max_timeout_ms=max_ms,
        hedge_limit=hedge_limit,
        sample=sample,
    )


def smart_routes(
    upstream: AttemptSender,
    plan: HedgePlan,
    default_ms: int = 10_000,
    max_ms: int = 60_000,
    hedge_limit: HedgeLimit | None = None,
    *,
    sample: float = 1.0,
) -> RouteTable:
    """Return a table of the default route alone."""
    route = smart_route(upstream, plan, default_ms, max_ms, hedge_limit, sample=sample)
    return RouteTable([route], [b"/api/smart"], [b""])
