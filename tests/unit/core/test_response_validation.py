import json

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
def test_a_success_comes_as_it_came(body: bytes) -> None:
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
def test_what_is_no_success(reason: FailureReason, body: bytes) -> None:
    outcome = classify_response(200, body)
    assert isinstance(outcome, Failure)
    assert outcome.reason is reason


def test_a_number_beyond_all_floats_is_not_finite() -> None:
    assert isinstance(classify_response(200, b'{"time":1e999}'), Failure)


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
def test_no_bytes_raise_and_json_says_the_same(body: bytes) -> None:
    """Python's own json is the second opinion."""
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
def test_objects_are_judged_as_json_reads_them(value: dict[str, object]) -> None:
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
def test_the_detail_tells_what_was_wrong(status: int, body: bytes, failure: Failure) -> None:
    assert classify_response(status, body) == failure
