from typing import Any

import pytest

from hedgerow.core import hedge_limit
from hedgerow.core.header_fields import HeaderSection
from hedgerow.core.outcomes import Attempt, AttemptHandle, AttemptSender, Failure, FailureReason
from hedgerow.core.route import RouteTable
from hedgerow.routing import make_route, make_route_table
from hedgerow.settings import Settings, parse_target
from hedgerow.settings.effective_routing import effective_routing
from hedgerow.settings.routes import (
    HedgeBudget,
    HedgeRule,
    QuantileDelay,
    RouteRule,
    SuccessRule,
    TimeoutRule,
)
from hedgerow.telemetry.following_delay import FollowingDelay
from support.routes import head_of


class Upstream(AttemptSender):
    def send(self, attempt: Attempt) -> AttemptHandle:
        raise NotImplementedError


UPSTREAM = Upstream()


def rule(**more: Any) -> RouteRule:
    return RouteRule(**{"name": "r", "path": "/a", "upstream": "u", **more})


def table_of(*rules: RouteRule) -> RouteTable:
    return make_route_table(rules, {"u": UPSTREAM})


def test_the_default_route_passes_nothing_on_and_keeps_no_headers() -> None:
    routing = effective_routing(Settings(), parse_target("http://127.0.0.1:1/work"))
    routes = make_route_table(routing.routes, {"default": UPSTREAM})
    (route,) = routes.routes
    assert not routes.passes_headers
    assert (route.rules, route.forwarding, route.accepts_bodies) == (None, None, False)
    assert (route.plan.hedge_after_s, route.plan.hedges) == (0.3, 2)
    assert (route.default_timeout_ms, route.max_timeout_ms, route.timeout_prefix) == (
        10_000,
        60_000,
        b"timeout=",
    )
    assert routes.unmatched_detail == "the only path here is /api/smart"


def test_a_route_that_passes_on_has_the_headers_of_requests() -> None:
    assert table_of(rule()).passes_headers


@pytest.mark.parametrize(
    ("paths", "template"),
    [
        ({"path": "/v1/prices"}, "/v1/prices"),
        ({"path": None, "path_prefix": "/v1/search"}, "/v1/search/*"),
        ({"path": None, "path_prefix": "/v1/search/"}, "/v1/search/*"),
        ({"path": None, "path_prefix": "/"}, "/*"),
    ],
)
def test_telemetry_has_the_name_of_a_route_its_path_and_its_upstream(
    paths: dict[str, Any], template: str
) -> None:
    route = make_route(rule(**paths), UPSTREAM)
    assert (route.name, route.template, route.upstream_name) == ("r", template, "u")


def test_only_idempotent_routes_have_unsafe_methods_and_bodies() -> None:
    unsafe = make_route(rule(methods=("GET", "POST")), UPSTREAM)
    assert (unsafe.methods, unsafe.accepts_bodies) == ((b"GET",), False)
    idempotent = make_route(rule(methods=("GET", "POST"), idempotent=True), UPSTREAM)
    assert (idempotent.methods, idempotent.accepts_bodies) == ((b"GET", b"POST"), True)


def test_hedging_that_is_off_sends_no_hedges() -> None:
    assert make_route(rule(hedge=HedgeRule(max_hedges=3)), UPSTREAM).plan.hedges == 3
    assert make_route(rule(hedge=HedgeRule(mode="off", max_hedges=3)), UPSTREAM).plan.hedges == 0


def test_the_delay_of_a_quantile_is_its_longest_until_something_was_seen() -> None:
    quantile = rule(hedge=HedgeRule(after=QuantileDelay(quantile=0.95, min_s=0.02, max_s=1.0)))
    route = make_route(quantile, UPSTREAM)
    assert isinstance(route.delay, FollowingDelay)
    assert (route.plan_varies, route.hedge_after_s(0.0)) == (True, 1.0)


def test_timeouts_are_read_from_the_parameter_and_the_headers_of_the_rule() -> None:
    route = make_route(rule(timeout=TimeoutRule(query="t", headers=("X-Timeout",))), UPSTREAM)
    assert (route.timeout_prefix, route.timeout_ms(b"", head_of((b"x-timeout", b"7")))) == (b"t=", 7)
    assert make_route(rule(), UPSTREAM).timeout_prefix == b""


def test_a_schema_judges_the_body() -> None:
    schema = {"type": "object", "properties": {"hits": {"items": {"type": "integer"}}}}
    rules = make_route(rule(success=SuccessRule(json_schema=schema)), UPSTREAM).rules
    assert rules is not None
    outcome = rules.classify(200, HeaderSection(b"\r\n"), b'{"hits":[1,"x"]}', is_head=False)
    assert outcome == Failure(FailureReason.SCHEMA, "at /hits/1: properties/hits/items/type")
    for body in (b"{", b'"\xff"', b"1e999"):
        outcome = rules.classify(200, HeaderSection(b"\r\n"), body, is_head=False)
        assert isinstance(outcome, Failure)
        assert outcome.reason is FailureReason.BAD_JSON


# -- what holds hedges


def limit_of(**hedge: Any) -> hedge_limit.HedgeLimit | None:
    return make_route(rule(hedge=HedgeRule(**hedge)), UPSTREAM).hedge_limit


@pytest.mark.parametrize(
    "hedge",
    [{"hold": "off"}, {"max_hedges": 0, "ceiling": 5}, {"mode": "off"}, {"mode": "observe"}],
    ids=["every hedge is sent", "there is none", "off", "observe"],
)
def test_nothing_holds_where_nothing_is_to_be_held(hedge: dict[str, Any]) -> None:
    assert limit_of(**hedge) is None


def test_h02_a_route_is_held_by_the_signs_unless_it_says_otherwise() -> None:
    limit = limit_of(after=0.2)
    assert limit is not None
    for _ in range(20):
        limit.first_was_late(7.0, 60, 2, first_failed=False)
    assert limit.limit == 30


def test_h03_a_ceiling_alone_takes_no_notice_of_the_signs() -> None:
    limit = limit_of(hold="off", ceiling=5)
    assert limit is not None
    assert limit.limit == 5
    for _ in range(40):
        limit.first_was_late(7.0, 0, 2, first_failed=False)
    assert limit.limit == 5


def test_a_budget_holds_alone_too() -> None:
    limit = limit_of(hold="off", budget=HedgeBudget(percent=20.0, min_per_second=3.0))
    assert limit is not None
    assert limit.budget == hedge_limit.HedgeBudget(20.0, 3.0)


def test_h01_the_default_route_sends_every_hedge_unless_flags_say_otherwise() -> None:
    def of(settings: Settings) -> hedge_limit.HedgeLimit | None:
        routing = effective_routing(settings, parse_target("http://127.0.0.1:1/work"))
        (route,) = make_route_table(routing.routes, {"default": UPSTREAM}).routes
        return route.hedge_limit

    assert of(Settings()) is None
    for settings in (
        Settings(hedge_hold="auto"), Settings(hedge_ceiling=7), Settings(hedge_budget_percent=20.0),
        Settings(hedge_budget_min_per_second=3.0),
    ):  # fmt: skip
        assert of(settings) is not None
    ceiling = of(Settings(hedge_ceiling=7))
    assert ceiling is not None
    assert ceiling.limit == 7


def test_each_route_has_a_limit_of_its_own() -> None:
    one, other = table_of(rule(), rule(name="s", path="/b")).routes
    assert one.hedge_limit is not None
    assert other.hedge_limit is not None
    assert one.hedge_limit is not other.hedge_limit
