"""`/openapi.json`: what both ports answer, as an OpenAPI 3.1 document.

Bodies are described from the types that make them, codes and reasons from the names that are told. What is written
here by hand is held by tests: each status, code and header of it comes, and none comes that is not in it.
"""

from collections.abc import Iterable

import msgspec

from hedgerow import __version__
from hedgerow.admin.openapi_schemas import (
    HEADERS,
    JSON,
    SCHEMAS,
    SCHEMAS_OF_OURS,
    Node,
    answer,
    either,
    exactly,
    problem_response,
    refusals,
    with_constants,
)
from hedgerow.admin.router import Readiness
from hedgerow.gateway import SMART_PATH
from hedgerow.settings import Settings
from hedgerow.status.report import Status
from hedgerow.telemetry.prometheus import CONTENT_TYPE as METRICS
from hedgerow.telemetry.recent_requests import KEPT_REQUESTS
from hedgerow.telemetry.request_record import RequestRecord

PATH = b"/openapi.json"

_ABOUT = """A hedging HTTP gateway: it asks a slow, unreliable service again in time, and passes on the first success.

Two ports: `/api/smart` on the main port, everything else on the operations port. On both, any other path is a 404
`not_found` and any other method a 405 `method_not_allowed` with `Allow: GET, HEAD`. Errors are problems by RFC 9457;
`code` is for programs, and stable. A head that is unsound is answered (400 `bad_request`, 408, 414, 417, 431, 505) and
its connection closed."""


def document(settings: Settings, port: int) -> bytes:
    """Write the document for a gateway whose main port is `port`."""
    return msgspec.json.encode(_document(settings, port))


def _document(settings: Settings, port: int) -> Node:
    told, schemas = msgspec.json.schema_components(
        [Status, RequestRecord, Readiness], ref_template=SCHEMAS + "{name}"
    )
    for schema in schemas.values():
        if "properties" in schema:  # all of what a type has is told, and nothing else
            schema["required"] = list(schema["properties"])
            schema["additionalProperties"] = False
    status, request, readiness = told
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hedgerow",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [_main_port(settings, port)],
        "tags": [
            {"name": "main", "description": "The port of the callers."},
            {"name": "operations", "description": "The port of those who run it. It is never shed."},
        ],
        "paths": {
            SMART_PATH.decode(): _smart(settings),
            "/livez": _operation("Is it alive?", "liveness", {"200": answer(JSON, exactly(live=True))}),
            "/readyz": _operation(
                "Should new work be sent here, and if not, why?",
                "readiness",
                {
                    "200": answer(JSON, with_constants(readiness, ready=True), "A worker serves."),
                    "503": answer(
                        JSON,
                        with_constants(readiness, ready=False),
                        "Starting, draining, overloaded, or no worker responds.",
                    ),
                    "500": problem_response(500),
                },
            ),
            "/metrics": _operation(
                "All counts, for Prometheus",
                "metrics",
                {"200": answer(METRICS.decode()), "500": problem_response(500)},
            ),
            "/status": _operation(
                "A page for people: is the upstream behaving well?",
                "statusPage",
                {"200": answer("text/html; charset=utf-8", headers=("page",))},
            ),
            "/status.json": _operation(
                "The same as data, or one request of late",
                "status",
                {
                    "200": answer(JSON, {"anyOf": [status, _found(request)]}),
                    "404": problem_response(404, "not_found", description="No request of late has this id."),
                    "500": problem_response(500),
                },
                parameters=[_REQUEST_ID_WANTED],
            ),
            PATH.decode(): _operation(
                "This document",
                "openapi",
                {"200": answer(JSON, {"type": "object"}), "500": problem_response(500)},
            ),
        },
        "components": {"schemas": {**schemas, **SCHEMAS_OF_OURS}, "headers": HEADERS},
    }


def _main_port(settings: Settings, port: int) -> Node:
    anywhere = settings.host in ("0.0.0.0", "::", "")  # noqa: S104 (a comparison)
    host = "127.0.0.1" if anywhere else f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "url": "http://{host}:{port}",
        "description": "The main port, as it is bound; callers may know it by another name.",
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
            503, "overloaded", headers=("retry",), description="Too much at once: nothing was asked."
        ),
        "504": problem_response(
            504, "out_of_time", headers=race, schema="Attempted", description="No success within `timeout`."
        ),
        **refusals(),
    }
    timeout: Node = {
        "name": "timeout",
        "in": "query",
        "description": "Milliseconds until the answer, at the latest, in ASCII digits."
        f" {settings.default_timeout_ms} if it is left out; above {settings.max_timeout_ms} it counts as that."
        " Given twice it is refused.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 900,
    }
    request_id: Node = {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Kept if it has 1 to 128 letters, digits, dots, underscores and hyphens;"
        " else the gateway makes one.",
        "schema": {"type": "string"},
    }
    trace: Node = {
        "name": "traceparent",
        "in": "header",
        "description": "W3C Trace Context, as is `tracestate`: passed on to each attempt where valid.",
        "schema": {"type": "string"},
    }
    text = (
        f"Asks the upstream once, {settings.hedges} more times if there is no success within"
        f" {settings.hedge_after_ms} ms, and passes on the first success. Other parameters are ignored."
    )
    return _methods(
        "The first success of up to " + str(1 + settings.hedges) + " attempts",
        "smart",
        responses,
        tag="main",
        description=text,
        parameters=[timeout, request_id, trace],
    )


_REQUEST_ID_WANTED: Node = {
    "name": "request_id",
    "in": "query",
    "description": f"Tell only the requests with this id, of the last {KEPT_REQUESTS} of each worker.",
    "schema": {"type": "string"},
}


def _operation(summary: str, name: str, responses: Node, parameters: Iterable[Node] = ()) -> Node:
    """Describe a path of the operations port. Relative: it is where this document was found."""
    refused = refusals()
    responses = {"400": problem_response(400, "bad_request", headers=("closed",)), **responses, **refused}
    if "500" in responses:  # what is computed may take too long
        overloaded = problem_response(503, "overloaded", description="No answer in time.")
        responses["503"] = either(responses["503"], overloaded) if "503" in responses else overloaded
    path = _methods(summary, name, responses, tag="operations", parameters=list(parameters))
    return {"servers": [{"url": "/", "description": "The operations port"}], **path}


def _found(request: Node) -> Node:
    return {
        "type": "object",
        "properties": {"requests": {"type": "array", "items": request, "minItems": 1}},
        "required": ["requests"],
        "additionalProperties": False,
    }


def _methods(
    summary: str, name: str, responses: Node, *, tag: str, parameters: list[Node], **more: str
) -> Node:
    bare = {
        status: {part: value for part, value in each.items() if part != "content"}
        for status, each in responses.items()
    }
    common: Node = {"tags": [tag], **more}
    return {
        "parameters": parameters,
        "get": {"operationId": name, "summary": summary, **common, "responses": responses},
        "head": {
            "operationId": name + "Head",
            "summary": summary + ": the headers alone",
            **common,
            "responses": bare,
        },
    }
