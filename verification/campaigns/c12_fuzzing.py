"""C12: whatever is read from strangers is fuzzed: request heads, queries, traces, answers and their bodies."""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from support.processes import end
from verification import ROOT
from verification.fuzzing.mutations import corpus, mutate
from verification.fuzzing.targets import TARGETS
from verification.harness.campaign import Campaign, Findings, counted

BY_COVERAGE_FROM = 0.01
"""Smaller shares go without atheris, which takes seconds to begin and is not to be had everywhere."""
_RUNS = re.compile(r"stat::number_of_executed_units: ([0-9]+)")
_RAISED = re.compile(r"^[A-Za-z_.]*(?:Error|Exception|Refused): .*", re.MULTILINE)


@dataclass(slots=True)
class Fuzzed:
    """What one target came to."""

    name: str
    runs: int
    took_s: float
    broken: str = ""
    """What was raised, and the input that it was raised for."""


def by_coverage(name: str, runs: int, seed: int) -> Fuzzed:
    """Have atheris find the inputs, in a process of its own."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="c12-") as folder, fuzzer(name, runs, seed, folder) as process:
        output = process.communicate()[0]
        found = [
            path.read_bytes() for path in Path(folder).rglob("*") if re.match("crash|timeout|oom", path.name)
        ]
    match = _RUNS.search(output)
    broken = ""
    if process.returncode or match is None:
        raised = _RAISED.findall(output)
        broken = f"{raised[0] if raised else output[-500:]} for {found}"
    return Fuzzed(name, int(match[1]) if match else 0, time.monotonic() - began, broken)


@contextmanager
def fuzzer(name: str, runs: int, seed: int, folder: str) -> Iterator[subprocess.Popen[str]]:
    """Run atheris; what it keeps is in the folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "verification.fuzzing", name, f"--runs={runs}", f"--seed={seed}"],
        cwd=ROOT, env=os.environ | {"TMPDIR": folder}, text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            end(process)


def by_chance(name: str, runs: int, seed: int) -> Fuzzed:
    """Read the corpus, and mutations of it, here and now, up to the first broken invariant."""
    target, seeds, began = TARGETS[name], corpus(name), time.monotonic()
    chance = Random(f"{seed}/{name}")
    for number in range(runs):
        data = seeds[number] if number < len(seeds) else mutate(chance, seeds, target.words)
        try:
            target.read(data)
        except Exception as error:  # noqa: BLE001 (whatever it raises is the finding)
            return Fuzzed(name, number, time.monotonic() - began, f"{error!r} for {data!r}")
    return Fuzzed(name, runs, time.monotonic() - began)


def run(seed: int, share: float) -> Findings:
    """Fuzz every target for its runs, by coverage at full size and where atheris is installed."""
    coverage = share >= BY_COVERAGE_FROM and importlib.util.find_spec("atheris") is not None
    findings = Findings()
    fuzz = by_coverage if coverage else by_chance
    at_once = (os.cpu_count() or 1) if coverage else 1
    with ThreadPoolExecutor(at_once) as threads:
        all_fuzzed = threads.map(
            lambda name: fuzz(name, counted(TARGETS[name].runs, share, at_least=100), seed), TARGETS
        )
        for fuzzed in all_fuzzed:
            findings.count += fuzzed.runs
            rate = fuzzed.runs / max(fuzzed.took_s, 0.001)
            findings.figures[fuzzed.name] = f"{fuzzed.runs} runs, {rate:.0f} a second"
            findings.check(
                not fuzzed.broken,
                f"{fuzzed.name}: nothing is raised, and every invariant holds",
                fuzzed.broken,
            )
    findings.figures["inputs"] = "found by the coverage they reach" if coverage else "mutations of the corpus"
    return findings


CAMPAIGN = Campaign(
    id="C12",
    title="fuzzing",
    proves="No bytes of a client or an upstream raise what is not foreseen, are held without bound, or are read "
    "otherwise when they come in other pieces; Python's own libraries and h11 read what is accepted alike.",
    acceptance_threshold="10 000 000 runs, 0 crashes",
    run=run,
)
