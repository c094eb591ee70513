"""The last requests of a worker: which attempts they had, and that nothing large is kept alive."""

import pytest

from hedgerow.core.hedging import HedgePlan, Race
from hedgerow.core.outcomes import Attempt, Failure, FailureReason, Success, Won
from hedgerow.core.request import Request
from hedgerow.settings import AccessLog, LogFormat
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.recent_requests import KEPT_REQUESTS, MAX_FOUND, RecentRequests
from hedgerow.telemetry.recorder import Recorder
from hedgerow.telemetry.request_record import AttemptRecord, RequestRecord
from support.attempts import make_attempt, make_request

UTC_OFFSET_S = 1_000_000.0


def request(request_id: bytes = b"a", arrived_at: float = 10.0) -> Request:
    return make_request(request_id, arrived_at, timeout_ms=753, deadline_at=arrived_at + 0.75)


def recorder(hedges: int = 2) -> Recorder:
    return Recorder(Logs(LogFormat.JSON, "info").log, AccessLog.OFF, hedges)


def a_race_whose_first_attempt_lost() -> tuple[RecentRequests, list[Attempt]]:
    """Arrival at 10.0; the second attempt won at 10.5, the third had failed, the first still ran."""
    recent, asked = RecentRequests(), request()
    attempts = [make_attempt(number, at, asked) for number, at in ((1, 10.0), (2, 10.25), (3, 10.25))]
    attempts[2].finish(Failure(FailureReason.STATUS_5XX), 10.375)
    attempts[1].finish(Success(b"{}"), 10.5)
    attempts[0].is_loser = True
    recent.request_finished(asked, "success", 10.5, 2, tuple(attempts))
    return recent, attempts


FIRST = AttemptRecord(1, 0.0, None, "pending", lost=True)
SECOND = AttemptRecord(2, 250.0, 250.0, "success")
THIRD = AttemptRecord(3, 250.0, 125.0, "status_5xx")


def test_a_request_is_described_with_its_attempts() -> None:
    recent, _ = a_race_whose_first_attempt_lost()
    assert recent.newest(5, UTC_OFFSET_S) == [
        RequestRecord("a", "success", UTC_OFFSET_S + 10.0, 500.0, 750.0, 2, [FIRST, SECOND, THIRD])
    ]


def test_a_loser_that_finishes_later_is_seen() -> None:
    recent, attempts = a_race_whose_first_attempt_lost()
    attempts[0].finish(Success(b"{}"), 10.625)
    (record,) = recent.find(b"a", UTC_OFFSET_S)
    assert record.attempts == [AttemptRecord(1, 0.0, 625.0, "success", lost=True), SECOND, THIRD]


def test_b4_overlapping_requests_with_one_id_keep_their_own_attempts() -> None:
    recent = RecentRequests()
    losers = []
    for arrived_at in (10.0, 10.1, 10.2):
        asked = request(b"same", arrived_at)
        loser, winner = make_attempt(1, arrived_at, asked), make_attempt(2, arrived_at + 0.3, asked)
        loser.is_loser = True
        winner.finish(Success(b"{}"), arrived_at + 0.4)
        recent.request_finished(asked, "success", arrived_at + 0.4, 2, (loser, winner))
        losers.append(loser)
    for number, loser in enumerate(losers):
        loser.finish(Success(b"{}"), loser.launched_at + 0.5 + number / 10)
    found = recent.find(b"same", 0.0)
    assert [record.at for record in found] == [10.2, 10.1, 10.0], "newest first"
    assert [[attempt.took_ms for attempt in record.attempts] for record in found] == [
        [700.0, 100.0], [600.0, 100.0], [500.0, 100.0],
    ]  # fmt: skip


def test_b4_a_lookup_by_a_constant_id_describes_a_bounded_number() -> None:
    recent = RecentRequests()
    for _ in range(KEPT_REQUESTS):
        recent.request_finished(request(b"same"), "success", 10.5, 1, ())
    assert len(recent.find(b"same", 0.0)) == MAX_FOUND


