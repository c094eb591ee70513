import pytest

from hedgerow.eventloop.loop_monitor import LAGGING_S, TIMER_RESOLUTION_S, WINDOW_S, LoopMonitor

NEVER = float("inf")


def iterate(monitor: LoopMonitor, at: float, took_s: float, next_due_at: float = NEVER) -> float:
    monitor.iteration_started(at, next_due_at)
    return monitor.iteration_finished(at + took_s)


def test_an_iteration_is_as_long_as_it_takes() -> None:
    monitor = LoopMonitor()
    assert iterate(monitor, 100.0, 0.25) == 0.25
    assert (monitor.last_s, monitor.started_at) == (0.25, 100.0)


def test_the_loop_lags_after_a_long_iteration_and_not_after_a_short_one() -> None:
    monitor = LoopMonitor()
    iterate(monitor, 100.0, LAGGING_S + 0.001)
    monitor.iteration_started(100.1, NEVER)
    assert monitor.is_lagging
    monitor.iteration_finished(100.1 + LAGGING_S / 2)
    monitor.iteration_started(100.2, NEVER)
    assert not monitor.is_lagging


def test_the_loop_lags_where_a_deadline_fires_late() -> None:
    """The process did not run: another one was on its core."""
    monitor = LoopMonitor()
    monitor.iteration_started(100.0 + LAGGING_S + 0.001, 100.0)
    assert monitor.is_lagging
    monitor.iteration_started(200.0 + LAGGING_S / 2, 200.0)
    assert not monitor.is_lagging


def test_the_longest_lag_is_that_of_iterations_and_of_deadlines() -> None:
    monitor = LoopMonitor()
    assert monitor.recent_max_lag_s(100.0) == 0.0
    iterate(monitor, 100.0, 0.25)
    iterate(monitor, 101.0, 0.125)
    assert monitor.recent_max_lag_s(102.0) == 0.25
    iterate(monitor, 102.5 + TIMER_RESOLUTION_S, 0.0, next_due_at=102.0)
    assert monitor.recent_max_lag_s(103.0) == pytest.approx(0.5)


def test_a_deadline_that_fires_as_late_as_a_poll_may_be_is_no_lag() -> None:
    monitor = LoopMonitor()
    iterate(monitor, 100.0 + TIMER_RESOLUTION_S, 0.0, next_due_at=100.0)
    assert monitor.recent_max_lag_s(100.1) == 0.0


def test_a_lag_is_remembered_for_one_to_two_windows() -> None:
    monitor = LoopMonitor()
    iterate(monitor, 100.0, 0.5)
    iterate(monitor, 100.5 + WINDOW_S, 0.125)
    assert monitor.recent_max_lag_s(100.5 + WINDOW_S) == 0.5
    iterate(monitor, 101.0 + 2 * WINDOW_S, 0.0)
    assert monitor.recent_max_lag_s(101.0 + 2 * WINDOW_S) == 0.125
    iterate(monitor, 102.0 + 3 * WINDOW_S, 0.0)
    assert monitor.recent_max_lag_s(102.0 + 3 * WINDOW_S) == 0.0


def test_a_lag_is_forgotten_also_where_no_iteration_follows() -> None:
    """State is a function of now: after a suspend there is no window that was begun in between."""
    monitor = LoopMonitor()
    iterate(monitor, 100.0, 0.5)
    assert monitor.recent_max_lag_s(100.6 + WINDOW_S) == 0.5
    assert monitor.recent_max_lag_s(101.0 + 2 * WINDOW_S) == 0.0
    iterate(monitor, 101.0 + 3 * WINDOW_S, 0.0)
    assert monitor.recent_max_lag_s(101.0 + 3 * WINDOW_S) == 0.0


def test_a_deadline_that_was_past_when_it_was_set_is_no_lag() -> None:
    """Hedges that have waited for answers were due before: each answer left early for it, for 10 to 20 s (C02)."""
    monitor = LoopMonitor()
    iterate(monitor, 100.0, 0.001)
    iterate(monitor, 100.001 + TIMER_RESOLUTION_S, 0.0, next_due_at=99.0)
    assert monitor.recent_max_lag_s(100.1) == pytest.approx(0.001)
    iterate(monitor, 100.5, 0.0, next_due_at=100.25)
    assert monitor.recent_max_lag_s(100.6) == pytest.approx(0.25 - TIMER_RESOLUTION_S)
