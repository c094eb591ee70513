import msgspec
import pytest

from hedgerow.configuration.summary import describe_routing, example_request, first_routes
from hedgerow.settings import Target
from hedgerow.settings.effective_routing import Routing
from hedgerow.settings.routes import (
    HeaderRule,
    HedgeBudget,
    HedgeRule,
    QuantileDelay,
    RouteRule,
    UpstreamRule,
)
from hedgerow.settings.upstream_url import EMBEDDED_TARGET

SECRET = HeaderRule(set={"authorization": "Bearer s3cr3t"})
ROUTES = (
    RouteRule(name="all", path_prefix="/", upstream="a", hedge=HedgeRule(mode="off")),
    RouteRule(
        name="v1",
        path_prefix="/v1",
        upstream="a",
        headers=SECRET,
        hedge=HedgeRule(after=QuantileDelay(quantile=0.95, min_s=0.02, max_s=1.0), ceiling=7),
    ),
    RouteRule(
        name="one",
        path="/one",
        methods=("GET", "POST"),
        idempotent=True,
        upstream="bb",
        hedge=HedgeRule(
            after=0.0, max_hedges=2, retry_on_failure="immediate", hold="off", budget=HedgeBudget(percent=5)
        ),
    ),
    RouteRule(name="seen", path_prefix="/v1/x", upstream="a", hedge=HedgeRule(mode="observe", sample=0.01)),
    RouteRule(name="none", path="/none", upstream="a", hedge=HedgeRule(max_hedges=0)),
)
UPSTREAMS = (
    UpstreamRule(name="a", endpoints=(Target("https", "h", 8443, "/base?key=s3cr3t"), EMBEDDED_TARGET)),
    UpstreamRule(name="bb", endpoints=(Target("http", "h", 80, "/"),), lb_policy="round_robin"),
    UpstreamRule(name="c", endpoints=(Target("http", "h", 80, "/"),)),
)


def test_routes_are_described_in_the_order_in_which_they_match() -> None:
    assert describe_routing(Routing(ROUTES, UPSTREAMS)) == [
        "routes, in the order in which they match:",
        "  /one     GET,POST  -> bb  2 hedges after 0ms, or at once on failure, never held, at most 5 % of requests",
        "  /none    GET,HEAD  -> a   no hedges",
        "  /v1/x/*  GET,HEAD  -> a   1 hedge after 300ms, only observed; 0.01 of requests are hedged",
        "  /v1/*    GET,HEAD  -> a   1 hedge after the 0.95 quantile (20ms to 1s), at most 7 attempts in flight",
        "  /*       GET,HEAD  -> a   no hedges",
        "upstreams:",
        "  a = https://h:8443/base?key=***, embedded (least_request)",
        "  bb = http://h/ (round_robin)",
        "  c = http://h/ (least_request); no route uses it",
    ]


@pytest.mark.parametrize(
    ("keys", "is_noted"),
    [
        ({"path": "/a*"}, True),
        ({"path_prefix": "/a/:id"}, True),
        ({"path": "/a:b"}, False),
        ({"path": "/a"}, False),
    ],
)
def test_a_path_that_looks_like_a_pattern_is_noted(keys: dict[str, str], is_noted: bool) -> None:
    route = msgspec.convert({"name": "a", "upstream": "c", **keys}, RouteRule)
    lines = describe_routing(Routing((route,), UPSTREAMS))
    assert ("; * and : have no meaning in a path" in lines[1]) == is_noted


def test_the_first_routes_fit_a_line() -> None:
    assert first_routes(Routing(ROUTES, UPSTREAMS), 2) == "/one -> bb, /none -> a, and 3 more"
    assert first_routes(Routing(ROUTES[:1], UPSTREAMS), 2) == "/* -> a"


@pytest.mark.parametrize(
    ("routes", "command"),
    [
        (ROUTES, "curl http://h:1/one"),
        (
            (RouteRule(name="p", path="/a'b", methods=("PUT", "POST"), upstream="a"),),
            """curl -X PUT 'http://h:1/a'"'"'b'""",
        ),
        (
            (
                RouteRule(name="p", path="/p", methods=("POST",), upstream="a"),
                RouteRule(name="g", path_prefix="/g", upstream="a"),
            ),
            "curl http://h:1/g",
        ),
    ],
)
def test_the_request_to_try_is_one_that_a_route_has(routes: tuple[RouteRule, ...], command: str) -> None:
    assert example_request(routes, "http://h:1") == command
