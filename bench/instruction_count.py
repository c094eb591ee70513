"""Instructions for each request, by valgrind: `python -m bench.instruction_count`.

On a shared machine the time of a request scatters by a tenth and more; what it executes does not, to 0.1 %. So this
finds gains that no clock shows. It is no substitute for one: instructions are not time, and the kernel is not in it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click

from bench.servers import COMPILED

FEW, MANY = 1_600, 4_800
"""Requests; the difference leaves out the start."""
_REFERENCES = re.compile(r"I\s+refs:\s+([\d,]+)")


def executed(python: Path, requests: int, *options: str) -> int:
    """Count what one replay executes."""
    counted = subprocess.run(
        [
            "valgrind", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={os.devnull}",
            python, "-m", "bench.replay", str(requests), *options,
        ],
        env=os.environ | {"PYTHONHASHSEED": "0"}, cwd=Path(__file__).parents[1], check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    found = _REFERENCES.search(counted.stderr)
    assert found is not None, counted.stderr
    return int(found[1].replace(",", ""))


@click.command()
@click.option(
    "--other", type=click.Path(path_type=Path), help="The Python of another build, to compare with."
)
def main(other: Path | None) -> None:
    """Count as it is, compiled where that was made, and another build."""
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is needed (a Debian package)")
    builds = {"as it is": Path(sys.executable), "compiled": COMPILED.parent / "python", "other": other}
    for name, python in builds.items():
        if python is None or not python.exists():
            continue
        for what, options in (
            ("answered by its first attempt", ()),
            ("hedged", ("--hedged",)),
            ("answered by its first attempt, with hold = auto", ("--holds",)),
            ("hedged every second time", ("--in-turn",)),
            ("hedged every second time, with hold = auto", ("--in-turn", "--holds")),
            ("rejected", ("--rejected",)),
            ("passed on", ("--passed-on",)),
            ("passed on, where no two heads are alike", ("--passed-on", "--unlike")),
            ("passed on by one of 64 routes", ("--passed-on", "--routes", "64")),
        ):
            each = (executed(python, MANY, *options) - executed(python, FEW, *options)) / (MANY - FEW)
            click.echo(f"{name}: {each:,.0f} instructions for each request that is {what}")


if __name__ == "__main__":
    main()
