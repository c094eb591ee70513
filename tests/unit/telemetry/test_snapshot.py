"""Counts of workers: they travel as JSON and add up."""

import msgspec

from hedgerow.telemetry.snapshot import RouteCounts, Snapshot, add, difference
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


def by_route() -> Snapshot:
    return Snapshot(
        requests={"success": 3},
        routes={
            "a": {
                "old": RouteCounts(requests={"success": 1}),
                "new": RouteCounts(requests={"success": 1}, in_flight=4),
            },
            "b": {"new": RouteCounts(requests={"success": 1})},
        },
    )


def test_one_route_is_shown_as_if_there_were_no_other() -> None:
    of_a = by_route().of_route("a")
    assert (of_a.requests, of_a.in_flight, of_a.routes) == ({"success": 2}, 4, {})
    assert by_route().of_route("none").requests == {}


def test_routes_that_are_forgotten_stay_in_the_totals() -> None:
    counts = by_route()
    counts.drop_routes_but({"b", "c"})
    assert list(counts.routes) == ["b"]
    assert counts.requests == {"success": 3}


def test_a_difference_is_one_of_routes_too_and_has_the_later_gauges() -> None:
    earlier, later = by_route(), add(by_route(), by_route())
    earlier.routes["a"]["new"].in_flight = 9
    between = difference(earlier, later)
    assert between.routes["a"]["new"].requests == {"success": 1}
    assert between.routes["a"]["new"].in_flight == 8


def test_a_worker_that_has_ended_leaves_its_routes_counters_but_no_gauge() -> None:
    left = by_route().without_gauges().routes["a"]["new"]
    assert (left.requests, left.in_flight) == ({"success": 1}, 0)
