"""Routes before services of FastAPI, of Go, and httpbin: clients get what they would get directly; and restarts."""

import hashlib
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import product
from threading import Event
from typing import Any

import pytest

from end_to_end.services.process import COMMANDS, ServiceProcess
from end_to_end.test_other_servers import httpbin
from support.before import Answer, Before, Client, answer_of, before
from support.processes import GatewayProcess, attempt_outcomes

__all__ = ["before", "httpbin"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
]  # the first of them installs FastAPI and Go (bench/peers)

EVERY_METHOD = "methods = ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE']\nidempotent = true"
JSON = {"Content-Type": "application/json"}
PIECE = b"0123456789abcdef" * 1024


@pytest.fixture(scope="module", params=COMMANDS)
def service(request: pytest.FixtureRequest) -> Iterator[ServiceProcess]:
    running = ServiceProcess(COMMANDS[request.param]())
    yield running
    running.close()


def json_of(answer: Answer) -> Any:
    return json.loads(answer.body)


NEW = b'{"name": "hedge", "price": 2.5}'
REQUESTS: list[tuple[str, str, bytes | None, dict[str, str], set[int]]] = [
    ("GET", "/items?limit=3&tag=a&tag=b%20c", None, {}, {200}),
    ("GET", "/items?limit=many&tag=a", None, {}, {422}),
    ("GET", "/items/7", None, {}, {200}),
    ("GET", "/items/100", None, {}, {404}),
    ("GET", "/items/seven", None, {}, {422}),
    ("GET", "/nothing", None, {}, {404}),
    ("GET", "/items/7/", None, {}, {307, 404}),  # FastAPI redirects
    ("POST", "/items", NEW, JSON, {201}),
    ("POST", "/items", b"{}", JSON, {422}),
    ("POST", "/items", b"{", JSON, {422}),
    ("POST", "/items", b"", JSON, {422}),
    ("PUT", "/items/7", NEW, JSON, {200}),
    ("PATCH", "/items/7", NEW, JSON, {200}),
    ("DELETE", "/items/7", None, {}, {204}),
    ("DELETE", "/items", None, {}, {405}),
    ("GET", "/private", None, {}, {401}),
    ("GET", "/private", None, {"Authorization": "Bearer 1"}, {200}),
    ("HEAD", "/large?pieces=8", None, {}, {200, 405}),  # FastAPI has no HEAD where there is a GET
    ("HEAD", "/streamed?pieces=8", None, {}, {200, 405}),
    ("HEAD", "/nothing", None, {}, {404}),
    ("OPTIONS", "/items/7", None, {}, {405}),
    ("OPTIONS", "/items/7", None,
     {"Origin": "https://shop.test", "Access-Control-Request-Method": "PUT"}, {200, 405}),
    ("GET", "/items/7", None, {"Origin": "https://shop.test"}, {200}),
]  # fmt: skip


def test_clients_get_what_they_would_get_directly(before: Before, service: ServiceProcess) -> None:
    gateway = before(service.url, route=EVERY_METHOD)
    for method, target, body, headers, statuses in REQUESTS:
        directly = answer_of(service.url, method, target, body, **headers)
        assert directly.status in statuses
        assert answer_of(gateway.authority, method, target, body, **headers) == directly, (method, target)


@pytest.mark.parametrize("path", ["/large", "/streamed"])
def test_large_answers_pass_up_to_the_limit(before: Before, service: ServiceProcess, path: str) -> None:
    gateway = before(service.url)
    assert answer_of(gateway.authority, "GET", f"{path}?pieces=63").body == PIECE * 63
    too_large = answer_of(gateway.authority, "GET", f"{path}?pieces=65")
    assert (too_large.status, set(attempt_outcomes(json_of(too_large)))) == (502, {"too_large"})
    larger = before(service.url, route="max_response_body = '16MiB'")
    assert answer_of(larger.authority, "GET", f"{path}?pieces=1000").body == PIECE * 1000


def test_bodies_of_requests_pass_up_to_the_limit(before: Before, service: ServiceProcess) -> None:
    def received(body: bytes) -> dict[str, Any]:
        return {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}

    gateway = before(service.url, route=EVERY_METHOD)
    for body in (b"", b"\0\r\n\r\n", PIECE * 4):
        assert json_of(answer_of(gateway.authority, "POST", "/digest", body)) == received(body)
    assert answer_of(gateway.authority, "POST", "/digest", PIECE * 4 + b"1").status == 413
    larger = before(service.url, route=EVERY_METHOD + "\nmax_request_body = '16MiB'")
    body = PIECE * 1000
    assert json_of(answer_of(larger.authority, "POST", "/digest", body)) == received(body)


def test_connections_are_kept_and_used_again(before: Before, service: ServiceProcess) -> None:
    gateway = before(service.url, route=EVERY_METHOD)
    client = Client(gateway.authority)
    peers = set()
    for _ in range(20):
        for method, target, body in (
            ("GET", "/items/100", None),
            ("POST", "/items", NEW),
            ("HEAD", "/self", None),
        ):
            client.ask(method, target, body, **JSON)
        peers.add(json_of(client.ask("GET", "/self"))["peer"])
    client.close()
    assert len(peers) == 1


# -- restarts

SIGNALS = [signal.SIGTERM, signal.SIGKILL]


def process_of(answer: Answer) -> int:
    """Return the id of the process that answered."""
    assert answer.status == 200, answer
    return int(json_of(answer)["process"])


