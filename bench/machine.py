"""Where and from what a result comes: it is worth nothing without that."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.toolchain import REPOSITORY, pinned_versions

RESULTS = ("bench/results", "verification/results", "docs/verification")
"""What measurements write: a run is of its commit, though the run before has left its results there."""
OWN_PACKAGES = ("hedgerow", "uvloop", "httptools", "msgspec", "prometheus-client", "structlog")


def provenance() -> dict[str, Any]:
    """Describe the machine, the code and the command line."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["python", "-m", "bench", *sys.argv[1:]],
        "commit": first_line(["git", "rev-parse", "HEAD"]),
        "dirty": differs_from_commit(),
        "machine": {
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "load_average_before": os.getloadavg(),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version_of(name) for name in OWN_PACKAGES},
            "nginx": first_line(["nginx", "-v"]),
            "wrk": first_line(["wrk", "-v"]),
        },
        "peers": pinned_versions(),
    }


def measured_commit() -> str:
    """Return the commit that is measured, with "-dirty" if anything but results differs from it."""
    commit = first_line(["git", "describe", "--always"])
    return commit + "-dirty" * differs_from_commit() if commit else "unknown"


def differs_from_commit() -> bool:
    """Return whether anything but results differs from the commit."""
    others = [f":!{folder}" for folder in RESULTS]
    return bool(first_line(["git", "status", "--porcelain", "--", ".", *others]))


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def first_line(command: list[str]) -> str:
    """Return the first line that a command prints (some print their version as an error), or ''."""
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    if command[0] == "git" and done.returncode:
        return ""
    return next(iter((done.stdout + done.stderr).splitlines()), "")
