"""`/openapi.json` of a real gateway: it is OpenAPI 3.1, names every path, and says where they are.

What it says of each answer is held by tests/sockets/test_openapi.py and by the campaign C16.
"""

import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from jsonschema_rs import Draft202012Validator

from hedgerow.admin.openapi import document
from hedgerow.settings import Settings
from support.process_fixtures import Serve, Simulate
from support.processes import FAULTLESS, GatewayProcess


@pytest.fixture(scope="module")
def served(serve_shared: Serve) -> GatewayProcess:
    return serve_shared("--upstream", "http://127.0.0.1:1/")


def document_of(served: GatewayProcess) -> dict[str, Any]:
    status, body = served.fetch("/openapi.json")
    assert status == 200
    document: dict[str, Any] = json.loads(body)
    return document


def test_it_is_an_openapi_document_of_every_path(served: GatewayProcess) -> None:
    # Here: it takes more than a second, which else every process that collects tests would spend.
    from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415

    document = document_of(served)
    OpenAPIV31SpecValidator(document).validate()
    known = re.findall(r"/[a-z./]+", json.loads(served.fetch("/nothing")[1])["detail"])
    assert set(document["paths"]) == {urlsplit(served.url).path, *known}
    operations = [item[method] for item in document["paths"].values() for method in ("get", "head")]
    names = {operation["operationId"] for operation in operations}
    assert len(names) == len(operations)


def test_it_says_where_each_path_is(served: GatewayProcess) -> None:
    document = document_of(served)
    (main,) = document["servers"]
    values = {name: variable["default"] for name, variable in main["variables"].items()}
    assert main["url"].format(**values) + "/api/smart" == served.url
    for path, item in document["paths"].items():
        here = [server["url"] for server in item.get("servers", [])]
        assert here == ([] if path == "/api/smart" else ["/"]), "/ is where the document was found"


@pytest.mark.parametrize(
    ("host", "announced"),
    [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]"), ("gate.example", "gate.example")],
)
def test_an_address_without_a_route_is_not_announced(host: str, announced: str) -> None:
    (main,) = json.loads(document(Settings(host=host), 80))["servers"]
    assert main["variables"]["host"]["default"] == announced


def test_the_status_after_some_traffic_is_as_described(serve: Serve, simulate: Simulate) -> None:
    upstream = simulate("--latency-ms=1-30", *FAULTLESS)
    served = serve("--upstream", upstream.url, "--hedge-after-ms=10")
    assert {served.status_of(request_id="mine") for _ in range(20)} == {200}
    document = document_of(served)
    answers = document["paths"]["/status.json"]["get"]["responses"]["200"]["content"]["application/json"]
    schema = Draft202012Validator({**answers["schema"], "components": document["components"]})
    busy = served.status_when(lambda status: status["requests"]["total"] == 20)
    found = served.status("?request_id=mine")
    assert len(found["requests"]) == 20
    for body in (busy, found):
        schema.validate(body)
        assert not schema.is_valid({**body, "more": 1})
