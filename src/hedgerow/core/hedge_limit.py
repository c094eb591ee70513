"""Which hedges are sent: so that hedging never makes an outage worse.

Hedges multiply load just when an upstream has least to spare. They keep a queue standing that would drain without them,
and every answer is late for good (a metastable failure: Bronson and others, HotOS 2021). A standing queue has two
signs: *nearly all* requests are late, for an upstream that is slow by nature still answers some of them before the
hedge delay; and late ones get no answer soon after it either. Neither needs to know how the upstream was before, so a
gateway that is restarted in an outage is not deceived. What helps is a limit on attempts in flight, which a slow
upstream fills by itself; token buckets with the same signs overshoot. docs/decisions/0027-hold.md has the figures.
"""

from dataclasses import dataclass
from math import ceil, inf, sqrt
from typing import Final

FIRST_ATTEMPTS: Final = 20
"""First attempts that a decision is made from. Where a fifth of them is quick by nature, none is once in 90 times."""
QUICK_SHARE: Final = 1 / 20
"""Fewer quick first attempts are the first sign. The reference upstream has 36 %, and none in a collapse."""
LATE_REQUESTS: Final = 10
"""Late requests that the second sign is taken from."""
ANSWERED_SHARE: Final = 0.7
"""Fewer late requests that are answered within another hedge delay, by more than chance, are the second sign. Quick
answers that bypass the bottleneck hide the first one: where half of them come from a cache it does no harm up to 0.4 of
the upstream's capacity, and with this one up to 0.8. With 0.8 healthy upstreams lose more hedges."""
SHRINK: Final = 1 / 2
GROW: Final = 1.05
"""What a decision multiplies the limit by: it closes within a second, and opens over half a minute."""
MIN_LIMIT: Final = 1.0
"""Attempts in flight. With 4, fifty idle workers before an upstream of 100 had 200 in flight at the least."""
FOR_FAILED: Final = 0.9
"""The last tenth of a limit is for requests whose first attempt has failed: they have nothing else."""
BURST_HEDGES: Final = 10.0
"""Hedges of a budget that was not used that may be sent at once (gRPC's `maxTokens` in its examples), or"""
BURST_S: Final = 10.0
"""what the budget's minimum brings in this time, if that is more."""


@dataclass(frozen=True, slots=True)
class HedgeBudget:
    """Hedges as a share of requests, whatever the upstream does."""

    percent: float
    """Hedges for each hundred requests."""
    min_per_second: float = 0.0
    """Hedges that may be sent each second besides."""


class LateRequest:
    """A request that had no success by its hedge delay: what becomes of its hedges, and of itself."""

    __slots__ = ("answered", "held", "sent", "until")

    def __init__(self, sent: int, held: int, until: float) -> None:
        self.sent = sent
        """Hedges that are sent now."""
        self.held = held
        """Hedges that are not, and never will be."""
        self.until = until
        """The instant that is another hedge delay later; of a delay that is a quantile, the greatest it may be."""
        self.answered = False
        """An attempt of it has ended since, before that instant. How is of no account: it is not stuck in a queue."""


