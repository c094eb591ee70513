"""Routes and upstreams of a file: read, then checked as a whole."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from hedgerow.configuration.file import Document, Place
from hedgerow.configuration.route_schema import ROUTE
from hedgerow.configuration.route_values import NAME, SAFE_METHODS
from hedgerow.configuration.tls_files import check_tls
from hedgerow.configuration.upstream_schema import UPSTREAM
from hedgerow.settings.effective_routing import (
    SMART_METHODS,
    SMART_SUCCESS,
    SMART_TIMEOUT_PARAMETER,
    Routing,
)
from hedgerow.settings.errors import UnknownSetting
from hedgerow.settings.routes import MAX_NAME_CHARACTERS, MAX_ROUTES, RouteRule, UpstreamRule

ROUTES: Final = "routes"
UPSTREAMS: Final = "upstreams"

MAX_UPSTREAMS: Final = MAX_ROUTES
"""More than one for each route cannot be used."""

_SMART_KEYS: Final = ("contract", "name", "path", "upstream", "timeout", "hedge", "max_response_body")
"""What a route of the contract `smart` may have: all else is the contract's."""
_SMART: Final[dict[str, Any]] = {
    "methods": SMART_METHODS,
    "success": SMART_SUCCESS,
    "final": (),
    "max_request_body": 0,
}


def read_routing(document: Document) -> Routing:
    """Return the routes and upstreams of a file, none if it has none; raises SettingsError.

    Files that `tls` names are looked at, too.
    """
    values, place = document.values, document.place
    routes_place, upstreams_place = place.at(ROUTES), place.at(UPSTREAMS)
    upstreams = tuple(_upstreams(values.get(UPSTREAMS, {}), upstreams_place))
    routes = tuple(_routes(values.get(ROUTES, []), routes_place))
    if upstreams and not routes:
        accepted = "a route for it, [[routes]]; without one there is the default route alone"
        raise upstreams_place.reject(upstreams[0].name, accepted)
    by_name = {upstream.name: upstream for upstream in upstreams}
    for position, route in enumerate(routes):
        at = routes_place.at(position)
        if route.upstream not in by_name:
            raise _unknown_upstream(route.upstream, at.at("upstream"), list(by_name))
        _check_base_paths(route, at, by_name[route.upstream])
        _check_against(route, routes[:position], routes_place)
    return Routing(routes, upstreams)


def _upstreams(value: object, place: Place) -> Iterator[UpstreamRule]:
    if not isinstance(value, dict):
        raise place.reject(value, 'tables like [upstreams.shop], with endpoints = ["http://127.0.0.1:9000"]')
    if len(value) > MAX_UPSTREAMS:
        raise place.reject(len(value), f"at most {MAX_UPSTREAMS} upstreams")
    for name, inner in value.items():
        at = place.at(name)
        rule = UPSTREAM.read_with({"name": NAME.read(name, at)}, inner, at)
        schemes = {endpoint.scheme for endpoint in rule.endpoints}
        if len(schemes) > 1:
            raise at.at("endpoints").reject([], "URLs that are all of http or all of https")
        if "tls" in inner and "https" not in schemes:
            raise at.at("tls").reject({}, "it with endpoints of https only")
        if "https" in schemes:
            check_tls(rule.tls, at.at("tls"))
        yield rule


def _routes(value: object, place: Place) -> Iterator[RouteRule]:
    if not isinstance(value, list):
        raise place.reject(value, f"an array of tables: [[routes]], and then {ROUTE.accepted}")
    if len(value) > MAX_ROUTES:
        raise place.at(MAX_ROUTES).reject(
            len(value), f"at most {MAX_ROUTES} routes: each has metrics of its own"
        )
    for position, inner in enumerate(value):
        yield _route(inner, place.at(position))


