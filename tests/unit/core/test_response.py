"""Replies, word by word: callers' programs read them."""

import json
from http import HTTPStatus

import pytest

from hedgerow.core.outcomes import (
    AllFailed,
    Attempt,
    Failure,
    FailureReason,
    OutOfTime,
    Success,
    Verdict,
    Won,
)
from hedgerow.core.request import Request, RequestIdGenerator
from hedgerow.core.response import Response, overloaded, problem_response, response_for, status_of


def attempt(
    number: int, launched_at: float, outcome: Success | Failure | None = None, ended_at: float = 0.0
) -> Attempt:
    made = Attempt(number, launched_at, lambda: None, b"id", 9.0)
    if outcome is not None:
        made.end(outcome, ended_at)
    return made


FAILED = attempt(1, 8.0, Failure(FailureReason.STATUS_5XX, "status 503"), 8.0625)
SILENT = attempt(2, 8.25)
GOOD = attempt(3, 8.25, Success(b'{"time": 7}'), 8.5)
TERSE = attempt(2, 8.25, Failure(FailureReason.CONNECT), 8.5)


def told(verdict: Verdict) -> Response:
    return response_for(verdict, request_id=b"id", arrived_at=8.0, timeout_ms=900)


def fields(reply: Response) -> dict[str, object]:
    """All but the body."""
    return {name: getattr(reply, name) for name in ("status", "content_type", "headers", "code", "timing")}


def test_a_success_is_the_body_of_its_winner() -> None:
    reply = told(Won(GOOD, b'{"time": 7}', (FAILED, SILENT, GOOD)))
    assert reply.body == b'{"time": 7}'
    assert fields(reply) == {
        "status": 200,
        "content_type": b"application/json",
        "headers": b"Hedgerow-Timeout-Ms: 900\r\n",
        "code": "success",
        "timing": b', hedges;desc="2", winner;desc="3"',
    }


def test_when_all_have_failed_each_is_told() -> None:
    reply = told(AllFailed((FAILED, TERSE)))
    assert fields(reply) == {
        "status": 502,
        "content_type": b"application/problem+json",
        "headers": b"Hedgerow-Timeout-Ms: 900\r\n",
        "code": "all_failed",
        "timing": b', hedges;desc="1"',
    }
    assert json.loads(reply.body) == {
        "type": "about:blank",
        "title": "Bad Gateway",
        "status": 502,
        "detail": "all 2 attempts to the upstream failed",
        "code": "all_failed",
        "request_id": "id",
        "attempts": [
            {
                "number": 1,
                "launched_at_ms": 0.0,
                "outcome": "status_5xx",
                "detail": "status 503",
                "took_ms": 62.5,
            },
            {"number": 2, "launched_at_ms": 250.0, "outcome": "connect", "took_ms": 250.0},
        ],
    }


def test_one_attempt_is_called_the_only_one() -> None:
    assert json.loads(told(AllFailed((FAILED,))).body)["detail"] == "the only attempt to the upstream failed"


def test_out_of_time_tells_what_still_runs() -> None:
    reply = told(OutOfTime((GOOD, SILENT)))
    assert (reply.status, reply.code, reply.timing) == (504, "out_of_time", b', hedges;desc="1"')
    body = json.loads(reply.body)
    assert body["detail"] == "no success from the upstream within 900 ms"
    assert body["attempts"] == [
        {"number": 3, "launched_at_ms": 250.0, "outcome": "success", "took_ms": 250.0},
        {"number": 2, "launched_at_ms": 250.0, "outcome": "pending"},
    ]


def test_out_of_time_before_anybody_was_asked() -> None:
    reply = told(OutOfTime(()))
    assert reply.timing == b', hedges;desc="0"'
    assert json.loads(reply.body)["attempts"] == []


@pytest.mark.parametrize(
    ("code", "status", "title"),
    [
        ("bad_request", 400, "Bad Request"),
        ("bad_timeout", 400, "Bad Request"),
        ("not_found", 404, "Not Found"),
        ("method_not_allowed", 405, "Method Not Allowed"),
        ("too_large", 431, "Request Header Fields Too Large"),
        ("internal", 500, "Internal Server Error"),
        ("all_failed", 502, "Bad Gateway"),
        ("overloaded", 503, "Service Unavailable"),
        ("out_of_time", 504, "Gateway Timeout"),
    ],
)
def test_each_code_has_its_status(code: str, status: int, title: str) -> None:
    reply = problem_response(code, "why", b"id", headers=b"X: y\r\n")
    assert fields(reply) == {
        "status": status,
        "content_type": b"application/problem+json",
        "headers": b"X: y\r\n",
        "code": code,
        "timing": b"",
    }
    assert json.loads(reply.body) == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": "why",
        "code": code,
        "request_id": "id",
    }
    assert status_of(code) == status


def test_a_code_may_come_with_another_status() -> None:
    reply = problem_response("too_large", "why", b"id", status=HTTPStatus.REQUEST_URI_TOO_LONG)
    assert (reply.status, json.loads(reply.body)["status"]) == (414, 414)
    assert (status_of("success"), reply.headers) == (200, b"")


def test_the_refusal_of_an_overloaded_gateway() -> None:
    reply = overloaded(b"id", 3)
    assert (reply.status, reply.code, reply.headers) == (503, "overloaded", b"Retry-After: 3\r\n")
    body = json.loads(reply.body)
    assert body["request_id"] == "id"
    assert body["detail"] == "more requests are in flight than can be answered in time; try again later"


def test_an_attempt_ends_once() -> None:
    """A second end is a bug of the carrier's; the words find it."""
    with pytest.raises(
        RuntimeError, match=r"attempt 1 ended twice: Failure\(.*503.*, then Success\(body=b'x'\)"
    ):
        FAILED.end(Success(b"x"), 9.0)


def test_what_an_attempt_and_a_request_begin_with() -> None:
    fresh = Attempt(1, 8.0, lambda: None)
    assert (fresh.request_id, fresh.deadline_at, fresh.handle, fresh.span) == (b"", float("inf"), None, None)
    assert (SILENT.request_id, SILENT.deadline_at) == (b"id", 9.0)
    request = Request(b"GET", b"/", b"", request_id=b"id", arrived_at=8.0)
    assert (request.keep_alive, request.announce_keep_alive, request.trace) == (True, False, None)
    old = Request(b"GET", b"/", b"", request_id=b"id", arrived_at=8.0, announce_keep_alive=True)
    assert old.announce_keep_alive


def test_ids_are_numbered_behind_what_is_a_workers_own() -> None:
    ids, others = RequestIdGenerator(), RequestIdGenerator()
    first, second = ids.next(), ids.next()
    assert (first[-2:], second[-2:]) == (b"-1", b"-2")
    assert first[:-2] == second[:-2] != others.next()[:-2]
    assert len(first[:-2]) == 12


def test_a_problem_has_no_headers_of_its_own_and_spans_have_one_decimal() -> None:
    assert problem_response("not_found", "why", b"id").headers == b""
    launched = attempt(1, 8.0625625)
    (one,) = json.loads(told(OutOfTime((launched,))).body)["attempts"]
    assert one["launched_at_ms"] == 62.6
