"""Bugs in the race and in what is counted of it."""

from verification.injected_bugs.bug import Bug

RACE = (
    Bug(
        "the first attempt is said to have won",
        "core/hedging.py", "return Won(attempt, outcome.body", "return Won(self.attempts[0], outcome.body",
        "C14", 0.001,
    ),
    Bug(
        "hedges are sent before the hedge delay",
        "core/hedging.py", ".launched_at + plan.hedge_after_s\n", ".launched_at + plan.hedge_after_s * 0.9\n",
        "C02", 0.003,
    ),
    Bug(
        "hedges are sent after the deadline",
        "core/hedging.py", "if self._hedges_at <= now < deadline_at:", "if self._hedges_at <= now:",
        "C02", 0.02,
    ),
    Bug(
        "the first to fail ends the race",
        "core/hedging.py", "if all_failed and self._hedges_at >= deadline_at:", "if all_failed:",
        "C02", 0.003,
    ),
    Bug(
        "a success that comes with the deadline is not looked at",
        "core/hedging.py", "        while True:\n            all_failed = True\n",
        "        if now >= deadline_at:\n            return OutOfTime(tuple(self.attempts))\n"
        "        while True:\n            all_failed = True\n",
        "C02", 0.05,
    ),
    Bug(
        "answers are due at the last instant",
        "eventloop/deadlines.py", "(arrived_at + timeout_s - min(wanted_s, at_most_s))", "(arrived_at + timeout_s)",
        "C02", 0.003,
    ),
    Bug(
        "B3 a race that waits for its hedges has no deadline",
        "core/hedging.py", "            self.wait_until = min(deadline_at, self._hedges_at)\n",
        "            self.wait_until = deadline_at if self._hedges_at == inf else max(deadline_at, self._hedges_at)\n",
        "C02", 0.003,
    ),
    Bug(
        "B4 of requests with one id the last is recorded",
        "telemetry/recent_requests.py", "        self._records.append((request",
        "        for record in [one for one in self._records if one[0].request_id == request.request_id]:\n"
        "            self._records.remove(record)\n"
        "        self._records.append((request",
        "tests/unit/telemetry/test_recent_requests.py",
    ),
    Bug(
        "of the hedges that won, only the second attempt counts",
        "telemetry/recorder.py", "            if winner != 1:\n", "            if winner == 2:\n",
        "C02", 0.003,
    ),
    Bug(
        "a request that has ended is still counted",
        "request_task.py", "        gateway.admission.release()\n", "",
        "C02", 0.001,
    ),
)  # fmt: skip
