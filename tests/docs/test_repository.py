"""The files of the forge and of the site are valid, and name what there is: no forge runs them here."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from docs.markdown import ROOT, TARGETS
from tools.site_links import rewrite

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"))


class SiteLoader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags name Python functions."""


SiteLoader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)
SITE: dict[str, Any] = yaml.load((ROOT / "mkdocs.yml").read_text(), SiteLoader)


def steps(path: Any) -> list[dict[str, Any]]:
    """Return the steps of all jobs of a workflow."""
    return [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_calls_targets_that_there_are(path: Any) -> None:
    called = {
        target
        for step in steps(path)
        for target in re.findall(r"^make ([a-z-]+)", step.get("run", ""), re.MULTILINE)
    }
    assert called
    assert called <= TARGETS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_version(path: Any) -> None:
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w.-]+/[\w./-]+@v\d+(\.\d+)*", action)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_has_no_more_rights_than_it_asks_for(path: Any) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] for job in workflow["jobs"].values())


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_has_what_the_forge_asks_for(path: Any) -> None:
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form)
    assert all(field["attributes"]["label"] for field in form["body"])


def test_updates_cover_every_lock_file() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    (pip,) = (update for update in updates if update["package-ecosystem"] == "pip")
    locked = {
        f"/{path.parent.relative_to(ROOT)}"
        for folder in ("requirements", "bench/peers")
        for path in (ROOT / folder).rglob("*.txt")
        if "--hash" in path.read_text()
    }
    assert locked == set(pip["directories"])


def test_the_site_has_every_page() -> None:
    named = set(re.findall(r"[\w/-]+\.md", str(SITE["nav"])))
    pages = {str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")}
    assert named == {page for page in pages if not page.startswith("decisions/0")}


def test_wheels_are_built_for_each_python_that_is_supported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    prefix = "Programming Language :: Python :: "
    supported = [
        kind.removeprefix(prefix) for kind in project["project"]["classifiers"] if kind.startswith(prefix)
    ]
    built = project["tool"]["cibuildwheel"]["build"].split()
    assert built == [f"cp{version.replace('.', '')}-manylinux_*" for version in supported]
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    assert [f"{python}-manylinux_*" for python in jobs["wheels"]["strategy"]["matrix"]["python"]] == built


@pytest.mark.parametrize(
    ("link", "with_address", "without"),
    [
        ("[the log](../../CHANGELOG.md#a)", "[the log](https://host/us/blob/main/CHANGELOG.md#a)", "the log"),
        ("[a page](../runbook.md)", "[a page](../runbook.md)", "[a page](../runbook.md)"),
        (
            "![a picture](../images/race.svg)",
            "![a picture](../images/race.svg)",
            "![a picture](../images/race.svg)",
        ),
    ],
)
def test_links_that_leave_the_site(link: str, with_address: str, without: str) -> None:
    assert rewrite(link, "guides/scaling.md", "https://host/us/") == with_address
    assert rewrite(link, "guides/scaling.md", None) == without


@pytest.mark.parametrize("tool", ["ruff", "codespell"])
def test_a_commit_is_checked_by_the_version_that_ci_has(tool: str) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (hook,) = [one for one in hooks if one["repo"].endswith((f"/{tool}", f"/{tool}-pre-commit"))]
    locked = "".join((ROOT / f"requirements/{name}.txt").read_text() for name in ("dev", "docs"))
    assert re.findall(rf"^{tool}==(\S+)", locked, re.MULTILINE) == [hook["rev"].removeprefix("v")]
