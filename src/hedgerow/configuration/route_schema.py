"""Every key of `[[routes]]`: its kind, its meaning, its place in the settings.

The defaults are those of `settings.routes`. docs/reference/routes.md is made from these rows (a test compares them).
"""

from typing import Final

import msgspec

from hedgerow.configuration.file import Place
from hedgerow.configuration.hedge_schema import HEDGE
from hedgerow.configuration.route_values import (
    HEADER_NAME,
    LABEL,
    METHODS,
    NAME,
    PARAMETER,
    PATH,
    PREFIX,
    HeaderValues,
)
from hedgerow.configuration.table import Key, OneKey, Table
from hedgerow.configuration.units import Duration, Size, Statuses
from hedgerow.configuration.values import Flag, JsonDocument, ListOf, Word
from hedgerow.settings.json_schema import compile_schema
from hedgerow.settings.routes import (
    FINAL_STATUS,
    MAX_BODY_BYTES,
    HeaderRule,
    RouteRule,
    StatusRanges,
    SuccessRule,
    TimeoutRule,
)


def _check_timeout(rule: TimeoutRule, place: Place) -> None:
    if rule.default_ms > rule.max_ms:
        key = TIMEOUT.keys[0]
        raise place.at("default").reject(
            key.show(rule.default_ms).strip('"'), f"at most {key.show(rule.max_ms)}, its `max`"
        )


TIMEOUT: Final = Table(
    TimeoutRule,
    (
        Key("default", Duration(1, in_ms=True), "for requests that give none", field="default_ms"),
        Key("max", Duration(1, in_ms=True), "longer ones are shortened to this", field="max_ms"),
        Key(
            "query",
            PARAMETER,
            "the query parameter with the client's timeout; not passed on",
            default="none",
            example='"timeout"',
        ),
        Key(
            "headers",
            ListOf(HEADER_NAME),
            "request headers with the client's timeout",
            example='["x-request-timeout-ms"]',
        ),
    ),
    'a table like { default = "800ms", max = "5s" }',
    _check_timeout,
)

SUCCESS: Final = Table(
    SuccessRule,
    (
        Key("status", Statuses(least=1), "statuses of a success"),
        Key(
            "json",
            Word(("any", "object", "time")),
            "the body is JSON: any, an object, or one with a number `time` >= 0",
            default="not looked at",
            example='"object"',
        ),
        Key(
            "json_schema",
            JsonDocument("a JSON Schema as a table", compile_schema),
            "the body is JSON that this accepts",
            default="not looked at",
            example='{ type = "object", required = ["hits"] }',
        ),
    ),
    'a table like { status = ["2xx"] }',
)

HEADERS: Final = Table(
    HeaderRule,
    (
        Key(
            "set",
            HeaderValues(),
            "put in place of the client's",
            example='{ authorization = "Bearer ..." }',
        ),
        Key("remove", ListOf(HEADER_NAME), "not passed on", example='["cookie"]'),
    ),
    'a table like { remove = ["cookie"] }',
)


class _FinalRule(msgspec.Struct, frozen=True, kw_only=True):
    status: StatusRanges = FINAL_STATUS


FINAL: Final = OneKey(
    Table(
        _FinalRule,
        (Key("status", Statuses(), "end the race at once, and are passed on"),),
        'a table like { status = ["400-407"] }',
    )
)

ROUTE: Final = Table(
    RouteRule,
    (
        Key(
            "name",
            LABEL,
            "label of its metrics, logs and traces",
            default="its path",
            example='"search"',
        ),
        Key("path", PATH, "the whole path", example='"/v1/price"'),
        Key(
            "path_prefix",
            PREFIX,
            "or how the path begins, in whole segments",
            example='"/v1"',
        ),
        Key("methods", METHODS, "its methods"),
        Key(
            "idempotent",
            Flag(),
            "requests may be sent several times",
        ),
        Key("upstream", NAME, "an upstream of the file", example='"shop"'),
        Key(
            "strip_prefix",
            PREFIX,
            "taken from the beginning of the path",
            default="none",
            example='"/v1"',
        ),
        Key(
            "rewrite",
            PREFIX,
            "put in place of `strip_prefix`, `path_prefix` or `path`",
            default="none",
            example='"/api"',
        ),
        Key("preserve_host", Flag(), "pass on the client's `Host`"),
        Key("headers", HEADERS, "changes of the upstream's request"),
        Key("timeout", TIMEOUT, "how long a client waits"),
        Key(
            "deadline_header",
            HEADER_NAME,
            "gets what is left for the attempt",
            default="none",
            example='"x-request-timeout-ms"',
        ),
        Key("success", SUCCESS, "answers that are a success"),
        Key("final", FINAL, "answers that end the race though they are no success"),
        Key(
            "on_all_failed",
            Word(("problem", "last_response")),
            "when each attempt has failed: 502, or the last answer that is not 2xx",
        ),
        Key("hedge", HEDGE, "when the upstream is asked again"),
        Key("max_request_body", Size(0, MAX_BODY_BYTES), "a longer one is answered 413"),
        Key("max_response_body", Size(1, MAX_BODY_BYTES), "a longer one is a failure of the attempt"),
        Key(
            "contract",
            Word(("pass_through", "smart")),
            "`smart`: as the default route",
            field="answers",
        ),
    ),
    'a table like { path = "/v1/price", upstream = "shop" }',
)
