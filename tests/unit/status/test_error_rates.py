"""Error rates of a window, from its counts."""

import pytest

from hedgerow.status.error_rates import HUNG_S, ErrorRates, attempts_by_outcome
from hedgerow.telemetry.histogram import HistogramCounter
from hedgerow.telemetry.snapshot import BUCKET_STEP_S, BUCKETS_S, Histogram, Snapshot


def lasting(*seconds: float) -> Histogram:
    counter = HistogramCounter(BUCKETS_S, BUCKET_STEP_S)
    for value in seconds:
        counter.observe(value)
    return Histogram(counter.counts, counter.sum_s)


def test_attempts_and_requests_are_counted_apart() -> None:
    rates = ErrorRates.of(
        Snapshot(
            attempts={"1": {"success": 6, "reset": 2}, "2": {"status_5xx": 2}},
            requests={"success": 6, "all_failed": 1, "out_of_time": 2, "internal": 1, "abandoned": 9},
            shed={"rate_limit": 3, "in_flight": 2},
        )
    )
    assert rates == ErrorRates(
        attempts=10, failed=4, cut_off=0, requests=10, unserved=4, out_of_time=2, shed=5
    )
    assert (rates.attempts_failed, rates.requests_unserved) == (0.4, 0.4)
    assert rates.requests_shed == pytest.approx(5 / 15)


def test_without_counts_every_rate_is_zero() -> None:
    rates = ErrorRates.of(Snapshot())
    assert (rates.attempts_failed, rates.requests_unserved, rates.requests_shed) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("took_s", "failed", "cut_off"), [(HUNG_S - 0.1, 0, 4), (HUNG_S + 0.1, 4, 0)])
def test_a_cancelled_attempt_has_failed_only_if_it_hung(took_s: float, failed: int, cut_off: int) -> None:
    counts = Snapshot(
        attempts={"1": {"timeout": 4}}, attempt_duration={"timeout": lasting(took_s, took_s, took_s, took_s)}
    )
    rates = ErrorRates.of(counts)
    assert (rates.attempts, rates.failed, rates.cut_off) == (failed, failed, cut_off)


def test_other_statuses_are_split_as_far_as_they_were_counted() -> None:
    counts = Snapshot(attempts={"1": {"status_other": 5}}, statuses={"401": 3})
    assert attempts_by_outcome(counts) == {"status_401": 3, "status_other": 2}
