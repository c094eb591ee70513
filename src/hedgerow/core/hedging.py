"""The race: ask once, ask again at the mark, and take the first success.

The schedule follows "The Tail at Scale" (Dean and Barroso, CACM 56(2), 2013), with a batch of hedges in place
of one. In each turn the order is: harvest what has ended, then launch what is due, then look at the deadline.
In any other order a stalled loop fires hedges at an upstream that had already answered, or answers 504 with a
success in its hands.
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
    """Nothing: hedges leave at the mark."""
    IMMEDIATE = "immediate"
    """Hedges leave as soon as the first attempt has failed, and at the mark at the latest."""


@dataclass(frozen=True, slots=True)
class HedgePlan:
    """When to ask again, and how often."""

    hedge_after_s: float
    """From the launch of the first attempt to the mark: the upstream gets this long, whatever we lost before."""
    hedges: int
    """Attempts launched together at the mark; 0 turns hedging off."""
    on_failure: EarlyFailure = EarlyFailure.WAIT


async def hedge(
    launch: Callable[[int], Attempt],
    plan: HedgePlan,
    *,
    deadline_at: float,
    clock: Callable[[], float],
) -> Verdict:
    """Run one race to its verdict; at `deadline_at` (an instant of `clock`) at the latest.

    `launch(number)` starts an attempt, which reports by its own `end`; it may end before `launch` returns.
    Nothing is launched after the verdict, the deadline, or the closing of this coroutine (the caller has left).
    What still runs then is abandoned to its carrier: the answer never waits for a loser.
    """
    if clock() >= deadline_at:  # it waited too long for us, or never could be answered in time
        return OutOfTime(())
    attempts = [launch(1)]
    hedges_at = attempts[0].launched_at + plan.hedge_after_s if plan.hedges else inf
    caught_up = False
    try:
        while True:
            all_failed = True
            for attempt in attempts:  # the earliest launched wins if several succeeded in one turn
                if isinstance(attempt.outcome, Success):
                    return Won(attempt, attempt.outcome.body, tuple(attempts))
                if attempt.outcome is None:
                    all_failed = False

            now = clock()
            if all_failed and hedges_at < inf and plan.on_failure is EarlyFailure.IMMEDIATE:
                hedges_at = min(hedges_at, now)
            if hedges_at <= now < deadline_at:
                if not caught_up and not all_failed:
                    # A success may lie unread in the kernel. Under overload most do: twice more for each of them was
                    # what the gateway broke down by (docs/decisions/0013-pace.md).
                    caught_up = True
                    await wait(until=now)
                    continue
                hedges_at = inf
                # One by one (a generator would be emptied first once compiled): if a launch is a bug, those before it
                # are not lost.
                attempts.extend(map(launch, range(2, 2 + plan.hedges)))
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
