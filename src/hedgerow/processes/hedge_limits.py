"""What holds hedges in a worker, added to its counts."""

from collections.abc import Iterable
from math import isfinite

from hedgerow.core.hedge_limit import HedgeLimit
from hedgerow.telemetry.snapshot import Snapshot, add


def add_hedge_limits(snapshot: Snapshot, limits: Iterable[HedgeLimit]) -> None:
    """Add what the limits of the routes have counted. Attempts are counted by their connections."""
    connections = snapshot.upstream_connections
    snapshot.attempts_in_flight = connections.get("connecting", 0) + connections.get("active", 0)
    for limit in limits:
        if isfinite(limit.limit):
            snapshot.hedge_limited_workers = 1
            snapshot.hedge_limit += limit.limit
        judged = {"quick": limit.quick, "late": limit.judged - limit.quick}
        halvings = {"late": limit.halvings_late, "unanswered": limit.halvings_stuck}
        snapshot.first_attempts_judged = add(snapshot.first_attempts_judged, judged)
        snapshot.hedge_limit_halvings = add(snapshot.hedge_limit_halvings, halvings)
