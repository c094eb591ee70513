"""The contract's rows as timelines, in exact virtual milliseconds."""

import pytest

from hedgerow.core.hedging import EarlyFailure, HedgePlan, Race
from hedgerow.core.outcomes import AllFailed, Attempt, Failure, FailureReason, OutOfTime, Won
from support.attempts import make_attempt
from support.virtual_time import Scripted, Timeline

PLAN = HedgePlan(0.3, 2)
OK, FAIL = True, False
NEVER = Scripted(None)


def ok(latency_ms: int) -> Scripted:
    return Scripted(latency_ms)


def fail(latency_ms: int) -> Scripted:
    return Scripted(latency_ms, succeeds=False)


@pytest.mark.parametrize(
    ("row", "script", "timeout_ms", "verdict", "winner", "at_ms", "launches_ms"),
    [
        ("B01", [ok(160)], 900, Won, 1, 160, [0]),
        ("B01 at the mark itself", [ok(300)], 900, Won, 1, 300, [0]),
        ("B02 slow", [ok(450), ok(500), ok(500)], 900, Won, 1, 450, [0, 300, 300]),
        ("B02 failed early", [fail(20), ok(100), ok(50)], 900, Won, 3, 350, [0, 300, 300]),
        ("B03", [ok(400), ok(100), ok(100)], 900, Won, 1, 400, [0, 300, 300]),
        ("B03 hedges", [NEVER, ok(100), ok(100)], 900, Won, 2, 400, [0, 300, 300]),
        ("B04 M01", [fail(310), fail(20), ok(500)], 900, Won, 3, 800, [0, 300, 300]),
        ("B05", [fail(10), fail(20), fail(30)], 900, AllFailed, None, 330, [0, 300, 300]),
        ("B06", [NEVER, NEVER, NEVER], 900, OutOfTime, None, 900, [0, 300, 300]),
        ("B06 M02 from arrival", [NEVER, ok(550), NEVER], 800, OutOfTime, None, 800, [0, 300, 300]),
        ("B06 at the last instant", [NEVER, ok(500), NEVER], 800, Won, 2, 800, [0, 300, 300]),
        ("B07", [fail(50)], 300, AllFailed, None, 50, [0]),
        ("B07 pending", [NEVER], 200, OutOfTime, None, 200, [0]),
        ("B08", [NEVER, NEVER, NEVER], 10_000, OutOfTime, None, 10_000, [0, 300, 300]),
        ("M03 the first may still win", [ok(590), NEVER, NEVER], 900, Won, 1, 590, [0, 300, 300]),
        ("M17 hedges that fail on the spot", [ok(700), fail(0), fail(0)], 900, Won, 1, 700, [0, 300, 300]),
        ("M17 all fail on the spot", [fail(0), fail(0), fail(0)], 900, AllFailed, None, 300, [0, 300, 300]),
    ],
)  # fmt: skip
def test_row(
    row: str,
    script: list[Scripted],
    timeout_ms: int,
    verdict: type,
    winner: int | None,
    at_ms: int,
    launches_ms: list[int],
) -> None:
    timeline = Timeline(script, PLAN, timeout_ms)
    given = timeline.run()
    assert type(given) is verdict
    assert timeline.now_ms == at_ms
    assert timeline.launched_at_ms == launches_ms
    assert given.attempts == tuple(timeline.attempts)
    assert (given.winner.number if isinstance(given, Won) else None) == winner
    running = [attempt.number for attempt in timeline.attempts if attempt.outcome is None]
    assert timeline.abandoned == running, (
        "M12: each that still runs is handed over, once; M06: nothing waits for it"
    )


def test_immediate_hedges_leave_as_the_first_fails() -> None:
    timeline = Timeline([fail(20), NEVER, ok(100)], HedgePlan(0.3, 2, EarlyFailure.IMMEDIATE), 900)
    timeline.run()
    assert (timeline.now_ms, timeline.launched_at_ms) == (120, [0, 20, 20])


def test_no_hedges_at_all() -> None:
    timeline = Timeline([ok(450)], HedgePlan(0.3, 0), 900)
    timeline.run()
    assert (timeline.now_ms, timeline.launched_at_ms) == (450, [0])


@pytest.mark.parametrize("first", [ok(200), fail(200)])
def test_m19_a_stalled_loop_reads_before_it_blames(first: Scripted) -> None:
    """The answer came at 200 ms, and was queued in the socket buffer while the loop stalled from 150 to 700 ms."""
    timeline = Timeline([first, ok(50), ok(50)], PLAN, 2_000)
    verdict = timeline.run(stalls=[(150, 700)])
    assert isinstance(verdict, Won)
    if first.succeeds:
        assert (timeline.now_ms, timeline.launched_at_ms) == (700, [0])
    else:
        assert (timeline.now_ms, timeline.launched_at_ms) == (750, [0, 700, 700])


