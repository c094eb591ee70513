"""A hedge delay that follows what was observed of its route."""

from hedgerow.core.route import Route
from hedgerow.telemetry.route_counters import RouteCounters


class FollowingDelay:
    """A quantile of the latency of first attempts that succeed, within bounds, all in seconds.

    It is the longest while fewer than `latency_sketch.WARM` of them were seen in the last minute: hedges that come late
    do no harm, and hedges of everything would.
    """

    __slots__ = ("_max_s", "_min_s", "_quantile")

    def __init__(self, quantile: float, min_s: float, max_s: float) -> None:
        self._quantile = quantile
        self._min_s = min_s
        self._max_s = max_s

    def delay_s(self, route: Route, now: float) -> float:
        """Return the hedge delay of the route that has this at an instant of the gateway's clock."""
        counters = route.counters
        latency_s = None
        if isinstance(counters, RouteCounters):
            latency_s = counters.first_attempts.sketch.quantile(self._quantile, now)
        return self._max_s if latency_s is None else min(max(latency_s, self._min_s), self._max_s)
