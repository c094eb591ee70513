import msgspec

from hedgerow.settings import Settings, parse_target
from hedgerow.settings.routes import HedgeRule, RouteRule, UpstreamRule
from hedgerow.status.health import HealthState, Workers
from hedgerow.status.history import SERIES_S, WINDOW_S, History
from hedgerow.status.report import About
from hedgerow.status.report_schema import ConfigurationStatus, Status
from hedgerow.telemetry.snapshot import (
    LagHistogram,
    RouteCounts,
    Snapshot,
    add,
    difference,
)
from support.histograms import histogram

ABOUT = About.of(Settings(), ConfigurationStatus())
UTC_OFFSET_S = 1_700_000_000.0 - 100.0
WORKERS = Workers(wanted=1, ready=1)


def one_second() -> Snapshot:
    """Ten requests: first attempts 6 good, 2 failed, 1 late, 1 unknown; hedges won three of those."""
    return Snapshot(
        requests={"success": 9, "out_of_time": 1, "bad_timeout": 2},
        request_duration={"success": histogram(*[0.2] * 6, *[0.45] * 3), "out_of_time": histogram(0.8)},
        in_flight=4,
        attempts={"1": {"success": 7, "status_5xx": 2, "timeout": 1}, "2": {"success": 4}, "3": {"reset": 4}},
        attempt_duration={"success": histogram(*[0.2] * 6, *[0.12] * 4, 0.9)},
        first_attempt_duration={
            "success": histogram(*[0.2] * 6),
            "all_failed": histogram(0.1, 0.1),
            "out_of_time": histogram(0.9),
            "unknown": histogram(1.4),
        },
        hedges={"fired": 8, "won": 3, "rescued": 2, "suppressed": 0},
        wasted_s=1.5,
        overshoot=LagHistogram(counts=[9, 1, *[0] * 11]),
        lag=LagHistogram(counts=[0, 50, *[0] * 11]),
        max_in_flight=64,
    )


def after(seconds: int) -> Status:
    history = History(ABOUT)
    total = Snapshot()
    history.sample(total, 100.0)
    for second in range(1, seconds + 1):
        total = add(total.without_gauges(), one_second())
        history.sample(total, 100.0 + second)
    return history.status(WORKERS, [], total, now=100.0 + seconds, utc_offset_s=UTC_OFFSET_S)


def test_what_is_reported_is_what_was_counted() -> None:
    status = after(3)
    assert status.window_s == 3.0
    assert status.verdict.state is HealthState.DEGRADED
    assert status.gateway.state is HealthState.HEALTHY
    assert (status.requests.total, status.requests.per_s, status.requests.success_rate) == (36, 12.0, 0.9)
    assert status.requests.by_outcome == {"success": 27, "out_of_time": 3, "bad_timeout": 6}
    assert (status.attempts.total, status.attempts.success_rate, status.attempts.per_request) == (
        54,
        0.6471,
        1.8,
    )
    assert status.attempts.cut_off == 3
    assert status.attempts.failures == {"reset": 12, "status_5xx": 6, "timeout": 3}
    got, would = status.hedging.with_hedging, status.hedging.without_hedging
    assert (got.requests, got.success_rate, got.success_rate_at_most) == (30, 0.9, 0.9)
    assert (would.requests, would.success_rate, would.success_rate_at_most) == (30, 0.6, 0.7)
    assert would.success_by[status.hedging.le_ms.index(200.0)] == 0.6
    assert got.success_by[status.hedging.le_ms.index(400.0)] == 0.6
    assert got.success_by[status.hedging.le_ms.index(500.0)] == got.success_by[-1] == 0.9
    assert status.hedging.unknown == 3
    hedging = status.hedging
    assert (hedging.fired, hedging.won, hedging.rescued, hedging.wasted, hedging.wasted_s) == (
        24,
        9,
        6,
        15,
        4.5,
    )
    assert (status.load.in_flight, status.load.in_flight_limit, status.load.answers, status.load.late) == (
        4,
        64,
        30,
        3,
    )
    assert status.load.loop_iteration_p99_ms == 1.0
    assert status.series.requests_per_s == [12.0] * 3
    assert status.series.attempt_success_rate == [0.6471] * 3
    assert status.series.at == [1_700_000_001, 1_700_000_002, 1_700_000_003]


def test_the_window_and_the_series_are_bounded() -> None:
    status = after(int(SERIES_S) + 5)
    assert (status.window_s, status.requests.total) == (WINDOW_S, WINDOW_S * 12)
    assert len(status.series.at) == int(SERIES_S)


def test_before_anything_was_counted_there_is_nothing_to_report() -> None:
    status = History(ABOUT).status(WORKERS, [], Snapshot(), now=1.0, utc_offset_s=0.0)
    assert status.verdict.state is HealthState.STARTING
    assert status.requests.success_rate is None
    assert status.hedging.without_hedging.p50_ms is None
    assert msgspec.json.decode(msgspec.json.encode(status), type=Status) == status


