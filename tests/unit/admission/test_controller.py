"""Which request starts when; the rest is in `test_invariants.py`, on a worker."""

from math import inf

from hedgerow.admission.controller import AdmissionController
from hedgerow.admission.rate import LIMIT_EXPIRY_S
from hedgerow.admission.wait_limit import BRIEF_S
from unit.admission.requests import WaitingRequest

NOW = 100.0


def test_at_rest_a_request_starts_at_once_however_old() -> None:
    controller = AdmissionController(10)
    assert controller.admit_or_queue(WaitingRequest(NOW - 5), NOW)
    assert controller.in_flight == 1
    assert controller.next_admission_at(NOW) == inf
    assert controller.rate_limit(NOW) == inf
    assert not controller.is_overloaded(NOW)


def test_past_what_descriptors_are_enough_for_requests_wait_their_turn() -> None:
    controller = AdmissionController(1)
    first, second, third = (WaitingRequest(NOW + 1) for _ in range(3))
    assert controller.admit_or_queue(first, NOW)
    assert not controller.admit_or_queue(second, NOW)
    assert not controller.admit_or_queue(third, NOW)
    assert controller.waiting == 2
    assert controller.next_admitted(NOW) is None
    assert not controller.is_overloaded(NOW), "they may all be served in time"
    assert controller.next_admission_at(NOW) == inf
    controller.release()
    assert controller.next_admission_at(NOW) == NOW
    assert controller.next_admitted(NOW) is second
    assert controller.next_admitted(NOW) is None
    assert controller.in_flight == 1


def test_newest_first_where_more_wait_for_descriptors_than_are_started_in_time() -> None:
    """First in, first out each would be started when most of its time is over, though the loop is not saturated."""
    controller = AdmissionController(10)
    now = NOW
    for _ in range(200):  # 100 a second
        now += 0.01
        assert controller.admit_or_queue(WaitingRequest(now + 1), now)
        controller.release()
        controller.record_iteration(0.001, now)
    controller.max_in_flight = 0
    few = [WaitingRequest(now + 0.2) for _ in range(10)]
    for request in few:
        controller.admit_or_queue(request, now)
    controller.next_admitted(now)
    controller.max_in_flight = 1
    assert controller.next_admitted(now) is few[0]
    many = [WaitingRequest(now + 0.2) for _ in range(20)]
    for request in many:
        controller.admit_or_queue(request, now)
    assert controller.next_admitted(now) is None
    controller.release()
    controller.max_in_flight = 0
    assert controller.next_admitted(now) is None
    controller.max_in_flight = 1
    assert controller._queue.is_newest_first
    assert controller.rate_limit(now) == inf


def test_a_request_that_comes_while_others_wait_does_not_overtake_them() -> None:
    controller = AdmissionController(1)
    first, second, third = (WaitingRequest(NOW + 1) for _ in range(3))
    controller.admit_or_queue(first, NOW)
    controller.admit_or_queue(second, NOW)
    controller.release()
    assert not controller.admit_or_queue(third, NOW)
    assert controller.next_admitted(NOW) is second


def test_requests_that_left_are_not_admitted_and_take_no_place() -> None:
    controller = AdmissionController(1)
    controller.admit_or_queue(WaitingRequest(NOW + 1), NOW)
    gone = WaitingRequest(NOW + 1)
    controller.admit_or_queue(gone, NOW)
    controller.leave(gone)
    controller.release()
    assert controller.waiting == 0
    assert controller.next_admitted(NOW) is None
    assert controller.next_admission_at(NOW) == inf
    assert controller.in_flight == 0


def test_a2_overload_ends_by_itself() -> None:
    controller = AdmissionController(0)
    request = WaitingRequest(NOW)
    controller.admit_or_queue(request, NOW)
    controller.reject(request, NOW)
    assert controller.is_overloaded(NOW)
    assert not controller.is_overloaded(NOW + LIMIT_EXPIRY_S)


