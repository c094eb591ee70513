"""What holds a worker's hedges: made from the settings, and added to its counts."""

from math import isfinite

from hedgerow.core.hedge_limit import HedgeBudget, HedgeLimit
from hedgerow.settings import Settings
from hedgerow.telemetry.snapshot import Snapshot


def hedge_limit(settings: Settings) -> HedgeLimit | None:
    """Return what holds the default route's hedges back; None where nothing does."""
    percent, min_per_second = settings.hedge_budget_percent, settings.hedge_budget_min_per_second
    budget = HedgeBudget(percent, min_per_second) if percent or min_per_second else None
    holds, ceiling = settings.hedge_hold == "auto", settings.hedge_ceiling or None
    if not settings.hedges or (not holds and ceiling is None and budget is None):
        return None
    return HedgeLimit(settings.hedge_after_ms / 1000, holds=holds, ceiling=ceiling, budget=budget)


def add_hedge_limit(snapshot: Snapshot, limit: HedgeLimit | None) -> None:
    """Add what the limit has counted. Without one, attempts are counted by their connections."""
    if limit is None:
        connections = snapshot.upstream_connections
        snapshot.attempts_in_flight = connections.get("connecting", 0) + connections.get("active", 0)
        return
    snapshot.attempts_in_flight = limit.in_flight
    if isfinite(limit.limit):
        snapshot.hedge_limited_workers, snapshot.hedge_limit = 1, limit.limit
    snapshot.first_attempts_judged = {"quick": limit.quick, "late": limit.judged - limit.quick}
    snapshot.hedge_limit_halvings = {"late": limit.halvings_late, "unanswered": limit.halvings_stuck}
