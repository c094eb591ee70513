"""How many attempts and requests failed in a window; the verdicts made of it: test_health.py."""

from hedgerow.status.error_rates import HUNG_S, ErrorRates, attempts_by_outcome
from hedgerow.telemetry.histogram import HistogramCounter
from hedgerow.telemetry.snapshot import BUCKET_STEP_S, BUCKETS_S, Histogram, Snapshot


def lasting(*seconds: float) -> Histogram:
    counter = HistogramCounter(BUCKETS_S, BUCKET_STEP_S)
    for value in seconds:
        counter.observe(value)
    return Histogram(counter.counts, counter.sum_s)


def test_nothing_counted_is_nothing_failed() -> None:
    rates = ErrorRates.of(Snapshot())
    assert (rates.attempts_failed, rates.requests_unserved, rates.requests_shed) == (0.0, 0.0, 0.0)


def test_attempts_are_summed_over_their_numbers() -> None:
    rates = ErrorRates.of(
        Snapshot(attempts={"1": {"success": 6, "reset": 1}, "2": {"success": 2, "status_5xx": 1}})
    )
    assert (rates.attempts, rates.failed, rates.attempts_failed) == (10, 2, 0.2)


def test_requests_without_success_are_unserved_and_rejected_ones_shed() -> None:
    requests = {
        "success": 5,
        "all_failed": 2,
        "out_of_time": 2,
        "internal": 1,
        "abandoned": 9,
        "bad_timeout": 9,
    }
    rates = ErrorRates.of(Snapshot(requests=requests, shed={"rate": 5, "draining": 5}))
    assert (rates.requests, rates.unserved, rates.out_of_time, rates.shed) == (10, 5, 2, 10)
    assert (rates.requests_unserved, rates.requests_shed) == (0.5, 0.5)


def test_a_cancelled_attempt_counts_only_if_it_had_hung() -> None:
    durations = {"success": lasting(0.2), "timeout": lasting(HUNG_S / 2, HUNG_S / 2, 4 * HUNG_S)}
    rates = ErrorRates.of(Snapshot(attempts={"1": {"success": 1, "timeout": 3}}, attempt_duration=durations))
    assert (rates.attempts, rates.failed, rates.cut_off) == (2, 1, 2)


def test_where_successes_are_slow_an_attempt_must_hang_for_longer() -> None:
    durations = {"success": lasting(4 * HUNG_S), "timeout": lasting(2 * HUNG_S)}
    rates = ErrorRates.of(Snapshot(attempts={"1": {"success": 1, "timeout": 1}}, attempt_duration=durations))
    assert (rates.attempts, rates.failed, rates.cut_off) == (1, 0, 1)


def test_other_statuses_are_split_as_far_as_they_were_counted() -> None:
    counts = Snapshot(attempts={"1": {"status_other": 5}}, statuses={"404": 3})
    assert attempts_by_outcome(counts) == {"status_other": 2, "status_404": 3}
