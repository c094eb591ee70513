from collections.abc import Iterator
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.eventloop.deadlines import TICKS_PER_S, DeadlineQueue, ExpiryQueue, response_deadline
from hedgerow.eventloop.event_handler import EventHandler


class Waiter(EventHandler):
    """Notes when it was woken."""

    def __init__(self) -> None:
        self.woken: list[float] = []

    def on_deadline(self) -> None:
        raise AssertionError("the test wakes")


def due(deadlines: DeadlineQueue, now: float) -> Iterator[EventHandler]:
    """Take all that is due."""
    while (waiter := deadlines.pop_due(now)) is not None:
        yield waiter


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("set"), st.integers(0, 5_000)),
            st.tuples(st.just("cancel"), st.integers(0, 30)),
            st.tuples(st.just("pass"), st.integers(0, 2_000)),
        ),
        max_size=60,
    )
)
def test_deadlines_fire_like_a_naive_list(steps: list[tuple[str, int]]) -> None:
    deadlines, naive, now = DeadlineQueue(), dict[EventHandler, tuple[float, int]](), 0.0
    set_: list[EventHandler] = []
    for what, amount in steps:
        if what == "set":
            waiter, at = Waiter(), now + amount / 7_000
            naive[waiter] = (at, deadlines.set(at, waiter))
            set_.append(waiter)
        elif what == "cancel" and amount < len(set_) and set_[amount] in naive:
            deadlines.cancel(naive.pop(set_[amount])[1], set_[amount])
        elif what == "pass":
            now += amount / 3_000
            fired = list(due(deadlines, now))
            assert len(fired) == len(set(fired))
            for woken in fired:
                at, _ = naive.pop(woken)
                assert at <= now + 1e-9, "never early"
            assert all(at > now - 1 / TICKS_PER_S for at, _ in naive.values()), "at most one tick late"
        assert len(deadlines) == len(naive)
        if naive:
            assert deadlines.next_due_at <= min(at for at, _ in naive.values()) + 1 / TICKS_PER_S
        else:
            assert list(due(deadlines, now)) == []


@given(st.integers(0, 3_000_000))
def test_an_instant_that_is_a_tick_fires_at_that_tick(tick: int) -> None:
    """k / 1000 * 1000 is not always k in floating point (2007 is the first): the deadline came a tick late."""
    deadlines = DeadlineQueue()
    deadlines.set(tick / TICKS_PER_S, Waiter())
    assert deadlines.next_due_at == tick / TICKS_PER_S


def test_an_empty_queue_has_nothing_next() -> None:
    deadlines, waiter = DeadlineQueue(), Waiter()
    assert deadlines.next_due_at == inf
    tick = deadlines.set(1.0, waiter)
    assert deadlines.next_due_at == 1.0
    deadlines.cancel(tick, waiter)
    deadlines.cancel(tick, waiter)
    assert list(due(deadlines, 0.0)) == []
    assert deadlines.next_due_at == inf


def test_deadlines_set_and_cancelled_while_others_fire() -> None:
    deadlines, first, second, third = DeadlineQueue(), Waiter(), Waiter(), Waiter()
    deadlines.set(1.0, first)
    tick = deadlines.set(1.0, second)
    fired = []
    for waiter in due(deadlines, 2.0):
        fired.append(waiter)
        if waiter is first:
            deadlines.cancel(tick, second)
            deadlines.set(0.5, third)  # earlier than the one that is firing
    assert fired == [first, third]
    assert len(deadlines) == 0


def test_expiry_is_in_the_order_of_adding() -> None:
    queue: ExpiryQueue[str] = ExpiryQueue(10.0)
    for at, item in enumerate("abcd"):
        queue.add(item, float(at))
    queue.add("a", 4.0)
    queue.discard("c")
    queue.discard("never here")
    assert list(queue.pop_expired(10.9)) == []
    assert list(queue.pop_expired(13.0)) == ["b", "d"]
    assert "a" in queue
    assert len(queue) == 1
    assert queue.next_due_at == 14.0
    assert queue.pop_oldest() == "a"
    assert queue.pop_oldest() is None
    assert queue.next_due_at == inf


def test_the_oldest() -> None:
    queue: ExpiryQueue[str] = ExpiryQueue(10.0)
    for item in "abc":
        queue.add(item, 0.0)
    assert (queue.pop_oldest(), len(queue)) == ("a", 2)


@pytest.mark.parametrize(
    ("timeout_ms", "lag_ms", "margin_ms"),
    [(800, 0, 3), (800, 4, 7), (800, 500, 25), (20, 500, 10), (6, 0, 3), (4, 0, 3), (3, 0, 3), (1, 0, 1)],
)
def test_the_margin(timeout_ms: int, lag_ms: int, margin_ms: int) -> None:
    given_ms = response_deadline(100.0, timeout_ms / 1000, lag_ms / 1000) * 1000
    assert 0 <= 100_000 + timeout_ms - margin_ms - given_ms <= 1.001


@given(st.floats(0, 1e6), st.integers(1, 60_000), st.floats(0, 10))
def test_an_answer_is_due_within_the_timeout_and_on_a_tick(
    arrived_at: float, timeout_ms: int, lag_s: float
) -> None:
    due = response_deadline(arrived_at, timeout_ms / 1000, lag_s)
    assert due <= arrived_at + timeout_ms / 1000
    assert due * TICKS_PER_S == pytest.approx(round(due * TICKS_PER_S), abs=1e-3)


def test_an_instant_on_a_tick_is_not_a_tick_late() -> None:
    """2.007 * 1000 is 2007.0000000000002 in binary."""
    deadlines = DeadlineQueue()
    assert deadlines.set(2.007, Waiter()) == 2007
    assert deadlines.next_due_at == 2.007
    assert deadlines.set(2.0071, Waiter()) == 2008


def test_a_deadline_that_has_fired_can_be_cancelled() -> None:
    deadlines, waiter = DeadlineQueue(), Waiter()
    tick = deadlines.set(1.0, waiter)
    assert list(due(deadlines, 1.0)) == [waiter]
    deadlines.cancel(tick, waiter)
    assert len(deadlines) == 0


def test_cancelling_one_leaves_the_others_of_its_tick() -> None:
    deadlines, one, two = DeadlineQueue(), Waiter(), Waiter()
    tick = deadlines.set(1.0, one)
    deadlines.set(1.0, two)
    deadlines.cancel(tick, one)
    deadlines.cancel(tick, one)
    assert list(due(deadlines, 1.0)) == [two]


def test_without_lag_the_margin_is_3_ms() -> None:
    assert response_deadline(8.0, 1.0) == 8.997
