"""The admission rate limit: what the event loop gets done in a second when it is busy all the time.

There is a limit only where the loop is saturated. What it did in an interval is counted in requests (reading, starting
and ending one make up one), and divided by the time that it took. Where the machine becomes slower from one interval
to the next, or rejections take a part of the time, the quotient shows it at once, although the loop is as busy as
before. A request's work is spread over the 0.6 s after it is admitted; what is counted is spread in the same way, so
the limit does not swing with that delay. docs/decisions/0016-admission.md
"""

from math import inf
from typing import Final

INTERVAL_S: Final = 0.05
"""How often the limit is set: some 500 requests of a busy loop, and a sixth of the delay after which hedges leave."""
SATURATED_SHARE: Final = 0.95
"""A loop that is busy for this share of an interval is saturated; it never reaches 1, for it must poll in between."""
SATURATED_INTERVALS: Final = 4
"""There is a limit after this number of saturated intervals in a row (0.2 s). With 1, 40 % of a burst of 4 000 requests
from nothing were rejected, all of which can be served (with 4: 0), and 7 200 requests of a cold start of 4 000 clients
(with 4: 2 800)."""
LIMIT_EXPIRY_S: Final = 0.5
"""The limit is lifted when the loop was not saturated and no request waited for it in this time; 1 s is no better."""
SMOOTHING: Final = 0.3
"""The weight of an interval in what is known (a memory of 0.15 s). With 1 a machine slowed by 1.4 gave 3 % fewer good
answers; with 0.15 the two seconds after a jump did."""
READ_SHARE: Final = 0.2
"""The part of a request's work that is reading it. Starting it counts the same, and what is left is answering it."""
REJECTION_SHARE: Final = 0.3
"""All the work of a request that is rejected (22 of 66 us compiled at twice the capacity, 25 of 98 not compiled)."""
ERROR_SHARE: Final = 0.13
"""All the work of a request that an error answers at once, as an unknown path (12 of 90 us, compiled). While it was not
counted, what was done was taken for all that can be done, and less was admitted each time: beside 200 clients with
38 000 unknown paths a second, 88 % of 400 valid requests a second were rejected, now none."""
TARGET_ITERATION_S: Final = 0.0015
"""The mean iteration of a loop that is used well: fixed costs are a hundredth of it, and no deadline is missed."""
GAIN: Final = 0.03
"""By how much more than is done is admitted where iterations are short, and by how much less for each further
`TARGET_ITERATION_S`. What is admitted now is work for 0.6 s: with 0.1, and half as `MIN_SPEED`, the limit swung between
a third and all of the capacity, and 24 000/s gave 7 700 to 8 200 good answers in place of 9 470 to 9 800."""
MIN_SPEED: Final = 0.95
"""Less than this part of what is done is not admitted because iterations are long."""
MIN_SHARE: Final = 0.25
"""The part of what can be done that is admitted however much is rejected: rejections may be all that a loop is busy
with (8 000 clients that retry at once held it down to 240 good answers a second and falling; now to 2 000)."""
BURST_S: Final = 0.01
"""The unused part of the limit is kept for this time, which is one long iteration: while iterations are longer, less is
admitted, and old work is done first."""


