"""Each query of the dashboard gives data: from a real Prometheus that scrapes a real gateway under a little load."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from monitoring.dashboard import QUERIES
from monitoring.exposed import SERIES
from monitoring.prometheus import Prometheus, our_config
from monitoring.rules import RECORDED, RULES
from support.processes import GatewayProcess, serve_command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
"""Three kinds of processes have to start, on a machine that may be busy."""

CLIENTS = 16
ASKED = ["?timeout=2000"] * 30 + ["?timeout=50", "?timeout=soon"]
"""One of them a 504, one a 400; faults come by chance, as the simulator's defaults say."""
SEEN = [
    *(f"min(count_over_time({name}[1h])) >= 2" for name in SERIES),
    'sum(increase(hedgerow_hedges_total{event="won"}[1h])) > 0',
    'sum(increase(hedgerow_request_duration_seconds_count{outcome="success"}[1h])) > 0',
    'sum(increase(hedgerow_first_attempt_duration_seconds_count{outcome="success"}[1h])) > 0',
    'sum(increase(hedgerow_attempt_duration_seconds_count{outcome!="success"}[1h])) > 0',
    'sum(increase(hedgerow_first_attempts_judged_total{speed="quick"}[1h])) > 0',
    *(
        f"count({name} == {name}) > 0" for name in RECORDED if "burns" not in name
    ),  # NaN does not equal itself
    'count(ALERTS{alertname="HedgerowTargetDown"}) > 0',
]
"""All that is exposed, twice; what is 0 by 0 before it moves, moved; and all that is recorded."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Give a Prometheus that has seen enough; one of its two targets is down."""
    with ExitStack() as stack:
        unserved = stack.enter_context(socket.socket())
        unserved.bind(("127.0.0.1", 0))  # held, and never listened at
        gateway = GatewayProcess(serve_command("--workers=2", "--access-log=off", "--hedge-hold=auto"))
        stack.callback(gateway.kill)
        targets = (gateway.admin.removeprefix("http://"), f"127.0.0.1:{unserved.getsockname()[1]}")
        prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), our_config(*targets))
        stack.callback(prometheus.end)
        clients = stack.enter_context(ThreadPoolExecutor(CLIENTS))
        while not all(prometheus.query(seen) for seen in SEEN):
            list(clients.map(gateway.status_of, ASKED))
        yield prometheus


@pytest.mark.parametrize("query", QUERIES)
def test_the_query_gives_data(prometheus: Prometheus, query: str) -> None:
    assert prometheus.query(QUERIES[query])


def test_a_query_without_data_would_be_found(prometheus: Prometheus) -> None:
    assert not prometheus.query("hedgerow_nothing_total")
    assert not prometheus.query("vector(0) / vector(0)")


def test_prometheus_can_evaluate_every_rule(prometheus: Prometheus) -> None:
    rules = prometheus.rules()
    assert len(rules) == len(RULES)
    assert [rule["name"] for rule in rules if rule["health"] != "ok" or rule.get("lastError")] == []


def test_what_is_scraped_is_what_the_rules_and_queries_are_held_against(prometheus: Prometheus) -> None:
    scraped = {name for name in prometheus.names() if name.startswith("hedgerow_")}
    assert scraped == SERIES.keys()
