"""`/openapi.json`: the OpenAPI 3.1 document of both ports.

Schemas are generated from the types of the bodies, codes and reasons from their enumerations. Tests compare the
hand-written rest with real responses: each status, code and header in it occurs, and no other does.
"""

import msgspec

from hedgerow import __version__
from hedgerow.admin.openapi_parts import (
    HEADERS,
    JSON,
    SCHEMAS,
    SCHEMAS_BY_HAND,
    Node,
    admin_path,
    answer,
    const_object,
    path_item,
    problem_response,
    rejections,
    with_constants,
)
from hedgerow.admin.router import Readiness
from hedgerow.gateway import SMART_PATH
from hedgerow.planning.latency_sketch import WINDOWS
from hedgerow.settings import Settings
from hedgerow.status.plan_status import PlanStatus
from hedgerow.status.report_schema import Status
from hedgerow.telemetry.prometheus import CONTENT_TYPE as METRICS
from hedgerow.telemetry.recent_requests import KEPT_REQUESTS
from hedgerow.telemetry.request_record import RequestRecord

PATH = b"/openapi.json"

_ABOUT = """A hedging HTTP gateway: it retries a slow, unreliable upstream in parallel, and returns the first success.

Two ports: {routes} on the main port, everything else on the admin port. On both, any other path is a 404
`not_found` and any other method a 405 `method_not_allowed` with `Allow`. Errors are problems by RFC 9457;
`code` is for programs, and stable. A malformed request head is answered (400 `bad_request`, 408, 414, 417, 431, 505),
and its connection closed."""


def document(settings: Settings, port: int) -> bytes:
    """Write the document for a gateway whose main port is `port`."""
    return msgspec.json.encode(_document(settings, port))


def _document(settings: Settings, port: int) -> Node:
    types, schemas = msgspec.json.schema_components(
        [Status, RequestRecord, Readiness, PlanStatus], ref_template=SCHEMAS + "{name}"
    )
    for schema in schemas.values():
        if "properties" in schema:  # a body has all fields of its type, and no others
            schema["required"] = list(schema["properties"])
            schema["additionalProperties"] = False
    status, request, readiness, plan = types
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hedgerow",
            "version": __version__,
            "description": _ABOUT.format(
                routes="the routes of the file, not described here," if settings.routes else "`/api/smart`"
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [_main_port(settings, port)],
        "tags": [
            {"name": "main", "description": "The port for clients."},
            {"name": "admin", "description": "The port for operators. It never rejects for overload."},
        ],
        "paths": {
            **({} if settings.routes else {SMART_PATH.decode(): _smart(settings)}),
            **_ADMIN_PATHS,
            "/readyz": _readyz(readiness),
            "/status.json": _status_json(status, request, plan),
        },
        "components": {"schemas": {**schemas, **SCHEMAS_BY_HAND}, "headers": HEADERS},
    }


def _main_port(settings: Settings, port: int) -> Node:
    anywhere = settings.host in ("0.0.0.0", "::", "")  # noqa: S104 (a comparison)
    host = "127.0.0.1" if anywhere else f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "url": "http://{host}:{port}",
        "description": "The main port, as it is bound; clients may use another name.",
        "variables": {"host": {"default": host}, "port": {"default": str(port)}},
    }


# -- the operations


def _smart(settings: Settings) -> Node:
    race = ("race", "hedges")
    responses = {
        "200": answer(
            JSON,
            {"$ref": SCHEMAS + "Success"},
            "The first success, byte for byte.",
            headers=("race", "won"),
        ),
        "400": problem_response(400, "bad_timeout", "bad_request"),
        "500": problem_response(500),
        "502": problem_response(
            502, "all_failed", headers=race, schema="Attempted", description="Every attempt has failed."
        ),
        "503": problem_response(
            503, "overloaded", headers=("retry",), description="Overloaded: the upstream was not requested."
        ),
        "504": problem_response(
            504, "out_of_time", headers=race, schema="Attempted", description="No success within `timeout`."
        ),
        **rejections(),
    }
    text = (
        f"Sends one request to the upstream, {settings.hedges} more if there is no success within"
        f" {settings.hedge_after_ms} ms, and returns the first success. Other parameters are ignored."
    )
    return path_item(
        "The first success of up to " + str(1 + settings.hedges) + " attempts",
        "smart",
        responses,
        tag="main",
        description=text,
        parameters=[_timeout(settings), _REQUEST_ID, _TRACEPARENT],
    )


def _timeout(settings: Settings) -> Node:
    return {
        "name": "timeout",
        "in": "query",
        "description": "The deadline of the response in milliseconds, in ASCII digits."
        f" {settings.default_timeout_ms} if it is left out; above {settings.max_timeout_ms} it counts as that."
        " Given twice it is rejected.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 900,
    }


_REQUEST_ID: Node = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "Used if it has 1 to 128 letters, digits, dots, underscores and hyphens;"
    " else the gateway makes one.",
    "schema": {"type": "string"},
}
_TRACEPARENT: Node = {
    "name": "traceparent",
    "in": "header",
    "description": "W3C Trace Context, as is `tracestate`: passed on to each attempt where valid.",
    "schema": {"type": "string"},
}

_REQUEST_ID_WANTED: Node = {
    "name": "request_id",
    "in": "query",
    "description": f"Return only the requests with this id, of the last {KEPT_REQUESTS} of each worker.",
    "schema": {"type": "string"},
}

_PLAN_WANTED: Node = {
    "name": "plan",
    "in": "query",
    "description": "Return what hedging would bring, by the first attempts of this window of time.",
    "schema": {"enum": list(WINDOWS)},
}

_ROUTE_WANTED: Node = {
    "name": "route",
    "in": "query",
    "description": "The route that figures are of; all if it is left out. Needed with `plan` where there are several.",
    "schema": {"type": "string"},
}


def _readyz(readiness: Node) -> Node:
    ready, unready = (with_constants(readiness, ready=is_ready) for is_ready in (True, False))
    return admin_path(
        "Should new requests be sent here, and if not, why?",
        "readiness",
        {
            "200": answer(JSON, ready, "A worker serves."),
            "503": answer(JSON, unready, "Starting, draining, overloaded, or no worker responds."),
            "500": problem_response(500),
        },
    )


def _status_json(status: Node, request: Node, plan: Node) -> Node:
    found = {
        "type": "object",
        "properties": {"requests": {"type": "array", "items": request, "minItems": 1}},
        "required": ["requests"],
        "additionalProperties": False,
    }
    return admin_path(
        "The same as data, or one recent request, or what hedging would bring",
        "status",
        {
            "200": answer(JSON, {"anyOf": [status, found, plan]}),
            "404": problem_response(
                404,
                "not_found",
                description="No recent request has this id, or no window or route this name.",
            ),
            "500": problem_response(500),
        },
        parameters=[_REQUEST_ID_WANTED, _PLAN_WANTED, _ROUTE_WANTED],
    )


_ADMIN_PATHS: Node = {
    "/livez": admin_path("Is the gateway alive?", "liveness", {"200": answer(JSON, const_object(live=True))}),
    "/metrics": admin_path(
        "All metrics, for Prometheus",
        "metrics",
        {"200": answer(METRICS.decode()), "500": problem_response(500)},
    ),
    "/status": admin_path(
        "A page for people: is the upstream behaving well?",
        "statusPage",
        {"200": answer("text/html; charset=utf-8", headers=("page",))},
    ),
    PATH.decode(): admin_path(
        "This document",
        "openapi",
        {"200": answer(JSON, {"type": "object"}), "500": problem_response(500)},
    ),
}
"""Those whose description needs no type."""
