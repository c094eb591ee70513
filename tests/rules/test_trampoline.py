import sys
from collections.abc import Callable, Coroutine

import pytest

from hedgerow.core.waiting import wait
from hedgerow.trampoline import DUE_PER_FLUSH, MAIL_WAITS_S, Run, Trampoline
from rules.manual_loop import ManualLoop, Timer


async def sleeper(log: list[str], name: str, *instants: float) -> str:
    try:
        for until in instants:
            await wait(until=until)
            log.append(name)
    except GeneratorExit:
        log.append(f"{name} closed")
        raise
    return f"{name} returned"


async def told(run: Run[str], coroutine: Coroutine[float, None, str]) -> None:
    """Leave the result with the run."""
    run.returns(await coroutine)


class Driven:
    """A trampoline on a loop turned by hand."""

    def __init__(self) -> None:
        self.loop = ManualLoop()
        self.trampoline = Trampoline(self.loop.as_loop(), self.loop.time)
        self.log: list[str] = []

    def begin(self, coroutine: Coroutine[float, None, str]) -> Run[str]:
        run: Run[str] = Run(self.trampoline, self.log.append)
        run.begin(told(run, coroutine))
        return run


@pytest.fixture
def driven() -> Driven:
    return Driven()


def test_it_wakes_at_its_instants_and_never_before(driven: Driven) -> None:
    driven.begin(sleeper(driven.log, "a", 0.010, 0.0205))
    driven.loop.advance_to(0.0099)
    assert driven.log == []
    driven.loop.advance_to(0.0111)
    assert driven.log == ["a"]
    driven.loop.advance_to(0.0204)
    assert driven.log == ["a"]
    driven.loop.advance_to(0.0225)
    assert driven.log == ["a", "a", "a returned"]
    assert (len(driven.trampoline.alarms), driven.loop.pending) == (0, 0)


def test_its_result_is_given_where_no_exception_is_being_handled(driven: Driven) -> None:
    """An exception raised there would lose its context, by which httptools tells what a callback raised."""
    handled: list[object] = []
    run: Run[str] = Run(driven.trampoline, lambda _: handled.append(sys.exception()))
    run.begin(told(run, sleeper(driven.log, "a")))
    assert handled == [None]


def test_mail_wakes_once_a_turn_however_much_there_is(driven: Driven) -> None:
    one = driven.begin(sleeper(driven.log, "one", 9.0, 9.0))
    two = driven.begin(sleeper(driven.log, "two", 9.0, 9.0))
    for run in (two, one, two, two):
        run.post()
    assert driven.log == []
    driven.loop.turn()
    assert driven.log == ["two", "one"]


def test_an_instant_that_has_passed_waits_for_the_io(driven: Driven) -> None:
    driven.begin(sleeper(driven.log, "a", 0.0))
    driven.loop.call_soon(driven.log.append, "callbacks that were ready")
    driven.loop.turn()
    assert driven.log == ["callbacks that were ready"], "the loop has not polled for I/O yet"
    driven.loop.turn()
    assert driven.log[1:] == ["a", "a returned"]


def test_cancelling_closes_and_forgets(driven: Driven) -> None:
    run = driven.begin(sleeper(driven.log, "a", 9.0))
    run.post()
    run.cancel()
    run.cancel()
    run.post()
    driven.loop.advance_to(10.0)
    driven.loop.turn()
    assert driven.log == ["a closed"]
    assert len(driven.trampoline.alarms) == 0


def test_a_bug_in_one_run_does_not_stop_the_others(driven: Driven) -> None:
    async def broken() -> str:
        await wait(until=9.0)
        raise ZeroDivisionError

    bad = driven.begin(broken())
    good = driven.begin(sleeper(driven.log, "good", 9.0))
    bad.post()
    good.post()
    with pytest.raises(ZeroDivisionError):
        driven.loop.turn()
    driven.loop.turn()
    assert driven.log == ["good", "good returned"]
    bad.post()
    driven.loop.turn()


def test_a_bug_in_what_is_due_does_not_stop_the_others(driven: Driven) -> None:
    async def broken() -> str:
        await wait(until=0.1)
        raise ZeroDivisionError

    driven.begin(broken())
    driven.begin(sleeper(driven.log, "good", 0.1))
    with pytest.raises(ZeroDivisionError):
        driven.loop.advance_to(0.2)
    driven.loop.advance_to(0.3)
    assert driven.log == ["good", "good returned"]


