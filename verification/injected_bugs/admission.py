"""Bugs in admission: one or more for each fault of FAULTS part A, and of what BEHAVIOUR B11 says."""

from verification.injected_bugs.bug import Bug

INVARIANTS = "tests/unit/admission/test_rate_invariants.py"
RATE = "tests/unit/admission/test_rate.py"

ADMISSION = (
    Bug(
        "B11 a request waits for all of its timeout",
        "admission/wait_limit.py", "WAIT_SHARE: Final = 1 / 4", "WAIT_SHARE: Final = 1 / 1",
        "C02", 0.003,
    ),
    Bug(
        "B11 a request is rejected at once",
        "admission/wait_limit.py", "WAIT_SHARE: Final = 1 / 4", "WAIT_SHARE: Final = 0.0",
        "C02", 0.003,
    ),
    Bug(
        "A1 a rejected client is answered again at once",
        "server/request_pipeline.py", "self._overloaded_at = now", "pass",
        "C02", 0.003,
    ),
    Bug(
        "A1 a rejected client has its next request held for longer than that has time",
        "server/request_pipeline.py",
        "request.arrived_at + timeout_s * limits.backpressure_share", "inf",
        "C02", 0.01,
    ),
    Bug(
        "A1 rejections take all that is admitted",
        "admission/rate.py", "max(left * speed, capacity * MIN_SHARE)", "max(left * speed, 0.0)",
        RATE,
    ),
    Bug(
        "A1 errors without a race are no work",
        "admission/rate.py", "self._work += ERROR_SHARE", "pass",
        RATE,
    ),
    Bug(
        "A1 what was learnt in an overload stays",
        "admission/rate.py", "return self.rate if now - self._needed_at < LIMIT_EXPIRY_S else inf",
        "return self.rate if self._needed_at > -inf else inf",
        INVARIANTS,
    ),
    Bug(
        "A2 overload ends with the next request",
        "admission/controller.py", "return now - self._overloaded_at < LIMIT_EXPIRY_S",
        "return self._overloaded_at > -inf",
        "C02", 0.003,
    ),
    Bug(
        "A3 a silence is taken for work",
        "admission/rate.py", "if passed_s > 2.0 * INTERVAL_S:", "if passed_s > 99.0:",
        RATE,
    ),
    Bug(
        "A4 an overload is remembered for a minute",
        "admission/rate.py", "LIMIT_EXPIRY_S: Final = 0.5", "LIMIT_EXPIRY_S: Final = 60.0",
        INVARIANTS,
    ),
    Bug(
        "A5 half of what can be done is admitted",
        "admission/rate.py", "speed = max(1.0 - GAIN * excess, MIN_SPEED)", "speed = 0.5",
        INVARIANTS,
    ),
    Bug(
        "A7 the oldest is served first though most wait in vain for a descriptor",
        "admission/controller.py", "rate = min(rate, self._rate.recent_starts)", "pass",
        "tests/unit/admission/test_controller.py",
    ),
    Bug(
        "clients take the descriptors of hedges",
        "settings/limits.py", "self.max_rejected - in_flight * self.attempts", "self.max_rejected - in_flight",
        "tests/unit/settings/test_limits.py",
    ),
    Bug(
        "clients that are connected leave requests as many descriptors as ever",
        "processes/descriptor_sharing.py", "budget.in_flight_beside(connected)", "budget.max_in_flight",
        "tests/unit/processes/test_descriptor_sharing.py",
    ),
    Bug(
        "A6 what waited for the worker to start is dated as it is read",
        "server/request_reader.py",
        "        self._first_read = True\n\n    def resumed", "        self._first_read = False\n\n    def resumed",
        "C02", 0.02,
    ),
    Bug(
        "A7 the newest is served first though all can be served",
        "admission/waiting.py", "rate < inf and self._number > rate * room_s", "self._number > 1",
        "tests/unit/admission/test_waiting.py::test_the_oldest_is_next_while_all_can_be_served_in_time",
    ),
    Bug(
        "A7 a request without a timeout waits for half a second",
        "admission/wait_limit.py", "timeout_s * WAIT_SHARE, lag_s", "min(timeout_s * WAIT_SHARE, 0.5), lag_s",
        INVARIANTS,
    ),
    Bug(
        "A8 a stall is taken for saturation",
        "admission/rate.py", "            self._saturated = 0\n            self._count",
        "            self._saturated = 4\n            self._needed_at = now\n            self._count",
        RATE,
    ),
    Bug(
        "A3 what was recent is kept for all of a silence",
        "admission/rate.py", "(1.0 - SMOOTHING) ** (passed_s / INTERVAL_S)", "1.0",
        RATE,
    ),
    Bug(
        "a burst is limited at once",
        "admission/rate.py", "SATURATED_INTERVALS: Final = 4", "SATURATED_INTERVALS: Final = 1",
        INVARIANTS,
    ),
    Bug(
        "waits are whole past what descriptors are enough for",
        "admission/wait_limit.py", "BRIEF_SHARE: Final = 1 / 16", "BRIEF_SHARE: Final = 1 / 4",
        INVARIANTS,
    ),
    Bug(
        "any number waits briefly",
        "admission/wait_limit.py", "BRIEF_QUEUE_S: Final = 0.02", "BRIEF_QUEUE_S: Final = 20.0",
        "tests/unit/admission/test_wait_limit.py",
    ),
    Bug(
        "a client that was held waits briefly all the same",
        "admission/wait_limit.py", "briefly = arrived_at + timeout_s", "briefly = now + timeout_s",
        "tests/unit/admission/test_wait_limit.py",
    ),
    Bug(
        "waits stay brief though all could be served by waiting",
        "admission/wait_limit.py", "GROWTH: Final = 1.3", "GROWTH: Final = 0.0",
        INVARIANTS,
    ),
    Bug(
        "waits stay brief for bursts that could be served by waiting",
        "admission/wait_limit.py", "            self._has_grown = True\n", "            self.be_brief(now)\n",
        INVARIANTS,
    ),
    Bug(
        "requests that wait do not have the descriptors of clients that leave",
        "processes/descriptor_sharing.py", "max_in_flight > before and", "max_in_flight < before and",
        "tests/unit/processes/test_descriptor_sharing.py",
    ),
    Bug(
        "waits are brief once a few were rejected",
        "admission/controller.py", "MUCH_REJECTED: Final = 0.1", "MUCH_REJECTED: Final = -1.0",
        "tests/unit/admission/test_controller.py",
    ),
    Bug(
        "a request that waits does not learn that there is room",
        "request_task.py", "        if gateway.admission.waiting:\n", "        if gateway.admission.waiting < 0:\n",
        "C02", 0.003,
    ),
    Bug(
        "requests that left are started",
        "admission/waiting.py",
        "if request.is_waiting:\n                self.leave", "if True:\n                self.leave",
        "tests/unit/admission/test_waiting.py::test_requests_that_no_longer_wait_are_skipped_at_both_ends",
    ),
)  # fmt: skip
