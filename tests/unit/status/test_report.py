from statistics import quantiles

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.status.health import HealthState, Workers
from hedgerow.status.history import SERIES_S, WINDOW_S, History
from hedgerow.status.report import About, quantile_ms
from hedgerow.status.report_schema import Status
from hedgerow.telemetry.histogram import HistogramCounter
from hedgerow.telemetry.snapshot import (
    BUCKET_STEP_S,
    BUCKETS_S,
    Histogram,
    LagHistogram,
    Snapshot,
    add,
    difference,
)

ABOUT = About(upstream="embedded", hedge_after_ms=300, hedges=2)
UTC_OFFSET_S = 1_700_000_000.0 - 100.0
WORKERS = Workers(wanted=1, ready=1)
SHORT = st.floats(min_value=0, max_value=12)


def histogram(*seconds: float) -> Histogram:
    made = HistogramCounter(BUCKETS_S, BUCKET_STEP_S)
    for value in seconds:
        made.observe(value)
    return Histogram(made.counts, made.sum_s)


def one_second() -> Snapshot:
    """Ten requests: first attempts 6 good, 2 failed, 1 late, 1 unknown; hedges won three of those."""
    return Snapshot(
        requests={"success": 9, "out_of_time": 1, "bad_timeout": 2},
        request_duration={"success": histogram(*[0.2] * 6, *[0.45] * 3), "out_of_time": histogram(0.8)},
        in_flight=4,
        attempts={"1": {"success": 7, "status_5xx": 2, "timeout": 1}, "2": {"success": 4}, "3": {"reset": 4}},
        attempt_duration={"success": histogram(*[0.2] * 6, *[0.12] * 4, 0.9)},
        first_attempt_duration={
            "success": histogram(*[0.2] * 6),
            "all_failed": histogram(0.1, 0.1),
            "out_of_time": histogram(0.9),
            "unknown": histogram(1.4),
        },
        hedges={"fired": 8, "won": 3, "rescued": 2, "suppressed": 0},
        wasted_s=1.5,
        overshoot=LagHistogram(counts=[9, 1, *[0] * 11]),
        lag=LagHistogram(counts=[0, 50, *[0] * 11]),
        max_in_flight=64,
    )


def after(seconds: int) -> Status:
    history = History(ABOUT)
    total = Snapshot()
    history.sample(total, 100.0)
    for second in range(1, seconds + 1):
        total = add(total.without_gauges(), one_second())
        history.sample(total, 100.0 + second)
    return history.status(WORKERS, [], total, now=100.0 + seconds, utc_offset_s=UTC_OFFSET_S)


def test_what_is_reported_is_what_was_counted() -> None:
    status = after(3)
    assert status.window_s == 3.0
    assert status.verdict.state is HealthState.DEGRADED
    assert status.gateway.state is HealthState.HEALTHY
    assert (status.requests.total, status.requests.per_s, status.requests.success_rate) == (36, 12.0, 0.9)
    assert status.requests.by_outcome == {"success": 27, "out_of_time": 3, "bad_timeout": 6}
    assert (status.attempts.total, status.attempts.success_rate, status.attempts.per_request) == (
        54,
        0.6471,
        1.8,
    )
    assert status.attempts.cut_off == 3
    assert status.attempts.failures == {"reset": 12, "status_5xx": 6, "timeout": 3}
    got, would = status.hedging.with_hedging, status.hedging.without_hedging
    assert (got.requests, got.success_rate, got.success_rate_at_most) == (30, 0.9, 0.9)
    assert (would.requests, would.success_rate, would.success_rate_at_most) == (30, 0.6, 0.7)
    assert would.success_by[status.hedging.le_ms.index(200.0)] == 0.6
    assert got.success_by[status.hedging.le_ms.index(400.0)] == 0.6
    assert got.success_by[status.hedging.le_ms.index(500.0)] == got.success_by[-1] == 0.9
    assert status.hedging.unknown == 3
    hedging = status.hedging
    assert (hedging.fired, hedging.won, hedging.rescued, hedging.wasted, hedging.wasted_s) == (
        24,
        9,
        6,
        15,
        4.5,
    )
    assert (status.load.in_flight, status.load.in_flight_limit, status.load.answers, status.load.late) == (
        4,
        64,
        30,
        3,
    )
    assert status.load.loop_iteration_p99_ms == 1.0
    assert status.series.requests_per_s == [12.0] * 3
    assert status.series.attempt_success_rate == [0.6471] * 3
    assert status.series.at == [1_700_000_001, 1_700_000_002, 1_700_000_003]


def test_the_window_and_the_series_are_bounded() -> None:
    status = after(int(SERIES_S) + 5)
    assert (status.window_s, status.requests.total) == (WINDOW_S, WINDOW_S * 12)
    assert len(status.series.at) == int(SERIES_S)


def test_before_anything_was_counted_there_is_nothing_to_report() -> None:
    status = History(ABOUT).status(WORKERS, [], Snapshot(), now=1.0, utc_offset_s=0.0)
    assert status.verdict.state is HealthState.STARTING
    assert status.requests.success_rate is None
    assert status.hedging.without_hedging.p50_ms is None
    assert msgspec.json.decode(msgspec.json.encode(status), type=Status) == status


def test_differences_are_of_counters_and_not_of_gauges() -> None:
    earlier, later = one_second(), add(one_second(), one_second())
    counted = difference(earlier, later)
    assert counted.without_gauges() == one_second().without_gauges()
    assert counted.in_flight == 8


@given(st.lists(SHORT, min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    found = quantile_ms(share, BUCKETS_S, histogram(*values).counts)
    assert found is not None
    true = sorted(values)[min(int(-(-share * len(values) // 1)), len(values)) - 1]
    above = [bound for bound in BUCKETS_S if bound >= true]
    below = [bound for bound in BUCKETS_S if bound < true]
    assert (below[-1] if below else 0.0) * 1000 - 0.1 <= found
    assert found <= (above[0] if above else BUCKETS_S[-1]) * 1000 + 0.1


def test_a_quantile_of_evenly_spread_values_is_near_the_true_one() -> None:
    values = [0.1 + 0.5 * n / 1000 for n in range(1000)]
    found = quantile_ms(0.99, BUCKETS_S, histogram(*values).counts)
    assert found == pytest.approx(quantiles(values, n=100)[98] * 1000, abs=2.0)
