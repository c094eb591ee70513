import pickle
from math import inf

from hedgerow.core.outcomes import Attempt, Failure, FailureReason, Success, Won
from hedgerow.settings import AccessLog, LogFormat
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.recent import KEPT_REQUESTS, Recent
from hedgerow.telemetry.recorder import Recorder
from hedgerow.telemetry.told import AttemptTold, RequestTold

UTC_OFFSET_S = 1_000_000.0


def attempt(number: int, launched_at: float, request_id: bytes = b"a", deadline_at: float = 10.75) -> Attempt:
    return Attempt(number, launched_at, lambda: None, request_id, deadline_at)


def a_race_whose_first_attempt_lost() -> tuple[Recent, list[Attempt]]:
    """Arrival at 10.0; the second attempt won at 10.5, the third had failed, the first still ran."""
    recent = Recent(3)
    attempts = [attempt(1, 10.0), attempt(2, 10.25), attempt(3, 10.25)]
    attempts[2].end(Failure(FailureReason.STATUS_5XX), 10.375)
    attempts[1].end(Success(b"{}"), 10.5)
    recent.request_ended(b"a", "success", 10.0, 10.5, 2, tuple(attempts))
    return recent, attempts


FIRST = AttemptTold(1, 0.0, None, "pending", lost=True)
SECOND = AttemptTold(2, 250.0, 250.0, "success")
THIRD = AttemptTold(3, 250.0, 125.0, "status_5xx")


def test_a_request_is_told_with_its_attempts() -> None:
    recent, _ = a_race_whose_first_attempt_lost()
    assert recent.newest(5, UTC_OFFSET_S) == [
        RequestTold("a", "success", UTC_OFFSET_S + 10.0, 500.0, 750.0, 2, [FIRST, SECOND, THIRD])
    ]


def test_a_loser_is_joined_to_its_request_when_it_ends() -> None:
    recent, attempts = a_race_whose_first_attempt_lost()
    attempts[0].end(Success(b"{}"), 10.625)
    recent.loser_ended(attempts[0])
    other = attempt(1, 20.0)  # another request with the same id
    other.end(Failure(FailureReason.RESET), 20.125)
    recent.loser_ended(other)
    (told,) = recent.find(b"a", UTC_OFFSET_S)
    assert told.attempts == [AttemptTold(1, 0.0, 625.0, "success", lost=True), SECOND, THIRD]


def test_the_attempts_of_a_caller_who_left_are_known_by_their_ends() -> None:
    recorder = Recorder(Logs(LogFormat.JSON, "info").log, AccessLog.OFF)
    recorder.request_began()
    recorder.request_abandoned(b"a", 10.0, 10.125)
    lost = attempt(1, 10.0)
    lost.end(Success(b"{}"), 10.25)
    recorder.attempt_ended(lost, lost=True)
    (told,) = recorder.recent.find(b"a", UTC_OFFSET_S)
    assert (told.code, told.took_ms, told.deadline_ms, told.winner) == ("abandoned", 125.0, None, None)
    assert told.attempts == [AttemptTold(1, 0.0, 250.0, "success", lost=True)]


def test_requests_are_told_newest_first_and_the_oldest_are_forgotten() -> None:
    recent = Recent(3)
    for number in range(KEPT_REQUESTS + 1):
        recent.request_ended(b"%d" % number, "out_of_time", 10.0, 10.0, None, ())
    assert [told.request_id for told in recent.newest(2, 0.0)] == [str(KEPT_REQUESTS), str(KEPT_REQUESTS - 1)]
    assert recent.find(b"0", 0.0) == []
    assert len(recent.find(b"1", 0.0)) == 1


def test_callers_may_give_one_id_twice() -> None:
    recent = Recent(3)
    for arrived_at in (10.0, 11.0):
        recent.request_ended(b"a", "success", arrived_at, arrived_at, 1, (attempt(1, arrived_at),))
    assert [told.at for told in recent.find(b"a", 0.0)] == [11.0, 10.0]


def test_nothing_that_is_kept_keeps_more_alive() -> None:
    """A body has up to 64 KiB, an attempt knows its connection: neither may live on in what is kept."""
    recorder = Recorder(Logs(LogFormat.JSON, "info").log, AccessLog.OFF, hedges=1)
    winner, loser = attempt(1, 10.0, deadline_at=inf), attempt(2, 10.0)
    winner.end(Success(b"x" * 65_536), 10.25)
    recorder.attempt_ended(winner, lost=False)
    recorder.request_ended(b"a", "success", 10.0, 10.25, Won(winner, b"", (winner, loser)))
    loser.end(Success(b"y" * 65_536), 10.5)
    recorder.attempt_ended(loser, lost=True)
    kept = pickle.dumps((list(recorder.recent._requests), list(recorder.recent._losers)))
    assert len(kept) < 500, "an Attempt could not even be pickled, for it knows whom to call"