@pytest.mark.parametrize("number", SIGNALS)
def test_a_service_that_restarts_while_nothing_is_asked_costs_nothing(
    before: Before, service: ServiceProcess, number: signal.Signals
) -> None:
    gateway = before(service.url, route=EVERY_METHOD + "\nhedge.mode = 'off'")
    first = process_of(answer_of(gateway.authority, "GET", "/self"))
    service.stop(number)
    service.start()
    assert answer_of(gateway.authority, "POST", "/items", NEW, **JSON).status == 201
    assert process_of(answer_of(gateway.authority, "GET", "/self")) != first


@pytest.mark.parametrize("number", SIGNALS)
def test_a_service_that_is_down_is_used_again_as_soon_as_it_is_back(
    before: Before, service: ServiceProcess, number: signal.Signals
) -> None:
    gateway = before(service.url, route="hedge.after = '1ms'")
    process_of(answer_of(gateway.authority, "GET", "/self"))
    service.stop(number)
    for _ in range(10):
        failed = answer_of(gateway.authority, "GET", "/self")
        assert (failed.status, set(attempt_outcomes(json_of(failed)))) == (502, {"connect"})
    service.start()
    process_of(answer_of(gateway.authority, "GET", "/self"))


RESTARTS = 3
HEDGED_AT_ONCE = "hedge = { after = '10s', retry_on_failure = 'immediate' }"


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("kind", COMMANDS)
def test_of_two_replicas_one_restarts_under_load_and_no_request_fails(
    before: Before, kind: str, number: signal.Signals
) -> None:
    with ExitStack() as running:
        replicas = [ServiceProcess(COMMANDS[kind]()) for _ in range(2)]
        for replica in replicas:
            running.callback(replica.close)
        gateway = before(
            *(replica.url for replica in replicas),
            upstream="outlier_detection = 'off'",  # it would be left out for 30 s
            route=HEDGED_AT_ONCE,
        )
        stopping = Event()
        answered_by: set[int] = set()

        def client() -> list[Answer]:
            """Ask until the end, and return the answers that are no success."""
            connection, bad = Client(gateway.authority), []
            while not stopping.is_set():
                answer = connection.ask("GET", "/self")
                if answer.status == 200:
                    answered_by.add(process_of(answer))
                else:
                    bad.append(answer)
            connection.close()
            return bad

        with ThreadPoolExecutor() as pool:
            clients = [pool.submit(client) for _ in range(4)]
            try:
                for restart in range(RESTARTS):
                    replicas[0].stop(number)
                    replicas[0].start()
                    while len(answered_by) < 2 + restart and not any(each.done() for each in clients):
                        pass
            finally:
                stopping.set()
        assert [bad for each in clients for bad in each.result()] == []
        assert len(answered_by) >= 1 + RESTARTS


# -- httpbin, directly and through a gateway

TARGETS: list[tuple[str, dict[str, str]]] = [
    *((f"/status/{status}", {}) for status in (200, 201, 204, 301, 400, 401, 403, 404, 406, 409, 418, 422)),
    *((target, {}) for target in (
        "/html", "/json", "/xml", "/robots.txt", "/deny", "/encoding/utf8", "/image/png", "/image/svg",
        "/base64/aGVkZ2U=", "/bytes/1024?seed=1", "/stream-bytes/60000?seed=1&chunk_size=1000", "/links/3/0",
        "/drip?numbytes=100&duration=0", "/response-headers?X-Own=1&X-Own=2&X-Own=1", "/redirect/2",
        "/cookies/set?a=1&b=2", "/basic-auth/user/pass", "/hidden-basic-auth/user/pass", "/forms/post",
        "/range/1024", "/nothing", "/status/none",
    )),
    ("/range/1024", {"Range": "bytes=10-99"}),
    ("/range/1024", {"Range": "bytes=5000-"}),
    ("/etag/hedge", {"If-None-Match": '"hedge"'}),
    ("/etag/hedge", {"If-Match": '"other"'}),
    ("/basic-auth/user/pass", {"Authorization": "Basic dXNlcjpwYXNz"}),
    ("/cookies", {"Cookie": "a=1; b=2"}),
    ("/user-agent", {"User-Agent": "hedge/1"}),
]  # fmt: skip
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def seen_directly(httpbin: str) -> dict[tuple[str, str], Answer]:
    """Return what clients get of httpbin directly."""
    return {
        (method, f"{target} {headers}"): answer_of(httpbin, method, target, None, **headers)
        for method, (target, headers) in product(METHODS, TARGETS)
    }


def test_clients_of_httpbin_get_what_they_would_get_directly(
    before: Before, httpbin: str, seen_directly: dict[tuple[str, str], Answer]
) -> None:
    gateway = before(httpbin, route=EVERY_METHOD)
    for method, (target, headers) in product(METHODS, TARGETS):
        directly = seen_directly[method, f"{target} {headers}"]
        assert answer_of(gateway.authority, method, target, None, **headers) == directly, (
            method,
            target,
            headers,
        )
    statuses = {answer.status for answer in seen_directly.values()}
    assert statuses >= {200, 201, 204, 206, 301, 302, 304, 400, 401, 404, 405, 412, 416, 418}


def test_methods_that_a_route_does_not_have_do_not_reach_httpbin(before: Before, httpbin: str) -> None:
    gateway: GatewayProcess = before(httpbin)
    for method in set(METHODS) - {"GET", "HEAD"}:
        answer = answer_of(gateway.authority, method, "/status/200")
        assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")