def full(*, read: int = 20) -> tuple[AdmissionController, float]:
    """Return a controller that starts 100 requests a second, and has no descriptor for the others that were `read`."""
    controller = AdmissionController(1)
    now = NOW
    for _ in range(100):
        now += 0.01
        for _ in range(read // 10):
            request = WaitingRequest(now + 1)
            if not controller.admit_or_queue(request, now):
                controller.leave(request)
        controller.release()
        controller.record_iteration(0.001, now)
    controller.admit_or_queue(WaitingRequest(now), now)
    return controller, now


def whole_wait(controller: AdmissionController, now: float) -> bool:
    """Return whether a request that has to wait now may do so for all of a quarter."""
    request = WaitingRequest(0.0)
    assert not controller.admit_or_queue(request, now)
    controller.limit_wait(request, now, 0.8, 0.0, now)
    controller.leave(request)
    return not request.waits_briefly


def test_waits_are_brief_once_the_oldest_was_rejected_for_want_of_a_descriptor() -> None:
    controller, now = full()
    older, newer = WaitingRequest(now + 1), WaitingRequest(now + 0.5)
    for request in (older, newer):
        controller.admit_or_queue(request, now)
    assert controller.reject(newer, now) == "in_flight"  # it could not have been next
    assert whole_wait(controller, now)
    assert controller.reject(older, now) == "in_flight"
    assert controller.waiting == 0
    assert not whole_wait(controller, now)
    assert whole_wait(controller, now + BRIEF_S)


def test_waits_are_brief_where_clients_have_the_descriptors_of_requests() -> None:
    controller, now = full()
    for is_crowded in (False, True):
        controller.is_crowded = is_crowded
        request = WaitingRequest(now)
        controller.admit_or_queue(request, now)
        controller.max_in_flight = 2
        assert controller.reject(request, now) == "rate_limit"
        controller.max_in_flight = 1
        assert whole_wait(controller, now) == (not is_crowded)


def test_waits_are_brief_once_a_client_was_rejected_as_it_connected() -> None:
    controller, now = full()
    assert whole_wait(controller, now)
    controller.client_rejected(now)
    assert not whole_wait(controller, now)
    assert whole_wait(controller, now + BRIEF_S)


def test_brief_waits_that_are_over_do_not_make_further_ones_brief() -> None:
    controller, now = full()
    first = WaitingRequest(now)
    controller.admit_or_queue(first, now)
    controller.reject(first, now)
    brief = WaitingRequest(0.0)
    controller.admit_or_queue(brief, now)
    controller.limit_wait(brief, now, 0.8, 0.0, now)
    controller.reject(brief, now + BRIEF_S / 2)
    assert whole_wait(controller, now + BRIEF_S)


def test_a_few_rejections_do_not_make_waits_brief() -> None:
    controller, now = full(read=10)
    request = WaitingRequest(now)
    controller.admit_or_queue(request, now)
    controller.reject(request, now)
    assert whole_wait(controller, now)


def test_while_waits_are_brief_the_newest_is_next_and_then_the_oldest_again() -> None:
    controller, now = full()
    rejected = WaitingRequest(now)
    controller.admit_or_queue(rejected, now)
    controller.reject(rejected, now)
    controller._queue.is_newest_first = True
    # More than 100 a second can serve in half of 0.4 s, and fewer than in all of it.
    waiting = [WaitingRequest(now + BRIEF_S + 0.4) for _ in range(30)]
    for request in waiting:
        controller.admit_or_queue(request, now)
    controller.release()
    assert controller.next_admitted(now) is waiting[-1]
    controller.release()
    assert controller.next_admitted(now + BRIEF_S) is waiting[0]


def saturated(controller: AdmissionController) -> float:
    now = NOW
    for iteration in range(1_000):
        now = NOW + iteration * 0.001
        if controller.admit_or_queue(WaitingRequest(now + 1), now):
            controller.release()
        controller.record_iteration(0.001, now)
    assert controller.rate_limit(now) < inf
    return now


def test_without_adapting_there_is_no_limit_but_of_descriptors() -> None:
    controller = AdmissionController(10**6, adapts=False)
    for iteration in range(1_000):
        now = NOW + iteration * 0.002
        assert controller.admit_or_queue(WaitingRequest(now), now)
        controller.record_iteration(0.002, now)
    assert controller.rate_limit(now) == inf


def test_without_adapting_the_whole_wait_stays() -> None:
    controller = AdmissionController(0, adapts=False)
    controller.client_rejected(NOW)
    request = WaitingRequest(NOW)
    controller.admit_or_queue(request, NOW)
    assert controller.reject(request, NOW) == "in_flight"
    assert whole_wait(controller, NOW)
