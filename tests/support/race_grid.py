"""C01: every schedule of a grid, played in virtual time and compared with the oracle."""

from collections.abc import Iterator, Sequence
from itertools import product

from hedgerow.core.hedging import EarlyFailure, HedgePlan, Race
from hedgerow.core.outcomes import Won
from support.oracle import Expected, expected
from support.virtual_time import Scripted, Timeline

LATENCIES_MS = (0, 1, 100, 200, 299, 300, 301, 350, 400, 500, 600, 900)
TIMEOUTS_MS = (1, 100, 200, 299, 300, 301, 400, 500, 600, 601, 700, 800, 900, 1200)
HEDGES = (0, 1, 2)
MARKS_MS = (0, 100, 300)

Schedule = tuple[Sequence[Scripted], int, int, bool, int]


def schedules(latencies_ms: Sequence[int] = LATENCIES_MS) -> Iterator[Schedule]:
    attempts = [Scripted(latency, ok) for latency in latencies_ms for ok in (True, False)] + [Scripted(None)]
    for hedges, mark_ms, immediate, timeout_ms in product(HEDGES, MARKS_MS, (False, True), TIMEOUTS_MS):
        for script in product(attempts, repeat=1 + hedges):
            yield script, mark_ms, hedges, immediate, timeout_ms


def play(schedule: Schedule, kind: type[Race] = Race) -> Expected:
    script, mark_ms, hedges, immediate, timeout_ms = schedule
    plan = HedgePlan(mark_ms / 1000, hedges, EarlyFailure.IMMEDIATE if immediate else EarlyFailure.WAIT)
    timeline = Timeline(script, plan, timeout_ms)
    verdict = timeline.run(kind)
    winner = verdict.winner.number if isinstance(verdict, Won) else None
    return Expected(
        type(verdict).__name__, winner, timeline.now_ms, tuple(map(float, timeline.launched_at_ms))
    )


def disagreements(
    wanted: Iterator[Schedule], kind: type[Race] = Race
) -> Iterator[tuple[Schedule, Expected, Expected]]:
    for schedule in wanted:
        script, mark_ms, hedges, immediate, timeout_ms = schedule
        right = expected(script, mark_ms=mark_ms, hedges=hedges, immediate=immediate, timeout_ms=timeout_ms)
        played = play(schedule, kind)
        if played != right:
            yield schedule, right, played