def test_differences_are_of_counters_and_not_of_gauges() -> None:
    earlier, later = one_second(), add(one_second(), one_second())
    counted = difference(earlier, later)
    assert counted.without_gauges() == one_second().without_gauges()
    assert counted.in_flight == 8


# -- by route


FILE = Settings(
    routes=(
        RouteRule(name="search", path="/s", upstream="shop", hedge=HedgeRule(after=0.1, hold="off")),
        RouteRule(name="price", path="/p", upstream="pool", hedge=HedgeRule(mode="off")),
    ),
    upstreams=(
        UpstreamRule(
            name="shop", endpoints=(parse_target("https://h/base?key=secret"), parse_target("http://i/"))
        ),
        UpstreamRule(name="pool", endpoints=(parse_target("http://j/"),)),
    ),
)
SEARCH = RouteCounts(
    requests={"success": 90, "overloaded": 10}, request_duration={"success": histogram(*[0.2] * 90)},
    attempts={"1": {"success": 90}}, hedges={"fired": 7}, in_flight=2, shed={"rate_limit": 10},
)  # fmt: skip
PRICE = RouteCounts(requests={"all_failed": 60}, attempts={"1": {"reset": 60}}, in_flight=1)
UNROUTED = RouteCounts(requests={"not_found": 5})
COUNTS = Snapshot.of(
    add(add(SEARCH, PRICE), UNROUTED),
    routes={"search": {"shop": SEARCH}, "price": {"pool": PRICE}, "": {"": UNROUTED}},
    internal_errors=1,
)


def of(route: str | None, settings: Settings = FILE) -> Status:
    history = History(About.of(settings, ConfigurationStatus()))
    history.sample(Snapshot(), 100.0)
    history.sample(COUNTS, 101.0)
    history.sample(COUNTS, 102.0)
    return history.status(WORKERS, [], COUNTS, now=102.0, utc_offset_s=0.0, route=route)


def test_all_routes_are_reported_together_and_each_beside() -> None:
    status = of(None)
    assert (status.route, status.requests.total, status.requests.success_rate) == (None, 165, 0.6)
    assert status.upstream == "https://h/base?key=***, http://i/, http://j/"
    assert status.hedge_after_ms is None, "there are several"
    assert (status.hedges_wanted, status.hold.mode) == (1, "off")
    assert [(route.name, route.requests.total) for route in status.routes] == [("search", 100), ("price", 60)]
    assert [(upstream.name, upstream.attempts.total) for upstream in status.upstreams] == [
        ("shop", 90), ("pool", 60)
    ]  # fmt: skip
    assert status.unrouted == {"not_found": 5}
    assert status.series.requests_per_s == [165.0, 0.0]


def test_one_route_is_reported_as_if_there_were_no_other_but_for_what_all_share() -> None:
    search, price = of("search"), of("price")
    assert (search.route, search.requests.total, search.attempts.success_rate) == ("search", 100, 1.0)
    assert (search.upstream, search.hedge_after_ms, search.hold.mode) == (
        "https://h/base?key=***, http://i/", 100, "off"
    )  # fmt: skip
    assert (search.verdict.state, price.verdict.state) == (HealthState.HEALTHY, HealthState.FAILING)
    assert (search.hedging.fired, price.hedging.fired) == (7, 0)
    assert (price.hedges_wanted, price.hedge_after_ms, price.hold.mode) == (0, 300, "auto")
    assert search.series.requests_per_s == [100.0, 0.0]
    assert search.series.in_flight == [2, 2]
    assert price.series.request_success_rate == [0.0, None]
    for status in (search, price):
        both = of(None)
        assert (status.load, status.gateway, status.workers) == (both.load, both.gateway, both.workers)
        assert (status.routes, status.upstreams, status.unrouted) == (
            both.routes, both.upstreams, both.unrouted
        )  # fmt: skip
    assert search.load.shed == {"rate_limit": 10}
    assert "1 internal error" in search.gateway.reason


def test_the_default_route_is_one_like_any_other() -> None:
    settings = Settings(upstream="http://u/", hedge_after_ms=250, hedges=1)
    status = History(About.of(settings, ConfigurationStatus())).status(
        WORKERS, [], Snapshot(), now=1.0, utc_offset_s=0.0
    )
    ((route,), (upstream,)) = status.routes, status.upstreams
    assert (route.name, route.upstream, route.hedging.after_ms, route.hedging.max_hedges) == (
        "/api/smart", "default", 250, 1
    )  # fmt: skip
    assert (upstream.name, upstream.url, status.upstream, status.hedge_after_ms) == (
        "default", "http://u/", "http://u/", 250
    )  # fmt: skip
