import json
import sys
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.core.outcomes import Failure, FailureReason, Success
from hedgerow.core.response_validation import classify_response


@pytest.mark.parametrize(
    "body",
    [
        b'{"time":160}', b'{"time":0}', b'{"time":0.5}', b' {"time" : 1e2}\r\n', b'{"x":null,"time":1,"y":{"z":[]}}',
        b'{"t\\u0069me":7}', '{"time":1,"x":"é"}'.encode(), b'{"time":' + b"9" * 300 + b"}",
    ],
)  # fmt: skip
def test_a_success_is_passed_on_unchanged(body: bytes) -> None:
    assert classify_response(200, body) == Success(body)


@pytest.mark.parametrize(
    ("reason", "body"),
    [
        (FailureReason.BAD_PAYLOAD, b'{"time":true}'),
        (FailureReason.BAD_PAYLOAD, b'{"time":"160"}'),
        (FailureReason.BAD_PAYLOAD, b'{"time":null}'),
        (FailureReason.BAD_PAYLOAD, b'{"time":-1}'),
        (FailureReason.BAD_PAYLOAD, b'{"time":-0.001}'),
        (FailureReason.BAD_PAYLOAD, b"{}"),
        (FailureReason.BAD_PAYLOAD, b'{"Time":1}'),
        (FailureReason.BAD_PAYLOAD, b'[{"time":1}]'),
        (FailureReason.BAD_PAYLOAD, b"160"),
        (FailureReason.BAD_JSON, b'{"time":NaN}'),
        (FailureReason.BAD_JSON, b'{"time":Infinity}'),
        (FailureReason.BAD_JSON, b'{"time":1,"x":"\xff"}'),
        (FailureReason.BAD_JSON, b'\xef\xbb\xbf{"time":1}'),
        (FailureReason.BAD_JSON, b'{"time":1}{"time":1}'),
        (FailureReason.BAD_JSON, b'{"time":"x",'),
        (FailureReason.BAD_JSON, b"<html>"),
        (FailureReason.BAD_JSON, b""),
        (FailureReason.BAD_JSON, b'{"time":1,"x":' + b"[" * 60_000),
        (FailureReason.BAD_JSON, b'{"time":"x","y":' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
    ],
)
def test_a_body_that_is_not_a_success(reason: FailureReason, body: bytes) -> None:
    outcome = classify_response(200, body)
    assert isinstance(outcome, Failure)
    assert outcome.reason is reason


# -- C8: `time` rounds to a finite double, however it is written; other numbers are not looked at

TOO_LARGE = [
    b"1e999", b"1E400", b"-1e999", b"1.0e+309", b"1e99999999999999999999", b"9" * 309, b"9" * 400, b"-" + b"9" * 400,
    b"9" * 4_299, b"9" * 4_301, b"9" * 20_000, b"9" * 400 + b".5", b"17976931348623159" + b"0" * 292,
]  # fmt: skip
"""Numbers that no double holds. CPython converts at most 4 300 digits."""


def shortened(number: bytes) -> str:
    return f"{number[:12].decode()} ({len(number)})"


def reason_of(body: bytes) -> FailureReason | None:
    outcome = classify_response(200, body)
    return outcome.reason if isinstance(outcome, Failure) else None


@pytest.mark.parametrize("number", TOO_LARGE, ids=shortened)
@pytest.mark.parametrize(
    "body",
    [
        b'{"time":%b}', b'{"x":1,"time":%b,"y":2}', b'{"time":[%b]}', b'{"time":{"time":%b}}', b'{"time":[[1,%b],2]}',
        b'{"time":"x","y":%b}', b'{"time":null,"y":[{"z":%b}]}', b'{"y":%b}', b"[%b]", b"%b", b'[{"time":%b}]',
    ],
)  # fmt: skip
def test_c8_a_number_out_of_range_is_json_and_no_payload(body: bytes, number: bytes) -> None:
    assert reason_of(body % number) is FailureReason.BAD_PAYLOAD


@pytest.mark.parametrize("number", TOO_LARGE, ids=shortened)
@pytest.mark.parametrize(
    "body", [b'{"time":1,"x":%b}', b'{"x":[%b],"time":1}', b'{"time":1,"x":{"time":[%b]}}']
)
def test_c8_numbers_elsewhere_may_have_any_size(body: bytes, number: bytes) -> None:
    assert classify_response(200, body % number) == Success(body % number)


@pytest.mark.parametrize("number", TOO_LARGE, ids=shortened)
@pytest.mark.parametrize(
    "body",
    [
        b'{"time":%b', b'{"time":%b,}', b'{"time":%b}x', b'{"time":0%b}', b'{"time":%be}', b'{"time":[%b}',
        b'{"time":"x","y":%b',
    ],
)  # fmt: skip
def test_c8_what_is_not_json_stays_bad_json(body: bytes, number: bytes) -> None:
    body = body.replace(b"0%b", b"0" + number.lstrip(b"-")) if b"0%b" in body else body % number
    assert reason_of(body) is FailureReason.BAD_JSON


@pytest.mark.parametrize(
    "number",
    [
        b"1e308", b"9" * 308, b"%d" % int(sys.float_info.max), b"%d" % (int(sys.float_info.max) + 2**969),
        b"1.7976931348623157e308", b"1e-999", b"0e999", b"-0", b"9" * 400 + b"e-399", b"0." + b"9" * 5_000,
        b"1" + b"0" * 400 + b"e-400",
    ],
    ids=shortened,
)  # fmt: skip
def test_c8_what_rounds_to_a_finite_double_is_a_success(number: bytes) -> None:
    body = b'{"time":%b}' % number
    assert classify_response(200, body) == Success(body)


@pytest.mark.exhaustive
@given(st.from_regex(r"\A-?(0|[1-9][0-9]{0,400})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?\Z"))
def test_c8_python_finds_the_same_range(number: str) -> None:
    body = b'{"time":%b}' % number.encode()
    want = None if 0 <= float(number) < inf else FailureReason.BAD_PAYLOAD
    assert reason_of(body) is want


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (429, FailureReason.STATUS_429), (500, FailureReason.STATUS_5XX), (503, FailureReason.STATUS_5XX),
        (599, FailureReason.STATUS_5XX),
        (201, FailureReason.STATUS_OTHER), (204, FailureReason.STATUS_OTHER), (302, FailureReason.STATUS_OTHER),
        (404, FailureReason.STATUS_OTHER),
        (600, FailureReason.STATUS_OTHER), (999, FailureReason.STATUS_OTHER),
    ],
)  # fmt: skip
def test_m11_only_200_can_succeed(status: int, reason: FailureReason) -> None:
    outcome = classify_response(status, b'{"time":160}')
    assert isinstance(outcome, Failure)
    assert outcome.reason is reason


@given(st.binary(max_size=80))
def test_no_bytes_raise_and_json_agrees(body: bytes) -> None:
    """Python's own json is the second implementation."""
    outcome = classify_response(200, body)
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):
        assert isinstance(outcome, Failure)
    else:
        good = (
            isinstance(value, dict)
            and type(value.get("time")) in (int, float)
            and 0 <= value["time"] < float("inf")
        )
        assert isinstance(outcome, Success) is good


@given(
    st.dictionaries(
        st.text(max_size=4) | st.just("time"),
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
        max_size=4,
    )
)
def test_objects_are_classified_as_json_parses_them(value: dict[str, object]) -> None:
    time = value.get("time")
    finite = all(
        item == item and abs(item) != float("inf") for item in value.values() if isinstance(item, float)
    )
    good = finite and type(time) in (int, float) and time >= 0  # type: ignore[operator]
    assert (
        isinstance(classify_response(200, json.dumps(value).encode("utf-8", "surrogatepass")), Success)
        is good
    )


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (503, b"", Failure(FailureReason.STATUS_5XX, "status 503")),
        (429, b"", Failure(FailureReason.STATUS_429, "status 429")),
        (204, b'{"time":1}', Failure(FailureReason.STATUS_OTHER, "status 204")),
        (600, b"", Failure(FailureReason.STATUS_OTHER, "status 600")),
        (200, b'{"time":-1}', Failure(FailureReason.BAD_PAYLOAD, "time is negative")),
        (200, b"{}", Failure(FailureReason.BAD_PAYLOAD, "Object missing required field `time`")),
        (200, b"", Failure(FailureReason.BAD_JSON, "Input data was truncated")),
        (200, b'{"time":"x",', Failure(FailureReason.BAD_JSON, "Input data was truncated")),
    ],
)
def test_the_detail_of_a_failure(status: int, body: bytes, failure: Failure) -> None:
    assert classify_response(status, body) == failure