def test_closing_leaves_no_timer(driven: Driven) -> None:
    run = driven.begin(sleeper(driven.log, "a", 9.0))
    run.cancel()
    driven.trampoline.close()
    assert driven.loop.pending == 0


def test_mail_does_not_wait_for_the_end_of_a_long_turn(driven: Driven) -> None:
    """libuv polls on while 1 024 sockets are ready, so the end of a turn may be seconds away."""
    driven.trampoline.flush = lambda: driven.log.append("flushed")
    run = driven.begin(sleeper(driven.log, "a", 9.0))
    driven.trampoline.wake_due(driven.loop.time())
    run.post()
    driven.loop.now += MAIL_WAITS_S / 2
    driven.trampoline.wake_due(driven.loop.time())
    assert driven.log == []
    driven.loop.now += MAIL_WAITS_S
    driven.trampoline.wake_due(driven.loop.time())
    assert driven.log == ["a", "a returned", "flushed"]


def test_what_hurries_is_sent_with_the_next_callback_and_in_the_next_turn_nothing_hurries(
    driven: Driven,
) -> None:
    driven.trampoline.flush = lambda: driven.log.append("flushed")
    driven.trampoline.wake_due(driven.loop.time())
    driven.trampoline.hurry()
    assert driven.log == []
    driven.trampoline.wake_due(driven.loop.time())
    assert driven.log == ["flushed"]
    driven.trampoline.wake_due(driven.loop.time())
    assert driven.log == ["flushed"]
    driven.loop.turn()
    driven.log.clear()
    driven.trampoline.wake_due(driven.loop.time())
    driven.trampoline.wake_due(driven.loop.time())
    assert driven.log == []


def test_in_a_long_turn_somebody_is_asked_each_time_that_mail_is_delivered(driven: Driven) -> None:
    asked: list[float] = []
    driven.trampoline.in_long_turn = lambda: asked.append(driven.loop.now)
    for begin in (0.0, 1.0):
        asked.clear()
        for at in (0.0, 0.019, 0.020, 0.0245, 0.029, 0.030, 0.5):  # mail at 0.019, 0.0245, 0.030, 0.5
            driven.loop.now = begin + at
            driven.trampoline.wake_due(driven.loop.now)
        assert asked == [begin + at for at in (0.0245, 0.030, 0.5)]
        driven.loop.turn()


def test_of_many_that_are_due_at_once_the_first_are_sent_before_the_last_are_answered(driven: Driven) -> None:
    driven.trampoline.flush = lambda: driven.log.append("flushed")
    for number in range(2 * DUE_PER_FLUSH):
        driven.begin(sleeper(driven.log, str(number), 0.010, 9.0))
    driven.loop.now = 0.011
    driven.trampoline.wake_due(driven.loop.now)
    assert [place for place, what in enumerate(driven.log) if what == "flushed"] == [64, 129]


def test_of_many_that_have_mail_the_first_are_sent_before_the_last_are_answered(driven: Driven) -> None:
    runs = [driven.begin(sleeper(driven.log, str(number), 9.0, 9.0)) for number in range(2 * DUE_PER_FLUSH)]
    driven.trampoline.flush = lambda: driven.log.append("flushed")
    for run in runs:
        run.post()
    driven.loop.turn()
    assert [place for place, what in enumerate(driven.log) if what == "flushed"] == [64, 129, 130]


def test_who_resumes_after_the_io_lets_what_is_due_go_first(driven: Driven) -> None:
    """C05: after a stall hundreds of hedges were launched in a row, and deadlines waited for them."""
    driven.begin(sleeper(driven.log, "after the I/O", 0.0))
    driven.begin(sleeper(driven.log, "due", 0.010))
    driven.loop.now = 0.011
    driven.loop.turn()
    driven.loop.turn()
    assert driven.log[0] == "due"


def test_what_is_due_goes_before_the_mail_that_waits(driven: Driven) -> None:
    def pass_time() -> None:
        driven.loop.now = 1.5

    slow = driven.begin(sleeper(driven.log, "slow", 9.0, 9.0))
    last = driven.begin(sleeper(driven.log, "last", 9.0, 9.0))
    driven.begin(sleeper(driven.log, "due", 1.0))
    slow.post()
    last.post()
    driven.loop.call_soon(pass_time)
    driven.loop._soon.reverse()  # the time passes first, then the mail is delivered
    driven.loop.turn()
    assert driven.log == ["slow", "due", "due returned", "last"]


