"""An attempt from its start to its outcome."""

import gc

import pytest

from hedgerow.core.outcomes import Attempt, Failure, FailureReason, Success
from support.attempts import Race, make_request

REQUEST = make_request()


class Handle:
    """An attempt's handle."""

    def abandon(self) -> None:
        pass


def test_what_an_attempt_begins_with() -> None:
    attempt = Attempt(1, 8.0, REQUEST, Race())
    assert (attempt.number, attempt.launched_at, attempt.request) == (1, 8.0, REQUEST)
    assert (attempt.handle, attempt.span, attempt.outcome, attempt.is_loser) == (None, None, None, False)


def test_an_attempt_that_finishes_reports_and_lets_its_handle_go() -> None:
    race = Race()
    attempt = Attempt(1, 8.0, REQUEST, race)
    attempt.handle = Handle()
    attempt.finish(Success(b"x"), 8.5)
    assert (attempt.outcome, attempt.ended_at) == (Success(b"x"), 8.5)
    let_go: object = attempt.handle
    assert let_go is None
    assert race.reports == 1


def test_an_attempt_finishes_once() -> None:
    """A second report is an internal error; the message finds it."""
    race = Race()
    attempt = Attempt(1, 8.0, REQUEST, race)
    attempt.finish(Failure(FailureReason.STATUS_5XX, "status 503"), 8.5)
    with pytest.raises(
        RuntimeError, match=r"attempt 1 finished twice: Failure\(.*503.*, then Success\(body=b'x'\)"
    ):
        attempt.finish(Success(b"x"), 9.0)
    assert (race.reports, attempt.ended_at) == (1, 8.5)


@pytest.mark.parametrize("is_loser", [False, True])
def test_a_body_is_kept_until_it_is_dropped_and_a_losers_never(is_loser: bool) -> None:
    attempt = Attempt(1, 8.0, REQUEST, Race())
    attempt.is_loser = is_loser
    attempt.finish(Success(b"x"), 8.5)
    assert attempt.outcome == Success(b"" if is_loser else b"x")
    attempt.drop_body()
    assert attempt.outcome == Success(b"")


def test_an_attempt_that_failed_has_no_body_to_drop() -> None:
    attempt = Attempt(1, 8.0, REQUEST, Race())
    attempt.drop_body()
    attempt.finish(Failure(FailureReason.RESET), 8.5)
    attempt.drop_body()
    assert attempt.outcome == Failure(FailureReason.RESET)


def test_an_attempt_that_has_finished_does_not_keep_its_race_alive() -> None:
    race = Race()
    attempt = Attempt(1, 8.0, REQUEST, race)
    attempt.finish(Success(b"x"), 8.5)
    assert race not in gc.get_referents(attempt)
