"""The dashboard as data."""

import json
from collections.abc import Iterator
from typing import Any

from monitoring.exposed import ANYTHING
from monitoring.rules import ROOT

FILE = ROOT / "deploy/grafana/dashboards/hedgerow.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES: dict[str, dict[str, Any]] = {
    variable["name"]: variable for variable in DASHBOARD["templating"]["list"]
}
VALUES = {
    "$__rate_interval": "1m",
    "$__range": "1h",
    "$instance": ANYTHING,
    "$route": ANYTHING,
    "$upstream": ANYTHING,
    "$job": "hedgerow",
    "$by": VARIABLES["by"]["current"]["value"],
}
"""What Grafana would put for its variables."""


def with_values(expression: str) -> str:
    for name, value in VALUES.items():
        expression = expression.replace(name, value)
    return expression


def queries() -> Iterator[tuple[str, str]]:
    """Give each query, under its panel's title and its own letter."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", with_values(target["expr"])


QUERIES = dict(queries())
