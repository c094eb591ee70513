"""The race: ask once, ask again after the hedge delay, and take the first success.

The schedule follows "The Tail at Scale" (Dean and Barroso, CACM 56(2), 2013), with a batch of hedges in place of one.
Each time the race goes on it first looks at what has finished, then sends hedges that are due, then looks at the
deadline. In any other order a stalled loop sends hedges to an upstream that had already answered, or answers 504 with
a success in its hands. The event loop adds: it goes on only after the answers that had come were read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from hedgerow.core.outcomes import AllFailed, Attempt, OutOfTime, Success, Verdict, Won
from hedgerow.core.waiting import wait


class EarlyFailure(StrEnum):
    """What an early failure of the first attempt does to the schedule."""

    WAIT = "wait"
    """Nothing: hedges are sent after the hedge delay."""
    IMMEDIATE = "immediate"
    """Hedges are sent as soon as the first attempt has failed, and after the hedge delay at the latest."""


@dataclass(frozen=True, slots=True)
class HedgePlan:
    """When to ask again, and how often."""

    hedge_after_s: float
    """The hedge delay, from the start of the first attempt: the upstream gets this long, whatever we lost before."""
    hedges: int
    """Attempts that are sent together after the hedge delay; 0 turns hedging off."""
    early_failure: EarlyFailure = EarlyFailure.WAIT


async def hedge(
    start_attempt: Callable[[int], Attempt],
    plan: HedgePlan,
    *,
    deadline_at: float,
    clock: Callable[[], float],
) -> Verdict:
    """Run one race to its verdict; at `deadline_at` (an instant of `clock`) at the latest.

    `start_attempt(number)` starts an attempt, which may finish before this returns. Nothing is started after the
    verdict, the deadline, or the closing of this coroutine (the client has left). What still runs then is abandoned
    to its handle: the answer never waits for a loser.
    """
    if clock() >= deadline_at:  # it waited too long for us, or never could be answered in time
        return OutOfTime(())
    attempts = [start_attempt(1)]
    hedges_at = attempts[0].launched_at + plan.hedge_after_s if plan.hedges else inf
    try:
        while True:
            all_failed = True
            for attempt in attempts:  # the earliest started wins if several succeeded in one iteration
                if isinstance(attempt.outcome, Success):
                    return Won(attempt, attempt.outcome.body, tuple(attempts))
                if attempt.outcome is None:
                    all_failed = False

            now = clock()
            if all_failed and hedges_at < inf and plan.early_failure is EarlyFailure.IMMEDIATE:
                hedges_at = min(hedges_at, now)
            if hedges_at <= now < deadline_at:
                hedges_at = inf
                # One by one (a generator would be emptied first once compiled): if a start is an internal error, those
                # before it are not lost.
                attempts.extend(map(start_attempt, range(2, 2 + plan.hedges)))
                continue  # an attempt may have failed on the spot

            if all_failed and hedges_at >= deadline_at:  # nothing left that could succeed
                return AllFailed(tuple(attempts))
            if now >= deadline_at:
                return OutOfTime(tuple(attempts))
            await wait(until=min(hedges_at, deadline_at))
    finally:
        for attempt in attempts:
            if attempt.outcome is None and attempt.handle is not None:
                attempt.handle.abandon()
