"""What `/metrics` exposes, and whether an expression asks for anything else: a name that is mistyped gives no error."""

import re
from collections import defaultdict
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

from hedgerow.core.outcomes import FailureReason
from hedgerow.telemetry.prometheus import render
from hedgerow.telemetry.snapshot import UNKNOWN, Histogram, Snapshot

SAID_BY_PROMETHEUS = {"job", "instance", "namespace", "pod"}
"""Labels that come with the scrape."""
_SELECTOR = re.compile(r'(?<![\w:"])((?:job:|instance:)?hedgerow[a-z0-9_:]*)(?:\{([^}]*)\})?')
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


def _everything() -> Snapshot:
    """Make a snapshot in which everything has happened that can."""
    requests = ("success", "all_failed", "out_of_time", "internal", "abandoned")
    return Snapshot(
        request_duration={outcome: Histogram() for outcome in requests},
        attempts={"1": {}, "2": {}, "3": {}},
        attempt_duration={outcome: Histogram() for outcome in ("success", *FailureReason)},
        first_attempt_duration={
            outcome: Histogram() for outcome in ("success", "all_failed", "out_of_time", UNKNOWN)
        },
        upstream_connections={"connecting": 0, "active": 0, "idle": 0, "loser": 0},
    )


def _series() -> dict[str, dict[str, set[str]]]:
    """Return each exposed name, its labels and their values."""
    found: defaultdict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for family in text_string_to_metric_families(render(_everything()).decode()):
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
            values = value.split("|") if "~" in operator else [value]
            unknown += [
                f"{name}{{{label}={one}}}" for one in values if one not in SERIES[name].get(label, ())
            ]
    return unknown
