"""The race: send one attempt, send hedges after the hedge delay, and take the first success or final answer.

The schedule follows "The Tail at Scale" (Dean and Barroso, CACM 56(2), 2013), with a batch of hedges in place of one.
Each time the race proceeds it first checks what has finished, then sends hedges that are due, then checks the
deadline. In any other order a stalled loop sends hedges to an upstream that had already answered, or answers 504 with
a success in its hands. The event loop adds: it proceeds only after the received responses were read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from mypy_extensions import mypyc_attr

from hedgerow.core.outcomes import AllFailed, Attempt, OutOfTime, Success, Verdict, Won


class EarlyFailure(StrEnum):
    """What an early failure of the first attempt does to the schedule."""

    WAIT = "wait"
    """Nothing: hedges are sent after the hedge delay."""
    IMMEDIATE = "immediate"
    """Hedges are sent as soon as the first attempt has failed, and after the hedge delay at the latest."""


@dataclass(frozen=True, slots=True)
class HedgePlan:
    """When to send hedges, and how many."""

    hedge_after_s: float
    """The hedge delay, from the start of the first attempt: the upstream gets this long, whatever we lost before."""
    hedges: int
    """Attempts that are sent together after the hedge delay; 0 turns hedging off."""
    early_failure: EarlyFailure = EarlyFailure.WAIT


@mypyc_attr(acyclic=True)
class Race:
    """One race. Pure: its owner starts attempts, and calls `proceed` when one has finished or an instant has come."""

    __slots__ = (
        "_hedges_at", "_plan", "_start_attempt", "attempts", "deadline_at", "wait_until",
    )  # fmt: skip

    def __init__(
        self,
        start_attempt: Callable[[int, float], Attempt | None],
        plan: HedgePlan,
        *,
        deadline_at: float,
    ) -> None:
        """`start_attempt(number, now)` starts an attempt, which may finish before this returns.

        It returns None for a hedge that is held: then that one and those after it are never sent.
        `deadline_at` is an instant of the owner's clock, at which the race has its verdict at the latest.
        """
        self._start_attempt = start_attempt
        self._plan = plan
        self._hedges_at = inf
        self.attempts: list[Attempt] = []
        self.deadline_at = deadline_at
        self.wait_until = deadline_at
        """The instant at which to call `proceed`, unless an attempt finishes before."""

    def proceed(self, now: float) -> Verdict | None:
        """Return the verdict, or None while there is none; then `wait_until` is the next instant to proceed.

        The first call starts the first attempt. Nothing is started after the verdict or the deadline.
        """
        plan, deadline_at = self._plan, self.deadline_at
        if not self.attempts:
            if now >= deadline_at:  # it waited too long for us, or never could be answered in time
                return OutOfTime(())
            first = self._start_attempt(1, now)
            assert first is not None  # noqa: S101 (for mypy: hedges alone are held)
            self.attempts.append(first)
            if plan.hedges:
                self._hedges_at = first.launched_at + plan.hedge_after_s
        while True:
            all_failed = True
            for attempt in self.attempts:  # the earliest started wins if several succeeded in one iteration
                outcome = attempt.outcome
                if outcome is None:
                    all_failed = False
                elif isinstance(outcome, Success):
                    return Won(attempt, outcome.body, tuple(self.attempts))

            if all_failed and self._hedges_at < inf and plan.early_failure is EarlyFailure.IMMEDIATE:
                self._hedges_at = min(self._hedges_at, now)
            if self._hedges_at <= now < deadline_at:
                self._hedges_at = inf
                self._send_hedges(now)
                continue  # an attempt may have failed on the spot

            if all_failed and self._hedges_at >= deadline_at:  # nothing left that could succeed
                return AllFailed(tuple(self.attempts))
            if now >= deadline_at:
                return OutOfTime(tuple(self.attempts))
            self.wait_until = min(deadline_at, self._hedges_at)
            return None

    def _send_hedges(self, now: float) -> None:
        for number in range(2, 2 + self._plan.hedges):
            hedge = self._start_attempt(number, now)
            if hedge is None:
                return
            self.attempts.append(hedge)

    def end(self) -> None:
        """Abandon what still runs: after the verdict, or when the client has left. The answer never waits for it.

        Bodies are dropped, for records of requests keep attempts for a while; a verdict has its own reference.
        """
        for attempt in self.attempts:
            if attempt.outcome is None and attempt.handle is not None:
                attempt.handle.abandon()
            attempt.drop_body()
