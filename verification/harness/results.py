"""What the campaigns came to at full size: a file for each, and `docs/verification/results.md` for people."""

import json
import os
import platform

from bench.machine import cpu_model, first_line
from verification import ROOT
from verification.harness.campaign import Campaign, Findings

RECORDS = ROOT / "verification" / "results"
PAGE = ROOT / "docs" / "verification" / "results.md"


def save(campaign: Campaign, findings: Findings, *, seed: int, took_s: float) -> None:
    """Write a campaign's result over the one before, with where and from what it comes."""
    result = {
        "id": campaign.id,
        "title": campaign.title,
        "acceptance_threshold": campaign.acceptance_threshold,
        "commit": first_line(["git", "describe", "--always", "--dirty"]) or "unknown",
        "machine": machine(),
        "seed": None if campaign.exhaustive else seed,
        "count": findings.count,
        "figures": findings.figures,
        "broken": dict(findings.broken),
        "verdict": verdict(findings),
        "took_s": round(took_s),
    }
    RECORDS.mkdir(exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (RECORDS / f"{campaign.id}.json").write_text(text + "\n")


def render() -> str:
    """Return the page with the results of all campaigns."""
    lines = [
        "# Results of `make verify`",
        "",
        "Written by `make verify`, each part when its campaign has run at full size. How to run one alone:",
        "[verification/README.md](../../verification/README.md).",
    ]
    for path in sorted(RECORDS.glob("*.json")):
        result = json.loads(path.read_text())
        seed = "exhaustive, no seed" if result["seed"] is None else f"seed {result['seed']}"
        figures = [f"{name}: {value}" for name, value in result["figures"].items()]
        broken = [f"broken {times} times: {invariant}" for invariant, times in result["broken"].items()]
        lines += [
            "",
            f"## {result['id']} {result['title']}: {result['verdict']}",
            "",
            f"Acceptance threshold: {result['acceptance_threshold']}.",
            "",
            f"- count: {result['count']:_}".replace("_", " "),
            *(f"- {line}" for line in figures + broken),
            f"- {seed}, commit {result['commit']}, {result['took_s']} s on {result['machine']}",
        ]
    return "\n".join(lines) + "\n"


def verdict(findings: Findings) -> str:
    """Say it in a word."""
    return "holds" if findings.holds else "BROKEN"


def machine() -> str:
    """Name the machine and the interpreter."""
    return (
        f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )
