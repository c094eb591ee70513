"""Counts as Prometheus reads them."""

from collections import defaultdict

from prometheus_client.parser import text_string_to_metric_families

from hedgerow.telemetry.endpoint_counts import EndpointCounts
from hedgerow.telemetry.prometheus import render
from hedgerow.telemetry.snapshot import RouteCounts, Snapshot, add
from support.recorders import a_busy_recorder

UNSHOWN = {"", "/api/smart", "default"}


def samples(snapshot: Snapshot) -> dict[str, float]:
    """Return all samples by name and labels, without the labels of the assignment's route and of no route."""
    found: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(render(snapshot).decode()):
        for sample in family.samples:
            shown = [value for _, value in sorted(sample.labels.items()) if value not in UNSHOWN]
            found[" ".join((sample.name, *shown))] += sample.value
    return dict(found)


def of_one_route(counts: RouteCounts) -> Snapshot:
    return Snapshot(routes={"/api/smart": {"default": counts}})


def nonzero(found: dict[str, float], name: str) -> dict[str, float]:
    named = {
        key.removeprefix(name + " "): value for key, value in found.items() if key.startswith(name + " ")
    }
    return {label: value for label, value in named.items() if value}


def test_counts_reach_prometheus() -> None:
    found = samples(a_busy_recorder().snapshot({"idle": 2, "active": 1}, 7, 1))
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
    assert nonzero(found, "hedgerow_upstream_connections") == {"idle": 2, "active": 1}
    assert found["hedgerow_client_connections"] == 7
    assert found["hedgerow_request_duration_seconds_count success"] == 1
    assert found["hedgerow_request_duration_seconds_sum success"] == 0.5
    assert found["hedgerow_request_duration_seconds_bucket 0.45 success"] == 0
    assert found["hedgerow_request_duration_seconds_bucket 0.5 success"] == 1
    assert found["hedgerow_request_duration_seconds_bucket +Inf success"] == 1


def test_the_reasons_of_rejections_are_there_from_the_start() -> None:
    found = samples(Snapshot())
    assert {key for key in found if key.startswith("hedgerow_shed_total")} == {
        f"hedgerow_shed_total {reason}" for reason in ("in_flight", "rate_limit", "connections")
    }


def test_what_two_workers_count_adds_up() -> None:
    one = a_busy_recorder().snapshot({"idle": 2}, 3, 2)
    both = samples(add(one, one))
    for name, value in samples(one).items():
        assert both[name] == (value if name.startswith("hedgerow_build_info") else 2 * value)


def test_what_holds_hedges_reaches_prometheus() -> None:
    found = samples(
        of_one_route(
            RouteCounts(
                hedges={"held": 3}, attempts_in_flight=9, hedge_limited_workers=1, hedge_limit=4.5,
                first_attempts_judged={"quick": 1, "late": 2}, hedge_limit_halvings={"unanswered": 5},
            )
        )
    )  # fmt: skip
    assert nonzero(found, "hedgerow_hedges_total") == {"held": 3}
    assert found["hedgerow_attempts_in_flight"] == 9
    assert (found["hedgerow_hedge_limited_workers"], found["hedgerow_hedge_limit"]) == (1, 4.5)
    assert nonzero(found, "hedgerow_first_attempts_judged_total") == {"quick": 1, "late": 2}
    assert found["hedgerow_hedge_limit_halvings_total unanswered"] == 5
    assert found["hedgerow_hedge_limit_halvings_total late"] == 0


def test_each_route_has_samples_of_its_own_and_the_hedge_delay_is_the_mean_of_their_workers() -> None:
    routes = {
        "a": {"one": RouteCounts(requests={"success": 1}, hedge_delay_s=0.5, workers=2)},
        "b": {"two": RouteCounts(requests={"success": 2}, hedge_delay_s=0.75, workers=1)},
    }
    found = samples(Snapshot(routes=routes))
    assert nonzero(found, "hedgerow_requests_total") == {"success a": 1, "success b": 2}
    assert nonzero(found, "hedgerow_hedge_delay_seconds") == {"a": 0.25, "b": 0.75}


def test_each_address_has_samples_of_its_own() -> None:
    states = {
        "http://e b:80": EndpointCounts(in_flight=1, failures=2, ejected_workers=3, unreachable_workers=4)
    }
    found = samples(Snapshot(endpoints={"shop": states}))
    assert [
        found[f"hedgerow_endpoint_{name} b:80 http://e shop"]
        for name in ("attempts_in_flight", "consecutive_failures", "ejected_workers", "unreachable_workers")
    ] == [1, 2, 3, 4]
