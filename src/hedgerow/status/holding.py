"""What holding hedges does, or what it would do where they are not held, in words. Pure."""

from typing import Final

import msgspec

from hedgerow.core.hedge_limit import FIRST_ATTEMPTS, QUICK_SHARE
from hedgerow.status.error_rates import ErrorRates, successes
from hedgerow.telemetry.snapshot import BUCKETS_S, Snapshot

HARM_SHARE: Final = 0.2
"""Share of requests that run out of time while nearly all requests are late, from which hedging is said to do harm.
Before an upstream that is slow by nature, and can do what it is asked, they do not."""
MIN_HELD: Final = 0.01
"""Share of hedges that are held from which it is mentioned."""


class HoldStatus(msgspec.Struct):
    """What is held, and what from. Counts are of the window."""

    mode: str
    """As the setting: `auto` or `off`."""
    held: int
    """Hedges that were due and not sent."""
    limit: float | None
    """Attempts in flight up to which the workers that have a limit now send hedges; null without such workers."""
    limited_workers: int
    attempts_in_flight: int
    """Losers included."""
    quick_rate: float | None
    """Share of first attempts that succeed before the hedge delay; below 0.05 nearly all requests are late."""
    halvings: dict[str, int]
    """Of the limit, by sign: nearly all requests `late`, or late requests that stay `unanswered`."""


def hold_status(counts: Snapshot, mode: str, hedge_after_ms: int | None) -> HoldStatus:
    """Return the figures of the window."""
    quick, first = quick_first_attempts(counts, hedge_after_ms)
    return HoldStatus(
        mode=mode,
        held=counts.hedges.get("held", 0),
        limit=round(counts.hedge_limit, 1) if counts.hedge_limited_workers else None,
        limited_workers=counts.hedge_limited_workers,
        attempts_in_flight=counts.attempts_in_flight,
        quick_rate=round(quick / first, 4) if first else None,
        halvings={sign: times for sign, times in counts.hedge_limit_halvings.items() if times},
    )


def quick_first_attempts(counts: Snapshot, hedge_after_ms: int | None) -> tuple[float, int]:
    """Return how many first attempts succeeded before the hedge delay, and of how many.

    Where hedges may be held they were counted one by one; elsewhere they are read from the histogram, evenly within its
    bucket, unless there are several hedge delays.
    """
    judged = counts.first_attempts_judged
    if judged or hedge_after_ms is None:
        return judged.get("quick", 0), sum(judged.values())
    total = sum(histogram.count for histogram in counts.first_attempt_duration.values())
    delay_s, quick, below_s = hedge_after_ms / 1000, 0.0, 0.0
    for bound_s, number in zip(BUCKETS_S, successes(counts.first_attempt_duration).counts, strict=False):
        if bound_s > delay_s:
            return quick + number * (delay_s - below_s) / (bound_s - below_s), total
        quick, below_s = quick + number, bound_s
    return quick, total


def describe_holding(
    counts: Snapshot, mode: str, hedge_after_ms: int | None, hedges: int, span_s: float
) -> str:
    """Return a sentence for the verdict: what holding spares the upstream, or that hedging does harm; or nothing.

    `hedge_after_ms` is None where there are several hedge delays; whether hedging does harm is said of each route then.
    """
    fired, held = counts.hedges.get("fired", 0), counts.hedges.get("held", 0)
    if held > MIN_HELD * (fired + held):
        return _spared(counts, held, span_s)
    if hedges and mode == "off" and hedge_after_ms is not None:
        return _harm(counts, hedge_after_ms)
    return ""


def _spared(counts: Snapshot, held: int, span_s: float) -> str:
    attempts = sum(times for by_outcome in counts.attempts.values() for times in by_outcome.values())
    return (
        f" Hedges are held: the upstream was spared {held} attempts in the last {span_s:.0f} s"
        f" ({100 * held / (attempts + held):.0f} % of what it would have been sent)."
    )


def _harm(counts: Snapshot, hedge_after_ms: int) -> str:
    rates = ErrorRates.of(counts)
    quick, first = quick_first_attempts(counts, hedge_after_ms)
    if first < FIRST_ATTEMPTS or quick >= QUICK_SHARE * first:
        return ""
    if rates.requests < FIRST_ATTEMPTS or rates.out_of_time < HARM_SHARE * rates.requests:
        return ""
    attempts = {number: sum(by_outcome.values()) for number, by_outcome in counts.attempts.items()}
    total, alone = sum(attempts.values()), attempts.get("1", 0)
    if not alone:
        return ""
    return (
        f" Hedging does harm: nearly all first attempts take longer than {hedge_after_ms} ms, and each request has"
        f' become {total / alone:.1f}. `--hedge-hold auto` (`hold = "auto"` in a route) would hold hedges back until'
        f" some are quick again, and spare the upstream up to {100 * (1 - alone / total):.0f} % of its load."
    )
