"""`/status.json` of real processes."""

import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from urllib.parse import urlsplit

import pytest

from hedgerow.admin.server import MAX_CONNECTIONS
from hedgerow.status.report import RECENT
from support.process_fixtures import Serve, Simulate
from support.processes import FAULTLESS, GatewayProcess


def test_the_status_adds_up_all_workers_and_finds_each_request(serve: Serve, simulate: Simulate) -> None:
    upstream = simulate("--latency-ms=1-5", *FAULTLESS)
    served = serve("--workers=2", "--upstream", upstream.url)
    served.status_when(lambda status: status["workers"]["ready"] == 2)
    ids = [f"mine-{number}" for number in range(40)]
    assert [served.status_of(request_id=request_id) for request_id in ids] == [200] * 40
    status = served.status_when(lambda status: status["requests"]["total"] == 40)

    assert status["verdict"]["state"] == "healthy"
    assert status["verdict"]["reason"].startswith(
        "100 % of 40 attempts and 100 % of 40 requests succeeded in"
    )
    assert status["workers"] == {"wanted": 2, "ready": 2, "unresponsive": 0}
    assert (
        status["attempts"]["total"]
        == served.metrics()['hedgerow_attempts_total{attempt="1",outcome="success"}']
    )
    assert status["hedging"]["without_hedging"]["success_rate"] == 1.0
    assert status["load"]["late"] == 0
    served.status_when(lambda status: sum(status["series"]["requests_per_s"]) > 0)
    recent = {request["request_id"] for request in status["recent"]}
    assert len(recent) == RECENT
    assert recent <= set(ids)
    arrivals = [request["at"] for request in status["recent"]]
    assert arrivals == sorted(arrivals, reverse=True), "of all workers, newest first"
    for request_id in ids:
        (request,) = served.status(f"?request_id={request_id}")["requests"]
        assert (request["request_id"], request["code"], request["winner"]) == (request_id, "success", 1)
        assert [attempt["outcome"] for attempt in request["attempts"]] == ["success"]


def test_a_request_is_reported_the_same_each_time(serve: Serve) -> None:
    """The page knows by it which rows it shows already."""
    served = serve("--upstream", "http://127.0.0.1:1/", "--hedges=0")
    assert served.status_of("?timeout=400", request_id="mine") == 502
    reports = [json.dumps(served.status("?request_id=mine")) for _ in range(20)]
    assert set(reports) == {reports[0]}


def test_an_unknown_id_is_404(serve: Serve) -> None:
    served = serve("--upstream", "http://127.0.0.1:1/")
    status, body = served.fetch("/status.json?request_id=unknown%20id")
    assert (status, json.loads(body)["code"]) == (404, "not_found")
    verdict = served.status()["verdict"]
    assert verdict["state"] == "starting"
    assert "not enough data for a verdict" in verdict["reason"]
    assert served.status("?nonsense=%ff&&&=")["recent"] == []


def test_an_upstream_that_fails_is_said_to_fail(serve: Serve) -> None:
    served = serve("--upstream", "http://127.0.0.1:1/", "--hedges=0")
    assert [served.status_of() for _ in range(5)] == [502] * 5
    status = served.status_when(lambda status: status["attempts"]["total"] == 5)
    assert status["verdict"]["state"] == "failing"
    assert "most by connect" in status["verdict"]["reason"]
    assert status["attempts"]["failures"] == {"connect": 5}


def test_a_worker_that_stands_still_does_not_hold_up_the_status(serve: Serve) -> None:
    served = serve("--upstream", "http://127.0.0.1:1/", "--hedges=0")
    assert served.status_of() == 502
    served.status_when(lambda status: status["requests"]["total"] == 1)
    (worker,) = served.workers
    worker.send_signal(signal.SIGSTOP)
    status = served.status_when(lambda status: status["workers"]["unresponsive"] == 1)
    assert status["gateway"] == {"state": "degraded", "reason": "1 of 1 workers do not report."}
    assert status["verdict"]["state"] in ("starting", "unknown"), "that is not the upstream's fault"
    assert served.metrics()['hedgerow_requests_total{outcome="all_failed"}'] == 1
    worker.send_signal(signal.SIGCONT)
    served.status_when(lambda status: status["workers"]["unresponsive"] == 0)


IDS = [f"mine-{number}" for number in range(60)]


@pytest.fixture(scope="module")
def served(serve_shared: Serve) -> GatewayProcess:
    served = serve_shared("--upstream", "http://127.0.0.1:1/", "--hedges=0")
    assert [served.status_of(request_id=request_id) for request_id in IDS] == [502] * 60
    return served


@pytest.mark.parametrize(
    "path", ["/status.json", "/status.json?request_id=mine-%d", "/metrics", "/readyz", "/livez"]
)
def test_any_number_of_clients_is_answered_at_once(served: GatewayProcess, path: str) -> None:
    """More than eight of /status.json at once were answered 404."""
    paths = [path % number if "%" in path else path for number in range(60)]
    start = Barrier(60)

    def fetch(path: str) -> tuple[int, bytes]:
        start.wait()
        return served.fetch(path)

    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(fetch, paths))
    assert {status for status, _ in answers} == {200}
    if "%" in path:
        found = [json.loads(body)["requests"][0]["request_id"] for _, body in answers]
        assert found == IDS


def test_b5_probes_of_a_real_gateway_are_answered_with_more_connections_than_it_has_room_for(
    serve: Serve,
) -> None:
    served = serve("--upstream", "http://127.0.0.1:1/")
    address = urlsplit(served.admin)
    idle = []
    for number in range(2 * MAX_CONNECTIONS):
        idle.append(socket.create_connection((address.hostname, address.port)))
        idle[-1].sendall((b"", b"GET /livez HT", b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n" * 9)[number % 3])
    for path in ("/livez", "/readyz", "/metrics", "/status.json") * 3:
        assert served.fetch(path)[0] == 200
    for sock in idle:
        sock.close()


def test_a_lookup_that_a_stopped_worker_cannot_answer_is_not_a_404(serve: Serve) -> None:
    served = serve("--upstream", "http://127.0.0.1:1/", "--hedges=0")
    assert served.status_of(request_id="mine") == 502
    assert served.fetch("/status.json?request_id=mine")[0] == 200
    (worker,) = served.workers
    worker.send_signal(signal.SIGSTOP)
    status, body = served.fetch("/status.json?request_id=mine")
    assert (status, json.loads(body)["code"]) == (503, "overloaded")
    assert served.fetch("/livez")[0] == served.fetch("/readyz")[0] == 200
    worker.send_signal(signal.SIGCONT)
    served.status_when(lambda status: status["recent"] != [])
    assert served.fetch("/status.json?request_id=mine")[0] == 200


def test_counters_never_go_down_when_a_worker_is_replaced(serve: Serve) -> None:
    served = serve("--upstream", "http://127.0.0.1:1/", "--hedges=0")
    for replaced in range(3):
        assert served.status_of() == 502
        before = served.metrics()
        assert before['hedgerow_requests_total{outcome="all_failed"}'] == replaced + 1
        (worker,) = served.workers
        worker.kill()
        worker.wait()
        between = served.metrics()
        while worker in served.workers:
            pass
        served.status_when(lambda status: status["workers"]["ready"] == 1)
        after = served.metrics()
        counters = [name for name in before if "_total" in name or "_bucket" in name or "_count" in name]
        assert len(counters) > 50
        for name in counters:
            assert before[name] <= between[name] <= after[name]
