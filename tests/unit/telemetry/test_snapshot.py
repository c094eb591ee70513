"""Counts of workers: they travel as JSON and add up."""

import msgspec

from hedgerow.telemetry.snapshot import Snapshot, add
from support.recorders import a_busy_recorder


def test_snapshots_travel_as_json() -> None:
    one = a_busy_recorder().snapshot({"idle": 2}, 3, 1)
    assert msgspec.json.decode(msgspec.json.encode(one), type=Snapshot) == one


def test_nothing_adds_nothing() -> None:
    one = a_busy_recorder().snapshot({"idle": 2}, 3, 1)
    assert add(one, Snapshot()) == one
    assert add(Snapshot(), one) == one


def test_a_worker_that_has_ended_leaves_its_counters_but_no_gauge() -> None:
    left = a_busy_recorder().snapshot({"idle": 2}, 3, 1).without_gauges()
    assert left.requests["success"] == 1
    assert left.first_attempt_duration["all_failed"].count == 1
    assert left.in_flight == left.client_connections == 0
    assert left.upstream_connections == {}
