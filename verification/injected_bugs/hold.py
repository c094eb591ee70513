"""Bugs in what holds hedges."""

from verification.injected_bugs.bug import Bug

HOLD = (
    Bug(
        "an upstream that is late for nearly all requests gets every hedge",
        "core/hedge_limit.py", "        if nearly_all_late or are_stuck:\n", "        if are_stuck:\n",
        "tests/unit/core/test_hedge_limit_model.py",
    ),
    Bug(
        "quick answers of a cache hide a standing queue",
        "core/hedge_limit.py", "        if nearly_all_late or are_stuck:\n", "        if nearly_all_late:\n",
        "tests/unit/core/test_hedge_limit_model.py",
    ),
    Bug(
        "a limit of hedges never opens again",
        "core/hedge_limit.py", "GROW: Final = 1.05\n", "GROW: Final = 1.0\n",
        "tests/unit/core/test_hedge_limit_model.py",
    ),
    Bug(
        "losers are not in flight for the limit of hedges",
        "request_task.py", "        request.route.attempts_in_flight -= 1\n",
        "        if self._race is not None:\n            request.route.attempts_in_flight -= 1\n",
        "tests/unit/test_gateway.py",
    ),
    Bug(
        "a request whose hedges are held waits for its deadline",
        "core/hedging.py", "            if all_failed and self._hedges_at >= deadline_at:",
        "            if all_failed and self._hedges_at >= deadline_at and len(self.attempts) > 2:",
        "tests/unit/test_gateway.py",
    ),
    Bug(
        "what a budget has not used has no bound",
        "core/hedge_limit.py", "            self._tokens = min(self._tokens + earned, _burst(budget))\n",
        "            self._tokens += earned\n",
        "tests/unit/core/test_hedge_limit.py",
    ),
)  # fmt: skip
