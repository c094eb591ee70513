"""Turns: what the loop's turns tell of its lag."""

import pytest

from hedgerow.turns import BEHIND_S, WINDOW_S, Turns


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
        assert turns.lag_s == pytest.approx(0.030 if now < 11.0 else turns.lag_s)
    turn(turns, 12.1, 0.001)
    assert turns.lag_s == pytest.approx(0.001)


def test_the_lag_is_forgotten_after_a_long_rest() -> None:
    turns = Turns()
    turn(turns, 10.0, 0.030)
    turn(turns, 20.0, 0.001)
    assert turns.lag_s == pytest.approx(0.001)


def test_the_time_in_turns_adds_up_also_within_one() -> None:
    turns = Turns()
    turn(turns, 10.0, 0.25)
    turn(turns, 11.0, 0.25)
    turns.begin(12.0)
    assert turns.busy_s(12.5) == pytest.approx(1.0)
