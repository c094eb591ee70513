import msgspec

from hedgerow.processes.control_channel import WorkerConfig
from hedgerow.settings import LoserPolicy, Settings, Target
from hedgerow.settings.effective_routing import DEFAULT_PATH, effective_routing
from hedgerow.settings.routes import (
    HeaderRule,
    HedgeBudget,
    HedgeRule,
    OutlierDetection,
    QuantileDelay,
    RouteRule,
    SuccessRule,
    TimeoutRule,
    TlsRule,
    UpstreamRule,
)
from hedgerow.settings.upstream_url import EMBEDDED_TARGET

TARGET = Target("http", "127.0.0.1", 4000, "/api/work")
OTHER = Target("https", "other.example", 443, "/")


def test_without_routes_there_is_the_default_route_as_the_flags_describe_it() -> None:
    settings = Settings(
        hedge_after_ms=250, hedges=1, hedge_on_failure="immediate", default_timeout_ms=700, max_timeout_ms=900,
        losers=LoserPolicy.CANCEL, loser_grace_ms=20,
    )  # fmt: skip
    (route,), (upstream,) = effective_routing(settings, TARGET)
    assert (route.path, route.path_prefix, route.methods) == (DEFAULT_PATH, None, ("GET", "HEAD"))
    assert route.timeout == TimeoutRule(default_ms=700, max_ms=900, query="timeout")
    assert route.hedge == HedgeRule(after=0.25, max_hedges=1, retry_on_failure="immediate", hold="off")
    assert (route.success, route.final) == (SuccessRule(status=((200, 200),), json="time"), ())
    assert route.answers == "smart"
    assert upstream.name == route.upstream
    assert upstream.endpoints == (TARGET,)
    assert (upstream.losers, upstream.loser_grace_s) == ("cancel", 0.02)


def test_an_endpoint_that_is_embedded_is_where_the_simulator_listens() -> None:
    upstream = UpstreamRule(name="a", endpoints=(OTHER, EMBEDDED_TARGET))
    settings = Settings(routes=(RouteRule(name="/x", path="/x", upstream="a"),), upstreams=(upstream,))
    routes, (found,) = effective_routing(settings, TARGET)
    assert routes == settings.routes
    assert found.endpoints == (OTHER, TARGET)


def test_a_worker_gets_the_routes_as_they_are() -> None:
    delays: list[float | QuantileDelay] = [0.0, 1.0, 0.3, QuantileDelay(quantile=0.95, min_s=0.0, max_s=1.0)]
    schema = {
        "type": "object",
        "properties": {"n": {"type": ["integer", "null"], "minimum": -1.5}},
        "x": [True],
    }
    routes = tuple(
        RouteRule(
            name=f"r{number}",
            path_prefix="/v1",
            methods=("GET", "POST"),
            idempotent=True,
            upstream="a",
            headers=HeaderRule(set={"x-a": "1"}, remove=("x-b",)),
            timeout=TimeoutRule(headers=("grpc-timeout",)),
            success=SuccessRule(json_schema=schema),
            hedge=HedgeRule(after=delay, budget=HedgeBudget(percent=10, min_per_second=1), ceiling=3),
        )
        for number, delay in enumerate(delays)
    )
    upstreams = (
        UpstreamRule(name="a", endpoints=(TARGET, OTHER), tls=TlsRule(ca_file="/x", min_version="1.3")),
        UpstreamRule(name="b", endpoints=(OTHER,), outlier_detection=None),
        UpstreamRule(name="c", endpoints=(OTHER,), outlier_detection=OutlierDetection(ejection_time_s=1)),
    )
    config = WorkerConfig(Settings(routes=routes, upstreams=upstreams), TARGET, 1)
    received = msgspec.json.decode(msgspec.json.encode(config), type=WorkerConfig)
    assert received == config
    for sent, got in zip(delays, received.settings.routes, strict=True):
        assert type(got.hedge.after) is type(sent)
