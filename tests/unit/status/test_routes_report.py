"""What the status says of each route and upstream is what was counted of them, and of no other."""

from typing import Any

from hedgerow.settings.routes import HedgeRule, QuantileDelay, RouteRule
from hedgerow.status.health import HealthState, Window
from hedgerow.status.routes_report import hedge_delay_ms, route_statuses, upstream_statuses
from hedgerow.telemetry.endpoint_counts import EndpointCounts
from hedgerow.telemetry.snapshot import Histogram, RouteCounts, Snapshot
from support.histograms import histogram


def rule(name: str, upstream: str = "shop", **hedge: Any) -> RouteRule:
    return RouteRule(name=name, path=f"/{name}", upstream=upstream, hedge=HedgeRule(**hedge))


def counted(success: int, failed: int = 0, took: Histogram | None = None, **more: Any) -> RouteCounts:
    took = took or histogram(*[0.1] * success)
    return RouteCounts(
        requests={"success": success},
        request_duration={"success": took},
        attempts={"1": {"success": success}, "2": {"reset": failed}},
        attempt_duration={"success": took},
        **more,
    )


SEARCH = counted(
    30, 15, hedges={"fired": 15, "won": 4, "rescued": 2, "held": 3}, in_flight=2, attempts_in_flight=5, workers=2,
    hedge_delay_s=0.3, hedge_limit=7.25, hedge_limited_workers=1,
)  # fmt: skip
PRICE = counted(60, took=histogram(*[0.4] * 60))
WINDOW = Window(
    Snapshot(
        routes={
            "search": {"shop": SEARCH},
            "price": {"shop": PRICE, "old": counted(3)},
            "gone": {"shop": counted(9)},
            "": {"": RouteCounts(requests={"not_found": 4})},
        },
        endpoints={"shop": {"http://h/base 192.0.2.1:80": EndpointCounts(3, 5, 1, 0)}},
    ),
    10.0,
)
FOLLOWING = QuantileDelay(quantile=0.95, min_s=0.02, max_s=1.0)


def test_each_route_has_its_own_counts() -> None:
    search, price, idle = route_statuses(
        [
            rule("search", after=FOLLOWING, max_hedges=2, mode="observe", sample=0.01),
            rule("price"),
            rule("idle", "other"),
        ],
        WINDOW,
    )
    assert (search.name, search.upstream, search.requests.total, search.requests.per_s) == (
        "search", "shop", 30, 3.0
    )  # fmt: skip
    attempts = search.attempts
    assert (attempts.total, attempts.success_rate, attempts.per_request) == (45, 0.6667, 1.5)
    assert attempts.failures == {"reset": 15}
    hedging = search.hedging
    assert (hedging.mode, hedging.sample, hedging.max_hedges) == ("observe", 0.01, 2)
    assert (hedging.after_ms, hedging.quantile) == (150, 0.95), "the mean of two workers"
    assert (hedging.fired, hedging.won, hedging.rescued, hedging.held, hedging.limit) == (15, 4, 2, 3, 7.2)
    assert (search.in_flight, search.attempts_in_flight) == (2, 5)
    assert (price.requests.total, price.latency.p50_ms) == (63, 373.7), "of each upstream that it has had"
    assert (price.hedging.after_ms, price.hedging.quantile, price.hedging.limit) == (300, None, None)
    assert (idle.requests.total, idle.latency.p99_ms, idle.verdict.state) == (0, None, HealthState.UNKNOWN)


def test_the_verdict_is_by_the_attempts_of_the_route() -> None:
    window = Window(
        Snapshot(
            routes={
                "a": {"shop": counted(90, 10)},
                "b": {"shop": counted(10, 90, hedges={"fired": 50, "held": 50})},
            }
        ),
        30.0,
    )
    good, bad = route_statuses([rule("a"), rule("b")], window)
    assert (good.verdict.state, bad.verdict.state) == (HealthState.HEALTHY, HealthState.FAILING)
    assert "Hedges are held" in bad.verdict.reason
    assert "Hedges are held" not in good.verdict.reason


def test_the_hedge_delay_is_the_longest_until_a_worker_reports_one() -> None:
    following = rule("a", after=FOLLOWING)
    assert hedge_delay_ms(following, RouteCounts()) == 1_000
    assert hedge_delay_ms(following, RouteCounts(hedge_delay_s=0.5, workers=4)) == 125
    assert hedge_delay_ms(rule("a", after=0.25), RouteCounts(hedge_delay_s=0.5, workers=4)) == 250


def test_an_upstream_has_the_counts_of_all_its_routes() -> None:
    shop, other = upstream_statuses(
        {"shop": "http://h/base", "other": "http://o/"}, [rule("search"), rule("price"), rule("x", "other")], WINDOW
    )  # fmt: skip
    assert (shop.name, shop.url, shop.routes) == ("shop", "http://h/base", ["search", "price"])
    assert (shop.attempts.total, shop.attempts.failures) == (30 + 15 + 60 + 9, {"reset": 15})
    (endpoint,) = shop.endpoints
    assert (endpoint.url, endpoint.address) == ("http://h/base", "192.0.2.1:80")
    assert (endpoint.in_flight, endpoint.failures, endpoint.ejected_workers, endpoint.unreachable_workers) == (
        3, 5, 1, 0
    )  # fmt: skip
    assert (other.attempts.total, other.endpoints, other.routes) == (0, [], ["x"])
