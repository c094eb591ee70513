"""The rules: each alert fires when it should, does not when it should not, and asks for what is really exposed."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from monitoring.exposed import unknown_in
from monitoring.rules import ALERTS, FILE, RECORDED, ROOT, RULES, promtool

pytestmark = pytest.mark.slow

TIMELINES = Path(__file__).parent / "alerts"
"""One file for each alert, in the words of `promtool test rules`."""
FAST, SLOWLY = "HedgerowErrorBudgetBurnsFast", "HedgerowErrorBudgetBurnsSlowly"
NAMES = [alert["alert"] for alert in ALERTS]


def test_promtool_accepts_rules_and_configuration() -> None:
    checked = promtool(
        "check", "config", "--lint=all", "--lint-fatal", ROOT / "deploy/prometheus/prometheus.yml"
    )
    assert checked.returncode == 0, checked.stderr
    assert f"{len(RULES)} rules found" in checked.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_alert_fires_when_it_should_and_only_then(name: str) -> None:
    tested = promtool("test", "rules", TIMELINES / f"{name}.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def with_rules(rules: str, name: str, folder: Path) -> Path:
    """Write the timelines of an alert for other rules than ours."""
    (folder / "rules.yml").write_text(rules)
    timelines = {**yaml.safe_load((TIMELINES / f"{name}.yml").read_text()), "rule_files": ["rules.yml"]}
    (folder / "timelines.yml").write_text(yaml.safe_dump(timelines))
    return folder / "timelines.yml"


def differences(tested: "subprocess.CompletedProcess[str]") -> str:
    """Return what was expected and not got; rules that promtool cannot read are no find."""
    assert tested.returncode in {0, 1}
    assert ("exp:" in tested.stderr) == (tested.returncode == 1), tested.stderr
    return tested.stderr


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("expression", ["vector(1)", "vector(1) > 1"], ids=["always", "never"])
def test_an_alert_that_fires_always_or_never_would_be_found(
    name: str, expression: str, tmp_path: Path
) -> None:
    groups = yaml.safe_load(FILE.read_text())["groups"]
    for group in groups:
        for rule in group["rules"]:
            if rule.get("alert") == name:
                rule["expr"] = expression
    tested = promtool("test", "rules", with_rules(yaml.safe_dump({"groups": groups}), name, tmp_path))
    assert f"alertname: {name}" in differences(tested)


@pytest.mark.parametrize(
    ("ours", "mistaken", "name"),
    [
        ("vector(1 - 0.995)", "vector(1 - 0.95)", FAST),
        ('"all_failed|overloaded|internal"', '"all_failed|overloaded"', FAST),
        ('"all_failed|overloaded|internal"', '"all_failed|internal"', FAST),
        ('"out_of_time|abandoned"', '"out_of_time"', FAST),
        ('"all_failed|overloaded|internal"', '".*"', FAST),
        ('le="1.0"', 'le="10.0"', FAST),
        ("14.4 *", "2 *", FAST),
        ("> 6 *", "> 9 *", FAST),
        ("and job:hedgerow_errors:ratio_rate5m >", "and job:hedgerow_errors:ratio_rate1h >", FAST),
        ("and job:hedgerow_errors:ratio_rate30m >", "and job:hedgerow_errors:ratio_rate6h >", FAST),
        ("and route:hedgerow_errors:ratio_rate5m >", "and route:hedgerow_errors:ratio_rate1h >", FAST),
        ("and route:hedgerow_errors:ratio_rate30m >", "and route:hedgerow_errors:ratio_rate6h >", FAST),
        ('ratio_rate1h{route!=""}', "ratio_rate1h", FAST),
        ("unless on (namespace, job) job:hedgerow_error_budget_burns_fast:ratio", "", FAST),
        ("unless on (namespace, job) job:hedgerow_error_budget_burns_slowly:ratio", "", SLOWLY),
        ("[1h:1m]) * 60 >= 10\n", "[1h:1m]) * 60 >= 0\n", FAST),
        ("sum_over_time(job", "60 * avg_over_time(job", FAST),
        ("[3d:5m]) * 300 >= 10\n", "[3d:5m]) * 300 >= 0\n", SLOWLY),
        ('"success|final"', '"success"', FAST),
        ("ratio_rate3d > scalar", "ratio_rate3d > 2 * scalar", SLOWLY),
        ("> scalar(", "> 0.5 * scalar(", SLOWLY),
        ("and job:hedgerow_errors:ratio_rate6h >", "and job:hedgerow_errors:ratio_rate3d >", SLOWLY),
        ('outcome!="timeout"', 'outcome!=""', "HedgerowUpstreamFailing"),
        ("and upstream:hedgerow_attempts:rate5m * 300 >= 20", "", "HedgerowUpstreamFailing"),
        ('"success|final|timeout"', '"success|timeout"', "HedgerowUpstreamFailing"),
        ("by (namespace, job, route, upstream)", "by (namespace, job, upstream)", "HedgerowUpstreamFailing"),
        ('outcome="timeout", le="1.0"', 'outcome="timeout", le="10.0"', "HedgerowUpstreamFailing"),
        (")) > 1\n", ")) > 10\n", "HedgerowUpstreamFailing"),
        ("and route:hedgerow_counted_requests:rate5m * 300 >= 20", "", "HedgerowUpstreamTooSlow"),
        ("and route:hedgerow_hedges_fired:rate30m * 1800 >= 100", "", "HedgerowHedgesHardlyWin"),
        ("and route:hedgerow_hedges_held:rate5m * 300 >= 20", "", "HedgerowHedgesHeld"),
        ('event=~"fired|held"', 'event=~"fired|won"', "HedgerowHedgesHeld"),
        (" + avg_over_time(hedgerow_endpoint_unreachable_workers[15m])", "", "HedgerowEndpointLeftOut"),
        ("avg_over_time(hedgerow_endpoint_ej", "min_over_time(hedgerow_endpoint_ej", "HedgerowEndpointLeftOut"),
        (") > 0.5", ") > 0", "HedgerowEndpointLeftOut"),
        ('le="0.0"', 'le="0.001"', "HedgerowAnswersLate"),
        ("for: 10m", "for: 1m", "HedgerowAnswersLate"),
        ("pod, instance, le", "le", "HedgerowEventLoopLag"),
        ("[30m]) > 2", "[30m]) > 0", "HedgerowWorkersRestart"),
        ('up{job="hedgerow"}', "up", "HedgerowTargetDown"),
        ("absent(hedgerow_build_info{", "absent(up{", "HedgerowAbsent"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_rules_would_be_found(ours: str, mistaken: str, name: str, tmp_path: Path) -> None:
    text = FILE.read_text()
    assert ours in text
    assert differences(promtool("test", "rules", with_rules(text.replace(ours, mistaken), name, tmp_path)))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("record") or rule["alert"])
def test_it_asks_for_what_is_exposed(rule: dict[str, str]) -> None:
    assert unknown_in(rule["expr"], recorded=RECORDED) == []


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_an_alert_says_what_to_do(alert: dict[str, dict[str, str]]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"]
    page, anchor = alert["annotations"]["runbook"].split("#")
    headings = re.findall(r"^### (\w+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor == str(alert["alert"]).lower()
    assert alert["alert"] in headings


def test_the_runbook_has_no_alert_that_there_is_not() -> None:
    text = (ROOT / "docs/runbook.md").read_text()
    assert re.findall(r"^### (Hedgerow\w+)$", text, re.MULTILINE) == NAMES
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        for word in ("**Check**", "**Act**"):
            assert section.count(word) == 1, section.splitlines()[0]


def test_the_operators_rules_are_made_of_these() -> None:
    made = subprocess.run(
        [ROOT / "deploy/kubernetes/make-prometheusrule"], capture_output=True, text=True, check=True
    ).stdout
    assert (ROOT / "deploy/kubernetes/components/monitoring/prometheusrule.yaml").read_text() == made
    assert yaml.safe_load(made)["spec"] == yaml.safe_load(FILE.read_text())
