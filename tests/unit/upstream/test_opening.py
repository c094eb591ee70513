"""An upstream as its rule says; what it does then: tests/integration/upstream/test_endpoints.py."""

from typing import Any

import pytest

from hedgerow.core.outcomes import Success
from hedgerow.settings import InvalidSetting, UpstreamLimits, parse_target
from hedgerow.settings.routes import OutlierDetection, TlsRule, UpstreamRule
from hedgerow.upstream.connection_budget import ConnectionBudget
from hedgerow.upstream.opening import open_upstream
from hedgerow.upstream.pool import ConnectionPool
from support.fake_network import VirtualLoop
from support.upstream_bench import Facts

ONE, OTHER = parse_target("http://192.0.2.1/a"), parse_target("http://upstream.test/b")


class Names:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def look_up(self, host: str, *_: object) -> Any:
        self.asked.append(host)
        return self

    def cancel(self) -> None: ...


def opened(names: Names, **rule: Any) -> ConnectionPool:
    return open_upstream(
        UpstreamRule(name="shop", **rule),
        UpstreamLimits(),
        ConnectionBudget(10),
        classify=lambda _, body: Success(body),
        loop=VirtualLoop().loop,
        resolver=names,
        observer=Facts(),
        user_agent="test",
    )


def test_its_names_are_looked_up_and_its_addresses_are_endpoints_at_once() -> None:
    names = Names()
    pool = opened(names, endpoints=(ONE, OTHER))
    assert names.asked == ["upstream.test"]
    assert [endpoint.target for endpoint in pool.endpoints.all] == [ONE]
    assert [state.address for state in pool.endpoint_states()] == ["192.0.2.1:80"]


def test_its_rule_holds() -> None:
    pool = opened(
        Names(),
        endpoints=(ONE, parse_target("http://192.0.2.2/")),
        lb_policy="round_robin",
        outlier_detection=OutlierDetection(consecutive_failures=1),
        loser_grace_s=7.0,
    )
    one, other = pool.endpoints.all
    assert [pool.endpoints.choose([], 1.0) for _ in range(3)] == [one, other, one]
    pool.endpoints.connect_failed(one, 1.0)
    assert one.ejected_until == 31.0
    assert pool.losers._queue.span_s == 7.0


def test_u05_files_that_cannot_be_read_are_an_invalid_setting() -> None:
    with pytest.raises(InvalidSetting, match=r"/none/ca\.pem"):
        opened(Names(), endpoints=(parse_target("https://192.0.2.1/"),), tls=TlsRule(ca_file="/none/ca.pem"))
