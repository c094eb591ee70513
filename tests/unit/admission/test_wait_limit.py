"""How long a request may wait."""

import pytest

from hedgerow.admission.wait_limit import BRIEF_S, WaitLimit
from unit.admission.requests import WaitingRequest

NOW = 100.0


def wait_of(
    limit: WaitLimit, timeout_s: float, now: float, *, arrived_at: float | None = None, waiting: int = 1
) -> float:
    """Return for how long a request may wait that was read at an instant, and arrived then or earlier."""
    request = WaitingRequest(0.0)
    came_at = now if arrived_at is None else arrived_at
    limit.limit(request, came_at, timeout_s, 0.0, now, waiting=waiting, starts_per_s=10_000.0)
    return request.wait_until - now


@pytest.mark.parametrize(
    ("timeout_s", "lag_s", "waits_s"),
    [
        (0.8, 0.0, 0.197), (0.8, 0.01, 0.187), (0.8, 0.5, 0.175), (10.0, 0.0, 2.497), (60.0, 0.0, 14.997),
        (0.04, 0.0, 0.007), (0.08, 0.2, 0.01), (0.012, 0.0, 0.0), (0.001, 0.0, 0.0),
    ],
)  # fmt: skip
def test_b11_a_request_waits_so_that_its_rejection_is_there_within_a_quarter_of_its_timeout(
    timeout_s: float, lag_s: float, waits_s: float
) -> None:
    request = WaitingRequest(-1.0)
    WaitLimit().limit(request, 0.0, timeout_s, lag_s, 0.0, waiting=9_000, starts_per_s=0.0)
    assert request.wait_until == pytest.approx(waits_s)
    assert not request.waits_briefly


def test_waits_are_brief_for_a_second_after_a_whole_one_was_too_short() -> None:
    limit = WaitLimit()
    limit.whole_wait_was_too_short(NOW)
    assert limit.is_brief(NOW)
    assert wait_of(limit, 0.8, NOW + 0.9) == pytest.approx(0.05)
    assert not limit.is_brief(NOW + BRIEF_S)
    assert wait_of(limit, 0.8, NOW + BRIEF_S) == pytest.approx(0.197)


def test_a_brief_wait_is_never_longer_than_the_whole_one() -> None:
    limit = WaitLimit()
    limit.whole_wait_was_too_short(NOW)
    assert wait_of(limit, 0.012, NOW + 0.1) == pytest.approx(0.0)
    assert wait_of(limit, 0.8, NOW + 0.1, arrived_at=NOW - 1.0) < 0


def test_a_brief_wait_begins_when_the_request_arrives() -> None:
    limit = WaitLimit()
    limit.whole_wait_was_too_short(NOW)
    assert wait_of(limit, 0.8, NOW + 0.1, arrived_at=NOW + 0.06) == pytest.approx(0.01)
    assert wait_of(limit, 0.8, NOW + 0.1, arrived_at=NOW + 0.04) < 0  # held after a rejection, say


def test_while_waits_are_brief_no_more_wait_than_are_started_in_an_iteration() -> None:
    limit = WaitLimit()
    limit.whole_wait_was_too_short(NOW)
    assert wait_of(limit, 0.8, NOW, waiting=201) == pytest.approx(0.05)
    assert wait_of(limit, 0.8, NOW, waiting=202) == 0.0


def test_one_may_wait_briefly_where_none_was_started_yet() -> None:
    limit, request = WaitLimit(), WaitingRequest(0.0)
    limit.whole_wait_was_too_short(NOW)
    limit.limit(request, NOW, 0.8, 0.0, NOW, waiting=1, starts_per_s=0.0)
    assert request.wait_until == pytest.approx(NOW + 0.05)


def tried_again(*, waiting: int = 100, held: float = 200.0) -> tuple[WaitLimit, float]:
    """Return a limit whose brief waits are over, and the instant at which the whole one is tried."""
    limit = WaitLimit()
    limit.whole_wait_was_too_short(NOW)
    limit.count_waiting(9_000, 0.0, NOW + BRIEF_S / 2)  # of no account: these wait briefly
    limit.count_waiting(waiting, held, NOW + BRIEF_S)
    assert not limit.is_brief(NOW + BRIEF_S)
    return limit, NOW + BRIEF_S


@pytest.mark.parametrize(("most", "is_brief"), [(390, False), (391, True)])
def test_brief_waits_return_when_whole_ones_are_too_short_and_more_wait_than_waited_or_were_held_before(
    most: int, is_brief: bool
) -> None:
    limit, began_at = tried_again()
    limit.count_waiting(most, 0.0, began_at + 0.1)
    limit.count_waiting(20, 0.0, began_at + 0.2)
    assert not limit.is_brief(began_at + 0.2)
    limit.whole_wait_was_too_short(began_at + 0.2)
    assert limit.is_brief(began_at + 0.2) == is_brief
    assert not limit.is_brief(began_at + 0.2 + BRIEF_S)


def test_bursts_that_the_whole_wait_is_enough_for_have_it() -> None:
    limit, now = tried_again(waiting=1, held=0.0)
    for _ in range(10):
        for waiting in range(1, 100):
            limit.count_waiting(waiting, 0.0, now)
            assert not limit.is_brief(now)
        now += BRIEF_S / 2


def test_a_closed_loop_that_is_too_large_keeps_the_whole_wait() -> None:
    """Its clients are as many as they were, however often they are rejected."""
    limit, now = tried_again()
    for _ in range(50):
        now += BRIEF_S / 2
        limit.count_waiting(310, 0.0, now)
        limit.whole_wait_was_too_short(now)
        assert not limit.is_brief(now)


def test_what_was_learnt_is_forgotten_a_second_after_the_last_rejection() -> None:
    limit, now = tried_again()
    limit.whole_wait_was_too_short(now + 0.2)
    limit.count_waiting(4_000, 0.0, now + 0.2 + BRIEF_S)
    assert not limit.is_brief(now + 0.2 + BRIEF_S)
    limit.whole_wait_was_too_short(now + 0.2 + BRIEF_S)
    assert limit.is_brief(now + 0.2 + BRIEF_S)


def test_each_trial_is_compared_with_what_was_before_it() -> None:
    limit, now = tried_again()
    limit.count_waiting(4_000, 0.0, now)
    limit.whole_wait_was_too_short(now)
    now += BRIEF_S
    limit.count_waiting(4_000, 0.0, now)
    limit.count_waiting(4_100, 0.0, now + 0.1)
    limit.whole_wait_was_too_short(now + 0.1)
    assert not limit.is_brief(now + 0.1)


def test_nothing_is_left_of_it_after_a_silence() -> None:
    limit = WaitLimit()
    limit.whole_wait_was_too_short(NOW)
    for waiting in (1, 4_000):
        limit.count_waiting(waiting, 0.0, NOW + 2 * BRIEF_S)
        assert not limit.is_brief(NOW + 2 * BRIEF_S)
    assert wait_of(limit, 0.8, NOW + 10) == pytest.approx(0.197)
