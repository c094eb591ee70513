"""The admission rate limit, interval by interval."""

from math import inf

import pytest

from hedgerow.admission.rate import (
    BURST_S,
    ERROR_SHARE,
    INTERVAL_S,
    LIMIT_EXPIRY_S,
    MIN_SHARE,
    MIN_SPEED,
    REJECTION_SHARE,
    SATURATED_INTERVALS,
    RateController,
)

ITERATION_S = 0.00125


class Loop:
    """A loop that gets `capacity` requests a second done, in iterations that are busy for `share` of the time."""

    def __init__(self) -> None:
        self.rate = RateController()
        self.now = 100.0
        self.rate.record_iteration(0.0, self.now)
        self._done = 0.0

    def run(self, intervals: float, capacity: float, share: float = 1.0) -> None:
        for _ in range(round(intervals * INTERVAL_S / ITERATION_S)):
            self.now += ITERATION_S
            self._done += capacity * ITERATION_S * share
            while self._done >= 1.0:
                self._done -= 1.0
                self.rate.record_read()
                self.rate.record_start()
                self.rate.record_end()
            self.rate.record_iteration(ITERATION_S * share, self.now)

    @property
    def limit(self) -> float:
        return self.rate.limit(self.now)


def test_at_rest_there_is_no_limit() -> None:
    loop = Loop()
    assert loop.limit == inf
    assert all(loop.rate.take(loop.now) for _ in range(10_000))
    assert loop.rate.next_token_at(loop.now) == loop.now


def test_a_loop_with_time_to_spare_has_no_limit() -> None:
    loop = Loop()
    loop.run(100, 10_000, share=0.9)
    assert loop.limit == inf


def test_a_saturated_loop_has_the_limit_that_it_can_do() -> None:
    loop = Loop()
    loop.run(SATURATED_INTERVALS - 0.5, 10_000)
    assert loop.limit == inf
    loop.run(2, 10_000)
    assert loop.limit == pytest.approx(10_000, rel=0.05)


def test_a_machine_that_becomes_slower_is_seen_while_the_loop_stays_as_busy() -> None:
    loop = Loop()
    loop.run(10, 12_000)
    loop.run(6, 8_000)
    assert loop.limit == pytest.approx(8_000, rel=0.1)


def test_long_iterations_lower_the_limit_and_short_ones_raise_it() -> None:
    limits = []
    for iterations in (1, 4, 40):
        rate = RateController()
        now = 100.0
        rate.record_iteration(0.0, now)
        for _ in range(20 * iterations):
            now += INTERVAL_S / iterations + 1e-9
            for _ in range(400 // iterations):
                rate.record_read()
                rate.record_start()
                rate.record_end()
            rate.record_iteration(INTERVAL_S / iterations, now)
        limits.append(rate.limit(now))
    assert limits == sorted(limits)
    assert limits[0] == pytest.approx(8_000 * MIN_SPEED, rel=0.02)  # and no less
    assert limits[2] > 8_000


def test_rejections_are_paid_for_but_leave_a_quarter() -> None:
    loop = Loop()
    for _ in range(400):
        for _ in range(50):
            loop.rate.record_read()
        loop.run(0.025, 0)
    assert loop.limit == pytest.approx(50 / ITERATION_S * REJECTION_SHARE * MIN_SHARE, rel=0.05)


@pytest.mark.parametrize("iteration_s", [0.001, 0.005])
def test_requests_that_errors_answer_at_once_leave_as_much_as_rejections_do(iteration_s: float) -> None:
    rate, now, can_do = RateController(), 100.0, 10_000
    rate.record_iteration(0.0, now)
    wanted, errors = can_do * 0.2, can_do * 0.8 / ERROR_SHARE
    due = failed = 0.0
    for _ in range(round(100 / iteration_s)):
        now += iteration_s
        due, failed = due + wanted * iteration_s, failed + errors * iteration_s
        while due >= 1.0 and rate.take(now):
            due -= 1.0
            rate.record_read()
            rate.record_start()
            rate.record_end()
        while failed >= 1.0:
            failed -= 1.0
            rate.record_error()
        rate.record_iteration(iteration_s, now)
    assert wanted < rate.limit(now) < inf
    assert due < 1.0 + wanted * 2 * iteration_s


def test_a_loop_that_only_other_work_saturates_has_a_limit_that_expires() -> None:
    loop = Loop()
    loop.run(10, 0)
    assert loop.limit == 0.0
    assert not loop.rate.take(loop.now)
    assert loop.rate.next_token_at(loop.now) == pytest.approx(loop.now + LIMIT_EXPIRY_S, abs=INTERVAL_S)
    assert loop.rate.take(loop.rate.next_token_at(loop.now))


def test_a2_the_limit_expires_without_any_request() -> None:
    loop = Loop()
    loop.run(10, 10_000)
    assert loop.limit < inf
    assert loop.rate.limit(loop.now + LIMIT_EXPIRY_S) == inf
    assert loop.rate.take(loop.now + LIMIT_EXPIRY_S)


def test_the_limit_stays_while_requests_wait_for_it() -> None:
    loop = Loop()
    loop.run(10, 10_000)
    for _ in range(40):
        while loop.rate.take(loop.now):
            pass
        loop.run(1, 10_000, share=0.5)
    assert loop.limit < inf


def test_a3_nothing_is_learnt_from_an_interval_with_a_silence_or_a_stall() -> None:
    loop = Loop()
    loop.run(10, 10_000)
    before = loop.rate.rate
    loop.now += 20.0
    loop.rate.record_iteration(20.0, loop.now)
    assert loop.rate.rate == before
    assert loop.limit == inf
    loop.run(SATURATED_INTERVALS - 0.5, 10_000)
    assert loop.limit == inf


def test_after_a_silence_what_was_recent_is_forgotten_whether_the_loop_woke_up_in_it_or_not() -> None:
    for wakes in (1, 10):
        loop = Loop()
        for _ in range(1_000):
            loop.rate.record_read()
        loop.run(10, 10_000)
        assert loop.rate.recent_starts == pytest.approx(10_000, rel=0.05)
        assert loop.rate.recent_rejected > 0.0
        for _ in range(wakes):
            loop.now += 10.0 / wakes
            loop.rate.record_iteration(0.0001, loop.now)
        assert loop.rate.recent_starts < 100
        assert loop.rate.recent_rejected < 0.01


def test_unused_tokens_are_kept_for_one_long_iteration() -> None:
    loop = Loop()
    loop.run(10, 10_000)
    taken = 0
    while loop.rate.take(loop.now):
        taken += 1
    assert taken == pytest.approx(loop.limit * BURST_S, abs=1.5)
    at = loop.rate.next_token_at(loop.now)
    assert at == pytest.approx(loop.now + 1 / loop.limit, rel=0.01, abs=1 / loop.limit)
    assert loop.rate.take(at + 1e-9)
