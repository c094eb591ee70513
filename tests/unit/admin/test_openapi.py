"""The OpenAPI document by itself; what comes over the wire against it: tests/integration/contract/test_openapi.py.

That it is valid OpenAPI: tests/operations/test_openapi_port.py.
"""

import json
from typing import Any

from hedgerow.admin.openapi import PATH, document
from hedgerow.settings import Settings
from hedgerow.settings.routes import RouteRule


def made(settings: Settings | None = None, port: int = 8080) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document(settings or Settings(), port))
    return found


def test_it_describes_both_ports_and_itself() -> None:
    assert {"/api/smart", "/livez", "/readyz", "/metrics", "/status", "/status.json", PATH.decode()} <= set(
        made()["paths"]
    )


def test_the_default_route_is_not_described_where_there_is_none() -> None:
    found = made(Settings(routes=(RouteRule(name="/a", path="/a", upstream="u"),)))
    assert "/api/smart" not in found["paths"]
    assert "/api/smart" not in found["info"]["description"]
    assert "/livez" in found["paths"]


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [
        operation["operationId"]
        for path in made()["paths"].values()
        for name, operation in path.items()
        if name == "get"
    ]
    assert len(names) == len(set(names)) > 5


def test_it_names_the_main_port_and_the_bounds_of_the_timeout() -> None:
    described = json.dumps(made(Settings(max_timeout_ms=4321), port=1234))
    assert "1234" in described
    assert "4321" in described