@pytest.mark.parametrize("launched", [1, 3])
def test_b10_m16_ending_starts_nothing_and_abandons_what_runs(launched: int) -> None:
    timeline = Timeline([NEVER] * 3, PLAN, 900)
    race = timeline.race()
    race.proceed(7.0)
    if launched == 3:
        timeline.now_ms = 300
        race.proceed(7.3)
    race.end()
    assert len(timeline.attempts) == launched
    assert timeline.abandoned == list(range(1, launched + 1))


def test_ending_abandons_no_attempt_that_has_finished() -> None:
    timeline = Timeline([fail(0), NEVER, ok(0)], PLAN, 900)
    race = timeline.race()
    race.proceed(7.0)
    timeline.now_ms = 300
    assert isinstance(race.proceed(7.3), Won)
    assert timeline.abandoned == [], "the verdict is there first, then its owner ends the race"
    race.end()
    assert timeline.abandoned == [2]


def test_ending_before_the_start_does_nothing() -> None:
    timeline = Timeline([NEVER], PLAN, 900)
    timeline.race().end()
    assert (timeline.launched_at_ms, timeline.abandoned) == ([], [])


def test_proceeding_for_nothing_changes_nothing() -> None:
    timeline = Timeline([NEVER] * 3, PLAN, 900)
    race = timeline.race()
    waits = []
    for timeline.now_ms in (0, 0, 10, 299, 300, 300, 899):
        assert race.proceed(timeline.clock()) is None
        waits.append(race.wait_until)
    assert waits == [7.3] * 4 + [7.9] * 3
    assert timeline.launched_at_ms == [0, 300, 300]


def test_an_internal_error_in_a_start_is_raised_and_leaves_nothing_running() -> None:
    timeline = Timeline([NEVER] * 3, PLAN, 900)

    def start_attempt(number: int, now: float) -> Attempt:
        if number == 3:
            raise ZeroDivisionError
        return timeline.start_attempt(number, now)

    race = Race(start_attempt, PLAN, deadline_at=7.9)
    race.proceed(7.0)
    timeline.now_ms = 300
    with pytest.raises(ZeroDivisionError):
        race.proceed(7.3)
    race.end()
    assert timeline.abandoned == [1, 2]


@pytest.mark.parametrize("first_held", [2, 3])
def test_h04_a_hedge_that_is_held_is_never_sent_nor_are_those_after_it(first_held: int) -> None:
    timeline = Timeline([fail(20), fail(50)], PLAN, 900)
    asked: list[int] = []

    def start_attempt(number: int, now: float) -> Attempt | None:
        asked.append(number)
        return None if number >= first_held else timeline.start_attempt(number, now)

    race = Race(start_attempt, PLAN, deadline_at=7.9)
    for timeline.now_ms in (0, 20):
        timeline.finish_due_attempts()
        assert race.proceed(timeline.clock()) is None, "what is held is decided when it is due"
    for timeline.now_ms in (300, 350):
        timeline.finish_due_attempts()
        verdict = race.proceed(timeline.clock())
    assert verdict == AllFailed(tuple(timeline.attempts)), "nothing is left to wait for"
    assert asked == list(range(1, first_held + 1))


def test_a_deadline_that_has_passed_sends_nothing() -> None:
    timeline = Timeline([ok(0)], PLAN, 0)
    assert timeline.run() == OutOfTime(())
    assert timeline.launched_at_ms == []


def test_without_hedges_a_failure_ends_the_race_at_once() -> None:
    timeline = Timeline([fail(50)], HedgePlan(0.3, 0), 900)
    assert isinstance(timeline.run(), AllFailed)
    assert timeline.now_ms == 50


def test_hedges_that_are_sent_late_count_from_their_own_start() -> None:
    """The loop stalled at the hedge delay; what had come was read before the race goes on, so it sends at once."""
    timeline = Timeline([NEVER, NEVER, NEVER], PLAN, 900)
    race = timeline.race()
    race.proceed(7.0)
    assert race.wait_until == 7.3
    timeline.now_ms = 320
    race.proceed(7.32)
    assert race.wait_until == 7.9, "every wait has its deadline (B3)"
    assert timeline.launched_at_ms == [0, 320, 320]
    assert [attempt.launched_at for attempt in timeline.attempts] == [7.0, 7.32, 7.32]


def test_early_failure_with_the_deadline_over_is_out_of_time() -> None:
    """The simulation found 502 here, though hedges had been due, and only time was lacking."""
    started: list[Attempt] = []

    def start(number: int, now: float) -> Attempt:
        started.append(make_attempt(number, now))
        return started[-1]

    race = Race(start, HedgePlan(0.05, 2, EarlyFailure.IMMEDIATE), deadline_at=0.0503)
    assert race.proceed(0.0) is None
    started[0].finish(Failure(FailureReason.CONNECT), 0.0504)
    assert isinstance(race.proceed(0.0504), OutOfTime)
    assert len(started) == 1
