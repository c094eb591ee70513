"""The dashboard: whole, and in the words of what is exposed. That its queries give data is in `test_queries`."""

import re
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from monitoring.dashboard import DASHBOARD, FILE, PANELS, QUERIES, VARIABLES, with_values
from monitoring.exposed import SERIES, unknown_in
from monitoring.rules import RECORDED, ROOT, RULES, promtool

COLUMNS = 24
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
PROVISIONING = ROOT / "deploy/grafana/provisioning"


def test_its_rows_answer_what_an_operator_asks() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == [
        "Verdict and objective",
        "Routes",
        "With and without hedging",
        "Attempts and why they fail",
        "Latency",
        "Hedges",
        "Load, shedding and lag",
        "Connections",
        "Gateways and workers",
    ]


def test_titles_and_ids_are_given_once() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    assert len(QUERIES) == sum(len(panel["targets"]) for panel in PANELS)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_the_panel_is_whole(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    for asks in (panel, *panel["targets"]):
        assert asks["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    if panel["type"] in {"timeseries", "stat"}:
        assert panel["fieldConfig"]["defaults"]["unit"]


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_no_panel_covers_another_or_leaves_the_page() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert not [pair for pair in combinations(places, 2) if overlap(*pair)]
    assert all(place["x"] + place["w"] <= COLUMNS for place in places)


def test_promtool_can_read_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:query:{number}", "expr": expression}
        for number, expression in enumerate(QUERIES.values())
    ]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = promtool("check", "rules", tmp_path / "queries.yml")
    assert checked.returncode == 0, checked.stderr
    assert f"{len(QUERIES)} rules found" in checked.stdout


@pytest.mark.parametrize("query", QUERIES)
def test_it_asks_for_what_is_exposed(query: str) -> None:
    assert "$" not in QUERIES[query], "a variable that is not there"
    assert unknown_in(QUERIES[query], recorded=RECORDED) == []


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_the_choice_of_a_route_and_an_upstream_holds_for_all_that_has_them(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        for name, matchers in re.findall(r"(?<!:)(hedgerow_\w+)\{([^}]*)\}", target["expr"]):
            for label in ("route", "upstream"):
                assert (f'{label}=~"${label}"' in matchers) == (label in SERIES[name]), name


def test_nothing_is_exposed_or_recorded_in_vain() -> None:
    asked = " ".join((*QUERIES.values(), *(rule["expr"] for rule in RULES)))
    exposed = [name for name in SERIES if not name.endswith(("_sum", "_count"))]
    assert [name for name in (*exposed, *RECORDED) if name not in asked] == []


def test_the_choices_of_the_variables_are_there() -> None:
    options = [option["value"] for option in VARIABLES["by"]["options"]]
    assert VARIABLES["by"]["query"].split(",") == options
    for metric in (
        "hedgerow_request_duration_seconds_bucket",
        "hedgerow_first_attempt_duration_seconds_bucket",
    ):
        assert set(options) <= SERIES[metric]["le"]
    for name in ("job", "instance", "route", "upstream"):
        definition = with_values(VARIABLES[name]["definition"])
        assert definition.endswith(f", {name})")
        assert unknown_in(definition, recorded=()) == []


def test_grafana_finds_its_files_and_prometheus() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    where = urlsplit(source["url"])
    assert any(str(port).endswith(f":{where.port}") for port in COMPOSE[where.hostname]["ports"])
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/hedgerow.yml").read_text())["providers"]
    mounts = dict(volume.split(":")[:2] for volume in COMPOSE["grafana"]["volumes"])
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert FILE.parent == ROOT / "deploy/grafana/dashboards"
