"""The worker without a kernel that instructions are counted of: it answers each case, else it would count nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

CASES = ("", "--hedged", "--in-turn --holds", "--rejected", "--passed-on --unlike", "--passed-on --routes 64")


@pytest.mark.parametrize("options", CASES)
def test_every_request_is_answered(options: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "bench.replay", "32", *options.split()],
        cwd=Path(__file__).parents[2],
        check=True,
    )