class HedgeLimit:
    """What holds hedges of one route back, in one worker. Pure, O(1); instants are seconds of its owner's clock.

    `in_flight`: all attempts of the route, those whose race is over included.
    """

    __slots__ = (
        "_ceiling", "_decided_at", "_hedge_delay_s", "_held_before", "_holds", "_judged_before", "_late",
        "_quick_before", "_refilled_at", "_sent", "_sent_before", "_tokens", "budget", "halvings_late",
        "halvings_stuck", "held", "judged", "limit", "quick",
    )  # fmt: skip

    def __init__(
        self,
        hedge_delay_s: float,
        *,
        holds: bool,
        ceiling: int | None = None,
        budget: HedgeBudget | None = None,
    ) -> None:
        """Close while nearly all requests are late, if it `holds`; `ceiling`: the limit at most, in attempts."""
        self._hedge_delay_s = hedge_delay_s
        self._holds = holds
        self._ceiling = inf if ceiling is None else float(ceiling)
        self.budget = budget
        self._tokens = 0.0 if budget is None else _burst(budget)
        self._refilled_at = inf
        self.limit = self._ceiling
        """Attempts in flight up to which hedges are sent; infinite where nothing holds them."""
        self._decided_at = -inf
        self._late: list[LateRequest] = []
        """In the order of their instants: those of the last decision's time, and of a hedge delay more."""
        self.judged = self.quick = self.held = self._sent = 0
        """First attempts that have won before their hedges were due, or have not; those that have; hedges that were
        held, and that were sent."""
        self._judged_before = self._quick_before = self._held_before = self._sent_before = 0
        """What these were at the last decision."""
        self.halvings_late = self.halvings_stuck = 0
        """How often the limit was halved by either sign."""

    def request_started(self, now: float) -> None:
        """Earn a first attempt's part of the budget; called with each of them where there is one."""
        budget = self.budget
        if budget is not None:
            elapsed_s = max(now - self._refilled_at, 0.0)  # nothing for the first
            self._refilled_at = now
            earned = budget.percent / 100 + elapsed_s * budget.min_per_second
            self._tokens = min(self._tokens + earned, _burst(budget))

    def first_was_quick(self, now: float, in_flight: int) -> None:
        """Record that a first attempt has won before its hedges were due."""
        self.quick += 1
        self._judge(now, in_flight)

    def first_was_late(self, now: float, in_flight: int, hedges: int, *, first_failed: bool) -> LateRequest:
        """Return how many hedges are sent and how many held; called when they are due, for there is no success."""
        self._judge(now, in_flight)
        sent = self._allowed(in_flight, hedges, first_failed)
        held = hedges - sent
        self._sent += sent
        self.held += held
        late = LateRequest(sent, held, now + self._hedge_delay_s)
        if self._holds:
            self._late.append(late)
        return late

    def _allowed(self, in_flight: int, wanted: int, first_failed: bool) -> int:
        limit = self.limit
        if limit < self._ceiling and not first_failed:
            limit *= FOR_FAILED
        number = wanted
        if float(in_flight + wanted) > limit:  # mypyc compares two floats itself
            number = max(ceil(limit) - in_flight, 0)
        if self.budget is not None:
            number = min(number, int(self._tokens))
            self._tokens -= number
        return number

    def _judge(self, now: float, in_flight: int) -> None:
        """Count a first attempt, and decide if there are enough."""
        self.judged += 1
        if (
            self.judged - self._judged_before >= FIRST_ATTEMPTS
            and now - self._decided_at >= self._hedge_delay_s
        ):
            if self._holds:
                self._set_limit(now, in_flight)
            self._decided_at = now
            self._judged_before, self._quick_before = self.judged, self.quick
            self._held_before, self._sent_before = self.held, self._sent

    def _set_limit(self, now: float, in_flight: int) -> None:
        are_stuck = self._are_stuck(now)
        nearly_all_late = self.quick - self._quick_before < QUICK_SHARE * (self.judged - self._judged_before)
        if nearly_all_late or are_stuck:
            if self._sent > self._sent_before:
                self.limit = max(SHRINK * min(self.limit, in_flight), MIN_LIMIT)
                if nearly_all_late:
                    self.halvings_late += 1
                else:
                    self.halvings_stuck += 1
        elif self.held > self._held_before:
            self.limit = min(GROW * self.limit, self._ceiling)

    def _are_stuck(self, now: float) -> bool:
        """Return whether late requests stay without an answer: too many of them to be chance (two standard errors).

        Those are counted, and forgotten, whose time is over since the last decision.
        """
        number = answered = 0
        for late in self._late:
            if late.until > now:
                break
            number += 1
            answered += late.answered
        del self._late[:number]
        return number >= LATE_REQUESTS and answered < ANSWERED_SHARE * number - sqrt(number)


def _burst(budget: HedgeBudget) -> float:
    return max(BURST_HEDGES, BURST_S * budget.min_per_second)
