"""The scoreboard: who accepts next."""

import os
from collections.abc import Iterator

import pytest
from hedgerow.scoreboard import Scoreboard, Seat


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    board = Scoreboard.create(4)
    yield board
    board.close()


def test_who_stands_alone_accepts_everything(board: Scoreboard) -> None:
    board.note(2, 5_000)
    assert board.may_accept(2)


@pytest.mark.parametrize(
    ("own", "other", "may"),
    [
        (0, 0, True),
        (1, 0, True),
        (2, 0, False),
        (32, 32, True),
        (37, 32, True),
        (38, 32, False),
        (32, 38, True),
    ],
)
def test_the_least_loaded_accepts_and_others_within_the_slack(
    board: Scoreboard, own: int, other: int, may: bool
) -> None:
    board.note(0, own)
    board.note(1, other)
    assert board.may_accept(0) is may


def test_who_has_left_is_not_waited_for(board: Scoreboard) -> None:
    board.note(0, 10)
    board.note(1, 0)
    assert not board.may_accept(0)
    board.leave(1)
    assert board.may_accept(0)


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_taking_turns_in_any_order_comes_out_even(board: Scoreboard, workers: int) -> None:
    seats = [Seat(board, slot) for slot in range(workers)]
    counts = [0] * workers
    for seat in seats:
        seat.note(0)
    for _ in range(64):  # the first one awake takes all that it may
        chosen = next(slot for slot, seat in enumerate(seats) if seat.may_accept())
        counts[chosen] += 1
        seats[chosen].note(counts[chosen])
    assert max(counts) <= 1.5 * min(counts)


def test_another_process_sees_the_same_numbers(board: Scoreboard) -> None:
    other = Scoreboard(os.dup(board.descriptor), 4)
    other.note(3, 7)
    board.note(0, 9)
    assert not board.may_accept(0)
    other.close()
