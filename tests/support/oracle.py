"""The race by arithmetic: minima and maxima over launch + latency. Never calls production code."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from support.virtual_time import Scripted


@dataclass(frozen=True)
class Expected:
    kind: str
    winner: int | None
    at_ms: float
    launches_ms: tuple[float, ...]


def expected(
    script: Sequence[Scripted], *, mark_ms: int, hedges: int, immediate: bool, timeout_ms: int
) -> Expected:
    def end(launch_ms: float, number: int) -> float:
        latency_ms = script[number - 1].latency_ms
        return inf if latency_ms is None else launch_ms + latency_ms

    first_end = end(0, 1)
    first_success = first_end if script[0].succeeds else inf
    first_failure = inf if script[0].succeeds else first_end
    hedges_ms: float = mark_ms if hedges else inf
    if immediate and hedges:
        hedges_ms = min(hedges_ms, first_failure)
    launched = hedges_ms < timeout_ms and first_success > hedges_ms
    launches = [0.0] + [hedges_ms] * hedges if launched else [0.0]
    ends = [end(at, number) for number, at in enumerate(launches, start=1)]
    successes = [(at, number) for number, at in enumerate(ends, start=1) if script[number - 1].succeeds]
    won_at, winner = min(successes, default=(inf, 0))
    may_still_hedge = bool(hedges) and not launched and hedges_ms < timeout_ms
    all_failed_at = max(ends) if not successes and not may_still_hedge else inf
    if won_at <= timeout_ms:
        return Expected("Won", winner, won_at, tuple(launches))
    if all_failed_at <= timeout_ms:
        return Expected("AllFailed", None, all_failed_at, tuple(launches))
    return Expected("OutOfTime", None, timeout_ms, tuple(launches))
