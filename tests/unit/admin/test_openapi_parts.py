"""The parts of the OpenAPI document."""

from jsonschema_rs import Draft202012Validator

from hedgerow.admin.openapi_parts import (
    HEADERS,
    JSON,
    SCHEMAS_BY_HAND,
    answer,
    const_object,
    merge_responses,
    problem_response,
)
from hedgerow.core.outcomes import FailureReason


def test_an_answer_refers_to_headers_that_exist() -> None:
    headers = answer(JSON, headers=("closed",))["headers"]
    assert headers
    for reference in headers.values():
        assert reference["$ref"].rpartition("/")[2] in HEADERS


def test_a_problem_has_its_status_title_and_codes() -> None:
    described = problem_response(503, "overloaded", "draining")
    (content,) = described["content"].values()
    assert content["schema"]["properties"] == {
        "status": {"const": 503},
        "title": {"const": "Service Unavailable"},
        "code": {"enum": ["overloaded", "draining"]},
    }


def test_of_two_answers_a_header_of_one_alone_may_be_absent() -> None:
    both = merge_responses(answer(JSON, headers=("closed",)), answer("text/plain"))
    assert set(both["content"]) == {JSON, "text/plain"}
    alone = set(answer(JSON, headers=("closed",))["headers"]) - set(answer(JSON)["headers"])
    assert alone
    assert {name for name, header in both["headers"].items() if header.get("required") is False} == alone


def test_an_exact_object_has_nothing_else() -> None:
    schema = Draft202012Validator(const_object(live=True))
    assert schema.is_valid({"live": True})
    assert not schema.is_valid({"live": False})
    assert not schema.is_valid({"live": True, "more": 1})


def test_attempts_are_described_with_every_reason() -> None:
    outcomes = SCHEMAS_BY_HAND["Attempt"]["properties"]["outcome"]["enum"]
    assert set(outcomes) == {"pending", "held", *(reason.value for reason in FailureReason)}
