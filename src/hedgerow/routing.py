"""Makes what serves requests of what the settings say about routes: see `settings.routes` and `core.route`."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from hedgerow.core.answer_rules import AnswerRules
from hedgerow.core.forwarding import Forwarding
from hedgerow.core.hedge_limit import HedgeBudget, HedgeLimit
from hedgerow.core.hedging import EarlyFailure, HedgePlan
from hedgerow.core.outcomes import AttemptSender, Failure, FailureReason
from hedgerow.core.request import SAFE_METHODS
from hedgerow.core.route import HedgeDelay, Route, RouteTable
from hedgerow.settings.effective_routing import SMART_SUCCESS
from hedgerow.settings.json_schema import compile_schema
from hedgerow.settings.routes import HedgeRule, QuantileDelay, RouteRule
from hedgerow.telemetry.following_delay import FollowingDelay


def make_route_table(rules: tuple[RouteRule, ...], upstreams: Mapping[str, AttemptSender]) -> RouteTable:
    """Return the routes; `upstreams` are by name."""
    routes = [make_route(rule, upstreams[rule.upstream]) for rule in rules]
    return RouteTable(
        routes,
        [(rule.path or "").encode("ascii") for rule in rules],
        [(rule.path_prefix or "").encode("ascii") for rule in rules],
    )


def make_route(rule: RouteRule, upstream: AttemptSender) -> Route:
    """Return one route."""
    after = rule.hedge.after
    delay: HedgeDelay | None = None
    if isinstance(after, QuantileDelay):
        delay = FollowingDelay(after.quantile, after.min_s, after.max_s)
        after = after.max_s
    is_smart = rule.answers == "smart"
    answer_rules = None if is_smart and rule.success == SMART_SUCCESS else _answer_rules(rule)
    deadline_header = (rule.deadline_header or "").lower().encode("ascii")
    methods = [method.encode("ascii") for method in rule.methods]
    return Route(
        rule.name,
        upstream,
        HedgePlan(
            after,
            rule.hedge.max_hedges if rule.hedge.mode != "off" else 0,
            EarlyFailure(rule.hedge.retry_on_failure),
        ),
        default_timeout_ms=rule.timeout.default_ms,
        max_timeout_ms=rule.timeout.max_ms,
        timeout_prefix=f"{rule.timeout.query}=".encode("ascii") if rule.timeout.query else b"",
        timeout_headers=frozenset(name.lower().encode("ascii") for name in rule.timeout.headers),
        methods=tuple(method for method in methods if rule.idempotent or method in SAFE_METHODS),
        forwarding=None if is_smart else _forwarding(rule, deadline_header, answer_rules),
        rules=answer_rules,
        delay=delay,
        sample=rule.hedge.sample if rule.hedge.mode == "observe" else 1.0,
        deadline_header=deadline_header,
        accepts_bodies=rule.idempotent and not is_smart,
        max_request_body=rule.max_request_body,
        max_response_body=rule.max_response_body,
        hedge_limit=make_hedge_limit(rule.hedge, after),
        upstream_name=rule.upstream,
        template=rule.path or f"{(rule.path_prefix or '').rstrip('/')}/*",
    )


def make_hedge_limit(rule: HedgeRule, hedge_delay_s: float) -> HedgeLimit | None:
    """Return what holds a route's hedges back; None where nothing does."""
    holds = rule.hold == "auto"
    if (
        rule.mode != "on"
        or not rule.max_hedges
        or (not holds and rule.ceiling is None and rule.budget is None)
    ):
        return None
    budget = None if rule.budget is None else HedgeBudget(rule.budget.percent, rule.budget.min_per_second)
    return HedgeLimit(hedge_delay_s, holds=holds, ceiling=rule.ceiling, budget=budget)


def _forwarding(rule: RouteRule, deadline_header: bytes, rules: AnswerRules | None) -> Forwarding:
    replaces, rewritten = rule.strip_prefix or "", rule.rewrite
    if rewritten is not None and not replaces:
        replaces = rule.path_prefix or ""
    return Forwarding(
        replaces=replaces.encode("ascii"),
        rewritten=(rewritten or "").encode("ascii"),
        replaces_all=rewritten is not None and rule.path is not None,
        preserves_host=rule.preserve_host,
        set_headers={name.encode("ascii"): value.encode("ascii") for name, value in rule.headers.set.items()},
        removed=tuple(name.lower().encode("ascii") for name in rule.headers.remove),
        parameter=(rule.timeout.query or "").encode("ascii"),
        deadline_header=deadline_header,
        asks_identity=rules is not None and rules.reads_body,
    )


def _answer_rules(rule: RouteRule) -> AnswerRules:
    success = rule.success
    return AnswerRules(
        success.status,
        () if rule.answers == "smart" else rule.final,
        json=success.json or "",
        schema_problem=None
        if success.json_schema is None
        else _schema_problem(success.json_schema, f"success.json_schema of route {rule.name}"),
        keeps_failures=rule.on_all_failed == "last_response" and rule.answers != "smart",
    )


def _schema_problem(schema: dict[str, Any], setting: str) -> Callable[[bytes], Failure | None]:
    """Return what checks bodies by a JSON Schema."""
    validator = compile_schema(schema, setting)
    decode = msgspec.json.Decoder().decode

    def problem(body: bytes) -> Failure | None:
        try:
            document = decode(body)
            if validator.is_valid(document):
                return None
            found = next(validator.iter_errors(document), None)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            return Failure(FailureReason.BAD_JSON, str(error) or type(error).__name__)
        if found is None:
            return None
        where = "/".join(map(str, found.instance_path))
        return Failure(FailureReason.SCHEMA, f"at /{where}: {'/'.join(map(str, found.schema_path))}")

    return problem
