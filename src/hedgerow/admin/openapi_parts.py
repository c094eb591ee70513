"""Parts of the OpenAPI document: paths, responses, bodies and headers."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

from hedgerow.core.outcomes import FailureReason
from hedgerow.core.response import HELD

Node: TypeAlias = dict[str, Any]
"""A part of the document."""

JSON = "application/json"
PROBLEM = "application/problem+json"
SCHEMAS = "#/components/schemas/"


# -- the paths


def admin_path(summary: str, name: str, responses: Node, parameters: Iterable[Node] = ()) -> Node:
    """Describe a path of the admin port, relative to the URL of this document."""
    responses = {
        "400": problem_response(400, "bad_request", headers=("closed",)),
        **responses,
        **rejections(),
    }
    if "500" in responses:  # a computed response may take too long
        overloaded = problem_response(503, "overloaded", description="No response in time.")
        responses["503"] = merge_responses(responses["503"], overloaded) if "503" in responses else overloaded
    path = path_item(summary, name, responses, tag="admin", parameters=list(parameters))
    return {"servers": [{"url": "/", "description": "The admin port"}], **path}


def path_item(
    summary: str, name: str, responses: Node, *, tag: str, parameters: list[Node], **more: str
) -> Node:
    """Describe a path that answers GET and HEAD."""
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


# -- the responses


def rejections() -> Node:
    """Describe the responses to a malformed request head, on any path; its connection is closed."""
    codes = {408: "bad_request", 414: "too_large", 417: "bad_request", 431: "too_large", 505: "bad_request"}
    return {
        str(status): problem_response(status, code, headers=("closed",)) for status, code in codes.items()
    }


def answer(
    media_type: str, schema: Node | None = None, description: str = "Success.", headers: Iterable[str] = ()
) -> Node:
    """Describe a response whose body has this type; `headers` are names of groups of `_HEADERS_OF`."""
    names = [name for group in ("common", *headers) for name in _HEADERS_OF[group]]
    return {
        "description": description,
        "headers": {name: {"$ref": "#/components/headers/" + key} for name, key in names},
        "content": {media_type: {"schema": schema or {"type": "string"}}},
    }


def problem_response(
    status: int, *codes: str, headers: Iterable[str] = (), schema: str = "Problem", description: str = ""
) -> Node:
    """Describe an error with one of these codes (`internal` without any)."""
    phrase = HTTPStatus(status).phrase
    body = {
        "$ref": SCHEMAS + schema,
        "properties": {
            "status": {"const": status},
            "title": {"const": phrase},
            "code": {"enum": list(codes or ("internal",))},
        },
        "unevaluatedProperties": False,
    }
    return answer(PROBLEM, body, description or f"{phrase}.", headers)


def merge_responses(one: Node, other: Node) -> Node:
    """Merge two responses of one status. A header that only one of them has is optional."""
    perhaps = {
        name: {**HEADERS[ref["$ref"].rpartition("/")[2]], "required": False}
        for name, ref in {**one["headers"], **other["headers"]}.items()
    }
    both = {name: ref for name, ref in one["headers"].items() if other["headers"].get(name) == ref}
    return {
        "description": f"{one['description']} Or: {other['description']}",
        "headers": {**perhaps, **both},
        "content": {**one["content"], **other["content"]},
    }


# -- the bodies


def const_object(**constants: object) -> Node:
    """Describe an object that has exactly these members."""
    return {
        "type": "object",
        "properties": {name: {"const": value} for name, value in constants.items()},
        "required": list(constants),
        "additionalProperties": False,
    }


def with_constants(schema: Mapping[str, Any], **constants: object) -> Node:
    """Describe an object by a schema, with constants as its members."""
    return {**schema, "properties": {name: {"const": value} for name, value in constants.items()}}


SCHEMAS_BY_HAND: Node = {
    "Success": {
        "type": "object",
        "description": "The upstream's own JSON object; further members pass.",
        "properties": {"time": {"type": "number", "minimum": 0}},
        "required": ["time"],
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457.",
        "properties": {
            "type": {"const": "about:blank"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "For people."},
            "code": {"type": "string", "description": "For programs."},
            "request_id": {"type": "string", "description": "As in `X-Request-Id`."},
        },
        "required": ["type", "title", "status", "detail", "code", "request_id"],
    },
    "Attempted": {
        "$ref": SCHEMAS + "Problem",
        "properties": {"attempts": {"type": "array", "items": {"$ref": SCHEMAS + "Attempt"}}},
        "required": ["attempts"],
    },
    "Attempt": {
        "type": "object",
        "properties": {
            "number": {"type": "integer", "minimum": 1},
            "launched_at_ms": {
                "type": "number",
                "description": "Since the request arrived; absent for what was held.",
            },
            "outcome": {
                "enum": ["pending", HELD, *(reason.value for reason in FailureReason)],
                "description": "`held`: a hedge that was not sent, so as not to make an outage worse; it has a number"
                " alone.",
            },
            "took_ms": {"type": "number", "description": "Absent while it runs."},
            "detail": {"type": "string", "description": "For people, where more is known."},
        },
        "required": ["number", "outcome"],
        "additionalProperties": False,
    },
}


# -- the headers


def _header(description: str, *, required: bool = True, **schema: object) -> Node:
    return {"description": description, "required": required, "schema": {"type": "string", **schema}}


_TOTAL = r"^total;dur=[0-9]+\.[0-9]"
_HEDGES = r', hedges;desc="[0-9]+"'
HEADERS: Node = {
    "RequestId": _header(
        "The client's if it is valid, else one of the gateway's.", pattern="^[A-Za-z0-9._-]{1,128}$"
    ),
    "CacheControl": _header("No response may be cached.", const="no-store"),
    "Date": _header("RFC 9110 section 6.6.1.", pattern=r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$"),
    "Timing": _header("Milliseconds since the request arrived.", pattern=_TOTAL + "$"),
    "TimingHedges": _header("And the hedges that were sent.", pattern=_TOTAL + _HEDGES + "$"),
    "TimingWinner": _header(
        "And the attempt that won.", pattern=_TOTAL + _HEDGES + r', winner;desc="[0-9]+"$'
    ),
    "TimeoutMs": {**_header("The timeout that was used."), "schema": {"type": "integer", "minimum": 1}},
    "RetryAfter": {**_header("Seconds."), "schema": {"type": "integer", "minimum": 1}},
    "Closed": _header("The connection is closed.", const="close"),
    "ContentSecurityPolicy": _header(
        "The page loads nothing from elsewhere.", pattern="^default-src 'none';"
    ),
    "ContentTypeOptions": _header("No MIME sniffing.", const="nosniff"),
    "ReferrerPolicy": _header("No referrer is sent.", const="no-referrer"),
}
_HEADERS_OF: dict[str, list[tuple[str, str]]] = {
    "common": [
        ("X-Request-Id", "RequestId"),
        ("Cache-Control", "CacheControl"),
        ("Date", "Date"),
        ("Server-Timing", "Timing"),
    ],
    "race": [("Hedgerow-Timeout-Ms", "TimeoutMs")],
    "hedges": [("Server-Timing", "TimingHedges")],
    "won": [("Server-Timing", "TimingWinner")],
    "retry": [("Retry-After", "RetryAfter")],
    "closed": [("Connection", "Closed")],
    "page": [
        ("Content-Security-Policy", "ContentSecurityPolicy"),
        ("X-Content-Type-Options", "ContentTypeOptions"),
        ("Referrer-Policy", "ReferrerPolicy"),
    ],
}
