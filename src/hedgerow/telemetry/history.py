"""The counts of the last seconds. Pure: instants are the gateway's clock, which no one can set.

The supervisor takes a sample each second, however much or little is asked. What is read is a function of the instant of
reading and of the counts of that moment: a sample that is too old is not used, whether the supervisor was busy, stopped
or suspended since. The time of day is only added where it is shown.
"""

from collections import deque
from typing import Any, Final

from hedgerow.telemetry.health import Shares, Window, Workers
from hedgerow.telemetry.request_record import RequestRecord
from hedgerow.telemetry.snapshot import BUCKETS_S, LAG_BUCKETS_S, Histogram, Snapshot, since
from hedgerow.telemetry.status import About, SeriesTold, Status, describe, per_s, quantile_ms, rate

SAMPLE_S: Final = 1.0
"""From one sample of the counts to the next."""
WINDOW_S: Final = 30.0
"""What the figures and the verdict are about: short enough to be news, long enough to be no accident."""
SERIES_S: Final = 300.0
"""What the charts show: 300 rows of ten numbers."""


class History:
    """The counts of the last seconds, and what they come to."""

    def __init__(self, about: About) -> None:
        self.about = about
        self._samples: deque[tuple[float, Snapshot]] = deque(maxlen=int(WINDOW_S / SAMPLE_S) + 1)
        self._rows: deque[tuple[float, tuple[object, ...]]] = deque(maxlen=int(SERIES_S / SAMPLE_S))
        self._began_at: float | None = None

    def sample(self, counts: Snapshot, now: float) -> None:
        """Take the counts of all workers at `now`."""
        if self._began_at is None:
            self._began_at = now
        if self._samples:
            earlier_at, earlier = self._samples[-1]
            self._rows.append((now, _row(since(earlier, counts), max(now - earlier_at, 1e-3))))
        self._samples.append((now, counts))

    def window(self, counts: Snapshot, now: float) -> Window:
        """Return what was counted in the last `WINDOW_S`, or since the start; `counts` are those of now."""
        oldest_at = now - WINDOW_S - SAMPLE_S / 2
        at, earliest = next((sample for sample in self._samples if sample[0] >= oldest_at), (now, counts))
        began_at = now if self._began_at is None else self._began_at
        return Window(since(earliest, counts), now - at, is_first=began_at >= oldest_at)

    def status(
        self,
        workers: Workers,
        recent: list[RequestRecord],
        counts: Snapshot,
        *,
        now: float,
        utc_offset_s: float,
    ) -> Status:
        """Describe everything; `utc_offset_s` makes UTC of an instant of the gateway's clock."""
        rows = [
            (round(at + utc_offset_s), *row) for at, row in self._rows if at >= now - SERIES_S - SAMPLE_S / 2
        ]
        columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
        series = SeriesTold(*columns) if columns else SeriesTold()
        window, at = self.window(counts, now), now + utc_offset_s
        return describe(self.about, window, workers=workers, series=series, recent=recent, at=at)


def _row(counts: Snapshot, span_s: float) -> tuple[object, ...]:
    shares = Shares.of(counts)
    successes = counts.attempt_duration.get("success", Histogram())
    return (
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
