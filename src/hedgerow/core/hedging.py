"""The race: send one attempt, send hedges after the hedge delay, and return the first success.

The schedule follows "The Tail at Scale" (Dean and Barroso, CACM 56(2), 2013), with a batch of hedges in place
of one. The order of each step is: take what has finished, then start what is due, then check the deadline. In any
other order a stalled event loop sends hedges to an upstream that had already answered, or answers 504 although it
has a success.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from hedgerow.core.outcomes import AllFailed, Attempt, OutOfTime, Success, Verdict, Won
from hedgerow.core.waiting import wait


class EarlyFailure(StrEnum):
    """The effect of an early failure of the first attempt on the schedule."""

    WAIT = "wait"
    """None: hedges are sent after the hedge delay."""
    IMMEDIATE = "immediate"
    """Hedges are sent as soon as the first attempt has failed, and after the hedge delay at the latest."""


@dataclass(frozen=True, slots=True)
class HedgePlan:
    """When to send hedges, and how many."""

    hedge_after_s: float
    """The hedge delay, from the start of the first attempt: the upstream has this long, whatever lag came before."""
    hedges: int
    """Attempts started together after the hedge delay; 0 turns hedging off."""
    on_failure: EarlyFailure = EarlyFailure.WAIT


async def hedge(
    launch: Callable[[int], Attempt],
    plan: HedgePlan,
    *,
    deadline_at: float,
    clock: Callable[[], float],
) -> Verdict:
    """Run one race and return its verdict, by `deadline_at` (an instant of `clock`) at the latest.

    `launch(number)` starts an attempt, which reports by its own `end`; it may end before `launch` returns.
    No attempt starts after the verdict, the deadline, or the closing of this coroutine (the client has disconnected).
    Attempts that still run then are abandoned by their handles: the response never waits for a loser.
    """
    if clock() >= deadline_at:  # it was queued too long, or its timeout is too short for any answer
        return OutOfTime(())
    attempts = [launch(1)]
    hedges_at = attempts[0].launched_at + plan.hedge_after_s if plan.hedges else inf
    caught_up = False
    try:
        while True:
            all_failed = True
            for attempt in attempts:  # the earliest launched wins if several have succeeded
                if isinstance(attempt.outcome, Success):
                    return Won(attempt, attempt.outcome.body, tuple(attempts))
                if attempt.outcome is None:
                    all_failed = False

            now = clock()
            if all_failed and hedges_at < inf and plan.on_failure is EarlyFailure.IMMEDIATE:
                hedges_at = min(hedges_at, now)
            if hedges_at <= now < deadline_at:
                if not caught_up and not all_failed:
                    # A success may be unread in a socket buffer. Under overload most are: two hedges more for each of
                    # them made the gateway collapse (docs/decisions/0013-pace.md).
                    caught_up = True
                    await wait(until=now)
                    continue
                hedges_at = inf
                # One at a time (compiled, a generator would be emptied first): if a start raises, the attempts before
                # it are not lost.
                attempts.extend(map(launch, range(2, 2 + plan.hedges)))
                continue  # an attempt may have failed at once

            if all_failed and hedges_at >= deadline_at:  # nothing left that could succeed
                return AllFailed(tuple(attempts))
            if now >= deadline_at:
                return OutOfTime(tuple(attempts))
            await wait(until=min(hedges_at, deadline_at))
    finally:
        for attempt in attempts:
            if attempt.outcome is None and attempt.handle is not None:
                attempt.handle.abandon()
