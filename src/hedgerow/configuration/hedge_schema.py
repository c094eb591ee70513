"""Every key of a route's `hedge`: its kind, its meaning, its place in the settings (`route_schema`)."""

from typing import Final

from hedgerow.configuration.file import Place
from hedgerow.configuration.table import Key, OrTable, Table
from hedgerow.configuration.units import Duration
from hedgerow.configuration.values import Number, Whole, Word
from hedgerow.settings.routes import HedgeBudget, HedgeRule, QuantileDelay


def _check_quantile(rule: QuantileDelay, place: Place) -> None:
    if rule.min_s > rule.max_s:
        key = QUANTILE.keys[1]
        raise place.at("min").reject(
            key.show(rule.min_s).strip('"'), f"at most {key.show(rule.max_s)}, its `max`"
        )


def _check_hedge(rule: HedgeRule, place: Place) -> None:
    if rule.sample and rule.mode != "observe":
        raise place.at("sample").reject(rule.sample, '0, or mode = "observe" with it')


QUANTILE: Final = Table(
    QuantileDelay,
    (
        Key(
            "quantile",
            Number(0, 1, excludes_ends=True),
            "of the latency of first attempts that succeed",
            example="0.95",
        ),
        Key("min", Duration(0), "the delay is not shorter", field="min_s", example='"20ms"'),
        Key(
            "max", Duration(0), "nor longer; it is this until enough was seen", field="max_s", example='"1s"'
        ),
    ),
    'a table like { quantile = 0.95, min = "20ms", max = "1s" }',
    _check_quantile,
)

BUDGET: Final = Table(
    HedgeBudget,
    (
        Key("percent", Number(0, 1_600), "hedges for each hundred requests", example="10"),
        Key("min_per_second", Number(0, 1_000_000), "hedges besides, for each worker"),
    ),
    "a table like { percent = 10 }",
)

HEDGE: Final = Table(
    HedgeRule,
    (
        Key(
            "mode",
            Word(("on", "observe", "off")),
            "send hedges; only observe; or neither",
        ),
        Key(
            "after",
            OrTable(Duration(0), QUANTILE),
            "the hedge delay: fixed, or a quantile of the latency",
        ),
        Key("max_hedges", Whole(0, 16), "hedges after the hedge delay, all at once"),
        Key(
            "retry_on_failure",
            Word(("wait", "immediate")),
            "after an early failure: at the hedge delay, or at once",
        ),
        Key(
            "hold",
            Word(("auto", "off")),
            "fewer hedges while nearly all first attempts are late",
        ),
        Key(
            "ceiling",
            Whole(1, 1_000_000),
            "no hedge beyond this many attempts in flight, for each worker",
            default="none",
            example="100",
        ),
        Key("budget", BUDGET, "hedges as a share of requests", default="none", example="{ percent = 10 }"),
        Key(
            "sample",
            Number(0, 1),
            "share of requests that are hedged while observing",
        ),
    ),
    'a table like { after = "300ms", max_hedges = 1 }',
    _check_hedge,
)
