"""The schema of `/status.json`: what operators' scripts read."""

import msgspec

from hedgerow.status.report_schema import LoadStatus, SeriesStatus, WorkersStatus


def test_the_load_names_overload_in_the_words_of_the_metrics() -> None:
    names = {field.name for field in msgspec.structs.fields(LoadStatus)}
    assert {"rate_limited_workers", "admission_rate_limit", "overloaded_workers"} <= names
    assert {"loop_iteration_p50_ms", "loop_iteration_p99_ms"} <= names


def test_workers_that_do_not_report_are_unresponsive() -> None:
    encoded = msgspec.json.encode(WorkersStatus(wanted=2, ready=2, unresponsive=1))
    assert msgspec.json.decode(encoded) == {"wanted": 2, "ready": 2, "unresponsive": 1}


def test_a_series_without_samples_is_empty_lists() -> None:
    columns = msgspec.json.decode(msgspec.json.encode(SeriesStatus()))
    assert columns
    assert set(map(str, columns.values())) == {"[]"}
