"""The counts of the last seconds. Pure: instants come from the supervisor, which looks at the counts each second."""

from collections import deque
from typing import Any

from hedgerow.telemetry.health import Shares, Verdict, Workers, assess
from hedgerow.telemetry.request_record import RequestRecord
from hedgerow.telemetry.snapshot import BUCKETS_S, LAG_BUCKETS_S, Histogram, Snapshot, since
from hedgerow.telemetry.status import About, SeriesTold, Status, per_s, quantile_ms, rate, tell

SAMPLE_S = 1.0
"""From one look at the counts to the next."""
WINDOW_S = 30
"""What the figures and the verdict are about: short enough to be news, long enough to be no accident."""
SERIES_S = 300
"""What the charts show: 300 rows of ten numbers."""


class History:
    """The counts of the last seconds, and what they come to."""

    def __init__(self, about: About) -> None:
        self._about = about
        self._samples: deque[tuple[float, Snapshot]] = deque(maxlen=int(WINDOW_S / SAMPLE_S) + 1)
        self._rows: deque[tuple[object, ...]] = deque(maxlen=int(SERIES_S / SAMPLE_S))

    def sample(self, counts: Snapshot, now: float, at: float) -> None:
        """Take the counts of all workers at `now`, an instant of the gateway's clock; `at` is the same in UTC."""
        if self._samples:
            earlier_at, earlier = self._samples[-1]
            self._rows.append(self._row(since(earlier, counts), max(now - earlier_at, 1e-3), at))
        self._samples.append((now, counts))

    def window(self) -> tuple[Snapshot, float]:
        """Tell what was counted in the last `WINDOW_S`, or since the start, and how long that is in seconds."""
        if len(self._samples) < 2:
            return Snapshot(), 0.0
        (began_at, earliest), (ended_at, latest) = self._samples[0], self._samples[-1]
        return since(earliest, latest), ended_at - began_at

    def shares(self) -> tuple[Shares, float]:
        """Tell what went well in the window, and how long that is in seconds."""
        counts, span_s = self.window()
        return Shares.of(counts, losers_cut=self._about.losers_cut), span_s

    def verdict(self, workers: Workers) -> Verdict:
        """Judge the window."""
        counts, span_s = self.window()
        return assess(counts, span_s, workers, losers_cut=self._about.losers_cut)

    def status(self, workers: Workers, recent: list[RequestRecord], at: float) -> Status:
        """Tell everything."""
        counts, span_s = self.window()
        columns: list[list[Any]] = [list(column) for column in zip(*self._rows, strict=True)]
        series = SeriesTold(*columns) if columns else SeriesTold()
        return tell(self._about, counts, span_s, workers=workers, series=series, recent=recent, at=at)

    def _row(self, counts: Snapshot, span_s: float, at: float) -> tuple[object, ...]:
        shares = Shares.of(counts, losers_cut=self._about.losers_cut)
        successes = counts.attempt_duration.get("success", Histogram())
        return (
            round(at),
            per_s(sum(counts.requests.values()), span_s),
            per_s(counts.hedges.get("fired", 0), span_s),
            per_s(shares.shed, span_s),
            rate(shares.requests - shares.unserved, shares.requests),
            rate(shares.attempts - shares.failed, shares.attempts),
            quantile_ms(0.5, BUCKETS_S, successes.counts),
            quantile_ms(0.99, BUCKETS_S, successes.counts),
            quantile_ms(0.99, LAG_BUCKETS_S, counts.lag.counts),
            counts.in_flight,
        )
