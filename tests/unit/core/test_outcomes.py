"""An attempt from its start to its outcome."""

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
