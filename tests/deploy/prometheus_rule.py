"""The PrometheusRule of the manifests, made from the rule files that Prometheus itself reads.

    PYTHONPATH=tests .venv/bin/python -m deploy.prometheus_rule

rewrites it; a test holds the two together.
"""

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus/rules"
MANIFEST = DEPLOY / "kubernetes/components/monitoring/prometheusrule.yaml"
HEAD = (
    "# Made from deploy/prometheus/rules by tests/deploy/prometheus_rule.py, which says how to remake it.\n"
)


def groups() -> list[dict[str, Any]]:
    """Return the groups of all rule files, in the files' order by name."""
    return [
        group for file in sorted(RULES.glob("*.y*ml")) for group in yaml.safe_load(file.read_text())["groups"]
    ]


def write() -> None:
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "hedgerow", "labels": {"app.kubernetes.io/name": "hedgerow"}},
        "spec": {"groups": groups()},
    }
    MANIFEST.write_text(HEAD + yaml.safe_dump(manifest, sort_keys=False, width=110))


if __name__ == "__main__":
    write()
