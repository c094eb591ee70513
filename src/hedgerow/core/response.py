"""What a client gets: the success, or a problem by RFC 9457, always JSON."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from mypy_extensions import mypyc_attr

from hedgerow.core.outcomes import (
    AllFailed,
    Answer,
    Attempt,
    Failure,
    Outcome,
    OutOfTime,
    Success,
    Verdict,
    Won,
)
from hedgerow.core.request import Request

JSON: Final = b"application/json"
PROBLEM: Final = b"application/problem+json"

HELD: Final = "held"
"""The outcome of a hedge that was due and not sent, so as not to make an outage worse."""


@mypyc_attr(acyclic=True)
class Response:
    """One response, before it is serialized.

    `headers` are whole header lines. `code` names the outcome: `success`, or the stable code of a problem.
    `content_type` is empty in a `PassedOnResponse`.
    """

    __slots__ = ("body", "code", "content_type", "headers", "status", "timing")

    def __init__(
        self,
        status: int,
        body: bytes,
        *,
        content_type: bytes = PROBLEM,
        headers: bytes = b"",
        code: str = "success",
        timing: bytes = b"",
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.code = code
        self.timing = timing


@mypyc_attr(acyclic=True)
class PassedOnResponse(Response):
    """An answer of the upstream's as it goes to the client: `headers` are the upstream's."""

    __slots__ = ("has_date",)

    def __init__(self, answer: Answer, code: str, timing: bytes) -> None:
        super().__init__(
            answer.status, answer.body, content_type=b"", headers=answer.headers, code=code, timing=timing
        )
        self.has_date = answer.has_date


_STATUS_OF: Final = {
    "bad_request": HTTPStatus.BAD_REQUEST,
    "bad_timeout": HTTPStatus.BAD_REQUEST,
    "not_found": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "too_large": HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
    "all_failed": HTTPStatus.BAD_GATEWAY,
    "overloaded": HTTPStatus.SERVICE_UNAVAILABLE,
    "out_of_time": HTTPStatus.GATEWAY_TIMEOUT,
}

FINAL: Final = "final"
"""The code of an answer that is no success, and that was passed on because asking again cannot change it."""


def status_of(code: str) -> int:
    """Return the HTTP status of an outcome."""
    return 200 if code in ("success", FINAL) else _STATUS_OF[code].value


def problem_response(
    code: str,
    detail: str,
    request_id: bytes,
    *,
    status: HTTPStatus | None = None,
    headers: bytes = b"",
    attempts: Sequence[dict[str, object]] | None = None,
) -> Response:
    """Return an error response. `status` is the code's own unless given (414 shares `too_large` with 431)."""
    status = status or _STATUS_OF[code]
    body: dict[str, object] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "code": code,
        "request_id": request_id.decode("ascii"),
    }
    if attempts is not None:
        body["attempts"] = attempts
    return Response(status.value, msgspec.json.encode(body), headers=headers, code=code)


def overloaded(request_id: bytes) -> Response:
    """Return the response of an overloaded gateway. It is prepared but for the id: most responses are this one then."""
    body = _OVERLOADED_BEGIN + request_id + _OVERLOADED_END
    return Response(503, body, headers=b"Retry-After: 1\r\n", code="overloaded")


_OVERLOADED: Final = problem_response(
    "overloaded", "more requests are in flight than can be answered in time; try again later", b"ID"
).body.partition(b"ID")
_OVERLOADED_BEGIN: Final = _OVERLOADED[0]
_OVERLOADED_END: Final = _OVERLOADED[2]


def response_for(verdict: Verdict, request: Request) -> Response:
    """Make the response to the request of a race."""
    timeout_ms = request.timeout_ms
    headers = b"Hedgerow-Timeout-Ms: %d\r\n" % timeout_ms
    hedges = max(len(verdict.attempts) - 1, 0)
    match verdict:
        case Won():
            timing = b', hedges;desc="%d", winner;desc="%d"' % (hedges, verdict.winner.number)
            if request.message is not None and request.message.forwarded is not None:
                outcome = verdict.winner.outcome
                answer = outcome.answer if isinstance(outcome, Success) else None
                if answer is not None:
                    return PassedOnResponse(answer, FINAL if answer.is_final else "success", timing)
            return Response(200, verdict.body, content_type=JSON, headers=headers, timing=timing)
        case AllFailed(attempts):
            last = _last_answer(attempts)
            if last is not None:
                return PassedOnResponse(last, "all_failed", b', hedges;desc="%d"' % hedges)
            code, detail = "all_failed", f"{_counted(len(attempts))} to the upstream failed"
        case OutOfTime(attempts):
            code, detail = "out_of_time", f"no success from the upstream within {timeout_ms} ms"
    summaries = [_attempt_summary(attempt, request.arrived_at) for attempt in attempts]
    first_held = len(attempts) + 1
    summaries += [{"number": first_held + index, "outcome": HELD} for index in range(request.hedges_held)]
    response = problem_response(code, detail, request.request_id, headers=headers, attempts=summaries)
    response.timing = b', hedges;desc="%d"' % hedges
    return response


def _last_answer(attempts: Sequence[Attempt]) -> Answer | None:
    """Return the answer that came last, where the route keeps those of failures.

    One of 2xx failed by its body, or by `success.status`: clients would take it for the success that it is not.
    """
    answered = [one for one in attempts if _has_answer_to_pass_on(one.outcome)]
    if not answered:
        return None
    outcome = max(answered, key=_ended_at).outcome
    return outcome.answer if isinstance(outcome, Failure) else None


def _has_answer_to_pass_on(outcome: Outcome | None) -> bool:
    if not isinstance(outcome, Failure) or outcome.answer is None:
        return False
    return not 200 <= outcome.answer.status < 300  # RFC 9110 section 15.3


def _ended_at(attempt: Attempt) -> float:
    return attempt.ended_at


def _counted(attempts: int) -> str:
    return "the only attempt" if attempts == 1 else f"all {attempts} attempts"


def _attempt_summary(attempt: Attempt, arrived_at: float) -> dict[str, object]:
    """Describe one attempt; instants are milliseconds since the request arrived."""
    summary: dict[str, object] = {
        "number": attempt.number,
        "launched_at_ms": _milliseconds(attempt.launched_at - arrived_at),
    }
    match attempt.outcome:
        case None:
            summary["outcome"] = "pending"
        case Success():
            summary["outcome"] = FINAL if attempt.outcome.is_final else "success"
        case Failure(reason, detail):
            summary["outcome"] = reason
            if detail:
                summary["detail"] = detail
    if attempt.outcome is not None:
        summary["took_ms"] = _milliseconds(attempt.ended_at - attempt.launched_at)
    return summary


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
