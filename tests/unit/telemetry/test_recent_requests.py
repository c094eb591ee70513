"""The last requests of a worker: which attempts they had, and that nothing large is kept alive."""

import gc
from types import FunctionType, ModuleType

import pytest

from hedgerow.core.hedging import HedgePlan
from hedgerow.core.hedging import Race as CoreRace
from hedgerow.core.outcomes import Aborted, Attempt, Failure, FailureReason, Success, Won
from hedgerow.core.request import Request
from hedgerow.settings import AccessLog, LogFormat
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.recent_requests import (
    KEPT_REQUESTS,
    MAX_DETAIL,
    MAX_FOUND,
    RecentRequests,
)
from hedgerow.telemetry.recorder import Recorder
from hedgerow.telemetry.request_record import AttemptRecord, RequestRecord
from support.attempts import Race, a_route, make_attempt, make_request

UTC_OFFSET_S = 1_000_000.0


def request(request_id: bytes = b"a", arrived_at: float = 10.0) -> Request:
    return make_request(request_id, arrived_at, timeout_ms=753, deadline_at=arrived_at + 0.75)


def recorder() -> Recorder:
    return Recorder(Logs(LogFormat.JSON, "info").log, AccessLog.OFF)


def a_race_whose_first_attempt_lost() -> tuple[RecentRequests, list[Attempt]]:
    """Arrival at 10.0; the second attempt won at 10.5, the third had failed, the first still ran."""
    recent, asked = RecentRequests(), request()
    attempts = [make_attempt(number, at, asked) for number, at in ((1, 10.0), (2, 10.25), (3, 10.25))]
    attempts[2].finish(Failure(FailureReason.STATUS_5XX), 10.375)
    attempts[1].finish(Success(b"{}"), 10.5)
    attempts[0].is_loser = True
    recent.request_finished(asked, "success", 10.5, 2, tuple(attempts))
    return recent, attempts


FIRST = AttemptRecord(1, 0.0, None, "pending", loser=True)
SECOND = AttemptRecord(2, 250.0, 250.0, "success")
THIRD = AttemptRecord(3, 250.0, 125.0, "status_5xx")


def test_a_request_is_described_with_its_attempts() -> None:
    recent, _ = a_race_whose_first_attempt_lost()
    assert recent.newest(5, UTC_OFFSET_S) == [
        RequestRecord(
            "a", "/api/smart", "success", UTC_OFFSET_S + 10.0, 500.0, 750.0, 2, [FIRST, SECOND, THIRD]
        )
    ]


def test_the_newest_of_a_route_are_found_among_those_of_others() -> None:
    recent, routes = RecentRequests(), (a_route("a"), a_route("b"))
    for number in range(20):
        asked = make_request(b"%d" % number, route=routes[number % 4 == 0])
        recent.request_finished(asked, "success", 10.5, None, ())
    assert [record.request_id for record in recent.newest(3, 0.0, "b")] == ["16", "12", "8"]
    assert {record.route for record in recent.newest(30, 0.0, "b")} == {"b"}
    assert len(recent.newest(30, 0.0, "a")) == 15
    assert recent.newest(30, 0.0, "c") == []


def test_a_loser_is_added_to_its_request_when_it_finishes() -> None:
    recent, attempts = a_race_whose_first_attempt_lost()
    attempts[0].finish(Success(b"{}"), 10.625)
    (record,) = recent.find(b"a", UTC_OFFSET_S)
    assert record.attempts == [AttemptRecord(1, 0.0, 625.0, "success", loser=True), SECOND, THIRD]


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


def test_what_is_said_of_a_failure_is_shown_and_bounded() -> None:
    recent, asked = RecentRequests(), request()
    failures = [
        Failure(FailureReason.STATUS_OTHER, "status 401"),
        Failure(FailureReason.BAD_JSON, "x" * 10_000),
    ]
    attempts = [
        make_attempt(number, 10.0, asked, outcome=failure, ended_at=10.1)
        for number, failure in enumerate(failures, 1)
    ]
    recent.request_finished(asked, "all_failed", 10.5, None, tuple(attempts))
    (record,) = recent.newest(1, 0.0)
    assert [attempt.detail for attempt in record.attempts] == ["status 401", "x" * MAX_DETAIL]


def test_the_attempts_of_a_client_that_left_are_kept() -> None:
    to = recorder()
    asked = request()
    failed = make_attempt(1, 10.0, asked, outcome=Failure(FailureReason.RESET), ended_at=10.25)
    loser = make_attempt(2, 10.3, asked)
    loser.is_loser = True
    to.attempt_finished(failed)
    to.request_finished(asked, "abandoned", 10.5, Aborted((failed, loser)))
    loser.finish(Success(b"{}"), 10.625)
    to.attempt_finished(loser)
    (record,) = to.recent.find(b"a", UTC_OFFSET_S)
    assert (record.code, record.took_ms, record.deadline_ms, record.winner) == (
        "abandoned",
        500.0,
        750.0,
        None,
    )
    assert record.attempts == [
        AttemptRecord(1, 0.0, 250.0, "reset"),
        AttemptRecord(2, 300.0, 325.0, "success", loser=True),
    ]


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
        AttemptRecord(1, 0.0, 500.0, "timeout", loser=True, detail="cancelled"),
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


def reachable(root: object) -> list[object]:
    """Return the objects that `root` keeps alive, but for those that live as long as the program."""
    found: dict[int, object] = {}
    to_visit = [root]
    while to_visit:
        one = to_visit.pop()
        if id(one) not in found and not isinstance(one, type | ModuleType | FunctionType):
            found[id(one)] = one
            to_visit += gc.get_referents(one)
    return list(found.values())


def test_nothing_that_is_kept_keeps_more_alive() -> None:
    """A body has up to 64 KiB, an attempt knows its race: neither may live on in what is kept."""
    recent, asked = RecentRequests(), request()
    owner = Race()
    attempts = [Attempt(number, 10.0, asked, owner) for number in (1, 2)]
    race = CoreRace(lambda number, now: attempts[number - 1], HedgePlan(0.0, 1), deadline_at=99.0)
    assert race.proceed(10.0) is None
    attempts[0].finish(Success(b"x" * 65_536), 10.25)
    verdict = race.proceed(10.25)
    assert isinstance(verdict, Won)
    attempts[1].is_loser = True
    race.end()
    recent.request_finished(asked, "success", 10.25, 1, verdict.attempts)
    attempts[1].finish(Success(b"y" * 65_536), 10.5)
    del verdict
    kept = reachable(recent)
    assert sum(len(one) for one in kept if isinstance(one, bytes)) < 200
    assert owner not in kept
    assert race not in kept
