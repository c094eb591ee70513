"""Routes of a file before services of other projects: httpbin, nginx (replicas, own CA, streams), Prometheus."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from end_to_end.test_other_servers import httpbin
from monitoring.prometheus import Prometheus
from support.before import Before, ask, before, one_route
from support.other_servers import nginx
from support.process_fixtures import Serve
from support.processes import GatewayProcess, attempt_outcomes

__all__ = ["before", "httpbin"]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def before_httpbin(
    serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory, httpbin: str
) -> GatewayProcess:
    file = one_route(
        tmp_path_factory.mktemp("httpbin"),
        httpbin,
        route=f"methods = {json.dumps(METHODS)}\nidempotent = true",
    )
    return serve_shared("--config", str(file))


@pytest.mark.parametrize("method", METHODS)
def test_httpbin_gets_method_query_headers_and_body(before_httpbin: GatewayProcess, method: str) -> None:
    body = None if method == "GET" else b'{"q": [1]}'
    headers = {"X-Own": "1", "Content-Type": "application/json"}
    status, answer = ask(before_httpbin, method, f"/{method.lower()}?a=1&a=2", body, **headers)
    assert status == 200
    got = json.loads(answer)
    assert got["args"] == {"a": ["1", "2"]}
    assert got["headers"]["X-Own"] == "1"
    assert body is None or got["json"] == {"q": [1]}


@pytest.mark.parametrize("status", [400, 401, 404, 409, 418])
def test_a_final_answer_of_httpbin_passes(before_httpbin: GatewayProcess, status: int) -> None:
    assert ask(before_httpbin, "GET", f"/status/{status}")[0] == status


def test_gzip_and_bytes_of_httpbin_pass_as_they_are(before_httpbin: GatewayProcess) -> None:
    status, answer = ask(before_httpbin, "GET", "/gzip")
    assert (status, answer[:2]) == (200, b"\x1f\x8b")
    assert len(ask(before_httpbin, "GET", "/bytes/90000?seed=1")[1]) == 90_000


SEARCH = "success = { json_schema = { type = 'object', required = ['json'] } }\nmethods = ['POST']\nidempotent = true"


def test_a_search_by_post_is_judged_by_its_schema(before: Before, httpbin: str) -> None:
    gateway = before(httpbin, route=SEARCH)
    status, answer = ask(gateway, "POST", "/post", b'{"term": "hedge"}')
    assert (status, json.loads(answer)["json"]) == (200, {"term": "hedge"})
    status, answer = ask(gateway, "POST", "/response-headers?a=1", b'{"term": "hedge"}')
    assert (status, set(attempt_outcomes(json.loads(answer)))) == (502, {"schema"})


def test_a_stream_of_events_is_rejected_with_its_reason(before: Before, tmp_path: Path) -> None:
    with nginx(
        tmp_path, r"""location / { default_type text/event-stream; return 200 "data: 1\n\n"; }"""
    ) as url:
        status, answer = ask(before(url), "GET", "/events")
    assert (status, set(attempt_outcomes(json.loads(answer)))) == (502, {"stream"})


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[tuple[str, str, str]]:
    """A good nginx, one that answers 500, and one that sends a hundred bytes a second."""
    with ExitStack() as running:
        urls = []
        for name, server in (
            ("good", 'location / { return 200 "good"; }'),
            ("broken", "location / { return 500; }"),
            ("slow", "root .; limit_rate 100;"),
        ):
            folder = tmp_path / name
            folder.mkdir()
            (folder / "a").write_text("x" * 10_000)
            urls.append(running.enter_context(nginx(folder, server)))
        yield urls[0], urls[1], urls[2]


def test_hedges_of_a_slow_replica_go_to_the_other(before: Before, replicas: tuple[str, str, str]) -> None:
    good, _, slow = replicas
    gateway = before(
        slow, good, upstream="lb_policy = 'round_robin'\nlosers = 'cancel'", route="hedge.after = '1ms'"
    )
    assert [ask(gateway, "GET", "/a") for _ in range(10)] == [(200, b"good")] * 10


def test_a_dead_replica_costs_no_request(before: Before, replicas: tuple[str, str, str]) -> None:
    good = replicas[0]
    dead = "http://127.0.0.9:" + good.rpartition(":")[2]  # nginx listens at 127.0.0.1 alone
    gateway = before(dead, good, route="hedge.mode = 'off'")
    assert [ask(gateway, "GET", "/")[0] for _ in range(10)] == [200] * 10


def test_a_replica_that_answers_500_is_ejected(before: Before, replicas: tuple[str, str, str]) -> None:
    good, broken, _ = replicas
    upstream = (
        "lb_policy = 'round_robin'\noutlier_detection = { consecutive_failures = 2, ejection_time = '1h' }"
    )
    gateway = before(good, broken, upstream=upstream, route="hedge.mode = 'off'")
    assert Counter(ask(gateway, "GET", "/")[0] for _ in range(20)) == {200: 18, 502: 2}


def test_slow_dead_and_broken_replicas_beside_good_ones_cost_no_request(
    before: Before, tmp_path: Path
) -> None:
    """Each first attempt that goes to one of them has two hedges, of which one at least reaches a good one."""
    port = 0
    asked = tmp_path / "asked"
    with ExitStack() as running:
        urls = []
        for number, server in enumerate((
            "root .; limit_rate 100;",  # `/a` takes 100 s
            'location / { return 200 "good"; }',
            f"location / {{ access_log {asked}; return 500; }}",
            'location / { return 200 "good"; }',
        )):  # fmt: skip
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "a").write_text("x" * 10_000)
            urls.append(running.enter_context(nginx(folder, server, address=(f"127.0.0.{number + 2}", port))))
            port = int(urls[0].rpartition(":")[2])
        urls.insert(1, f"http://127.0.0.9:{port}")  # nothing is there
        gateway = before(
            *urls,
            upstream="lb_policy = 'round_robin'\nlosers = 'cancel'\n"
            "outlier_detection = { consecutive_failures = 2, ejection_time = '1h' }",
            route="hedge = { after = '5ms', max_hedges = 2, retry_on_failure = 'immediate', hold = 'off' }",
        )
        answers = [ask(gateway, "GET", "/a") for _ in range(40)]
        before_ejected = len(asked.read_text().splitlines())
        answers += [ask(gateway, "GET", "/a") for _ in range(40)]
        assert answers == [(200, b"good")] * 80
        assert before_ejected >= 2
        assert len(asked.read_text().splitlines()) == before_ejected, "it is left out"


def test_an_origin_with_an_own_ca_wants_a_client_certificate(before: Before, tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    ca.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    server = (
        f"ssl_certificate {tmp_path}/server.pem; ssl_certificate_key {tmp_path}/server.pem;"
        f" ssl_client_certificate {tmp_path}/ca.pem; ssl_verify_client on;"
        ' location / { return 200 "$ssl_client_s_dn"; }'
    )
    with nginx(tmp_path, server, tls=True) as url:
        trusted = f"ca_file = '{tmp_path}/ca.pem'"
        known = before(url, upstream=f"tls = {{ {trusted}, cert_file = '{tmp_path}/client.pem' }}")
        status, answer = ask(known, "GET", "/")
        assert (status, b"CN=" in answer or b"O=" in answer) == (200, True)
        without = before(url, upstream=f"tls = {{ {trusted} }}", route="on_all_failed = 'last_response'")
        assert ask(without, "GET", "/")[0] == 400, "No required SSL certificate was sent"
        unknown = before(url)
        status, answer = ask(unknown, "GET", "/")
        assert (status, set(attempt_outcomes(json.loads(answer)))) == (502, {"tls"})


@pytest.mark.slow
def test_prometheus_answers_queries_by_get_and_post(before: Before, tmp_path: Path) -> None:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    prometheus = Prometheus(folder, {})
    try:
        gateway = before(
            prometheus.url,
            route="methods = ['GET', 'POST']\nidempotent = true\n"
            "success = { json_schema = { properties = { status = { const = 'success' } } } }",
        )
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for method, target, body in (("GET", "?query=1%2B1", None), ("POST", "", b"query=1%2B1")):
            status, answer = ask(gateway, method, "/api/v1/query" + target, body, **form)
            assert (status, json.loads(answer)["data"]["result"][1]) == (200, "2")
        assert ask(gateway, "GET", "/api/v1/query?query=%28")[0] == 400, "a bad query is final"
    finally:
        prometheus.end()