def _route(value: object, place: Place) -> RouteRule:
    known: dict[str, Any] = {}
    is_smart = False
    if isinstance(value, dict):
        named = (value.get(key) for key in ("path", "path_prefix", "path-prefix"))
        known["name"] = next((text for text in named if isinstance(text, str)), "")
        is_smart = value.get("contract") == "smart"
    if is_smart:
        _check_smart_keys(value, place)
        known |= _SMART
    rule = ROUTE.read_with(known, value, place)
    _check_paths(rule, place)
    if is_smart:
        timeout = msgspec.structs.replace(rule.timeout, query=SMART_TIMEOUT_PARAMETER)
        return msgspec.structs.replace(rule, timeout=timeout)
    _check_methods(rule, place)
    if rule.deadline_header in {*rule.headers.set, *rule.headers.remove}:
        accepted = "a header that `headers` does not change"
        raise place.at("deadline_header").reject(rule.deadline_header, accepted)
    return rule


def _check_smart_keys(value: Any, place: Place) -> None:
    accepted = 'no such key: contract = "smart" says it'
    for key, inner in value.items():
        name = key.replace("-", "_")
        if name not in _SMART_KEYS and name in {row.name for row in ROUTE.keys}:
            raise place.at(key).reject(inner, accepted)
        if name == "timeout" and isinstance(inner, dict):
            for fixed in ("query", "headers"):
                if fixed in inner:
                    raise place.at(key, fixed).reject(inner[fixed], accepted)


def _check_paths(rule: RouteRule, place: Place) -> None:
    if (rule.path is None) == (rule.path_prefix is None):
        if rule.path is None:
            raise place.at("path").missing('it or `path_prefix`: a path like "/v1/price"')
        raise place.at("path_prefix").reject(rule.path_prefix, "one of `path` and `path_prefix`")
    path = rule.path or rule.path_prefix or ""
    if len(rule.name) > MAX_NAME_CHARACTERS:
        raise place.at("name").missing(
            f"one: the path has more than the {MAX_NAME_CHARACTERS} characters of a label"
        )
    strip = rule.strip_prefix
    if strip is not None and not (path + "/").startswith(strip.removesuffix("/") + "/"):
        raise place.at("strip_prefix").reject(strip, f"whole segments that {path!r} begins with")
    if rule.path is not None and strip is not None and rule.rewrite is not None:
        raise place.at("rewrite").reject(rule.rewrite, "one of `rewrite` and `strip_prefix` beside `path`")


def _check_methods(rule: RouteRule, place: Place) -> None:
    for position, method in enumerate(rule.methods):
        if method not in SAFE_METHODS and not rule.idempotent:
            accepted = "idempotent = true with it: a request may be sent several times"
            raise place.at("methods", position).reject(method, accepted)


def _check_base_paths(rule: RouteRule, place: Place, upstream: UpstreamRule) -> None:
    """Reject a URL with a query: a request's path is put behind an endpoint's."""
    if rule.answers == "pass_through" and any("?" in endpoint.path for endpoint in upstream.endpoints):
        raise place.at("upstream").reject(rule.upstream, "an upstream without a query in its endpoints")


def _check_against(rule: RouteRule, earlier: Iterable[RouteRule], place: Place) -> None:
    """Raise InvalidSetting for a route that has requests of an earlier one, or its name."""
    routes = list(earlier)
    at = place.at(len(routes))
    for position, other in enumerate(routes):
        first = f"routes[{position}] ({place.at(position).line})"
        if (rule.path, rule.path_prefix) == (other.path, other.path_prefix):
            same = next((method for method in rule.methods if method in other.methods), None)
            if same is not None:
                key = "path" if rule.path is not None else "path_prefix"
                raise at.at(key).reject(
                    rule.path or rule.path_prefix, f"another path or other methods: {first} has {same} of it"
                )
        if rule.name == other.name:
            raise at.at("name").reject(rule.name, f"a name of its own: {first} has this one")


def _unknown_upstream(name: str, place: Place, known: list[str]) -> UnknownSetting:
    hint = f"they are {', '.join(known)}" if known else "there is none: [upstreams.NAME] makes one"
    return UnknownSetting(name, place.source, known, hint, "upstream")
