"""Routes in few words: for `hedgerow check` and for the lines at the start."""

import shlex

from hedgerow.configuration.units import shown_duration
from hedgerow.settings.effective_routing import Routing
from hedgerow.settings.routes import HedgeRule, QuantileDelay, RouteRule, UpstreamRule
from hedgerow.settings.upstream_url import EMBEDDED, EMBEDDED_TARGET


def describe_routing(routing: Routing) -> list[str]:
    """Return lines about routes and upstreams, without anything that may be a secret."""
    rows = [
        (
            _pattern(route),
            ",".join(route.methods),
            f"-> {route.upstream}",
            _hedging(route.hedge) + _literally(route),
        )
        for route in in_matching_order(routing.routes)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    used = {route.upstream for route in routing.routes}
    return [
        "routes, in the order in which they match:",
        *("  " + "  ".join([*map(str.ljust, row, widths), row[3]]) for row in rows),
        "upstreams:",
        *(
            f"  {_upstream(rule)}{'' if rule.name in used else '; no route uses it'}"
            for rule in routing.upstreams
        ),
    ]


def in_matching_order(routes: tuple[RouteRule, ...]) -> list[RouteRule]:
    """Return routes as a request is compared with them: exact paths, then the longest prefix first (R01)."""
    return sorted(routes, key=lambda route: (route.path is None, -len(route.path_prefix or "")))


def first_routes(routing: Routing, most: int) -> str:
    """Return the first routes, and how many there are beyond, on one line."""
    shown = [f"{_pattern(route)} -> {route.upstream}" for route in in_matching_order(routing.routes)[:most]]
    beyond = len(routing.routes) - len(shown)
    return ", ".join(shown) + (f", and {beyond} more" if beyond else "")


def example_request(routes: tuple[RouteRule, ...], url: str) -> str:
    """Return a command that sends a request to one of the routes, by GET if one has it, at the gateway's `url`."""
    ordered = in_matching_order(routes)
    route = next((route for route in ordered if "GET" in route.methods), ordered[0])
    method = "" if "GET" in route.methods else f"-X {route.methods[0]} "
    return f"curl {method}{shlex.quote(url + (route.path or route.path_prefix or ''))}"


def _pattern(route: RouteRule) -> str:
    if route.path is not None:
        return route.path
    prefix = route.path_prefix or ""
    return f"{prefix.removesuffix('/')}/*"


def _literally(route: RouteRule) -> str:
    """Return a note where a path looks like a pattern of other gateways: it is one path, byte for byte."""
    path = route.path or route.path_prefix or ""
    if "*" not in path and "/:" not in path:
        return ""
    return "; * and : have no meaning in a path, it is compared as it is written: use path_prefix"


def _hedging(hedge: HedgeRule) -> str:
    if hedge.mode == "off" or hedge.max_hedges == 0:
        return "no hedges"
    after = hedge.after
    if isinstance(after, QuantileDelay):
        delay = f"the {after.quantile:g} quantile ({_shown(after.min_s)} to {_shown(after.max_s)})"
    else:
        delay = _shown(after)
    count = "1 hedge" if hedge.max_hedges == 1 else f"{hedge.max_hedges} hedges"
    parts = [f"{count} after {delay}"]
    if hedge.retry_on_failure == "immediate":
        parts.append("or at once on failure")
    if hedge.mode == "observe":
        share = f"; {hedge.sample:g} of requests are hedged" if hedge.sample else ""
        parts.append(f"only observed{share}")
    if hedge.hold == "off":
        parts.append("never held")
    if hedge.ceiling is not None:
        parts.append(f"at most {hedge.ceiling} attempts in flight")
    if hedge.budget is not None:
        parts.append(f"at most {hedge.budget.percent:g} % of requests")
    return ", ".join(parts)


def _upstream(rule: UpstreamRule) -> str:
    endpoints = [EMBEDDED if one == EMBEDDED_TARGET else one.redacted_url for one in rule.endpoints]
    return f"{rule.name} = {', '.join(endpoints)} ({rule.lb_policy})"


def _shown(seconds: float) -> str:
    return shown_duration(round(seconds * 1_000_000))
