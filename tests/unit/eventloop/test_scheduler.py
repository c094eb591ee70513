"""The order of what is to be done in an iteration, and its bounds."""

from collections.abc import Callable

import pytest

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.scheduler import STEP_S, Scheduler


class Time:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Step(EventHandler):
    """A task, waiter, writer and socket whose every call does the same."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def resume(self) -> None:
        self._act()

    def on_deadline(self) -> None:
        self._act()

    def flush(self) -> None:
        self._act()

    def close(self) -> None:
        self._act()


class Bench:
    def __init__(self) -> None:
        self.time = Time()
        self.log: list[str] = []
        self.scheduler = Scheduler(self.time, lambda: self.log.append("internal error"))

    def step(self, name: str, *, takes_s: float = 0.0, then: Callable[[], object] = lambda: None) -> Step:
        def act() -> None:
            self.log.append(name)
            self.time.now += takes_s
            then()

        return Step(act)

    def failing(self) -> Step:
        def act() -> None:
            raise ZeroDivisionError

        return Step(act)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_ready_tasks_run_in_the_order_in_which_they_were_woken_and_so_do_those_they_wake(
    bench: Bench,
) -> None:
    later = bench.step("later")
    bench.scheduler.wake(bench.step("first", then=lambda: bench.scheduler.wake(later)))
    bench.scheduler.wake(bench.step("second"))
    bench.scheduler._run_ready()
    assert bench.log == ["first", "second", "later"]


def test_a_deadline_fires_once_it_is_due_and_not_if_it_was_cancelled(bench: Bench) -> None:
    due, cancelled, later = (bench.step(name) for name in ("due", "cancelled", "later"))
    bench.scheduler.call_at(bench.time.now + 1, due)
    tick = bench.scheduler.call_at(bench.time.now + 1, cancelled)
    bench.scheduler.call_at(bench.time.now + 3, later)
    bench.scheduler.cancel(tick, cancelled)
    bench.scheduler._run_due()
    assert bench.log == []
    bench.time.now += 2
    bench.scheduler._run_due()
    assert bench.log == ["due"]


def test_what_was_written_is_sent_within_a_long_step_and_deadlines_that_are_due_fire(bench: Bench) -> None:
    scheduler = bench.scheduler
    scheduler.call_at(bench.time.now + STEP_S, bench.step("deadline"))
    writes = bench.step("task", takes_s=2 * STEP_S, then=lambda: scheduler.flush_later(bench.step("sent")))
    scheduler.wake(writes)
    scheduler.wake(bench.step("next task"))
    scheduler._run_ready()
    assert bench.log == ["task", "deadline", "sent", "next task"]


def test_many_deadlines_are_a_bounded_step_too(bench: Bench) -> None:
    scheduler = bench.scheduler
    at = bench.time.now
    scheduler.call_at(
        at, bench.step("hedge", takes_s=2 * STEP_S, then=lambda: scheduler.flush_later(bench.step("sent")))
    )
    scheduler.call_at(at, bench.step("next hedge"))
    bench.time.now += 1
    scheduler._run_due()
    assert bench.log == ["hedge", "sent", "next hedge"]


def test_a_task_or_deadline_that_raises_is_counted_and_leaves_the_others_alone(bench: Bench) -> None:
    scheduler = bench.scheduler
    scheduler.call_at(bench.time.now, bench.failing())
    scheduler.call_at(bench.time.now, bench.step("deadline"))
    bench.time.now += 1
    scheduler._run_due()
    scheduler.wake(bench.failing())
    scheduler.wake(bench.step("task"))
    scheduler._run_ready()
    assert bench.log == ["internal error", "deadline", "internal error", "task"]


def test_what_waits_for_answers_is_resumed_for_a_bounded_time_and_in_its_order(bench: Bench) -> None:
    """A burst of hedges held up answers, clients and admission for 50 ms."""
    for number in range(5):
        bench.scheduler.wake_after_reading(bench.step(str(number), takes_s=0.4 * STEP_S))
    bench.scheduler._run_after_reading(STEP_S)
    first = list(bench.log)
    bench.scheduler._run_after_reading(STEP_S)
    assert (first, bench.log) == (["0", "1", "2"], ["0", "1", "2", "3", "4"])


def test_one_that_fails_after_reading_leaves_the_others(bench: Bench) -> None:
    bench.scheduler.wake_after_reading(bench.failing())
    bench.scheduler.wake_after_reading(bench.step("next"))
    bench.scheduler._run_after_reading(STEP_S)
    assert bench.log == ["internal error", "next"]
