"""The routes and upstreams in effect: those of the file, or the default route, which the flags describe."""

from typing import Final, NamedTuple

import msgspec

from hedgerow.settings.redaction import redacted_url
from hedgerow.settings.routes import (
    HedgeBudget,
    HedgeRule,
    RouteRule,
    SuccessRule,
    TimeoutRule,
    UpstreamRule,
)
from hedgerow.settings.schema import Settings
from hedgerow.settings.upstream_url import EMBEDDED, EMBEDDED_TARGET, Target

DEFAULT_PATH: Final = "/api/smart"
DEFAULT_UPSTREAM: Final = "default"
"""The name of the default route's upstream: a label of its metrics."""

SMART_METHODS: Final = ("GET", "HEAD")
SMART_SUCCESS: Final = SuccessRule(status=((200, 200),), json="time")
SMART_TIMEOUT_PARAMETER: Final = "timeout"


class Routing(NamedTuple):
    """What a worker serves."""

    routes: tuple[RouteRule, ...]
    upstreams: tuple[UpstreamRule, ...]


def effective_routing(settings: Settings, target: Target) -> Routing:
    """Return the routes and upstreams in effect. There is at least one route, and the upstream of each is there.

    `target` is what `--upstream` comes to: where the simulator listens, if it is `embedded`.
    """
    routes = routes_in_effect(settings)
    if settings.routes:
        return Routing(routes, tuple(_with_simulator(rule, target) for rule in settings.upstreams))
    return Routing(routes, (_default_upstream(settings, target),))


def routes_in_effect(settings: Settings) -> tuple[RouteRule, ...]:
    """Return the routes of the file, or the default route; there is at least one."""
    return settings.routes or (_default_route(settings),)


def max_hedges(settings: Settings) -> int:
    """Return how many hedges a request may have, on the route that has the most."""
    return max(hedges_of(route) for route in routes_in_effect(settings))


def hedges_of(route: RouteRule) -> int:
    """Return how many hedges a request of a route may have."""
    return 0 if route.hedge.mode == "off" else route.hedge.max_hedges


def needs_simulator(settings: Settings) -> bool:
    """Return whether an endpoint is `embedded`."""
    if not settings.routes:
        return settings.upstream == EMBEDDED
    return any(EMBEDDED_TARGET in rule.endpoints for rule in settings.upstreams)


def redacted_endpoints(settings: Settings) -> dict[str, str]:
    """Return the endpoints of each upstream as they may be shown, by its name; those of one are on one line."""
    if not settings.routes:
        return {DEFAULT_UPSTREAM: redacted_url(settings.upstream)}
    return {rule.name: ", ".join(map(_redacted, rule.endpoints)) for rule in settings.upstreams}


def _redacted(endpoint: Target) -> str:
    return EMBEDDED if endpoint == EMBEDDED_TARGET else endpoint.redacted_url


def _default_route(settings: Settings) -> RouteRule:
    return RouteRule(
        name=DEFAULT_PATH,
        path=DEFAULT_PATH,
        methods=SMART_METHODS,
        upstream=DEFAULT_UPSTREAM,
        timeout=TimeoutRule(
            default_ms=settings.default_timeout_ms,
            max_ms=settings.max_timeout_ms,
            query=SMART_TIMEOUT_PARAMETER,
        ),
        success=SMART_SUCCESS,
        final=(),
        hedge=HedgeRule(
            mode=settings.hedge_mode,
            sample=settings.hedge_sample if settings.hedge_mode == "observe" else 0.0,
            after=settings.hedge_after_ms / 1000,
            max_hedges=settings.hedges,
            retry_on_failure=settings.hedge_on_failure,
            hold=settings.hedge_hold,
            ceiling=settings.hedge_ceiling or None,
            budget=_default_budget(settings),
        ),
        max_request_body=0,
        max_response_body=settings.upstream_limits.max_body_bytes,
        answers="smart",
    )


def _default_budget(settings: Settings) -> HedgeBudget | None:
    percent, min_per_second = settings.hedge_budget_percent, settings.hedge_budget_min_per_second
    return HedgeBudget(percent=percent, min_per_second=min_per_second) if percent or min_per_second else None


def _default_upstream(settings: Settings, target: Target) -> UpstreamRule:
    return UpstreamRule(
        name=DEFAULT_UPSTREAM,
        endpoints=(target,),
        outlier_detection=None,
        losers=settings.losers.value,
        loser_grace_s=settings.loser_grace_ms / 1000,
    )


def _with_simulator(rule: UpstreamRule, target: Target) -> UpstreamRule:
    if EMBEDDED_TARGET not in rule.endpoints:
        return rule
    endpoints = tuple(target if one == EMBEDDED_TARGET else one for one in rule.endpoints)
    return msgspec.structs.replace(rule, endpoints=endpoints)