def test_the_losers_of_a_client_that_left_are_known_by_their_ends() -> None:
    to = recorder()
    asked = request()
    loser = make_attempt(1, 10.0, asked)
    loser.is_loser = True
    to.request_finished(asked, "abandoned", 10.125, None, (loser,))
    loser.finish(Success(b"{}"), 10.25)
    to.attempt_finished(loser)
    (record,) = to.recent.find(b"a", UTC_OFFSET_S)
    assert (record.code, record.took_ms, record.winner) == ("abandoned", 125.0, None)
    assert record.attempts == [AttemptRecord(1, 0.0, 250.0, "success", lost=True)]


def test_an_attempt_that_was_cut_off_as_its_race_ended_has_lost() -> None:
    """`losers=cancel`: it finishes before the request is recorded."""
    to = recorder()
    asked = request()
    loser = make_attempt(1, 10.0, asked)
    winner = make_attempt(2, 10.25, asked, outcome=Success(b"{}"), ended_at=10.5)
    loser.is_loser = True
    loser.finish(Failure(FailureReason.TIMEOUT, "cancelled"), 10.5)
    for attempt in (winner, loser):
        to.attempt_finished(attempt)
    to.request_finished(asked, "success", 10.5, Won(winner, b"{}", (loser, winner)))
    (record,) = to.recent.find(b"a", 0.0)
    assert record.attempts == [
        AttemptRecord(1, 0.0, 500.0, "timeout", lost=True),
        AttemptRecord(2, 250.0, 250.0, "success"),
    ]


def test_a_request_that_sent_nothing_has_no_deadline() -> None:
    recent = RecentRequests()
    recent.request_finished(make_request(deadline_at=0.0), "abandoned", 10.1, None, ())
    (record,) = recent.newest(1, 0.0)
    assert (record.deadline_ms, record.attempts) == (None, [])


def test_requests_are_described_newest_first_and_the_oldest_are_forgotten() -> None:
    recent = RecentRequests()
    for number in range(KEPT_REQUESTS + 1):
        recent.request_finished(request(b"%d" % number), "out_of_time", 10.0, None, ())
    assert [one.request_id for one in recent.newest(2, 0.0)] == [str(KEPT_REQUESTS), str(KEPT_REQUESTS - 1)]
    assert recent.find(b"0", 0.0) == []
    assert len(recent.find(b"1", 0.0)) == 1


@pytest.mark.parametrize("trace_id", [None, "4bf92f3577b34da6a3ce929d0e0e4736"])
def test_the_trace_is_named(trace_id: str | None) -> None:
    recent = RecentRequests()
    recent.request_finished(request(), "success", 10.5, 1, (), trace_id)
    assert recent.newest(1, 0.0)[0].trace_id == trace_id


def test_nothing_that_is_kept_keeps_more_alive() -> None:
    """A body has up to 64 KiB, an attempt knows its connection and its race: none may live on in what is kept."""
    to = recorder(hedges=1)
    asked = request()
    loser = make_attempt(2, 10.0, asked)
    loser.handle = Handle()
    race = Race(lambda number: winner if number == 1 else loser, HedgePlan(0.1, 1), deadline_at=11.0)
    winner = make_attempt(1, 10.0, asked)
    assert race.proceed(10.0) is None
    assert race.proceed(10.1) is None
    winner.finish(Success(b"x" * 65_536), 10.25)
    verdict = race.proceed(10.25)
    assert isinstance(verdict, Won)
    race.end()
    loser.is_loser = True
    to.request_finished(asked, "success", 10.25, verdict)
    loser.finish(Success(b"y" * 65_536), 10.5)
    assert [attempt._owner for attempt in (winner, loser)] == [None, None]
    assert [attempt.handle for attempt in (winner, loser)] == [None, None]
    assert [attempt.outcome for attempt in (winner, loser)] == [Success(b""), Success(b"")]


class Handle:
    def abandon(self) -> None:
        """Run on."""
