"""Responses, word by word: clients parse them."""

import json
from http import HTTPStatus

import pytest

from hedgerow.core.hedge_limit import LateRequest
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
from hedgerow.core.response import Response, overloaded, problem_response, response_for, status_of
from support.attempts import make_attempt, make_request

REQUEST = make_request(b"id", 8.0, timeout_ms=900)


def attempt(
    number: int, launched_at: float, outcome: Success | Failure | None = None, ended_at: float = 0.0
) -> Attempt:
    return make_attempt(number, launched_at, REQUEST, outcome=outcome, ended_at=ended_at)


FAILED = attempt(1, 8.0, Failure(FailureReason.STATUS_5XX, "status 503"), 8.0625)
SILENT = attempt(2, 8.25)
GOOD = attempt(3, 8.25, Success(b'{"time": 7}'), 8.5)
TERSE = attempt(2, 8.25, Failure(FailureReason.CONNECT), 8.5)


def answer(verdict: Verdict) -> Response:
    return response_for(verdict, REQUEST)


def fields(response: Response) -> dict[str, object]:
    """All but the body."""
    return {name: getattr(response, name) for name in ("status", "content_type", "headers", "code", "timing")}


def test_a_success_is_the_body_of_its_winner() -> None:
    response = answer(Won(GOOD, b'{"time": 7}', (FAILED, SILENT, GOOD)))
    assert response.body == b'{"time": 7}'
    assert fields(response) == {
        "status": 200,
        "content_type": b"application/json",
        "headers": b"Hedgerow-Timeout-Ms: 900\r\n",
        "code": "success",
        "timing": b', hedges;desc="2", winner;desc="3"',
    }


def test_when_all_have_failed_each_is_answer() -> None:
    response = answer(AllFailed((FAILED, TERSE)))
    assert fields(response) == {
        "status": 502,
        "content_type": b"application/problem+json",
        "headers": b"Hedgerow-Timeout-Ms: 900\r\n",
        "code": "all_failed",
        "timing": b', hedges;desc="1"',
    }
    assert json.loads(response.body) == {
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
    assert (
        json.loads(answer(AllFailed((FAILED,))).body)["detail"] == "the only attempt to the upstream failed"
    )


def test_out_of_time_describes_what_still_runs() -> None:
    response = answer(OutOfTime((GOOD, SILENT)))
    assert (response.status, response.code, response.timing) == (504, "out_of_time", b', hedges;desc="1"')
    body = json.loads(response.body)
    assert body["detail"] == "no success from the upstream within 900 ms"
    assert body["attempts"] == [
        {"number": 3, "launched_at_ms": 250.0, "outcome": "success", "took_ms": 250.0},
        {"number": 2, "launched_at_ms": 250.0, "outcome": "pending"},
    ]


def test_out_of_time_before_any_attempt() -> None:
    response = answer(OutOfTime(()))
    assert response.timing == b', hedges;desc="0"'
    assert json.loads(response.body)["attempts"] == []


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
    response = problem_response(code, "why", b"id", headers=b"X: y\r\n")
    assert fields(response) == {
        "status": status,
        "content_type": b"application/problem+json",
        "headers": b"X: y\r\n",
        "code": code,
        "timing": b"",
    }
    assert json.loads(response.body) == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": "why",
        "code": code,
        "request_id": "id",
    }
    assert status_of(code) == status


def test_a_code_may_come_with_another_status() -> None:
    response = problem_response("too_large", "why", b"id", status=HTTPStatus.REQUEST_URI_TOO_LONG)
    assert (response.status, json.loads(response.body)["status"]) == (414, 414)
    assert (status_of("success"), response.headers) == (200, b"")


def test_the_rejection_of_an_overloaded_gateway() -> None:
    response = overloaded(b"id")
    assert (response.status, response.code, response.headers) == (503, "overloaded", b"Retry-After: 1\r\n")
    body = json.loads(response.body)
    assert body["request_id"] == "id"
    assert body["detail"] == "more requests are in flight than can be answered in time; try again later"


def test_a_problem_has_no_headers_of_its_own_and_spans_have_one_decimal() -> None:
    assert problem_response("not_found", "why", b"id").headers == b""
    launched = attempt(1, 8.0625625)
    (one,) = json.loads(answer(OutOfTime((launched,))).body)["attempts"]
    assert one["launched_at_ms"] == 62.6


def test_hedges_that_were_held_are_named_after_the_attempts() -> None:
    request = make_request(b"id", 8.0, timeout_ms=900)
    request.late = LateRequest(0, 2, 8.6)
    body = json.loads(response_for(OutOfTime((SILENT,)), request).body)
    assert body["attempts"][1:] == [{"number": 2, "outcome": "held"}, {"number": 3, "outcome": "held"}]
