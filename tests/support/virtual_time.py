"""Drives the race in virtual time: no event loop, no sleep, exact instants."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from hedgerow.core.hedging import HedgePlan, Race
from hedgerow.core.outcomes import Attempt, Failure, FailureReason, Outcome, Success, Verdict
from hedgerow.core.request import Request

BEGIN_MS = 7_000
"""The clock's reading as the request arrives: not zero, so that an instant cannot pass for a span."""

MAX_WAITS = 100
"""No sound race waits as often."""


class Hung(Exception):  # noqa: N818
    """A race that never ends."""


@dataclass(frozen=True)
class Scripted:
    """What one attempt does: finish `latency_ms` after its start (0: on the spot), or never."""

    latency_ms: int | None
    succeeds: bool = True

    def outcome(self, number: int) -> Outcome:
        return Success(b"%d" % number) if self.succeeds else Failure(FailureReason.STATUS_5XX)


@dataclass
class Timeline:
    """One race in milliseconds of virtual time."""

    script: Sequence[Scripted]
    plan: HedgePlan
    timeout_ms: int
    now_ms: int = 0
    launched_at_ms: list[int] = field(default_factory=list)
    abandoned: list[int] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    finished: int = 0
    """How many attempts have reported to their owner, which is this."""
    _ends: list[tuple[int, int]] = field(default_factory=list)
    _request: Request = field(
        default_factory=lambda: Request(b"GET", b"/", b"", request_id=b"r", arrived_at=BEGIN_MS / 1000)
    )

    def clock(self) -> float:
        return (BEGIN_MS + self.now_ms) / 1000

    def start_attempt(self, number: int, now: float) -> Attempt:
        attempt = Attempt(number, now, self._request, self)
        self.attempts.append(attempt)
        self.launched_at_ms.append(self.now_ms)
        latency_ms = self.script[number - 1].latency_ms
        if latency_ms == 0:
            attempt.finish(self.script[number - 1].outcome(number), self.clock())
            return attempt
        attempt.handle = _Handle(lambda: self.abandoned.append(number))
        if latency_ms is not None:
            heappush(self._ends, (self.now_ms + latency_ms, number))
        return attempt

    def on_attempt_finished(self) -> None:
        self.finished += 1

    def finish_due_attempts(self) -> None:
        while self._ends and self._ends[0][0] <= self.now_ms:
            at_ms, number = heappop(self._ends)
            outcome = self.script[number - 1].outcome(number)
            self.attempts[number - 1].finish(outcome, (BEGIN_MS + at_ms) / 1000)

    def race(self, kind: type[Race] = Race) -> Race:
        return kind(self.start_attempt, self.plan, deadline_at=(BEGIN_MS + self.timeout_ms) / 1000)

    def run(self, kind: type[Race] = Race, stalls: Sequence[tuple[int, int]] = ()) -> Verdict:
        """Run to the verdict. In a stall (from, to) nothing runs and nothing is read.

        As in the event loop, what has come is read before the race goes on, also if its deadline is due.
        """
        race = self.race(kind)
        for _ in range(MAX_WAITS):
            verdict = race.proceed(self.clock())
            if verdict is not None:
                race.end()
                return verdict
            until_ms = round(race.wait_until * 1000) - BEGIN_MS
            next_ms = min([until_ms, *(at_ms for at_ms, _ in self._ends)])
            next_ms = max([next_ms, *(to for begin, to in stalls if begin <= next_ms < to)])
            self.now_ms = max(self.now_ms, next_ms)
            self.finish_due_attempts()
        raise Hung


@dataclass(frozen=True)
class _Handle:
    on_abandon: Callable[[], None]

    def abandon(self) -> None:
        self.on_abandon()
