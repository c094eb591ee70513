"""The counts of the last seconds. Pure: instants are of the monotonic clock, which cannot be set.

The supervisor takes a sample each second, whatever the load. The result is a function of the instant of reading and of
the counts at that instant. Samples that are too old are not used, whether the supervisor was busy, stopped or suspended
meanwhile. The time of day is only added for display.
"""

from collections import deque
from typing import Any, Final, TypeAlias

from hedgerow.status.error_rates import ErrorRates
from hedgerow.status.figures import per_s, quantile_ms, rate
from hedgerow.status.health import Window, Workers
from hedgerow.status.plan_status import Real, real
from hedgerow.status.report import About, build_report
from hedgerow.status.report_schema import SeriesStatus, Status
from hedgerow.telemetry.request_record import RequestRecord
from hedgerow.telemetry.snapshot import BUCKETS_S, LAG_BUCKETS_S, Histogram, RouteCounts, Snapshot, difference

SAMPLE_S: Final = 1.0
"""The interval between two samples."""
WINDOW_S: Final = 30.0
"""The window of the figures and of the health: short enough to be current, long enough to be significant."""
SERIES_S: Final = 300.0
"""The span of the charts: 300 rows of ten numbers, for all routes together and for each that has requests."""

_Row: TypeAlias = tuple[Any, ...]
"""The fields of `SeriesStatus` but `at`."""
_LOOP_ITERATION: Final = 7
"""Of a row: `loop_iteration_p99_ms`."""


class History:
    """Samples of the counts, and the report made of them."""

    def __init__(self, about: About) -> None:
        self.about = about
        self._samples: deque[tuple[float, Snapshot]] = deque(maxlen=int(WINDOW_S / SAMPLE_S) + 1)
        self._rows: deque[tuple[float, _Row, dict[str, _Row]]] = deque(maxlen=int(SERIES_S / SAMPLE_S))
        """Of all routes, and of each that had requests in that second."""
        self._started_at: float | None = None

    def sample(self, counts: Snapshot, now: float) -> None:
        """Add a sample: the counts of all workers at `now`."""
        if self._started_at is None:
            self._started_at = now
        if self._samples:
            earlier_at, earlier = self._samples[-1]
            counted, span_s = difference(earlier, counts), max(now - earlier_at, 1e-3)
            by_route = {name: _row(counted.of_route(name), span_s) for name in _busy_routes(counted)}
            self._rows.append((now, _row(counted, span_s), by_route))
        self._samples.append((now, counts))

    def window(self, counts: Snapshot, now: float) -> Window:
        """Return what was counted in the last `WINDOW_S`, or since the start; `counts` are those of now."""
        oldest_at = now - WINDOW_S - SAMPLE_S / 2
        at, earliest = next((sample for sample in self._samples if sample[0] >= oldest_at), (now, counts))
        started_at = now if self._started_at is None else self._started_at
        return Window(difference(earliest, counts), now - at, is_first=started_at >= oldest_at)

    def real(self, route: str, counts: Snapshot, now: float) -> tuple[Snapshot, Real]:
        """Return what was counted of a route in the last `WINDOW_S`, and what its clients got."""
        recent = self.window(counts, now).of_route(route).counts
        return recent, real(recent)

    def status(
        self,
        workers: Workers,
        recent: list[RequestRecord],
        counts: Snapshot,
        *,
        now: float,
        utc_offset_s: float,
        route: str | None = None,
    ) -> Status:
        """Build the report, of all routes or of one; `utc_offset_s` converts an instant of the clock to UTC."""
        rows = [
            (round(at + utc_offset_s), *(row if route is None else by_route.get(route) or _idle(row)))
            for at, row, by_route in self._rows
            if at >= now - SERIES_S - SAMPLE_S / 2
        ]
        columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
        series = SeriesStatus(*columns) if columns else SeriesStatus()
        window, at = self.window(counts, now), now + utc_offset_s
        return build_report(
            self.about, window, workers=workers, series=series, recent=recent, at=at, route=route
        )


def _busy_routes(counts: Snapshot) -> list[str]:
    """Return the routes that something was counted of."""
    return [name for name, by_upstream in counts.routes.items() if any(map(_is_busy, by_upstream.values()))]


def _is_busy(counts: RouteCounts) -> bool:
    attempts = (times for by_outcome in counts.attempts.values() for times in by_outcome.values())
    return counts.in_flight > 0 or any(counts.requests.values()) or any(attempts)


def _idle(of_all: _Row) -> _Row:
    """Return the row of a route without requests; the event loop is that of all routes."""
    return 0.0, 0.0, 0.0, None, None, None, None, of_all[_LOOP_ITERATION], 0


def _row(counts: Snapshot, span_s: float) -> _Row:
    rates = ErrorRates.of(counts)
    successes = counts.attempt_duration.get("success", Histogram())
    return (
        per_s(sum(counts.requests.values()), span_s),
        per_s(counts.hedges.get("fired", 0), span_s),
        per_s(rates.shed, span_s),
        rate(rates.requests - rates.unserved, rates.requests),
        rate(rates.attempts - rates.failed, rates.attempts),
        quantile_ms(0.5, BUCKETS_S, successes.counts),
        quantile_ms(0.99, BUCKETS_S, successes.counts),
        quantile_ms(0.99, LAG_BUCKETS_S, counts.lag.counts),
        counts.in_flight,
    )
