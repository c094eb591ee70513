"""The files of the guides before httpbin: what a guide says that its file does is what it does."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from end_to_end.test_other_servers import httpbin
from support.before import Answer, answer_of
from support.other_servers import nginx
from support.process_fixtures import Serve
from support.processes import GatewayProcess, attempt_outcomes

__all__ = ["httpbin"]

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
Guide = Callable[[str, str], GatewayProcess]


@pytest.fixture
def guide(serve: Serve, tmp_path: Path) -> Guide:
    """Start a gateway by the file of a guide, with another endpoint and free ports."""

    def start(name: str, endpoint: str) -> GatewayProcess:
        text = (EXAMPLES / f"{name}.toml").read_text()
        text = re.sub(r"(?<=endpoints = \[).*(?=\])", json.dumps(endpoint), text)
        text = re.sub(r"(?<=port = )\d+", "0", text)
        file = tmp_path / f"{name}.toml"
        file.write_text(text)
        return serve("--config", str(file))

    return start


def json_of(answer: Answer) -> Any:
    assert answer.status == 200, answer
    return json.loads(answer.body)


def attempts(gateway: GatewayProcess) -> float:
    metrics = gateway.metrics()
    return sum(value for name, value in metrics.items() if name.startswith("hedgerow_attempts_total"))


def test_internal_api(guide: Guide, httpbin: str) -> None:
    api = guide("internal-api", httpbin + "/anything").authority
    found = answer_of(api, "POST", "/v1/search", b'{"term": 1}')
    assert (found.status, set(attempt_outcomes(json.loads(found.body)))) == (502, {"schema"}), (
        "it has no `hits`"
    )
    read = json_of(answer_of(api, "GET", "/v1/items?a=1", None, **{"x-request-timeout-ms": "1500"}))
    assert (read["args"], read["headers"]["X-Request-Timeout-Ms"]) == ({"a": "1"}, "1500")
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        written = json_of(answer_of(api, method, "/v1/items", b'{"name": "a"}'))
        assert (written["method"], written["data"]) == (method, '{"name": "a"}')
    assert answer_of(api, "GET", "/v2").status == 404


def test_a_write_of_an_internal_api_that_fails_is_sent_once(guide: Guide, tmp_path: Path) -> None:
    with nginx(tmp_path, "location / { return 500; }") as url:
        gateway = guide("internal-api", url)
        assert answer_of(gateway.authority, "PUT", "/v1/items", b"{}").status == 502
        assert attempts(gateway) == 1


def test_sidecar(guide: Guide, httpbin: str) -> None:
    sidecar = guide("sidecar", httpbin).authority
    read = json_of(answer_of(sidecar, "GET", "/anything", None, Host="prices"))
    assert read["headers"]["Host"] == "prices"
    assert answer_of(sidecar, "GET", "/etag/1", None, **{"If-None-Match": '"1"'}).status == 304
    assert answer_of(sidecar, "GET", "/redirect-to?url=/there").header("location") == "/there"
    assert answer_of(sidecar, "OPTIONS", "/anything").status == 200
    late = answer_of(sidecar, "GET", "/delay/9", None, **{"x-request-timeout-ms": "100"})
    assert (late.status, attempt_outcomes(json.loads(late.body))) == (504, ["pending"])
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert answer_of(sidecar, method, "/anything").status == 405


def test_third_party_api(guide: Guide, httpbin: str) -> None:
    gateway = guide("third-party-api", httpbin)
    read = json_of(answer_of(gateway.authority, "GET", "/geocode/anything?q=oak", None, Cookie="a=1"))
    assert read["args"] == {"q": "oak"}
    assert read["headers"]["Authorization"] == "Bearer replace-me"
    assert "Cookie" not in read["headers"]
    assert answer_of(gateway.authority, "GET", "/geocode/status/429").status == 429
    assert answer_of(gateway.authority, "GET", "/geocode/status/503").status == 503, "the last response"
    assert attempts(gateway) <= 4, "the first two once, the third with a hedge at most"