def test_each_turn_is_measured(driven: Driven) -> None:
    turns: list[float] = []
    driven.trampoline.on_turn = turns.append
    driven.trampoline.wake_due(driven.loop.time())
    driven.trampoline.wake_due(driven.loop.time())
    driven.loop.now += 0.25
    driven.loop.turn()
    driven.trampoline.begin_turn()
    driven.loop.turn()
    assert turns == [0.25, 0.0]


def test_what_answers_does_not_run_in_the_handling_of_an_exception(driven: Driven) -> None:
    """C02: what was raised there got StopIteration for its context, instead of the one it had been given."""
    handled: list[BaseException | None] = []
    run: Run[str] = Run(driven.trampoline, lambda _: handled.append(sys.exc_info()[1]))
    run.begin(told(run, sleeper(driven.log, "a", 9.0)))
    run.post()
    driven.loop.turn()
    assert handled == [None]


def test_an_instant_that_changes_has_one_alarm(driven: Driven) -> None:
    """Mail woke it before its instant; it sleeps until another one, and the first rings no more."""
    run = driven.begin(sleeper(driven.log, "a", 1.0, 2.0))
    run.post()
    driven.loop.turn()
    assert driven.log == ["a"]
    assert len(driven.trampoline.alarms) == 1
    driven.loop.advance_to(1.5)
    assert driven.log == ["a"]
    driven.loop.advance_to(2.1)
    assert driven.log == ["a", "a", "a returned"]
    assert (len(driven.trampoline.alarms), driven.loop.pending) == (0, 0)


def test_the_same_instant_again_keeps_its_alarm(driven: Driven) -> None:
    run = driven.begin(sleeper(driven.log, "a", 1.0, 1.0, 1.0))
    for _ in range(2):
        run.post()
        driven.loop.turn()
    assert driven.log == ["a", "a"]
    assert len(driven.trampoline.alarms) == 1
    driven.loop.advance_to(1.1)
    assert driven.log == ["a", "a", "a", "a returned"]


def test_an_instant_of_before_may_come_again_after_its_alarm(driven: Driven) -> None:
    driven.begin(sleeper(driven.log, "a", 1.0, 0.5, 1.0, 3.0))
    driven.loop.advance_to(1.1)
    for _ in range(6):
        driven.loop.turn()
    assert driven.log == ["a", "a", "a"]
    driven.loop.advance_to(3.1)
    assert driven.log[-1] == "a returned"


def test_mail_that_comes_twice_in_a_turn_and_again_in_the_next(driven: Driven) -> None:
    run = driven.begin(sleeper(driven.log, "a", 9.0, 9.0, 9.0))
    run.post()
    run.post()
    driven.loop.turn()
    assert driven.log == ["a"]
    run.post()
    driven.loop.turn()
    assert driven.log == ["a", "a"]


def test_a_long_turn_delivers_each_5_ms_and_not_more_often(driven: Driven) -> None:
    run = driven.begin(sleeper(driven.log, "a", 9.0, 9.0, 9.0))
    driven.trampoline.wake_due(0.0)
    run.post()
    driven.trampoline.wake_due(MAIL_WAITS_S / 2)
    assert driven.log == []
    driven.trampoline.wake_due(MAIL_WAITS_S)
    assert driven.log == ["a"]
    run.post()
    driven.trampoline.wake_due(MAIL_WAITS_S * 1.5)
    assert driven.log == ["a"]
    driven.trampoline.wake_due(MAIL_WAITS_S * 2)
    assert driven.log == ["a", "a"]


def test_an_alarm_of_long_ago_rings_at_once_and_one_to_come_in_whole_milliseconds(driven: Driven) -> None:
    """uvloop rounds delays to milliseconds: up is late by one at most, down would be early."""
    delays: list[float] = []
    later = driven.loop.call_later

    def noted(delay: float, callback: Callable[..., object]) -> Timer:
        delays.append(delay)
        return later(delay, callback)

    driven.loop.call_later = noted  # type: ignore[method-assign]
    driven.begin(sleeper(driven.log, "a", 0.25))
    driven.begin(sleeper(driven.log, "b", 0.0625))
    driven.loop.now = 1.0
    driven.trampoline.set_alarm(0.03125, driven.begin(sleeper(driven.log, "c", 9.0)))
    assert delays == [0.25, 0.063, 0.0]
