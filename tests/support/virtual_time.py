"""Drives the race in virtual time: no event loop, no sleep, exact instants."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from hedgerow.core.hedging import HedgePlan, hedge
from hedgerow.core.outcomes import Attempt, Failure, FailureReason, Outcome, Success, Verdict

BEGIN_MS = 7_000
"""The clock's reading as the request arrives: not zero, so that an instant cannot pass for a span."""

MOST_WAITS = 100
"""No sound race waits so often."""


class Hung(Exception):  # noqa: N818
    """A race that never ends."""


@dataclass(frozen=True)
class Scripted:
    """What one attempt does: ends `latency_ms` after its launch (0: on the spot), or never."""

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
    _ends: list[tuple[int, int]] = field(default_factory=list)

    def clock(self) -> float:
        return (BEGIN_MS + self.now_ms) / 1000

    def launch(self, number: int) -> Attempt:
        attempt = Attempt(number, self.clock(), lambda: None)
        attempt.handle = _Carrier(lambda: self.abandoned.append(number))
        self.attempts.append(attempt)
        self.launched_at_ms.append(self.now_ms)
        latency_ms = self.script[number - 1].latency_ms
        if latency_ms == 0:
            attempt.end(self.script[number - 1].outcome(number), self.clock())
        elif latency_ms is not None:
            heappush(self._ends, (self.now_ms + latency_ms, number))
        return attempt

    def end_what_is_due(self) -> None:
        while self._ends and self._ends[0][0] <= self.now_ms:
            at_ms, number = heappop(self._ends)
            self.attempts[number - 1].end(self.script[number - 1].outcome(number), (BEGIN_MS + at_ms) / 1000)

    def run(self, race: Callable[..., object] = hedge, stalls: Sequence[tuple[int, int]] = ()) -> Verdict:
        """Run to the verdict. In a stall (from, to) nothing runs and nothing is read."""
        coroutine = race(
            self.launch, self.plan, deadline_at=(BEGIN_MS + self.timeout_ms) / 1000, clock=self.clock
        )
        try:
            until = coroutine.send(None)  # type: ignore[attr-defined]
            for _ in range(MOST_WAITS):
                until_ms = round(until * 1000) - BEGIN_MS
                if until_ms > self.now_ms:
                    wake_ms = (
                        min([until_ms, *[self._ends[0][0]][: len(self._ends)]]) if self._ends else until_ms
                    )
                    stalled = [to for begin, to in stalls if begin <= wake_ms < to]
                    self.now_ms = stalled[0] if stalled else wake_ms
                    if stalled and wake_ms == until_ms:  # a timer rings before the I/O is read
                        until = coroutine.send(None)  # type: ignore[attr-defined]
                        continue
                self.end_what_is_due()
                until = coroutine.send(None)  # type: ignore[attr-defined]
        except StopIteration as stop:
            verdict: Verdict = stop.value
            return verdict
        raise Hung


@dataclass(frozen=True)
class _Carrier:
    on_abandon: Callable[[], None]

    def abandon(self) -> None:
        self.on_abandon()
