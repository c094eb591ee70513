"""What the campaigns came to at full size: a file for each, and `docs/verification/results.md` for people."""

import json
import os
import platform
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from bench.machine import cpu_model, measured_commit
from verification import ROOT
from verification.harness.campaign import Campaign, Findings

RECORDS = ROOT / "verification" / "results"
PAGE = ROOT / "docs" / "verification" / "results.md"
IN_THE_RECORD_ALONE: Final = {"C03": re.compile(r"C\d\d: ")}
"""Figures that the page does not have: a line for each injected bug."""
REPEATED: Final = re.compile(r", (?:round|seed) \d+$")
"""The end of the name of a figure that was measured several times."""
NUMBER: Final = re.compile(r"\d+(?:\.\d+)?|\binf\b")


def save(campaign: Campaign, findings: Findings, *, seed: int, took_s: float) -> None:
    """Write a campaign's result over the one before, with where and from what it comes."""
    result = {
        "id": campaign.id,
        "title": campaign.title,
        "acceptance_threshold": campaign.acceptance_threshold,
        "commit": measured_commit(),
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
    results = [json.loads(path.read_text()) for path in sorted(RECORDS.glob("*.json"))]
    ((usual, _),) = Counter(result["machine"] for result in results).most_common(1)
    lines = [
        "# Results of `make verify`",
        "",
        "Written by `make verify`, each part when its campaign has run at full size, with the names of that time.",
        "`verification/results` has the records. [verification/README.md](../../verification/README.md) describes the",
        "campaigns. *a to b*: the least and the greatest of several rounds or seeds. Where nothing else is named, the",
        f"machine was {usual}.",
    ]
    for result in results:
        seed = "exhaustive" if result["seed"] is None else f"seed {result['seed']}"
        where = "" if result["machine"] == usual else f", {result['machine']}"
        lines += [
            "",
            f"## {result['id']} {result['title']}: {result['verdict']}",
            "",
            f"Acceptance threshold: {result['acceptance_threshold']}.",
            "",
            f"- count: {result['count']:_}".replace("_", " ") + f"; {seed}, commit {result['commit']}, "
            f"{result['took_s']} s{where}",
            *(f"- {line}" for line in _figures(result)),
            *(f"- broken {times} times: {invariant}" for invariant, times in result["broken"].items()),
        ]
    return "\n".join(lines) + "\n"


def _figures(result: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each figure; those of several rounds or seeds have one."""
    alone = IN_THE_RECORD_ALONE.get(result["id"])
    measured: dict[str, list[str]] = {}
    for name, value in result["figures"].items():
        if alone is None or not alone.match(name):
            measured.setdefault(REPEATED.sub("", name), []).append(value)
    for name, values in measured.items():
        yield f"{name}: {merged(values)}"


def merged(texts: list[str]) -> str:
    """Return texts that differ by numbers alone as one with the least and the greatest of each, others side by side."""
    if len({NUMBER.sub("", text) for text in texts}) > 1:
        return " / ".join(texts)
    ranges = [sorted(set(numbers), key=float) for numbers in zip(*map(NUMBER.findall, texts), strict=True)]
    written = (" to ".join(dict.fromkeys((numbers[0], numbers[-1]))) for numbers in ranges)
    return NUMBER.sub(lambda _: next(written), texts[0])


def verdict(findings: Findings) -> str:
    """Say it in a word."""
    return "holds" if findings.holds else "BROKEN"


def machine() -> str:
    """Name the machine and the interpreter."""
    return (
        f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )
