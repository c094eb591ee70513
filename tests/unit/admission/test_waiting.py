"""The queue of requests that wait unsent."""

from hedgerow.admission.waiting import SWEEP_SIZE, WaitingQueue
from unit.admission.requests import WaitingRequest


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
    assert [queue.pop(newest_first=False) for _ in requests] == requests
    assert queue.pop(newest_first=False) is None


def test_the_newest_is_next_when_more_wait_than_can_be_served_in_time() -> None:
    queue, requests = queue_of(11, wait_until=1.0)
    queue.choose_order(10.0, 0.0)
    assert queue.is_newest_first
    assert queue.pop(newest_first=True) is requests[-1]


def test_the_order_is_kept_until_half_of_the_time_is_enough() -> None:
    queue, _ = queue_of(11, wait_until=1.0)
    queue.choose_order(10.0, 0.0)
    for _ in range(5):
        queue.pop(newest_first=True)
        queue.choose_order(10.0, 0.0)
        assert queue.is_newest_first
    queue.pop(newest_first=True)
    queue.choose_order(10.0, 0.0)
    assert not queue.is_newest_first


def test_without_a_limit_the_oldest_is_next_however_old() -> None:
    queue, _ = queue_of(11, wait_until=1.0)
    queue.choose_order(float("inf"), 5.0)
    assert not queue.is_newest_first


def test_requests_that_no_longer_wait_are_skipped_at_both_ends() -> None:
    queue, requests = queue_of(4, wait_until=1.0)
    queue.leave(requests[0])
    queue.leave(requests[3])
    assert len(queue) == 2
    assert queue.pop(newest_first=True) is requests[2]
    queue.leave(requests[1])
    assert queue.pop(newest_first=False) is None
    assert len(queue) == 0


def test_the_queue_stays_bounded_behind_a_request_that_waits_for_long() -> None:
    queue, (patient,) = queue_of(1, wait_until=10.0)
    for _ in range(20 * SWEEP_SIZE):
        request = WaitingRequest(0.1)
        queue.append(request)
        queue.leave(request)
        assert len(queue) == 1
        assert len(queue._requests) <= SWEEP_SIZE + 4
    assert queue.pop(newest_first=False) is patient


def test_who_left_as_the_newest_does_not_decide_the_order() -> None:
    queue, requests = queue_of(2, wait_until=1.0)
    hasty = WaitingRequest(0.001)
    queue.append(hasty)
    queue.leave(hasty)
    queue.choose_order(10.0, 0.5)
    assert not queue.is_newest_first
    assert queue.pop(newest_first=False) is requests[0]


def test_the_oldest_is_the_first_of_those_that_wait_still() -> None:
    queue, requests = queue_of(3, wait_until=1.0)
    assert queue.is_oldest(requests[0])
    assert not queue.is_oldest(requests[1])
    queue.leave(requests[0])
    assert queue.is_oldest(requests[1])


def test_who_left_is_not_kept_once_none_waits() -> None:
    queue, requests = queue_of(3, wait_until=1.0)
    for request in reversed(requests):
        queue.leave(request)
    assert not queue._requests
    queue.append(requests[0])
    assert queue.pop(newest_first=True) is requests[0]
    assert not queue._requests
