from typing import Any

from hedgerow.core.header_fields import HeaderSection
from hedgerow.core.outcomes import Attempt, AttemptHandle, AttemptSender, Failure, FailureReason
from hedgerow.core.route import RouteTable
from hedgerow.routing import make_route, make_route_table
from hedgerow.settings import Settings, parse_target
from hedgerow.settings.effective_routing import effective_routing
from hedgerow.settings.routes import HedgeRule, QuantileDelay, RouteRule, SuccessRule, TimeoutRule


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


def test_only_idempotent_routes_have_unsafe_methods_and_bodies() -> None:
    unsafe = make_route(rule(methods=("GET", "POST")), UPSTREAM)
    assert (unsafe.methods, unsafe.accepts_bodies) == ((b"GET",), False)
    idempotent = make_route(rule(methods=("GET", "POST"), idempotent=True), UPSTREAM)
    assert (idempotent.methods, idempotent.accepts_bodies) == ((b"GET", b"POST"), True)


def test_hedging_that_is_off_sends_no_hedges() -> None:
    assert make_route(rule(hedge=HedgeRule(max_hedges=3)), UPSTREAM).plan.hedges == 3
    assert make_route(rule(hedge=HedgeRule(mode="off", max_hedges=3)), UPSTREAM).plan.hedges == 0


class Delay:
    def delay_s(self, now: float) -> float:
        return 0.125


def test_the_delay_of_a_quantile_is_its_longest_until_something_measures_it() -> None:
    quantile = rule(hedge=HedgeRule(after=QuantileDelay(quantile=0.95, min_s=0.02, max_s=1.0)))
    assert make_route(quantile, UPSTREAM).hedge_after_s(0.0) == 1.0
    assert (
        make_route(quantile, UPSTREAM, lambda _rule, _quantile: Delay()).plan_at(0.0).hedge_after_s == 0.125
    )


def test_timeouts_are_read_from_the_parameter_and_the_headers_of_the_rule() -> None:
    route = make_route(rule(timeout=TimeoutRule(query="t", headers=("X-Timeout",))), UPSTREAM)
    assert (route.timeout_prefix, set(route.timeout_headers)) == (b"t=", {b"x-timeout"})
    assert make_route(rule(), UPSTREAM).timeout_prefix == b""


def test_a_schema_judges_the_body() -> None:
    schema = {"type": "object", "properties": {"hits": {"items": {"type": "integer"}}}}
    rules = make_route(rule(success=SuccessRule(json_schema=schema)), UPSTREAM).rules
    assert rules is not None
    outcome = rules.classify(200, HeaderSection(b""), b'{"hits":[1,"x"]}', is_head=False)
    assert outcome == Failure(FailureReason.SCHEMA, "at /hits/1: properties/hits/items/type")
    for body in (b"{", b'"\xff"', b"1e999"):
        outcome = rules.classify(200, HeaderSection(b""), body, is_head=False)
        assert isinstance(outcome, Failure)
        assert outcome.reason is FailureReason.BAD_JSON
