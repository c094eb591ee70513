"""Counts as Prometheus reads them."""

from hedgerow.settings.routes import MAX_ENDPOINTS_SHOWN
from hedgerow.telemetry.endpoint_counts import EndpointCounts
from hedgerow.telemetry.snapshot import RouteCounts, Snapshot, add
from support.exposition import nonzero, samples
from support.recorders import a_busy_recorder


def test_counts_reach_prometheus() -> None:
    snapshot = a_busy_recorder().snapshot({}, 7, 1)
    snapshot.connections = {"default": {"idle": 2, "active": 1}, "shop": {"idle": 3}}
    found = samples(snapshot)
    assert nonzero(found, "hedgerow_requests_total") == {
        "success": 1, "all_failed": 1, "out_of_time": 1, "abandoned": 1, "overloaded": 3, "not_found": 1
    }  # fmt: skip
    assert found["hedgerow_requests_total internal"] == 0, (
        "there from the start, so that rate() sees the first"
    )
    assert found["hedgerow_attempts_total 1 reset"] == 1
    assert found["hedgerow_attempts_total 2 success"] == 1
    assert found["hedgerow_attempts_total 3 success"] == 1
    assert found["hedgerow_hedges_total fired"] == 2
    assert found["hedgerow_hedges_total won"] == 1
    assert found["hedgerow_hedges_total rescued"] == 1
    assert found["hedgerow_hedges_total suppressed"] == 2, "of the request that failed with one attempt alone"
    assert nonzero(found, "hedgerow_first_attempt_total") == {"all_failed": 1}
    assert found["hedgerow_first_attempt_duration_seconds_bucket 0.25 all_failed"] == 1
    assert found["hedgerow_wasted_seconds_total"] == 0.5
    assert nonzero(found, "hedgerow_shed_total") == {"in_flight": 1, "rate_limit": 1, "connections": 1}
    assert found["hedgerow_client_disconnects_total"] == 1
    assert found["hedgerow_upstream_reused_connection_retries_total"] == 1
    assert nonzero(found, "hedgerow_upstream_connections") == {"idle": 2, "active": 1, "idle shop": 3}
    assert found["hedgerow_client_connections"] == 7
    assert found["hedgerow_request_duration_seconds_count success"] == 1
    assert found["hedgerow_request_duration_seconds_sum success"] == 0.5
    assert found["hedgerow_request_duration_seconds_bucket 0.45 success"] == 0
    assert found["hedgerow_request_duration_seconds_bucket 0.5 success"] == 1
    assert found["hedgerow_request_duration_seconds_bucket +Inf success"] == 1


def test_the_reasons_of_rejections_are_there_from_the_start() -> None:
    found = samples(Snapshot())
    assert {key for key in found if key.startswith("hedgerow_shed_total")} == {
        f"hedgerow_shed_total {reason}" for reason in ("in_flight", "rate_limit", "connections", "bodies")
    }


def test_waits_in_vain_are_there_from_the_start_so_that_a_rate_sees_the_first() -> None:
    found = samples(Snapshot(routes={"/api/smart": {"default": RouteCounts()}}))
    counted = {key: found[key] for key in found if key.startswith("hedgerow_request_duration_seconds_count")}
    assert counted == {
        f"hedgerow_request_duration_seconds_count {outcome}": 0 for outcome in ("out_of_time", "abandoned")
    }


def test_what_two_workers_count_adds_up() -> None:
    one = a_busy_recorder().snapshot({"idle": 2}, 3, 2)
    both = samples(add(one, one))
    for name, value in samples(one).items():
        assert both[name] == (value if name.startswith("hedgerow_build_info") else 2 * value)


def test_each_address_has_samples_of_its_own() -> None:
    states = {
        "http://e b:80": EndpointCounts(in_flight=1, failures=2, ejected_workers=3, unreachable_workers=4)
    }
    found = samples(Snapshot(endpoints={"shop": states}))
    assert [
        found[f"hedgerow_endpoint_{name} b:80 http://e shop"]
        for name in ("attempts_in_flight", "consecutive_failures", "ejected_workers", "unreachable_workers")
    ] == [1, 2, 3, 4]


def test_of_many_addresses_no_samples_are_exposed() -> None:
    """Workers may know different addresses of a name, so that there are more of them than of any worker."""
    names = {f"http://e 192.0.2.{number}:80": EndpointCounts() for number in range(MAX_ENDPOINTS_SHOWN + 1)}
    assert not any(
        name.startswith("hedgerow_endpoint") for name in samples(Snapshot(endpoints={"shop": names}))
    )
