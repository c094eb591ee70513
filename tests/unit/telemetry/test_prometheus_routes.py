"""What is counted by route, as Prometheus reads it."""

from hedgerow.telemetry.prometheus_routes import route_metrics
from hedgerow.telemetry.snapshot import RouteCounts, Snapshot
from support.exposition import nonzero, samples


def of_one_route(counts: RouteCounts) -> Snapshot:
    return Snapshot(routes={"/api/smart": {"default": counts}})


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
        "removed": {"two": RouteCounts()},
    }
    found = samples(Snapshot(routes=routes))
    assert nonzero(found, "hedgerow_requests_total") == {"success a": 1, "success b": 2}
    assert {name: value for name, value in found.items() if name.startswith("hedgerow_hedge_delay")} == {
        "hedgerow_hedge_delay_seconds a": 0.25, "hedgerow_hedge_delay_seconds b": 0.75
    }, "none of a route that no worker serves any more"  # fmt: skip


def test_every_metric_has_the_route_and_those_of_attempts_the_upstream() -> None:
    counts = RouteCounts(attempts={"1": {}})
    labels: dict[str, set[str]] = {}
    for family in route_metrics({"shop": {"b": counts}}):
        for sample in family.samples:
            labels[family.name] = set(sample.labels)
            assert sample.labels["route"] in {"shop", ""}
    assert {name for name, of in labels.items() if "upstream" in of} == {
        "hedgerow_attempts", "hedgerow_attempts_in_flight", "hedgerow_wasted_seconds"
    }  # fmt: skip


def test_requests_that_no_route_has_are_counted_without_one() -> None:
    routes = {
        "": {"": RouteCounts(requests={"not_found": 2}, shed={"connections": 1})},
        "a": {"u": RouteCounts()},
    }
    without = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in route_metrics(routes)
        for sample in family.samples
        if not sample.labels["route"] and sample.value
    }
    assert without == {
        ("hedgerow_requests_total", "", "not_found"): 2,
        ("hedgerow_shed_total", "", "connections"): 1,
    }


def test_attempts_of_a_route_stay_apart_where_a_reload_has_changed_its_upstream() -> None:
    one = RouteCounts(attempts={"1": {"success": 1}}, requests={"success": 1}, wasted_s=0.5)
    found = samples(Snapshot(routes={"a": {"old": one, "new": one}}))
    assert nonzero(found, "hedgerow_attempts_total") == {"1 success a new": 1, "1 success a old": 1}
    assert nonzero(found, "hedgerow_wasted_seconds_total") == {"a new": 0.5, "a old": 0.5}
    assert nonzero(found, "hedgerow_requests_total") == {"success a": 2}
