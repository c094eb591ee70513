import json
from math import inf

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from hedgerow.core.outcomes import AllFailed, Attempt, Failure, FailureReason, OutOfTime, Success, Won
from hedgerow.settings import AccessLog, LogFormat
from hedgerow.telemetry.exposition import exposition
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.observations import Observations
from hedgerow.telemetry.recorder import Recorder
from hedgerow.telemetry.snapshot import BUCKETS_S, Snapshot, add


def ended(
    number: int, outcome: Success | Failure, *, took_s: float = 0.25, deadline_at: float = inf
) -> Attempt:
    attempt = Attempt(number, 10.0, lambda: None, b"x", deadline_at)
    attempt.end(outcome, 10.0 + took_s)
    return attempt


def a_busy_recorder(access_log: AccessLog = AccessLog.OFF, logs: Logs | None = None) -> Recorder:
    recorder = Recorder((logs or Logs(LogFormat.JSON, "info")).log, access_log)
    failed, won, late = (
        ended(1, Failure(FailureReason.RESET)),
        ended(2, Success(b"{}")),
        Attempt(3, 10.0, lambda: None),
    )
    for attempt in (failed, won):
        recorder.attempt_ended(attempt, lost=False)
    recorder.request_began()
    recorder.request_ended(b"a", "success", 10.0, 10.5, Won(won, b"{}", (failed, won, late)))
    late.end(Success(b"{}"), 10.5)
    recorder.attempt_ended(late, lost=True)
    recorder.request_began()
    recorder.request_ended(b"b", "all_failed", 10.0, 10.25, AllFailed((failed,)))
    recorder.request_began()
    pending = tuple(Attempt(number, 10.0, lambda: None) for number in (1, 2, 3))
    recorder.request_ended(b"c", "out_of_time", 10.0, 10.75, OutOfTime(pending))
    recorder.request_began()
    recorder.request_abandoned(b"d", 10.0, 10.1)
    recorder.request_began()
    recorder.request_rejected("overloaded", "in_flight")
    recorder.request_rejected("not_found", "not_found")
    recorder.reused_connection_died()
    return recorder


def samples(snapshot: Snapshot) -> dict[str, float]:
    text = exposition(snapshot).decode()
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def nonzero(told: dict[str, float], name: str) -> dict[str, float]:
    named = {key.removeprefix(name + " "): value for key, value in told.items() if key.startswith(name + " ")}
    return {label: value for label, value in named.items() if value}


@pytest.mark.parametrize(
    ("outcome", "took_s", "lost", "fate"),
    [
        (Success(b"{}"), 0.5, False, "success"),
        (Success(b"{}"), 0.75, False, "success"),
        (Failure(FailureReason.RESET), 0.5, False, "all_failed"),
        (Success(b"{}"), 0.5, True, "success"),
        (Success(b"{}"), 0.75, True, "out_of_time"),
        (Failure(FailureReason.STATUS_5XX), 0.5, True, "all_failed"),
        (Failure(FailureReason.STATUS_5XX), 0.75, True, "out_of_time"),
        (Failure(FailureReason.TIMEOUT), 0.5, True, "unknown"),
        (Failure(FailureReason.TIMEOUT), 0.75, True, "out_of_time"),
    ],
)
def test_what_a_caller_would_have_got_without_hedging(
    outcome: Success | Failure, took_s: float, lost: bool, fate: str
) -> None:
    """The deadline is 0.625 s after the launch; a success that the race saw was in time, whatever the clock said."""
    recorder = Recorder(Logs(LogFormat.JSON, "info").log, AccessLog.OFF)
    recorder.attempt_ended(ended(1, outcome, took_s=took_s, deadline_at=10.625), lost=lost)
    recorder.attempt_ended(ended(2, outcome, took_s=took_s, deadline_at=10.625), lost=lost)
    durations = recorder.snapshot({}, 0).first_attempt_duration
    assert {name: (histogram.count, histogram.sum_s) for name, histogram in durations.items()} == {
        fate: (1, took_s)
    }


