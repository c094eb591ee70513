import pytest

from hedgerow.core.answer_rules import AnswerRules
from hedgerow.core.header_fields import HeaderSection
from hedgerow.core.outcomes import Answer, Failure, FailureReason, Outcome, Success
from hedgerow.settings.routes import FINAL_STATUS as FINAL
from hedgerow.settings.routes import SUCCESS_STATUS as OK


def kind(outcome: Outcome) -> str:
    return outcome.reason if isinstance(outcome, Failure) else "final" if outcome.is_final else "success"


def classify(
    rules: AnswerRules, status: int, body: bytes = b"", section: bytes = b"", *, is_head: bool = False
) -> str:
    return kind(rules.classify(status, HeaderSection(b"\r\n" + section), body, is_head=is_head))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, "success"), (204, "success"), (299, "success"), (302, "final"), (304, "final"), (400, "final"),
        (404, "final"), (407, "final"), (408, "status_other"), (428, "final"), (429, "status_429"), (500, "status_5xx"),
        (599, "status_5xx"), (999, "status_other"),
    ],
)  # fmt: skip
def test_r04_r05_the_status_decides(status: int, expected: str) -> None:
    assert classify(AnswerRules(OK, FINAL), status) == expected


def test_r04_success_comes_before_final() -> None:
    assert classify(AnswerRules(((200, 404),), FINAL), 404) == "success"


@pytest.mark.parametrize(
    ("json", "body", "expected"),
    [
        ("any", b"[1]", "success"), ("any", b"", "bad_json"), ("any", b"{", "bad_json"), ("any", b'"\xff"', "bad_json"),
        ("any", b"[" * 100_000, "bad_json"),
        ("object", b" \r\n\t{}", "success"), ("object", b"[]", "bad_payload"), ("object", b"x", "bad_json"),
        ("time", b'{"time":1}', "success"), ("time", b'{"time":"1"}', "bad_payload"), ("time", b"", "bad_json"),
        ("", b"\xff", "success"),
    ],
)  # fmt: skip
def test_r04_the_whole_body_is_judged(json: str, body: bytes, expected: str) -> None:
    assert classify(AnswerRules(OK, FINAL, json=json), 200, body) == expected
    assert classify(AnswerRules(OK, FINAL, json=json), 401, body) == "final"


def test_r04_a_schema_judges_bodies_that_are_json() -> None:
    rules = AnswerRules(
        OK, json="any", schema_problem=lambda body: Failure(FailureReason.SCHEMA) if body == b"1" else None
    )
    assert classify(rules, 200, b"1") == "schema"
    assert classify(rules, 200, b"2") == "success"
    assert classify(rules, 200, b"{") == "bad_json"


def test_r04_a_coded_body_cannot_be_judged_and_one_of_head_is_not_there() -> None:
    rules = AnswerRules(OK, json="any")
    assert classify(rules, 200, b"{}", b"Content-Encoding: gzip\r\n") == "bad_json"
    assert classify(rules, 200, b"{}", b"Content-Encoding: Identity\r\n") == "success"
    assert classify(rules, 200, b"", is_head=True) == "success"


def test_r03_the_answer_passes_with_its_end_to_end_headers() -> None:
    outcome = AnswerRules(OK).classify(
        201, HeaderSection(b"\r\nETag: x\r\nConnection: close\r\n"), b"body", is_head=False
    )
    assert isinstance(outcome, Success)
    assert isinstance(outcome.answer, Answer)
    assert (outcome.answer.status, outcome.answer.headers, outcome.answer.body) == (
        201,
        b"ETag: x\r\n",
        b"body",
    )


@pytest.mark.parametrize(
    ("status", "is_head", "passes"),
    [(200, True, True), (200, False, False), (304, False, True), (204, True, False)],
)
def test_r03_the_length_of_a_body_that_is_not_there_passes_but_a_204_has_none(
    status: int, is_head: bool, passes: bool
) -> None:
    """RFC 9110 section 8.6; without it the writer adds that of the body."""
    section = HeaderSection(b"\r\nContent-Length: 5\r\nETag: x\r\n")
    outcome = AnswerRules(((200, 399),)).classify(status, section, b"", is_head=is_head)
    assert isinstance(outcome, Success)
    assert isinstance(outcome.answer, Answer)
    assert outcome.answer.headers == b"ETag: x\r\n" + b"Content-Length: 5\r\n" * passes


def test_r06_a_failure_keeps_its_answer_only_where_it_may_pass() -> None:
    for keeps in (False, True):
        rules = AnswerRules(OK, json="any", keeps_failures=keeps)
        for status, body in ((500, b"x"), (200, b"{")):
            outcome = rules.classify(status, HeaderSection(b"\r\nA: b\r\n"), body, is_head=False)
            assert isinstance(outcome, Failure)
            assert (outcome.answer is not None) == keeps
