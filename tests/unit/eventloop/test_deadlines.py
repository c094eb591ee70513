from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.eventloop.deadlines import TICKS_PER_S, DeadlineQueue, ExpiryQueue, response_deadline
from hedgerow.eventloop.deadlines import Waiter as AnySleeper


class Waiter:
    """Notes when it was woken."""

    def __init__(self) -> None:
        self.woken: list[float] = []

    def on_deadline(self) -> None:
        raise AssertionError("the test wakes")


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
def test_alarms_ring_like_a_naive_list(steps: list[tuple[str, int]]) -> None:
    alarms, naive, now = DeadlineQueue(), dict[AnySleeper, tuple[float, int]](), 0.0
    set_: list[AnySleeper] = []
    for what, amount in steps:
        if what == "set":
            sleeper, at = Waiter(), now + amount / 7_000
            naive[sleeper] = (at, alarms.set(at, sleeper))
            set_.append(sleeper)
        elif what == "cancel" and amount < len(set_) and set_[amount] in naive:
            alarms.cancel(naive.pop(set_[amount])[1], set_[amount])
        elif what == "pass":
            now += amount / 3_000
            rung = list(alarms.pop_due(now))
            assert len(rung) == len(set(rung))
            for woken in rung:
                at, _ = naive.pop(woken)
                assert at <= now + 1e-9, "never early"
            assert all(at > now - 1 / TICKS_PER_S for at, _ in naive.values()), "at most one tick late"
        assert len(alarms) == len(naive)
        if naive:
            assert alarms.next_due_at <= min(at for at, _ in naive.values()) + 1 / TICKS_PER_S
        else:
            assert list(alarms.pop_due(now)) == []


@given(st.integers(0, 3_000_000))
def test_an_instant_that_is_a_tick_rings_at_that_tick(tick: int) -> None:
    """k / 1000 * 1000 is not always k in floating point (2007 is the first): the alarm came a tick late."""
    alarms = DeadlineQueue()
    alarms.set(tick / TICKS_PER_S, Waiter())
    assert alarms.next_due_at == tick / TICKS_PER_S


def test_an_empty_queue_has_nothing_next() -> None:
    alarms, sleeper = DeadlineQueue(), Waiter()
    assert alarms.next_due_at == inf
    tick = alarms.set(1.0, sleeper)
    assert alarms.next_due_at == 1.0
    alarms.cancel(tick, sleeper)
    alarms.cancel(tick, sleeper)
    assert list(alarms.pop_due(0.0)) == []
    assert alarms.next_due_at == inf


def test_alarms_set_and_cancelled_while_others_ring() -> None:
    alarms, first, second, third = DeadlineQueue(), Waiter(), Waiter(), Waiter()
    alarms.set(1.0, first)
    tick = alarms.set(1.0, second)
    rung = []
    for sleeper in alarms.pop_due(2.0):
        rung.append(sleeper)
        if sleeper is first:
            alarms.cancel(tick, second)
            alarms.set(0.5, third)  # earlier than the one that is ringing
    assert rung == [first, third]
    assert len(alarms) == 0


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
    assert queue.pop_newest() == "a"
    assert queue.pop_newest() is None
    assert queue.pop_oldest() is None


def test_the_newest_and_the_oldest() -> None:
    queue: ExpiryQueue[str] = ExpiryQueue(10.0)
    for item in "abc":
        queue.add(item, 0.0)
    assert (queue.pop_newest(), queue.pop_oldest(), len(queue)) == ("c", "a", 1)


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
    alarms = DeadlineQueue()
    assert alarms.set(2.007, Waiter()) == 2007
    assert alarms.next_due_at == 2.007
    assert alarms.set(2.0071, Waiter()) == 2008


def test_an_alarm_that_has_rung_can_be_cancelled() -> None:
    alarms, sleeper = DeadlineQueue(), Waiter()
    tick = alarms.set(1.0, sleeper)
    assert list(alarms.pop_due(1.0)) == [sleeper]
    alarms.cancel(tick, sleeper)
    assert len(alarms) == 0


def test_cancelling_one_leaves_the_others_of_its_tick() -> None:
    alarms, one, two = DeadlineQueue(), Waiter(), Waiter()
    tick = alarms.set(1.0, one)
    alarms.set(1.0, two)
    alarms.cancel(tick, one)
    alarms.cancel(tick, one)
    assert list(alarms.pop_due(1.0)) == [two]


def test_without_lag_the_margin_is_3_ms() -> None:
    assert response_deadline(8.0, 1.0) == 8.997
