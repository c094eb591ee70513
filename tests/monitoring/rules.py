"""The rules as data, and promtool."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from support.tools import tool

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy/prometheus/rules/hedgerow.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = [rule["record"] for rule in RULES if "record" in rule]


def promtool(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([tool("promtool"), *arguments], capture_output=True, text=True, check=False)
