"""Hedged requests are samples once all their attempts have ended."""

import pytest

from hedgerow.core.outcomes import Failure, FailureReason, Success
from hedgerow.planning.latency_sketch import CUT, FAILURE, SUCCESS
from hedgerow.telemetry.first_attempts import MAX_PENDING, SAMPLE_EVERY_S, FirstAttempts
from support.attempts import make_attempt


def test_a_hedged_request_is_a_sample_when_its_losers_have_ended() -> None:
    observed = FirstAttempts()
    attempts = tuple(make_attempt(number, 10.0 + 0.3 * (number > 1)) for number in (1, 2, 3))
    attempts[1].finish(Success(b"{}"), 10.5)
    observed.request_finished(attempts, 10.5)
    assert observed.samples.within(60, 10.5) == []
    attempts[0].finish(Failure(FailureReason.RESET), 10.75)
    observed.collect(10.75)
    assert observed.samples.within(60, 10.75) == []
    attempts[2].finish(Failure(FailureReason.TIMEOUT), 11.5)
    observed.collect(11.5)
    ((delay_s, ends),) = observed.samples.within(60, 11.5)
    assert delay_s == pytest.approx(0.3, abs=1e-6)
    assert [outcome for _, outcome in ends] == [FAILURE, SUCCESS, CUT]
    assert [latency_s for latency_s, _ in ends] == pytest.approx([0.75, 0.2, 1.2], abs=1e-6)
    observed.collect(12.0)
    assert len(observed.samples.within(60, 12.0)) == 1


def test_samples_are_spread_over_time() -> None:
    observed = FirstAttempts()
    for number in range(1_000):
        now = 10.0 + number * 0.01
        attempts = tuple(make_attempt(one, now, outcome=Success(b""), ended_at=now + 0.1) for one in (1, 2))
        observed.request_finished(attempts, now)
    observed.collect(20.2)
    assert len(observed.samples.within(60, 20.2)) == 10 / SAMPLE_EVERY_S


def test_what_never_ends_is_bounded() -> None:
    observed = FirstAttempts()
    for number in range(10 * MAX_PENDING):
        observed.request_finished((make_attempt(1), make_attempt(2)), 10.0 + number)
    assert len(observed._pending) == MAX_PENDING
