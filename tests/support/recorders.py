"""A recorder that has seen something of everything."""

from math import inf

from hedgerow.core.outcomes import (
    Aborted,
    AllFailed,
    Attempt,
    Failure,
    FailureReason,
    OutOfTime,
    Success,
    Won,
)
from hedgerow.core.request import Request
from hedgerow.settings import AccessLog, LogFormat
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.recorder import Recorder
from support.attempts import make_attempt, make_request


def finished(
    number: int,
    outcome: Success | Failure,
    *,
    took_s: float = 0.25,
    deadline_at: float = inf,
    is_loser: bool = False,
) -> Attempt:
    """Return an attempt that was started at 10.0."""
    request = make_request(b"x", deadline_at=deadline_at)
    return make_attempt(number, 10.0, request, outcome=outcome, ended_at=10.0 + took_s, is_loser=is_loser)


def make_recorder(access_log: AccessLog = AccessLog.OFF, logs: Logs | None = None) -> Recorder:
    return Recorder((logs or Logs(LogFormat.JSON, "info")).log, access_log)


def a_busy_recorder(access_log: AccessLog = AccessLog.OFF, logs: Logs | None = None) -> Recorder:
    """Return one that has seen a success, a failure, a timeout, a client that left, and rejections.

    The timeout of each request is 900 ms, from 10.0 on.
    """
    recorder = make_recorder(access_log, logs)

    def request(request_id: bytes) -> Request:
        return make_request(request_id, 10.0, timeout_ms=900)

    failed, won = finished(1, Failure(FailureReason.RESET)), finished(2, Success(b"{}"))
    late = make_attempt(3, 10.0, request(b"a"))
    for attempt in (failed, won):
        recorder.attempt_finished(attempt)
    recorder.request_finished(request(b"a"), "success", 10.5, Won(won, b"{}", (failed, won, late)))
    late.is_loser = True
    late.finish(Success(b"{}"), 10.5)
    recorder.attempt_finished(late)
    recorder.request_finished(request(b"b"), "all_failed", 10.25, AllFailed((failed,)))
    pending = tuple(make_attempt(number, 10.0) for number in (1, 2, 3))
    recorder.request_finished(request(b"c"), "out_of_time", 11.0, OutOfTime(pending))
    recorder.request_finished(request(b"d"), "abandoned", 10.1, Aborted(()))
    recorder.request_rejected("overloaded", "in_flight")
    recorder.request_rejected("overloaded", "rate_limit")
    recorder.request_rejected("overloaded", "connections")
    recorder.request_rejected("not_found", "not_found")
    recorder.stale_connection_retried()
    return recorder
