"""How the routes and endpoints of a worker are at one moment, added to its counts."""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Protocol

from hedgerow.core.hedge_limit import HedgeLimit
from hedgerow.core.route import Route
from hedgerow.settings.routes import MAX_ENDPOINTS_SHOWN
from hedgerow.telemetry.endpoint_counts import EndpointCounts
from hedgerow.telemetry.snapshot import RouteCounts, Snapshot, add
from hedgerow.upstream.endpoint_states import EndpointState


class EndpointSource(Protocol):
    """A pool of connections to one upstream."""

    def endpoint_states(self) -> list[EndpointState]: ...


def add_route_states(snapshot: Snapshot, routes: Iterable[Route], now: float) -> None:
    """Add what is in flight on each route, its hedge delay and what holds its hedges; also to the totals."""
    for route in routes:
        state = RouteCounts(
            in_flight=route.in_flight,
            attempts_in_flight=route.attempts_in_flight,
            hedge_delay_s=route.hedge_after_s(now),
            workers=1,
        )
        if route.hedge_limit is not None:
            _add_hedge_limit(state, route.hedge_limit)
        by_upstream = snapshot.routes.setdefault(route.name, {})
        known = by_upstream.get(route.upstream_name)
        by_upstream[route.upstream_name] = state if known is None else add(known, state)
        snapshot.attempts_in_flight += state.attempts_in_flight
        snapshot.hedge_limited_workers |= state.hedge_limited_workers
        snapshot.hedge_limit += state.hedge_limit
        snapshot.first_attempts_judged = add(snapshot.first_attempts_judged, state.first_attempts_judged)
        snapshot.hedge_limit_halvings = add(snapshot.hedge_limit_halvings, state.hedge_limit_halvings)


def _add_hedge_limit(state: RouteCounts, limit: HedgeLimit) -> None:
    if isfinite(limit.limit):
        state.hedge_limited_workers = 1
        state.hedge_limit = limit.limit
    state.first_attempts_judged = {"quick": limit.quick, "late": limit.judged - limit.quick}
    state.hedge_limit_halvings = {"late": limit.halvings_late, "unanswered": limit.halvings_stuck}


def add_endpoint_states(snapshot: Snapshot, pools: Mapping[str, EndpointSource]) -> None:
    """Add the state of each endpoint, by upstream; of none where all upstreams have too many together (R11)."""
    states = {name: pool.endpoint_states() for name, pool in pools.items()}
    if sum(map(len, states.values())) > MAX_ENDPOINTS_SHOWN:
        return
    snapshot.endpoints = {
        name: {
            f"{state.url} {state.address}": EndpointCounts(
                state.in_flight, state.failures, int(state.is_ejected), int(state.is_unreachable)
            )
            for state in endpoints
        }
        for name, endpoints in states.items()
    }
