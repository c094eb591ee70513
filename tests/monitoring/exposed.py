"""What `/metrics` exposes, and whether an expression asks for anything else: a name that is mistyped gives no error."""

import re
from collections import defaultdict
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

from hedgerow.telemetry.prometheus import render
from tools.reference import everything_counted

SAID_BY_PROMETHEUS = {"job", "instance", "namespace", "pod"}
"""Labels that come with the scrape."""
ANYTHING = ".*"
"""What Grafana puts for a variable where all is chosen."""
_SELECTOR = re.compile(
    r'(?<![\w:"])((?:job:|instance:|route:|upstream:)?hedgerow[a-z0-9_:]*)(?:\{([^}]*)\})?'
)
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


def _series() -> dict[str, dict[str, set[str]]]:
    """Return each exposed name, its labels and their values."""
    found: defaultdict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for family in text_string_to_metric_families(render(everything_counted()).decode()):
        for sample in family.samples:
            labels = found[sample.name]
            for label, value in sample.labels.items():
                labels[label].add(value)
    return found


SERIES = _series()


def unknown_in(expression: str, *, recorded: Iterable[str]) -> list[str]:
    """Name what of the expression is neither exposed nor recorded."""
    unknown: list[str] = []
    for name, matchers in _SELECTOR.findall(expression):
        if name in recorded:
            continue
        if name not in SERIES:
            unknown.append(name)
            continue
        for label, operator, value in _MATCHER.findall(matchers):
            if label in SAID_BY_PROMETHEUS:
                continue
            if value == ANYTHING and label in SERIES[name]:
                continue
            values = value.split("|") if "~" in operator else [value]
            unknown += [
                f"{name}{{{label}={one}}}" for one in values if one not in SERIES[name].get(label, ())
            ]
    return unknown