class RateController:
    """A token bucket whose rate follows what a saturated event loop gets done; instants are passed in."""

    __slots__ = (
        "_began_at", "_busy_s", "_errors", "_iterations", "_needed_at", "_reads", "_recent_busy_s", "_recent_errors",
        "_recent_work", "_saturated", "_starts", "_tokens", "_tokens_at", "_was_met", "_work", "rate",
        "recent_rejected", "recent_starts",
    )  # fmt: skip

    def __init__(self) -> None:
        self.rate = inf
        """Requests a second, while there is a limit (see `limit`)."""
        self.recent_starts = 0.0
        """Requests that were started in a second, recently."""
        self.recent_rejected = 0.0
        """Requests that were read in a second and not started, recently."""
        self._recent_errors = 0.0
        """Requests that were answered by an error at once in a second, recently."""
        self._tokens = 0.0
        self._tokens_at = 0.0
        self._needed_at = -inf
        """The limit was last needed at this instant."""
        self._was_met = False
        """In this interval a request had to wait for the limit."""
        self._saturated = 0
        self._recent_busy_s = self._recent_work = 0.0
        self._began_at = -inf
        self._begin_interval(-inf)

    def _begin_interval(self, now: float) -> None:
        self._began_at = now
        self._busy_s = 0.0
        self._work = 0.0
        self._errors = self._iterations = self._reads = self._starts = 0
        self._was_met = False

    def limit(self, now: float) -> float:
        """Return how many requests are admitted in a second; infinite where there is no limit."""
        return self.rate if now - self._needed_at < LIMIT_EXPIRY_S else inf

    def record_read(self) -> None:
        """Count a request that was read."""
        self._reads += 1
        self._work += READ_SHARE

    def record_start(self) -> None:
        """Count a request that was started."""
        self._starts += 1
        self._work += READ_SHARE

    def record_end(self) -> None:
        """Count a started request that is over."""
        self._work += 1.0 - 2.0 * READ_SHARE

    def record_error(self) -> None:
        """Count a request that was answered by an error at once: it never asks to be started."""
        self._errors += 1
        self._work += ERROR_SHARE

    def take(self, now: float) -> bool:
        """Return whether the limit lets one more request start now, and take its token."""
        rate = self.limit(now)
        if rate == inf:
            return True
        tokens = min(self._tokens + (now - self._tokens_at) * rate, max(rate * BURST_S, 1.0))
        self._tokens_at = now
        if tokens < 1.0:
            self._tokens = tokens
            self._was_met = True
            return False
        self._tokens = tokens - 1.0
        return True

    def next_token_at(self, now: float) -> float:
        """Return the instant at which the limit lets the next request start, or expires."""
        rate = self.limit(now)
        if rate == inf:
            return now
        expires_at = self._needed_at + LIMIT_EXPIRY_S
        if rate <= 0.0:  # the loop was saturated by what is no request: by accepts, or TLS handshakes
            return expires_at
        return max(now, min(self._tokens_at + (1.0 - self._tokens) / rate, expires_at))

    def record_iteration(self, busy_s: float, now: float) -> None:
        """Count an iteration of the event loop, and set the limit when an interval is over."""
        self._iterations += 1
        self._busy_s += busy_s
        passed_s = now - self._began_at
        if passed_s < INTERVAL_S:
            return
        if passed_s > 2.0 * INTERVAL_S:  # idle time or a stall: no evidence of the loop's capacity
            self._saturated = 0
            self._count(passed_s, 1.0 - (1.0 - SMOOTHING) ** (passed_s / INTERVAL_S))
        else:
            self._count(passed_s, SMOOTHING)
            self._learn()
            self._judge(passed_s, now)
        self._begin_interval(now)

    @property
    def _not_started(self) -> int:
        """Return how many more were read in this interval than started."""
        return max(self._reads - self._starts, 0)

    def _count(self, passed_s: float, weight: float) -> None:
        """Set how many were started, rejected and answered by an error in a second, recently."""
        self.recent_starts += (self._starts / passed_s - self.recent_starts) * weight
        self.recent_rejected += (self._not_started / passed_s - self.recent_rejected) * weight
        self._recent_errors += (self._errors / passed_s - self._recent_errors) * weight

    def _learn(self) -> None:
        """Set the rate from what was done in the last intervals and the time that it took."""
        work = self._work + self._not_started * (REJECTION_SHARE - READ_SHARE)
        self._recent_busy_s += (self._busy_s - self._recent_busy_s) * SMOOTHING
        self._recent_work += (work - self._recent_work) * SMOOTHING
        if self._recent_busy_s <= 0.0:
            return
        capacity = self._recent_work / self._recent_busy_s
        excess = self._busy_s / self._iterations / TARGET_ITERATION_S - 1.0
        speed = max(1.0 - GAIN * excess, MIN_SPEED)
        left = capacity - self.recent_rejected * REJECTION_SHARE - self._recent_errors * ERROR_SHARE
        self.rate = max(left * speed, capacity * MIN_SHARE)

    def _judge(self, passed_s: float, now: float) -> None:
        """Decide whether a limit is needed."""
        if self._busy_s > passed_s * SATURATED_SHARE:
            self._saturated += 1
        else:
            self._saturated = 0
        if self._saturated >= SATURATED_INTERVALS or (self._was_met and self.limit(now) < inf):
            self._needed_at = now
