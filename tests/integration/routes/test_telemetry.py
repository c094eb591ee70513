"""What is counted of routes and their upstreams, by real sockets on both sides."""

from typing import Any

from hedgerow.settings import parse_target
from hedgerow.settings.routes import HedgeRule, RouteRule, UpstreamRule
from integration.conftest import Serve
from support.exposition import nonzero, samples
from support.passing import ONCE, exchange, passing_upstream
from support.raw_http import ok

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


def two_routes(first: str, second: str) -> dict[str, Any]:
    """Return the settings of a worker with two routes, each with an upstream of its own."""
    return {
        "routes": (
            RouteRule(name="search", path_prefix="/v1/search", upstream="a", hedge=ONCE),
            RouteRule(name="prices", path="/v1/prices", upstream="b", hedge=HedgeRule(retry_on_failure="immediate")),
        ),
        "upstreams": tuple(
            UpstreamRule(name=name, endpoints=(parse_target(url + "/"),)) for name, url in (("a", first), ("b", second))
        ),
    }  # fmt: skip


async def test_r11_requests_and_attempts_are_counted_by_route_and_upstream(serve: Serve) -> None:
    async with (
        passing_upstream(ok(b"1"), NOT_FOUND) as first,
        passing_upstream(BROKEN, ok(b"2"), BROKEN) as second,
    ):
        served = await serve(first.url, **two_routes(first.url, second.url))
        client = await served.client()
        statuses = [
            (await exchange(client, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()))[0]
            for target in ("/v1/search/x", "/v1/search", "/v1/prices", "/v1/prices", "/none", "/v1/search//x")
        ]
        client.close()
        found = samples(served.counts)
    assert statuses == [200, 404, 200, 502, 404, 400]
    assert nonzero(found, "hedgerow_requests_total") == {
        "success search": 1, "final search": 1, "bad_request search": 1,
        "success prices": 1, "all_failed prices": 1, "not_found": 1,
    }  # fmt: skip
    assert nonzero(found, "hedgerow_attempts_total") == {
        "1 success search a": 1, "1 final search a": 1,
        "1 status_5xx prices b": 2, "2 success prices b": 1, "2 status_5xx prices b": 1,
    }  # fmt: skip
    assert nonzero(found, "hedgerow_hedges_total") == {
        "fired prices": 2,
        "won prices": 1,
        "rescued prices": 1,
    }
    assert (
        nonzero(found, "hedgerow_attempts_in_flight") == nonzero(found, "hedgerow_requests_in_flight") == {}
    )
    delays = nonzero(found, "hedgerow_hedge_delay_seconds")
    assert delays == {"search": 0.3, "prices": 0.3}
    addresses = {url.removeprefix("http://"): name for name, url in (("a", first.url), ("b", second.url))}
    assert nonzero(found, "hedgerow_endpoint_consecutive_failures") == {
        f"{address} http://{address}/ b": 2 for address, name in addresses.items() if name == "b"
    }
