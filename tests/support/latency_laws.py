"""Laws of an upstream's latency, drawn with a seed, and the race run over their draws."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from hedgerow.core.hedging import EarlyFailure, HedgePlan
from hedgerow.core.outcomes import Won
from hedgerow.planning.hedge_samples import Sample
from hedgerow.planning.latency_sketch import CUT, FAILURE, SUCCESS
from hedgerow.planning.observations import Observations
from hedgerow.planning.what_if import Plan
from support.virtual_time import Scripted, Timeline

TIMEOUT_MS = 20_000
"""Of each race: long enough that it decides nothing."""

Law = Callable[[Random, float, int], list[Scripted]]
"""Draws that many attempts of one request, at this part (0 to 1) of the time."""


def each(draw: Callable[[Random, float], Scripted]) -> Law:
    """Attempts are independent."""
    return lambda random, part, attempts: [draw(random, part) for _ in range(attempts)]


def uniform(random: Random, _: float) -> Scripted:
    return Scripted(round(random.uniform(100, 600)), random.random() >= 0.1)


def lognormal(random: Random, _: float) -> Scripted:
    return Scripted(round(random.lognormvariate(5.0, 0.8)), random.random() >= 0.02)


def one_in_a_hundred_slow(random: Random, _: float) -> Scripted:
    latency_ms = random.uniform(100, 200)
    return Scripted(round(latency_ms * (10 if random.random() < 0.01 else 1)))


def bimodal(random: Random, _: float) -> Scripted:
    mode = (40, 8) if random.random() < 0.8 else (700, 60)
    return Scripted(max(round(random.gauss(*mode)), 1), random.random() >= 0.01)


def steps(random: Random, _: float) -> Scripted:
    return Scripted(random.choices((53, 117, 307, 911), (50, 35, 10, 5))[0])


def fast_failures(random: Random, _: float) -> Scripted:
    if random.random() < 0.2:
        return Scripted(round(random.uniform(2, 12)), succeeds=False)
    return Scripted(round(random.uniform(100, 400)))


def slow_failures(random: Random, _: float) -> Scripted:
    if random.random() < 0.2:
        return Scripted(round(random.uniform(1_000, 3_000)), succeeds=False)
    return Scripted(round(random.uniform(100, 400)))


def drifting(random: Random, part: float) -> Scripted:
    return Scripted(round(random.uniform(100, 300 + 200 * part)), random.random() >= 0.05)


LAWS: dict[str, tuple[Law, Plan]] = {
    "uniform": (each(uniform), Plan(0.3, 2)),
    "lognormal": (each(lognormal), Plan(0.35, 1)),
    "1 % at 10x": (each(one_in_a_hundred_slow), Plan(0.18, 1)),
    "bimodal": (each(bimodal), Plan(0.1, 1)),
    "steps": (each(steps), Plan(0.15, 2)),
    "fast failures": (each(fast_failures), Plan(0.05, 1, immediate=True)),
    "slow failures": (each(slow_failures), Plan(0.3, 2)),
    "drifting": (each(drifting), Plan(0.3, 1)),
}


def shared_fate(random: Random, part: float, attempts: int) -> list[Scripted]:
    """Half of the requests have a latency and an outcome of their own, however often they are asked for."""
    if random.random() < 0.5:
        return [uniform(random, part)] * attempts
    return [uniform(random, part) for _ in range(attempts)]


def bad_spells(random: Random, part: float, attempts: int) -> list[Scripted]:
    """In a fifth of the time almost nothing succeeds."""
    if int(part * 100) % 5:
        return [Scripted(round(random.uniform(50, 250))) for _ in range(attempts)]
    return [Scripted(round(random.uniform(50, 900)), random.random() < 0.1) for _ in range(attempts)]


def slow_keys(random: Random, _: float, attempts: int) -> list[Scripted]:
    """Three requests in ten ask for what takes 8 times as long, each time."""
    factor = 8 if random.random() < 0.3 else 1
    return [Scripted(round(random.uniform(40, 160) * factor)) for _ in range(attempts)]


ALIKE: dict[str, tuple[Law, Plan]] = {
    "shared fate": (shared_fate, Plan(0.3, 2)),
    "bad spells": (bad_spells, Plan(0.25, 2)),
    "slow keys": (slow_keys, Plan(0.17, 2)),
}


@dataclass
class Reality:
    """What races brought."""

    took_ms: list[int]
    """Of those with a success, in order."""
    requests: int
    attempts: float

    def success_by(self, at_ms: float) -> float:
        return bisect_right(self.took_ms, at_ms) / self.requests

    def reached_at_ms(self, share: float) -> float | None:
        rank = int(share * self.requests)
        return self.took_ms[rank] if rank < len(self.took_ms) else None


def race(law: Law, plan: Plan, requests: int, random: Random) -> Reality:
    """Run the race of the gateway for each request, in virtual time."""
    how = HedgePlan(
        plan.hedge_after_s, plan.hedges, EarlyFailure.IMMEDIATE if plan.immediate else EarlyFailure.WAIT
    )
    took_ms, attempts = [], 0
    for index in range(requests):
        timeline = Timeline(law(random, index / requests, 1 + plan.hedges), how, TIMEOUT_MS)
        if isinstance(timeline.run(), Won):
            took_ms.append(timeline.now_ms)
        attempts += len(timeline.attempts)
    return Reality(sorted(took_ms), requests, attempts / requests)


def observed(law: Law, requests: int, random: Random, *, sampled: Plan | None = None) -> Observations:
    """Observe first attempts to their own end; with a plan, hedges too of requests that are late by its delay."""
    observations = Observations()
    samples: list[Sample] = []
    for index in range(requests):
        attempts = law(random, index / requests, 3)
        first = attempts[0]
        observations.observe(*as_seen(first))
        if sampled is not None and not _in_time(first, sampled.hedge_after_s):
            shown = [as_seen(attempt) for attempt in attempts[: 1 + sampled.hedges]]
            samples.append((sampled.hedge_after_s, tuple(shown + [(0.0, CUT)] * (3 - len(shown)))))
    observations.samples = samples
    return observations


def _in_time(attempt: Scripted, by_s: float) -> bool:
    return attempt.succeeds and attempt.latency_ms is not None and attempt.latency_ms <= by_s * 1000


def as_seen(attempt: Scripted) -> tuple[float, int]:
    """Return latency in seconds and outcome; one that hangs is cut after the longest of waits."""
    if attempt.latency_ms is None:
        return 60.0, CUT
    return attempt.latency_ms / 1000, SUCCESS if attempt.succeeds else FAILURE


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
