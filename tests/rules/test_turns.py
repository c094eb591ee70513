"""Turns: what the loop's turns tell of its lag."""

import pytest

from hedgerow.turns import BEHIND_S, TIMER_LATE_S, WINDOW_S, Turns


def turn(turns: Turns, began_at: float, took_s: float) -> None:
    turns.begin(began_at)
    turns.end(began_at + took_s)


def test_a_short_turn_after_rest_is_not_behind() -> None:
    turns = Turns()
    turns.begin(10.0)
    assert not turns.is_behind(10.0)
    assert not turns.is_behind(10.0 + BEHIND_S / 2)
    assert turns.is_behind(10.0 + 2 * BEHIND_S)


def test_what_came_during_a_long_turn_has_waited_for_it() -> None:
    turns = Turns()
    turn(turns, 10.0, 0.050)
    turns.begin(10.051)
    assert turns.is_behind(10.051)


@pytest.mark.parametrize(("pause_s", "behind"), [(0.012, True), (0.013, False)])
def test_a_pause_of_a_quarter_of_the_turn_is_rest(pause_s: float, behind: bool) -> None:
    turns = Turns()
    turn(turns, 10.0, 0.050)
    turns.begin(10.050 + pause_s)
    assert turns.is_behind(10.050 + pause_s) is behind


def test_the_lag_is_the_longest_turn_of_one_to_two_windows() -> None:
    turns = Turns()
    turn(turns, 10.0, 0.030)
    for step in range(1, 200):
        now = 10.0 + step * WINDOW_S / 100
        turn(turns, now, 0.001)
        assert turns.lag_s == pytest.approx(0.030 if now < 10.0 + WINDOW_S else turns.lag_s)
    turn(turns, 10.1 + 2 * WINDOW_S, 0.001)
    assert turns.lag_s == pytest.approx(0.001)


def test_the_lag_is_forgotten_after_a_long_rest() -> None:
    turns = Turns()
    turn(turns, 10.0, 0.030)
    turn(turns, 10.1 + 2 * WINDOW_S, 0.001)
    assert turns.lag_s == pytest.approx(0.001)


def test_the_time_in_turns_adds_up_also_within_one() -> None:
    turns = Turns()
    turn(turns, 10.0, 0.25)
    turn(turns, 11.0, 0.25)
    turns.begin(12.0)
    assert turns.busy_s(12.5) == pytest.approx(1.0)


def test_a_loop_that_has_not_turned_yet_is_neither_behind_nor_busy() -> None:
    turns = Turns()
    assert not turns.running
    assert (turns.lag_s, turns.busy_s(5.0)) == (0.0, 0.0)
    turns.begin(0.125)
    assert turns.after_idle, "before the first turn there was nothing to do"


def test_as_long_as_the_limit_is_not_yet_behind() -> None:
    turns = Turns()
    turns.begin(0.0)
    assert not turns.is_behind(BEHIND_S)


def test_a_pause_of_exactly_a_quarter_is_no_rest() -> None:
    turns = Turns()
    turn(turns, 0.5, 0.5)
    turns.begin(1.125)
    assert not turns.after_idle


def test_the_longest_turn_is_remembered_for_one_window_and_forgotten_after_two() -> None:
    """A window begins with the turn that ends as the one before it is over, or later."""
    turns = Turns()
    turn(turns, 0.0, 0.5)  # the window ends at 0.5 and its length
    assert turns.lag_s == 0.5
    turn(turns, 0.375 + WINDOW_S, 0.125)  # it is over: the next one ends at 0.5 and twice the length
    assert turns.lag_s == 0.5
    turn(turns, 0.375 + 2 * WINDOW_S, 0.125)
    assert turns.lag_s == 0.125
    turn(turns, 0.75 + 2 * WINDOW_S, 0.5)  # the window ends at 0.5 and three times the length
    turn(turns, 0.25 + 4 * WINDOW_S, 0.25)  # no turn for a whole window: what was before it is old
    assert turns.lag_s == 0.25


def test_an_alarm_that_rang_late_is_lag_even_if_no_turn_was_long() -> None:
    """The kernel gave our core to somebody else, or a callback ran that began no turn."""
    turns = Turns()
    turns.alarm_was_late(TIMER_LATE_S, 1.0)
    assert turns.lag_s == 0.0, "timers have whole milliseconds"
    turns.alarm_was_late(TIMER_LATE_S + 0.125, 1.0)
    turn(turns, 1.5, 0.0625)
    assert turns.lag_s == 0.125


def test_busy_is_the_time_within_turns_alone() -> None:
    turns = Turns()
    turn(turns, 1.0, 0.5)
    assert turns.busy_s(9.0) == 0.5
    turns.begin(10.0)
    assert turns.busy_s(10.25) == 0.75
