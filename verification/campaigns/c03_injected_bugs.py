"""C03: bugs injected into copies of the gateway, each of which a campaign or a test must find: a campaign that cannot
fail proves nothing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from support.processes import end
from verification import ROOT
from verification.harness.campaign import Campaign, Findings, counted
from verification.injected_bugs import BUGS
from verification.injected_bugs.bug import Bug

PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider")
TIMEOUT_S = 300
"""An injected bug may make a campaign hang; that, too, is noticed."""


def injected(bug: Bug) -> str:
    """Return the source of the bug's file with the bug in it. Raises if its place is not there, or not alone."""
    source = (ROOT / "src" / "hedgerow" / bug.file).read_text()
    if source.count(bug.right) != 1:
        raise ValueError(f"{bug.name}: its place in {bug.file} has moved")
    return source.replace(bug.right, bug.wrong)


def inject(bug: Bug, folder: Path) -> None:
    """Copy the gateway and put the bug in."""
    shutil.copytree(
        ROOT / "src", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.so")
    )
    (folder / "hedgerow" / bug.file).write_text(injected(bug))


def command(bug: Bug, seed: int) -> list[str]:
    """Return the command that must find the bug."""
    if bug.is_found_by_tests:
        return [*PYTEST, bug.found_by]
    share = f"--share={bug.share}"
    return [sys.executable, "-m", "verification", f"--only={bug.found_by}", share, f"--seed={seed}"]


def broken_invariants(bug: Bug, seed: int) -> list[str]:
    """Run what must find the bug, with the bug in the sources; return what it found broken."""
    with tempfile.TemporaryDirectory() as folder:
        inject(bug, Path(folder))
        return run_with(Path(folder), bug, seed)


def run_with(folder: Path, bug: Bug, seed: int) -> list[str]:
    """Run what must find the bug on the sources of a folder; return what it found broken."""
    process = subprocess.Popen(
        command(bug, seed), cwd=ROOT, env=os.environ | {"PYTHONPATH": str(folder)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return ["it ends"]
    finally:
        end(process)
    lines = [line.strip() for line in output.splitlines()]
    if bug.is_found_by_tests:
        return [line.partition(" - ")[0] for line in lines if line.startswith(("FAILED ", "ERROR "))]
    found = [line.partition(": ")[2] for line in lines if line.startswith("BROKEN")]
    if not found and process.returncode:
        return [f"it does not break down ({errors.strip().splitlines()[-1]})"]
    return found


def run(seed: int, share: float) -> Findings:
    """Inject each bug, or the first few, and see that it is found."""
    bugs = BUGS[: counted(len(BUGS), share)]
    findings = Findings(count=len(bugs))
    caught: Counter[str] = Counter()
    largest = {bug.found_by: bug for bug in sorted(bugs, key=lambda bug: bug.share)}
    for by, bug in largest.items():
        found = run_with(ROOT / "src", bug, seed)
        findings.check(not found, "without an injected bug nothing is found", f"{by}: {found}")
    for bug in bugs:
        found = broken_invariants(bug, seed)
        findings.check(
            bool(found), "every injected bug is found", f"{bug.name} ({bug.file}) by {bug.found_by}"
        )
        if found:
            by = "tests" if bug.is_found_by_tests else bug.found_by
            caught[by] += 1
            findings.figures[f"{by}: {bug.name}"] = "; ".join(found)
    findings.figures["found by"] = ", ".join(f"{name} {times}" for name, times in sorted(caught.items()))
    return findings


CAMPAIGN = Campaign(
    id="C03",
    title="injected bugs",
    proves="Each campaign can fail: bugs are put into copies of the gateway, and each is found.",
    acceptance_threshold="at least 60 injected bugs, all found; each fault of admission and between clients is one",
    run=run,
)