def test_counts_reach_the_exposition_and_conserve() -> None:
    told = samples(a_busy_recorder().snapshot({"idle": 2, "busy": 1}, 7))
    assert nonzero(told, "hedgerow_requests_total") == {
        "success": 1, "all_failed": 1, "out_of_time": 1, "abandoned": 1, "overloaded": 1, "not_found": 1
    }  # fmt: skip
    assert told["hedgerow_requests_total internal"] == 0, "told from the start, so that rate() sees the first"
    assert told["hedgerow_requests_in_flight"] == 1
    assert told["hedgerow_attempts_total 1 reset"] == 1
    assert told["hedgerow_attempts_total 2 success"] == 1
    assert told["hedgerow_attempts_total 3 success"] == 1
    assert told["hedgerow_hedges_total fired"] == 2
    assert told["hedgerow_hedges_total won"] == 1
    assert told["hedgerow_hedges_total rescued"] == 1
    assert told["hedgerow_hedges_total suppressed"] == 2, "of the request that failed with one attempt alone"
    assert nonzero(told, "hedgerow_first_attempt_total") == {"all_failed": 1}
    assert told["hedgerow_first_attempt_duration_seconds_bucket 0.25 all_failed"] == 1
    assert told["hedgerow_wasted_seconds_total"] == 0.5
    assert told["hedgerow_shed_total in_flight"] == 1
    assert told["hedgerow_client_disconnects_total"] == 1
    assert told["hedgerow_upstream_reused_connection_retries_total"] == 1
    assert told["hedgerow_upstream_connections idle"] == 2
    assert told["hedgerow_client_connections"] == 7
    assert told["hedgerow_request_duration_seconds_count success"] == 1
    assert told["hedgerow_request_duration_seconds_sum success"] == 0.5
    assert told["hedgerow_request_duration_seconds_bucket 0.4 success"] == 0
    assert told["hedgerow_request_duration_seconds_bucket 0.5 success"] == 1
    assert told["hedgerow_request_duration_seconds_bucket +Inf success"] == 1


@given(st.lists(st.floats(min_value=0, max_value=100), max_size=50))
def test_a_histogram_counts_each_observation_in_the_first_bucket_that_holds_it(values: list[float]) -> None:
    histogram = Observations(BUCKETS_S)
    for value in values:
        histogram.observe(value)
    for index, bound in enumerate(BUCKETS_S):
        assert sum(histogram.counts[: index + 1]) == sum(value <= bound for value in values)
    assert sum(histogram.counts) == len(values)


def test_snapshots_add_up_and_travel_as_json() -> None:
    one = a_busy_recorder().snapshot({"idle": 2}, 3)
    travelled = msgspec.json.decode(msgspec.json.encode(one), type=Snapshot)
    assert travelled == one
    assert add(one, Snapshot()) == one
    assert add(Snapshot(), one) == one
    both = samples(add(one, travelled))
    for name, value in samples(one).items():
        assert both[name] == (value if name.startswith("hedgerow_build_info") else 2 * value)


def test_a_worker_that_has_ended_leaves_its_counters_but_no_gauge() -> None:
    left = a_busy_recorder().snapshot({"idle": 2}, 3).without_gauges()
    assert left.requests["success"] == 1
    assert left.first_attempt_duration["all_failed"].count == 1
    assert left.in_flight == left.client_connections == 0
    assert left.upstream_connections == {}


@pytest.mark.parametrize(
    ("access_log", "ids"),
    [(AccessLog.OFF, []), (AccessLog.ERRORS, ["b", "c"]), (AccessLog.ALL, ["a", "b", "c", None, None])],
)
def test_the_access_log_has_the_requests_that_were_asked_for(
    capfd: pytest.CaptureFixture[str], access_log: AccessLog, ids: list[str | None]
) -> None:
    logs = Logs(LogFormat.JSON, "info")
    a_busy_recorder(access_log, logs)
    logs.flush(30)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line.get("request_id") for line in lines] == ids
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)


def test_a_bug_is_logged_with_its_stack_on_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    logs = Logs(LogFormat.JSON, "error")
    recorder = Recorder(logs.log, AccessLog.OFF)
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        recorder.bug(b"x")
    logs.flush(30)
    (line,) = capfd.readouterr().err.splitlines()
    assert "ZeroDivisionError" in json.loads(line)["exception"]
    assert recorder.snapshot({}, 0).bugs == 1
