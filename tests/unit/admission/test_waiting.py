"""The queue of requests that wait unsent."""

import pytest

from hedgerow.admission.waiting import SWEEP_SIZE, WaitingQueue, wait_until
from unit.admission.requests import WaitingRequest


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
    assert wait_until(0.0, timeout_s, lag_s) == pytest.approx(waits_s)


def queue_of(number: int, wait_until: float) -> tuple[WaitingQueue, list[WaitingRequest]]:
    queue = WaitingQueue()
    requests = [WaitingRequest(wait_until) for _ in range(number)]
    for request in requests:
        queue.append(request)
    return queue, requests


def test_the_oldest_is_next_while_all_can_be_served_in_time() -> None:
    queue, requests = queue_of(10, wait_until=1.0)
    queue.choose_order(10.0, 0.0)
    assert not queue.is_newest_first
    assert [queue.pop() for _ in requests] == requests
    assert queue.pop() is None


def test_the_newest_is_next_when_more_wait_than_can_be_served_in_time() -> None:
    queue, requests = queue_of(11, wait_until=1.0)
    queue.choose_order(10.0, 0.0)
    assert queue.is_newest_first
    assert queue.pop() is requests[-1]


def test_the_order_is_kept_until_half_of_the_time_is_enough() -> None:
    queue, _ = queue_of(11, wait_until=1.0)
    queue.choose_order(10.0, 0.0)
    for _ in range(5):
        queue.pop()
        queue.choose_order(10.0, 0.0)
        assert queue.is_newest_first
    queue.pop()
    queue.choose_order(10.0, 0.0)
    assert not queue.is_newest_first


def test_without_a_limit_the_oldest_is_next_however_old() -> None:
    queue, _ = queue_of(11, wait_until=1.0)
    queue.choose_order(float("inf"), 5.0)
    assert not queue.is_newest_first


def test_requests_that_no_longer_wait_are_skipped_at_both_ends() -> None:
    queue, requests = queue_of(4, wait_until=1.0)
    requests[0].is_waiting = requests[3].is_waiting = False
    assert len(queue) == 3
    queue.is_newest_first = True
    assert queue.pop() is requests[2]
    requests[1].is_waiting = False
    assert queue.pop() is None
    assert len(queue) == 0


def test_the_queue_stays_bounded_behind_a_request_that_waits_for_long() -> None:
    queue, (patient,) = queue_of(1, wait_until=10.0)
    for _ in range(20 * SWEEP_SIZE):
        request = WaitingRequest(0.1)
        queue.append(request)
        request.is_waiting = False
        assert len(queue) <= SWEEP_SIZE + 4
    assert queue.pop() is patient
